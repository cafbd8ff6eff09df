"""A restore takes our database back in time, and Prefect's not: jobs go on nevertheless, and none is canceled by it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from models.db.engine import Database
from models.db.jobs import JobStore
from models.domain.jobs import Job, State
from services import dispatch
from services.orchestration import Orchestration, RunState, RunStatus
from tests.databases import Clock
from tests.samples import add_job

LEASE = timedelta(seconds=20)


class Prefect(Orchestration):
    """Remembers runs by their idempotency keys, as Prefect's server does, also those from before a restore."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1/api")
        self.by_key: dict[str, str] = {}
        self.runs: dict[str, RunStatus] = {}

    def _start(self, deployment_name: str, parameters: object, key: str, queue: str) -> str:
        if key not in self.by_key:
            run_id = f"run-{len(self.runs) + 1}"
            self.by_key[key] = run_id
            self.runs[run_id] = RunStatus(RunState.WAITING, None, queue)
        return self.by_key[key]

    def status(self, flow_run_id: str) -> RunStatus:
        return self.runs.get(flow_run_id, RunStatus(RunState.GONE, None))


@pytest.fixture
def prefect() -> Prefect:
    return Prefect()


def look(db: Database, prefect: Prefect, job: Job) -> Job:
    known = JobStore(db).get(job.id)
    dispatch._see_to(db, prefect, known, prefect.status(known.flow_run_id), LEASE)
    return JobStore(db).get(job.id)


def test_a_number_that_is_given_once_more_gets_a_run_of_its_own(
    database: Database, clock: Clock, prefect: Prefect
) -> None:
    """The job that had it before the restore was canceled in Prefect."""
    before = add_job(database)
    look(database, prefect, before)
    prefect.runs["run-1"] = RunStatus(RunState.CANCELED, clock())
    clock.pass_by(60)
    again = replace(before, created_at=clock())
    assert prefect.start_run(again, "default") == "run-2"


def test_a_cancellation_from_the_time_that_is_gone_cancels_nothing(
    database: Database, clock: Clock, prefect: Prefect
) -> None:
    job = add_job(database)
    look(database, prefect, job)
    prefect.runs["run-1"] = RunStatus(RunState.ENDED, clock())
    look(database, prefect, job)
    prefect.runs["run-2"] = RunStatus(RunState.CANCELED, clock())
    clock.pass_by(3600)
    JobStore(database).set_flow_run(job.id, "run-1", clock())  # what the backup knows
    assert look(database, prefect, job).flow_run_id == "run-2", "Prefect answers with the run that it has"
    after = look(database, prefect, job)
    assert (after.flow_run_id, after.state) == ("run-3", State.PENDING)


def test_a_run_that_prefect_does_not_know_is_replaced(database: Database, clock: Clock, prefect: Prefect) -> None:
    job = add_job(database)
    JobStore(database).set_flow_run(job.id, "5b0c1d9e-7a39-4d55-9f3f-0f4a6a1c2b3d", clock())
    assert look(database, prefect, job).flow_run_id == "run-1"


def test_a_cancellation_of_the_run_that_was_asked_for_counts(
    database: Database, clock: Clock, prefect: Prefect
) -> None:
    job = add_job(database)
    look(database, prefect, job)
    prefect.runs["run-1"] = RunStatus(RunState.CANCELED, clock() - timedelta(seconds=1))
    assert look(database, prefect, job).state is State.CANCELED
