"""What is dead in Prefect is told from what lives by what our own tables have heard of it."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from models.db.chores import ChoreStore
from models.db.engine import Database
from models.db.idempotency import IdempotencyStore
from models.db.jobs import JobStore
from models.db.runs import RunStore
from models.settings import Settings
from services import dispatch, orchestration
from services.chores import recovery
from services.orchestration import RunState, UnendedRun
from tests.databases import Clock
from tests.samples import add_job, some_settings

LEASE = timedelta(seconds=20)


@dataclass
class Prefect:
    """One that knows these runs, and takes what it is told."""

    db: Database
    runs: list[UnendedRun] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)
    withdrawn: list[str] = field(default_factory=list)

    def add(self, run_id: str, state: RunState = RunState.RUNNING, **fields: object) -> None:
        values = {"job_id": None, "broadcast_id": None, "chore": "", "owner": "", "is_canceling": False, **fields}
        self.runs.append(UnendedRun(id=run_id, state=state, since=self.db.clock(), **values))  # type: ignore[arg-type]

    def unended_runs(self) -> list[UnendedRun]:
        return self.runs

    def end_dead(self, run: UnendedRun, _message: str) -> None:
        self.dead.append(run.id)

    def withdraw(self, run_id: str) -> None:
        self.withdrawn.append(run_id)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return some_settings(tmp_path)


@pytest.fixture
def prefect(database: Database, monkeypatch: pytest.MonkeyPatch) -> Prefect:
    played = Prefect(database)
    monkeypatch.setattr(orchestration, "of", lambda _settings: played)
    monkeypatch.setattr(dispatch, "dispatch_once", lambda *_: None)
    return played


def wait(clock: Clock, minutes: float = 11) -> None:
    clock.pass_by(60 * minutes)


def test_a_run_of_a_job_is_dead_when_nothing_was_heard_of_it(
    database: Database, settings: Settings, prefect: Prefect, clock: Clock
) -> None:
    job, other = add_job(database), add_job(database)
    prefect.add("silent", job_id=job.id)
    prefect.add("heard", job_id=other.id)
    prefect.add("never-begun", RunState.STARTING, job_id=job.id)
    prefect.add("of-no-job", job_id=4711)
    wait(clock, 9)
    assert recovery.run(database, settings) == "Nothing was left behind."
    RunStore(database).hear(other.id, "heard")
    wait(clock, 2)
    assert recovery.run(database, settings) == "Ended what was left behind: dead flow runs: 3."
    assert prefect.dead == ["silent", "never-begun", "of-no-job"]


def test_a_run_whose_item_is_at_work_lives(
    database: Database, settings: Settings, prefect: Prefect, clock: Clock
) -> None:
    job = add_job(database)
    prefect.add("at-work", job_id=job.id)
    wait(clock)
    assert JobStore(database).claim_next(job.id, LEASE)
    recovery.run(database, settings)
    assert prefect.dead == []


def test_a_run_that_was_started_with_a_request_lives_as_its_job_does(
    database: Database, settings: Settings, prefect: Prefect, clock: Clock
) -> None:
    job = add_job(database)
    IdempotencyStore(database).keep("ada", "flow run requested", "digest", job.id)
    prefect.add("requested", owner="ada")
    prefect.add("refused", owner="eve")
    wait(clock)
    assert JobStore(database).claim_next(job.id, LEASE)
    recovery.run(database, settings)
    assert prefect.dead == ["refused"]


def test_a_run_of_a_chore_lives_as_long_as_the_chore_says_so(
    database: Database, settings: Settings, prefect: Prefect, clock: Clock
) -> None:
    for name in ("backup", "expiry"):
        prefect.add(name, chore=name)
    assert ChoreStore(database).begin("backup", timedelta(seconds=90), "backup")
    wait(clock)
    assert ChoreStore(database).begin("expiry", timedelta(seconds=90), "expiry")
    assert recovery.run(database, settings) == "Ended what was left behind: killed chores: 1, dead flow runs: 1."
    assert prefect.dead == ["backup"]


def test_runs_that_wait_for_jobs_that_have_ended_are_taken_back(
    database: Database, settings: Settings, prefect: Prefect, clock: Clock
) -> None:
    canceled, waiting = add_job(database), add_job(database)
    JobStore(database).cancel(canceled.id)
    for run_id, job_id in (("ended", canceled.id), ("waits", waiting.id), ("gone", 4711)):
        prefect.add(run_id, RunState.WAITING, job_id=job_id)
    wait(clock)
    recovery.run(database, settings)
    assert (prefect.withdrawn, prefect.dead) == (["ended", "gone"], [])


def test_one_question_tells_which_of_many_waiting_runs_have_jobs_that_ended(
    database: Database, settings: Settings, prefect: Prefect
) -> None:
    def questions() -> int:
        asked: list[str] = []

        def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
            asked.append(statement)

        event.listen(Engine, "before_cursor_execute", note)
        try:
            recovery.run(database, settings)
        finally:
            event.remove(Engine, "before_cursor_execute", note)
        return len(asked)

    prefect.add("waits-0", RunState.WAITING, job_id=add_job(database).id)
    recovery.run(database, settings)  # which takes up the duty
    few = questions()
    for number in range(1, 60):
        prefect.add(f"waits-{number}", RunState.WAITING, job_id=add_job(database).id)
    assert (questions(), prefect.withdrawn) == (few, [])


def test_jobs_are_left_to_the_dispatcher_on_duty(
    database: Database, settings: Settings, prefect: Prefect, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    monkeypatch.setattr(dispatch, "dispatch_once", lambda *_: looks.append("looked"))
    with dispatch.Duty(database) as duty:
        assert duty.is_mine()
        recovery.run(database, settings)
        assert looks == []
    recovery.run(database, settings)
    assert looks == ["looked"]
