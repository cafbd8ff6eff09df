"""How a flow run ends, as Prefect shows it."""

from datetime import timedelta
from pathlib import Path

import pytest

from flows import final_states
from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.nodes import NodeStore
from models.domain.errors import OverQuota, ServerStopped
from models.domain.jobs import State
from models.domain.people import operator
from services import holding
from tests.databases import Clock, clock, sqlite_database
from tests.samples import add_job

__all__ = ["clock"]


@pytest.fixture
def db(tmp_path: Path, clock: Clock) -> Database:
    return sqlite_database(tmp_path, clock)


def test_a_run_that_leaves_held_back_items_is_complete_and_says_so_without_the_words_of_staff(db: Database) -> None:
    job = add_job(db, studies=2)
    _, lease = JobStore(db).claim_next(job.id, timedelta(seconds=20)) or pytest.fail("nothing was due")
    JobStore(db).end_attempt(lease, State.SUCCESS, "done")
    holding.stop(db, operator("root"), NodeStore(db).by_name("PACS").id, "It swaps its disks.")
    ended = final_states.of_job(db, job.id)
    assert ended.is_completed()
    told = "Of 2 items 1 succeeded, 1 is waiting. An administrator has stopped the server. "
    assert ended.message == told + "Jobs wait and go on by themselves when it may go on."


def test_a_run_with_failed_items_has_failed_and_one_that_was_refused_says_why(db: Database) -> None:
    job = add_job(db)
    _, lease = JobStore(db).claim_next(job.id, timedelta(seconds=20)) or pytest.fail("nothing was due")
    JobStore(db).end_attempt(lease, State.FAILURE, "it failed")
    ended, refused = final_states.of_job(db, job.id), final_states.refusal(OverQuota("There is no room."))
    assert ended.is_failed() and refused.is_failed()
    assert (ended.message, refused.message) == ("The item failed.", "OverQuota: There is no room.")


def test_a_run_that_a_stopped_server_has_ended_does_not_tell_the_reason() -> None:
    assert "swaps" not in (final_states.refusal(ServerStopped("PACS was stopped: it swaps.")).message or "")
