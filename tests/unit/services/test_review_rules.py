"""Held instances pass only when somebody with the right says so, with a reason, on the record."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.receipts import ReceiptStore
from models.db.reviews import ReviewStore
from models.db.scopes import ScopeStore
from models.domain.errors import AditError, BadRequest, NotFound, NotPermitted, WrongState
from models.domain.jobs import Item, State
from models.domain.people import Actor, Permission, operator
from models.domain.receipts import REJECTED, Completeness, Receipt, concerns
from models.domain.reviews import Decision
from services import audit, review
from tests.revisions import all_rows
from tests.samples import add_job

EVE = Actor("eve", permissions=frozenset({Permission.REVIEW_HELD}))
TESTER = operator("tester")
LOOKED = "looked at every frame"
WHY = "The instance's class often has text burned in."
LEASE = timedelta(seconds=20)
HELD = ("1.1", "1.2", "1.3")


def an_item(database: Database, state: State = State.WARNING, studies: int = 1) -> Item:
    """The first item of a job of ada's; it has ended with three held instances and one at the destination."""
    job = add_job(database, studies)
    item, lease = JobStore(database).claim_next(job.id, LEASE) or pytest.fail("nothing was due")
    every = {*HELD, "1.4"}
    receipt = Receipt(expected=every, received=every, stored={"1.4"}, confirmed={"1.4"}, held=dict.fromkeys(HELD, WHY))
    ReceiptStore(database).save(lease, receipt)
    JobStore(database).end_attempt(lease, state, concerns(receipt))
    return JobStore(database).item(item.id)


def outcomes(database: Database) -> list[tuple[str, str, str]]:
    return [(line.action.value, line.subject, line.outcome) for line in audit.entries(database, TESTER)]


def test_held_instances_are_seen_by_owner_staff_and_reviewers(database: Database) -> None:
    item = an_item(database)
    for actor in (Actor("ada"), EVE, TESTER):
        held = review.held(database, actor, item.job_id)
        assert [(one.sop_uid, one.position, one.reason) for one in held] == [(uid, 1, WHY) for uid in HELD]
        assert {(one.source_id, one.destination_id) for one in held} == {(item.source_id, item.destination_id)}
    with pytest.raises(NotFound):
        review.held(database, Actor("mallory"), item.job_id)
    assert review.waiting(database, EVE) == {item.job_id: 3}
    with pytest.raises(NotPermitted):
        review.waiting(database, Actor("ada"))


def test_a_release_lets_the_item_and_its_job_wait_for_an_attempt(database: Database) -> None:
    item = an_item(database)
    released = review.release(database, EVE, item.id, ["1.1", "1.3"], LOOKED)
    assert (released.state, released.attempts) == (State.PENDING, 0)
    assert JobStore(database).get(item.job_id).state is State.PENDING
    assert JobStore(database).due_jobs() == (item.job_id,)
    assert ReviewStore(database).decisions(item.id) == {"1.1": Decision.RELEASED, "1.3": Decision.RELEASED}
    receipt = ReceiptStore(database).load(item.id)
    assert (set(receipt.held), receipt.missing) == ({"1.2"}, {"1.1", "1.3"})
    assert outcomes(database) == [("release_held", f"job {item.job_id}, item 1, 2 instances", "done")]


def test_a_release_does_not_disturb_the_other_items_of_a_running_job(database: Database) -> None:
    item = an_item(database, studies=2)
    assert JobStore(database).claim_next(item.job_id, LEASE) is not None
    assert review.release(database, EVE, item.id, None, LOOKED).state is State.PENDING
    assert JobStore(database).get(item.job_id).state is State.IN_PROGRESS
    assert {one.state for one in JobStore(database).items(item.job_id)} == {State.PENDING, State.IN_PROGRESS}


def test_a_rejection_leaves_out_for_good_without_another_attempt(database: Database) -> None:
    item = an_item(database)
    review.reject(database, EVE, item.id, ["1.2"], LOOKED)
    receipt = ReceiptStore(database).load(item.id)
    assert (receipt.left_out, set(receipt.held)) == ({"1.2": REJECTED}, {"1.1", "1.3"})
    assert receipt.verdict is Completeness.HELD
    rejected = review.reject(database, EVE, item.id, None, LOOKED)
    assert rejected.state is State.WARNING
    assert "Held" not in rejected.message and f"3 x {REJECTED}" in rejected.message
    assert ReceiptStore(database).load(item.id).verdict is Completeness.COMPLETE
    assert review.waiting(database, EVE) == {}


@pytest.mark.parametrize("action", [review.release, review.reject])
@pytest.mark.parametrize(
    ("actor", "uids", "reason", "error"),
    [
        (Actor("ada"), None, LOOKED, NotPermitted),
        (Actor("chief", is_staff=True), None, LOOKED, NotPermitted),
        (EVE, None, "fine", BadRequest),
        (EVE, ["1.1", "1.4"], LOOKED, BadRequest),
        (EVE, [], LOOKED, BadRequest),
    ],
)
def test_what_is_refused_changes_nothing_and_is_on_the_record(
    database: Database, action: object, actor: Actor, uids: list[str] | None, reason: str, error: type[AditError]
) -> None:
    item = an_item(database)
    before = ReceiptStore(database).load(item.id)
    with pytest.raises(error):
        action(database, actor, item.id, uids, reason)  # type: ignore[operator]
    assert ReceiptStore(database).load(item.id) == before
    assert JobStore(database).item(item.id) == item
    assert ReviewStore(database).decisions(item.id) == {}
    assert [outcome for _, _, outcome in outcomes(database)] == [error.__name__]


@pytest.mark.parametrize("action", [review.release, review.reject])
def test_why_somebody_decided_is_kept_encrypted(
    database: Database, empty_url: str, action: Callable[[Database, Actor, int, list[str] | None, str], object]
) -> None:
    item = an_item(database)
    action(database, EVE, item.id, None, "only Hans Umbrella's chin is seen")
    newest = audit.entries(database, TESTER, limit=1)[0]
    assert (newest.reason, newest.outcome) == ("", "done")
    assert "Umbrella" not in str(all_rows(empty_url))
    assert audit.details(database, TESTER, newest.id, LOOKED) == {"reason": "only Hans Umbrella's chin is seen"}


@pytest.mark.parametrize("action", [review.release, review.reject])
def test_nothing_is_decided_while_a_worker_has_the_item(database: Database, action: object) -> None:
    item = an_item(database, State.PENDING)
    assert JobStore(database).claim_next(item.job_id, LEASE) is not None
    with pytest.raises(WrongState):
        action(database, EVE, item.id, None, LOOKED)  # type: ignore[operator]


def test_what_is_decided_twice_or_was_never_held_is_refused(database: Database) -> None:
    item = an_item(database)
    review.release(database, EVE, item.id, None, LOOKED)
    with pytest.raises(WrongState):
        review.release(database, EVE, item.id, None, LOOKED)
    with pytest.raises(NotFound):
        review.release(database, EVE, 4711, None, LOOKED)


def test_a_canceled_item_stays_canceled_when_its_instances_are_released(database: Database) -> None:
    item = an_item(database, State.PENDING)
    JobStore(database).cancel(item.job_id)
    assert review.release(database, EVE, item.id, None, LOOKED).state is State.CANCELED
    assert JobStore(database).get(item.job_id).state is State.CANCELED


def test_nothing_of_a_forgotten_trial_is_released(database: Database) -> None:
    item = an_item(database)
    ScopeStore(database).forget(JobStore(database).get(item.job_id).linkage_scope_id)
    with pytest.raises(WrongState, match="forgotten"):
        review.release(database, EVE, item.id, None, LOOKED)
    assert JobStore(database).item(item.id).state is State.WARNING
