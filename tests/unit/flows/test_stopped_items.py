"""What becomes of an item that is at work when its worker is told to end."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from flows import transfer_study as transferring
from flows.lane import Halt, Lane
from flows.steps import as_function, starter
from flows.transfer_study import transfer_study
from models.db.engine import Database
from models.db.jobs import JobStore
from models.domain.errors import LeaseLost
from models.domain.jobs import Item, State
from services import work
from tasks.attempt import Attempt
from tests.databases import clock, db
from tests.samples import add_job, some_settings

__all__ = ["clock", "db"]

LEASE = timedelta(minutes=1)


def interrupted(db: Database, directory: Path, monkeypatch: pytest.MonkeyPatch, is_told: bool) -> Item:
    """The item after an attempt that was told to end, or whose lease was lost."""
    settings = some_settings(directory, spool_reserve_mb=1)
    settings.spool_dir.mkdir(parents=True, exist_ok=True)
    lane = Lane(db, settings, starter(ThreadPoolExecutor(1), as_function), Halt(), 1_000_000)

    def steps(attempt: Attempt, _start: object) -> None:
        attempt.receipt.stored.add("1.2.3")
        if is_told:
            lane.halt.call()
        else:
            attempt.stop(LeaseLost())
        attempt.check()

    monkeypatch.setattr(transferring, "_run_steps", steps)
    job = add_job(db, keep_identity=True)
    claim = work.claim_next(db, job.id, LEASE, settings.max_attempts)
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
