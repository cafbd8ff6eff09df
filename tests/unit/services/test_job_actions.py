"""Who may do what to a job in which state: what the pages offer is what the functions do."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from models.db.audit import AuditStore
from models.db.engine import Database
from models.db.groups import GroupStore
from models.db.jobs import JobStore
from models.db.receipts import ReceiptStore
from models.db.tables import JobRow
from models.domain.errors import AditError, AppLocked, NotPermitted, UnderMaintenance, WrongState
from models.domain.jobs import Item, ItemAction, Job, JobAction, JobKind, Lease, State
from models.domain.people import EVERY_NODE, Actor, Group, NodeAccess, Permission, operator
from models.domain.project import App, AppState
from models.domain.receipts import Receipt
from services import jobs, project
from tests.people import a_user
from tests.samples import add_job

LEASE = timedelta(seconds=20)
STAFF = operator("admin")
OWNER = Actor(
    "ada",
    permissions=frozenset({Permission.ADD_BATCH_TRANSFER, Permission.BATCH_URGENT}),
    access=EVERY_NODE,
)
DO: dict[JobAction, Callable[[Database, Actor, int], object]] = {
    JobAction.VERIFY: jobs.verify,
    JobAction.HURRY: jobs.hurry,
    JobAction.CANCEL: jobs.cancel,
    JobAction.RESUME: jobs.resume,
    JobAction.RETRY: jobs.retry,
    JobAction.RESTART: jobs.restart,
    JobAction.DELETE: jobs.delete,
}
DO_TO_ITEM: dict[ItemAction, Callable[[Database, Actor, int], object]] = {
    ItemAction.CANCEL: jobs.cancel_item,
    ItemAction.RESET: jobs.reset_item,
    ItemAction.DELETE: jobs.delete_item,
}


def in_state(database: Database, state: State, kind: JobKind = JobKind.BATCH_TRANSFER) -> Job:
    """A job of ada with two items that has come into the state in the usual way."""
    store = JobStore(database)
    job = add_job(database, studies=2, kind=kind)
    if state is State.UNVERIFIED:
        with database.transaction() as session:
            session.get_one(JobRow, job.id).state = state
    elif state is State.IN_PROGRESS:
        claimed(database, job)
    elif state is State.CANCELING:
        claimed(database, job)
        store.cancel(job.id)
    elif state is State.CANCELED:
        store.cancel(job.id)
    elif state is not State.PENDING:
        for _ in range(2):
            store.end_attempt(claimed(database, job)[1], state, "what happened")
    return store.get(job.id)


def claimed(database: Database, job: Job) -> tuple[Item, Lease]:
    return JobStore(database).claim_next(job.id, LEASE) or pytest.fail("nothing was due")


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("actor", [OWNER, STAFF], ids=["owner", "staff"])
def test_what_is_offered_is_what_is_done(database: Database, actor: Actor, state: State) -> None:
    for action in JobAction:
        job = in_state(database, state)
        offered = action in jobs.actions(database, actor, job)
        try:
            DO[action](database, actor, job.id)
        except (NotPermitted, WrongState):
            assert not offered, action
        else:
            assert offered, action


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (State.UNVERIFIED, {ItemAction.DELETE}),
        (State.PENDING, {ItemAction.CANCEL, ItemAction.DELETE}),
        (State.IN_PROGRESS, set[ItemAction]()),
        (State.CANCELING, set[ItemAction]()),
        (State.CANCELED, {ItemAction.RESET}),
        (State.FAILURE, {ItemAction.RESET}),
    ],
)
def test_what_is_offered_for_an_item_is_what_is_done(
    database: Database, state: State, expected: set[ItemAction]
) -> None:
    for action in ItemAction:
        item = jobs.items(database, OWNER, in_state(database, state).id)[0]
        offered = action in jobs.item_actions(database, OWNER, item)
        assert offered is (action in expected)
        try:
            DO_TO_ITEM[action](database, OWNER, item.id)
        except WrongState:
            assert not offered
        else:
            assert offered


def test_only_staff_verifies_and_restarts(database: Database) -> None:
    assert jobs.actions(database, OWNER, in_state(database, State.UNVERIFIED)) == {JobAction.HURRY, JobAction.DELETE}
    assert jobs.actions(database, STAFF, in_state(database, State.UNVERIFIED)) == {
        JobAction.VERIFY,
        JobAction.HURRY,
        JobAction.DELETE,
    }
    assert jobs.actions(database, OWNER, in_state(database, State.SUCCESS)) == frozenset()
    assert jobs.actions(database, STAFF, in_state(database, State.SUCCESS)) == {JobAction.RESTART}


def test_urgency_needs_its_right_and_can_be_taken_back(database: Database) -> None:
    job = in_state(database, State.PENDING)
    with pytest.raises(NotPermitted):
        jobs.hurry(database, replace(OWNER, permissions=frozenset({Permission.ADD_BATCH_TRANSFER})), job.id)
    selective = in_state(database, State.PENDING, JobKind.SELECTIVE_TRANSFER)
    with pytest.raises(NotPermitted):
        jobs.hurry(database, OWNER, selective.id)
    assert jobs.hurry(database, OWNER, job.id).urgent
    assert jobs.hurry(database, OWNER, job.id).urgent
    assert not jobs.hurry(database, OWNER, job.id, urgent=False).urgent
    assert [entry.subject for entry in AuditStore(database).entries() if entry.outcome == "done"] == [
        f"job {job.id}: not urgent",
        f"job {job.id}: urgent",
    ]


@pytest.mark.parametrize(
    ("state", "action"),
    [(State.CANCELED, JobAction.RESUME), (State.FAILURE, JobAction.RETRY)],
)
def test_nothing_begins_again_without_the_rights_that_it_needs(
    database: Database, state: State, action: JobAction
) -> None:
    job = in_state(database, state)
    source, destination = (frozenset(ids) for ids in zip(*jobs.nodes(database, OWNER, job.id), strict=True))
    for lost in (
        replace(OWNER, permissions=frozenset({Permission.BATCH_URGENT})),
        replace(OWNER, access=NodeAccess(source)),
        replace(OWNER, access=NodeAccess(frozenset(), destination)),
    ):
        assert action not in jobs.actions(database, lost, job)
        with pytest.raises(NotPermitted, match="lost"):
            DO[action](database, lost, job.id)
    kept = replace(OWNER, access=NodeAccess(source, destination))
    assert action in jobs.actions(database, kept, job)
    DO[action](database, kept, job.id)


def test_a_job_with_identity_needs_that_right_again(database: Database) -> None:
    job = add_job(database, keep_identity=True)
    jobs.cancel(database, OWNER, job.id)
    with pytest.raises(NotPermitted, match="lost"):
        jobs.resume(database, OWNER, job.id)
    permissions = OWNER.permissions | {Permission.BATCH_UNPSEUDONYMIZED}
    assert jobs.resume(database, replace(OWNER, permissions=permissions), job.id).state is State.PENDING


@pytest.mark.parametrize(("closed", "error"), [("maintenance", UnderMaintenance), ("locked", AppLocked)])
def test_behind_a_closed_door_work_can_be_stopped_and_not_begun(
    database: Database, closed: str, error: type[AditError]
) -> None:
    waiting, failed = in_state(database, State.PENDING), in_state(database, State.FAILURE)
    canceled = in_state(database, State.CANCELED)
    if closed == "maintenance":
        project.update(database, STAFF, "", True, 1)
    else:
        project.set_app(database, STAFF, AppState(App.BATCH_TRANSFER, locked=True))
    item = jobs.items(database, OWNER, failed.id)[0]
    for action, about in ((jobs.retry, failed.id), (jobs.resume, canceled.id), (jobs.reset_item, item.id)):
        with pytest.raises(error):
            action(database, OWNER, about)
    assert jobs.actions(database, OWNER, failed) == frozenset()
    assert jobs.item_actions(database, OWNER, item) == frozenset()
    assert jobs.cancel(database, OWNER, waiting.id).state is State.CANCELED
    assert jobs.retry(database, STAFF, failed.id).state is State.PENDING


def test_every_change_is_in_the_trail(database: Database) -> None:
    job, other = in_state(database, State.FAILURE), in_state(database, State.PENDING)
    jobs.retry(database, OWNER, job.id)
    first, second = jobs.items(database, OWNER, job.id)
    jobs.delete_item(database, OWNER, second.id)
    jobs.cancel_item(database, OWNER, first.id)
    jobs.reset_item(database, OWNER, first.id)
    jobs.cancel(database, OWNER, job.id)
    jobs.reset_item(database, OWNER, first.id)
    with pytest.raises(NotPermitted):
        jobs.restart(database, OWNER, job.id)
    jobs.delete(database, OWNER, other.id)
    trail = [(entry.action.value, entry.subject, entry.outcome) for entry in AuditStore(database).entries()]
    assert trail[::-1] == [
        ("change_job", f"job {job.id}: retry", "done"),
        ("change_job", f"job {job.id}, item 2: deleted", "done"),
        ("change_job", f"job {job.id}, item 1: canceled", "done"),
        ("change_job", f"job {job.id}, item 1: reset", "done"),
        ("change_job", f"job {job.id}: cancel", "done"),
        ("change_job", f"job {job.id}, item 1: reset", "done"),
        ("change_job", f"job {job.id}: restart", "NotPermitted"),
        ("delete_job", f"job {other.id}: batch_transfer of ada", "done"),
    ]


@pytest.mark.parametrize("look", [jobs.item, jobs.receipt])
def test_whether_a_job_is_seen_is_asked_once(
    database: Database, monkeypatch: pytest.MonkeyPatch, look: Callable[[Database, Actor, int], object]
) -> None:
    item = JobStore(database).items(in_state(database, State.FAILURE).id)[0]
    get, asked = JobStore.get, []
    monkeypatch.setattr(JobStore, "get", lambda store, job_id: asked.append(job_id) or get(store, job_id))
    look(database, OWNER, item.id)
    assert asked == [item.job_id]


def test_what_has_delivered_is_not_deleted(database: Database) -> None:
    job = in_state(database, State.PENDING)
    item, lease = claimed(database, job)
    ReceiptStore(database).save(lease, Receipt(expected={"1"}, received={"1"}, stored={"1"}))
    JobStore(database).end_attempt(lease, State.PENDING, "again later")
    assert jobs.item_actions(database, OWNER, jobs.item(database, OWNER, item.id)) == {ItemAction.CANCEL}
    with pytest.raises(WrongState, match="at the destination"):
        jobs.delete_item(database, OWNER, item.id)
    assert jobs.cancel_item(database, OWNER, item.id).state is State.CANCELED
    assert ReceiptStore(database).load(item.id).stored == {"1"}, "it stays known"


def test_colleagues_look_and_do_nothing(database: Database) -> None:
    ada, grace = a_user(database, "ada"), a_user(database, "grace")
    permissions = frozenset({Permission.VIEW_BATCH_TRANSFER})
    group = GroupStore(database).add(
        Group("Radiologists", permissions=permissions, members=frozenset({ada.id, grace.id}))
    )
    colleague = Actor("grace", permissions=permissions, groups=frozenset({group.id}), user_id=grace.id)
    job = in_state(database, State.FAILURE)
    item = jobs.items(database, colleague, job.id)[0]
    assert jobs.get(database, colleague, job.id) == job
    assert (item.study_uid, item.series_uids, item.patient_id) == ("", (), "")
    with pytest.raises(NotPermitted):
        jobs.receipt(database, colleague, item.id)
    assert jobs.actions(database, colleague, job) == jobs.item_actions(database, colleague, item) == frozenset()
    for do in DO.values():
        with pytest.raises(NotPermitted):
            do(database, colleague, job.id)
    for do in DO_TO_ITEM.values():
        with pytest.raises(NotPermitted):
            do(database, colleague, item.id)
    assert jobs.get(database, OWNER, job.id) == job
