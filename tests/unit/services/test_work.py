"""What a worker hears and says, and the budgets it keeps to."""

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.nodes import NodeStore
from models.db.slots import SlotStore
from models.domain.errors import (
    AditError,
    Canceled,
    LeaseLost,
    NotFound,
    PeerBusy,
    Unreachable,
    WriteFailed,
)
from models.domain.jobs import Item, Job, Lease, State
from models.domain.nodes import Server
from models.domain.receipts import Receipt
from models.settings import Settings
from services import budgets, work
from tests.databases import Clock
from tests.samples import a_server, add_job, add_nodes

LEASE = timedelta(seconds=20)
Claim = tuple[Item, Lease]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(_env_file=None, data_dir=tmp_path, master_key=Fernet.generate_key().decode())  # type: ignore[call-arg]


@pytest.fixture
def job(database: Database) -> Job:
    return add_job(database)


@pytest.fixture
def claim(database: Database, job: Job) -> Claim:
    claimed = work.claim_next(database, job.id, LEASE)
    assert claimed is not None
    return claimed


def test_a_worker_goes_on_until_its_job_is_canceled(database: Database, job: Job, claim: Claim) -> None:
    _, lease = claim
    assert work.renew(database, lease, LEASE) is work.Signal.KEEP_GOING
    JobStore(database).cancel(job.id)
    assert work.renew(database, lease, LEASE) is work.Signal.CANCEL


def test_a_worker_whose_item_was_taken_over_hears_it(database: Database, job: Job, claim: Claim, clock: Clock) -> None:
    clock.pass_by(21)
    assert work.claim_next(database, job.id, LEASE) is not None
    assert work.renew(database, claim[1], LEASE) is work.Signal.LOST


def test_renewing_keeps_the_slots_too(database: Database, claim: Claim, clock: Clock) -> None:
    node, _ = add_nodes(database)
    slots = SlotStore(database)
    assert slots.try_acquire(claim[1].token, {node: 1}, {node: 1}, LEASE)
    clock.pass_by(15)
    work.renew(database, claim[1], LEASE)
    clock.pass_by(15)
    assert not slots.try_acquire("other", {node: 1}, {node: 1}, LEASE)


def test_a_worker_whose_slots_ran_out_has_to_stop(database: Database, claim: Claim, clock: Clock) -> None:
    node, _ = add_nodes(database)
    slots = SlotStore(database)
    assert slots.try_acquire(claim[1].token, {node: 1}, {node: 1}, LEASE)
    clock.pass_by(21)
    assert slots.try_acquire("other", {node: 1}, {node: 1}, LEASE)
    assert work.renew(database, claim[1], LEASE) is work.Signal.LOST


def test_waits_between_attempts_grow_and_the_last_failure_stays(
    database: Database, job: Job, settings: Settings, clock: Clock
) -> None:
    for wait_s in (120, 240):
        item, lease = work.claim_next(database, job.id, LEASE) or pytest.fail("nothing was due")
        assert work.fail(database, lease, item, Unreachable("The PACS is off."), settings) is State.PENDING
        clock.pass_by(wait_s - 1)
        assert work.claim_next(database, job.id, LEASE) is None
        clock.pass_by(1)
    item, lease = work.claim_next(database, job.id, LEASE) or pytest.fail("nothing was due")
    assert work.fail(database, lease, item, PeerBusy("The PACS is busy."), settings) is State.FAILURE
    failed = JobStore(database).item(item.id)
    assert (failed.message, failed.error_code, failed.attempts) == ("The PACS is busy.", "PeerBusy", 3)
    assert work.progress(database, job.id).job.state is State.FAILURE


@pytest.mark.parametrize(
    ("error", "state"), [(NotFound(), State.FAILURE), (WriteFailed(), State.FAILURE), (Canceled(), State.CANCELED)]
)
def test_what_cannot_be_helped_is_not_tried_again(
    database: Database, claim: Claim, settings: Settings, error: AditError, state: State
) -> None:
    item, lease = claim
    assert work.fail(database, lease, item, error, settings) is state


def test_a_failure_in_a_canceled_job_is_not_tried_again(
    database: Database, job: Job, claim: Claim, settings: Settings
) -> None:
    JobStore(database).cancel(job.id)
    assert work.fail(database, claim[1], claim[0], Unreachable(), settings) is State.CANCELED


def test_a_worker_that_lost_its_item_cannot_end_it(
    database: Database, job: Job, claim: Claim, settings: Settings, clock: Clock
) -> None:
    clock.pass_by(21)
    assert work.claim_next(database, job.id, LEASE) is not None
    with pytest.raises(LeaseLost):
        work.fail(database, claim[1], claim[0], Unreachable(), settings)
    with pytest.raises(LeaseLost):
        work.end_attempt(database, claim[1], State.SUCCESS, "")
    with pytest.raises(LeaseLost):
        work.save_receipt(database, claim[1], Receipt())


def test_an_item_whose_workers_all_died_fails_at_last(database: Database, job: Job, clock: Clock) -> None:
    for _ in range(3):
        assert work.claim_next(database, job.id, LEASE, max_attempts=3) is not None
        clock.pass_by(21)
    assert work.claim_next(database, job.id, LEASE, max_attempts=3) is None
    assert work.job(database, job.id).state is State.FAILURE


@pytest.fixture
def server(database: Database) -> Server:
    added = NodeStore(database).add(a_server("SMALL", association_budget=2))
    assert isinstance(added, Server)
    return added


def test_places_are_held_inside_and_given_back(database: Database, server: Server) -> None:
    slots = SlotStore(database)
    with pytest.raises(KeyError), budgets.associations(database, "a", {server: 5}, lambda: None, LEASE):
        assert slots.taken(server.id) == 2
        raise KeyError
    assert slots.taken(server.id) == 0


def test_a_holder_waits_until_others_have_left(database: Database, server: Server) -> None:
    slots = SlotStore(database)
    assert slots.try_acquire("other", {server.id: 1}, {server.id: 2}, LEASE)
    waits: list[float] = []

    def pause(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            slots.release("other")

    with budgets.associations(database, "a", {server: 2}, lambda: None, LEASE, pause):
        assert slots.taken(server.id) == 2
    assert len(waits) == 3
    assert all(0 < wait <= 1 for wait in waits)


def test_waiting_ends_when_the_job_is_canceled(database: Database, server: Server) -> None:
    slots = SlotStore(database)
    assert slots.try_acquire("other", {server.id: 2}, {server.id: 2}, LEASE)
    answers = iter([None, None, Canceled()])

    def check() -> None:
        if (error := next(answers)) is not None:
            raise error

    with (
        pytest.raises(Canceled),
        budgets.associations(database, "a", {server: 1}, check, LEASE, lambda _: None),
    ):
        pytest.fail("there was no place")
    assert slots.taken(server.id) == 2


def test_an_urgent_holder_goes_before_others_that_wait_and_keeps_nothing_when_it_is_canceled(
    database: Database, server: Server
) -> None:
    slots, budget = SlotStore(database), {server.id: 2}
    assert slots.try_acquire("other", {server.id: 1}, budget, LEASE)

    def pause(_seconds: float) -> None:
        assert not slots.try_acquire("normal", {server.id: 1}, budget, LEASE), "one place is free, and it is kept"
        slots.release("other")

    with budgets.associations(database, "a", {server: 2}, lambda: None, LEASE, pause, urgent=True):
        assert slots.taken(server.id) == 2
    answers = iter([None, Canceled()])

    def check() -> None:
        if (error := next(answers)) is not None:
            raise error

    assert slots.try_acquire("other", {server.id: 1}, budget, LEASE)
    with pytest.raises(Canceled), budgets.associations(database, "b", {server: 2}, check, LEASE, print, urgent=True):
        pytest.fail("there was no place")
    assert slots.try_acquire("normal", {server.id: 1}, budget, LEASE)


def test_claiming_fails_what_was_given_up_for_good_and_takes_the_next(database: Database, clock: Clock) -> None:
    job = add_job(database, studies=2)
    claimed = work.claim_next(database, job.id, LEASE, max_attempts=1)
    clock.pass_by(21)
    following = work.claim_next(database, job.id, LEASE, max_attempts=1)
    assert claimed is not None and following is not None
    states = [item.state for item in JobStore(database).items(job.id)]
    assert (following[0].position, states) == (2, [State.FAILURE, State.IN_PROGRESS])
    assert JobStore(database).get(job.id).state is State.IN_PROGRESS


def test_nothing_is_left_to_claim_once_all_were_given_up_for_good(database: Database, clock: Clock) -> None:
    job = add_job(database)
    assert work.claim_next(database, job.id, LEASE, max_attempts=1) is not None
    clock.pass_by(21)
    assert work.claim_next(database, job.id, LEASE, max_attempts=1) is None
    assert JobStore(database).get(job.id).state is State.FAILURE
    assert work.unended(database, job.id) == 0
