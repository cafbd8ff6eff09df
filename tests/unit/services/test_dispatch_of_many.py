"""A look at many jobs asks Prefect a few questions, keeps the duty, and ends when the duty or Prefect is lost."""

from collections.abc import Collection, Mapping
from pathlib import Path

import pytest

from models.db.broadcasts import BroadcastStore
from models.db.engine import Database
from models.db.jobs import JobStore
from models.domain.errors import NotFound, NotPermitted, Unreachable
from models.domain.jobs import Job
from models.settings import Settings
from services import dispatch, orchestration
from services.orchestration import RunState, RunStatus
from tests.databases import Clock, sqlite_database
from tests.samples import add_job, some_settings

JOBS = 5


class Prefect:
    """All runs wait in their queues; what was asked is counted."""

    def __init__(self, *_arguments: object) -> None:
        self.asked: list[int] = []
        self.started: list[int] = []
        self.is_down = False

    def statuses(self, run_ids: Collection[str]) -> Mapping[str, RunStatus]:
        self.asked.append(len(run_ids))
        if self.is_down:
            raise Unreachable
        return {run_id: RunStatus(RunState.WAITING, None) for run_id in run_ids}

    def start_run(self, job: Job, _queue: str) -> str:
        self.started.append(job.id)
        return f"run-of-{job.id}"


@pytest.fixture
def prefect(monkeypatch: pytest.MonkeyPatch) -> Prefect:
    played = Prefect()
    monkeypatch.setattr(orchestration, "of", lambda _settings: played)
    monkeypatch.setattr(orchestration, "AT_A_TIME", 2)
    return played


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return some_settings(tmp_path)


@pytest.fixture
def db(tmp_path: Path) -> Database:
    database = sqlite_database(tmp_path, Clock())
    for _ in range(JOBS):
        add_job(database)
    return database


def test_prefect_is_asked_of_many_runs_at_a_time(db: Database, settings: Settings, prefect: Prefect) -> None:
    dispatch.dispatch_once(db, settings)
    assert len(prefect.started) == JOBS
    prefect.asked.clear()
    dispatch.dispatch_once(db, settings)
    assert (prefect.asked, len(prefect.started)) == ([2, 2, 1], JOBS)


def test_a_look_ends_as_soon_as_somebody_else_has_the_duty(db: Database, settings: Settings, prefect: Prefect) -> None:
    answers = iter([True, True, False])
    assert dispatch.dispatch_once(db, settings, lambda: next(answers))
    assert prefect.started == list(JobStore(db).due_jobs()[:4])


def test_without_prefect_no_further_job_is_tried(db: Database, settings: Settings, prefect: Prefect) -> None:
    prefect.is_down = True
    assert not dispatch.dispatch_once(db, settings)
    assert len(prefect.asked) == 1


@pytest.mark.parametrize("error", [Unreachable, NotPermitted])
def test_without_prefect_no_further_broadcast_is_tried(
    db: Database, settings: Settings, prefect: Prefect, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    tried = broadcasts_in_vain(monkeypatch, error("Prefect does not answer."))
    assert not dispatch.dispatch_once(db, with_mail_server(settings))
    assert tried == [1]


def test_trouble_with_one_broadcast_does_not_hide_the_others(
    db: Database, settings: Settings, prefect: Prefect, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = broadcasts_in_vain(monkeypatch, NotFound("There is no such broadcast."))
    assert dispatch.dispatch_once(db, with_mail_server(settings))
    assert tried == [1, 2]


def broadcasts_in_vain(monkeypatch: pytest.MonkeyPatch, error: Exception) -> list[int]:
    """Two broadcasts are due; which of them have been tried, and ended with the error."""
    tried: list[int] = []

    def get(_store: BroadcastStore, broadcast_id: int) -> None:
        tried.append(broadcast_id)
        raise error

    monkeypatch.setattr(BroadcastStore, "due", lambda _: (1, 2))
    monkeypatch.setattr(BroadcastStore, "get", get)
    return tried


def with_mail_server(settings: Settings) -> Settings:
    return settings.model_copy(update={"smtp_url": type(settings.smtp_url)("smtp://127.0.0.1:1")})
