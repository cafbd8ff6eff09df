"""A worker of another version leaves a migrated database alone, and its flow runs say why."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from flows import broadcast, chore, items, questions
from models.db.engine import Database
from models.domain.jobs import JobKind
from tests.databases import Clock, sqlite_database
from tests.samples import some_settings

RUNS: dict[str, tuple[Any, Callable[[], Any]]] = {
    "transfer": (items, lambda: items.run_transfer(JobKind.BATCH_TRANSFER, 1, None)),
    "questions": (questions, lambda: questions.run_questions(JobKind.BATCH_QUERY, 1)),
    "broadcast": (broadcast, lambda: broadcast.broadcast.fn(1)),
    "chore": (chore, lambda: chore.chore.fn("backup")),
}


@pytest.fixture
def a_newer_database(tmp_path: Path) -> Database:
    db = sqlite_database(tmp_path, Clock())
    with db.transaction() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    return db


@pytest.mark.parametrize("name", RUNS)
def test_no_flow_works_on_the_database_of_another_version(
    name: str, a_newer_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, run = RUNS[name]
    monkeypatch.setattr(module, "settings", lambda: some_settings(tmp_path))
    monkeypatch.setattr(module, "open_database", lambda _: a_newer_database)
    state = run()
    assert state.is_failed()
    assert str(state.message).startswith("WrongVersion: The database is of a newer version of ADIT")
