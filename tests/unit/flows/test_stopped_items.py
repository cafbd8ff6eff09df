"""What becomes of an item that is at work when its worker is told to end, or when its steps do not end."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from flows import transfer_study as transferring
from flows.lane import Halt, Lane
from flows.steps import as_function, starter
from flows.transfer_study import transfer_study
from models.db.engine import Database
from models.db.jobs import JobStore
from models.domain.errors import AditError, Canceled, LeaseLost, NoSpace, ServerStopped, WriteFailed
from models.domain.jobs import Item, State
from services import work
from tasks.attempt import Attempt
from tests.databases import Clock, clock, db
from tests.samples import add_job, some_settings

__all__ = ["clock", "db"]

LEASE = timedelta(minutes=1)


def interrupted(db: Database, directory: Path, monkeypatch: pytest.MonkeyPatch, is_told: bool) -> Item:
    """The item after an attempt that was told to end, or whose lease was lost."""
    lane = a_lane(db, directory)

    def steps(attempt: Attempt, _start: object) -> None:
        attempt.receipt.stored.add("1.2.3")
        if is_told:
            lane.halt.call()
        else:
            attempt.stop(LeaseLost())
        attempt.check()

    monkeypatch.setattr(transferring, "_run_steps", steps)
    return left_over(db, lane)


def a_lane(db: Database, directory: Path) -> Lane:
    settings = some_settings(directory, spool_reserve_mb=1)
    settings.spool_dir.mkdir(parents=True, exist_ok=True)
    return Lane(db, settings, starter(ThreadPoolExecutor(1), as_function), Halt(), 1_000_000)


def left_over(db: Database, lane: Lane) -> Item:
    """An item after an attempt that has left it to the next one."""
    job = add_job(db, keep_identity=True)
    claim = work.claim_next(db, job.id, LEASE, lane.settings.max_attempts)
    assert claim is not None
    with pytest.raises(LeaseLost):
        transfer_study(lane, *claim)
    return JobStore(db).item(claim[0].id)


def test_it_waits_for_the_next_worker_with_what_it_has_and_has_lost_no_attempt(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = interrupted(db, tmp_path, monkeypatch, is_told=True)
    assert (item.state, item.attempts, item.not_before_at, item.error_code) == (State.PENDING, 0, None, "")
    assert "goes on" in item.message
    assert work.load_receipt(db, item.id).stored
    again = work.claim_next(db, item.job_id, LEASE, 3)
    assert again is not None and again[0].id == item.id


def test_where_its_lease_is_lost_it_is_touched_no_more(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = interrupted(db, tmp_path, monkeypatch, is_told=False)
    assert (item.state, item.attempts) == (State.IN_PROGRESS, 1)
    assert not work.load_receipt(db, item.id).stored


class SlowStep:
    """A step that goes on after the attempt was stopped for an error, until it is told to end."""

    def __init__(self, error: AditError) -> None:
        self._error = error
        self._may_end = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, attempt: Attempt, _start: object) -> None:
        begun = threading.Event()

        def hang() -> None:
            with attempt.working():
                begun.set()
                self._may_end.wait(60)

        self._thread = threading.Thread(target=hang)
        self._thread.start()
        assert begun.wait(20)
        raise self._error

    def end(self) -> None:
        self._may_end.set()
        assert self._thread is not None
        self._thread.join()


def test_a_step_that_is_slow_to_end_is_waited_for_and_costs_no_attempt(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that reads a large study back has no connection that could be broken."""
    slow, looks = SlowStep(ServerStopped("It swaps its disks.")), count()
    is_quiet_within = Attempt.is_quiet_within

    def look(attempt: Attempt, _seconds: float) -> bool:
        if next(looks) == 3:
            slow.end()
        return is_quiet_within(attempt, 0.01)

    monkeypatch.setattr(transferring, "_run_steps", slow.begin)
    monkeypatch.setattr(Attempt, "is_quiet_within", look)
    job, lane = add_job(db, keep_identity=True), a_lane(db, tmp_path)
    claim = work.claim_next(db, job.id, LEASE, lane.settings.max_attempts)
    assert claim is not None
    transfer_study(lane, *claim)
    item = JobStore(db).item(claim[0].id)
    assert (item.state, item.attempts, item.error_code) == (State.PENDING, 0, "ServerStopped")


@pytest.mark.parametrize(
    "error", [ServerStopped("It swaps its disks."), Canceled(), NoSpace("It is full."), WriteFailed()]
)
def test_whatever_ends_it_nobody_gets_it_before_its_lease_ends_while_a_step_is_at_work(
    db: Database, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: AditError
) -> None:
    """A step may hang in a write to a share, and what it writes or shows then must not be another attempt's."""
    slow = SlowStep(error)
    monkeypatch.setattr(transferring, "_run_steps", slow.begin)
    monkeypatch.setattr(transferring, "QUIET_WITHIN_S", 0.01)
    monkeypatch.setattr(transferring, "LONGEST_END_S", 0)
    item = left_over(db, a_lane(db, tmp_path))
    slow.end()
    assert item.state is State.IN_PROGRESS
    assert work.claim_next(db, item.job_id, LEASE, 3) is None
    clock.pass_by(LEASE.total_seconds() + 1)
    assert work.claim_next(db, item.job_id, LEASE, 3) is not None
