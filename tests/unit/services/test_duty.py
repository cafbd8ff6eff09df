"""Of any number of dispatchers one works, and another takes over when it ends or falls silent."""

from pathlib import Path

import pytest

from models.db.engine import Database
from services.dispatch import on_duty
from tests.databases import Clock, sqlite_database


@pytest.fixture
def a_clock() -> Clock:
    return Clock()


@pytest.fixture
def a_database(tmp_path: Path, a_clock: Clock) -> Database:
    return sqlite_database(tmp_path, a_clock)


def test_one_dispatches_and_the_other_stands_by_until_it_ends(a_database: Database) -> None:
    with on_duty(a_database) as second:
        with on_duty(a_database) as first:
            assert first()
            assert not second()
            assert first()
        assert second()


def test_a_dispatcher_that_falls_silent_is_replaced_and_stands_by_when_it_wakes_up(
    a_database: Database, a_clock: Clock
) -> None:
    with on_duty(a_database) as first, on_duty(a_database) as second:
        assert first()
        a_clock.pass_by(9)
        assert not second()
        a_clock.pass_by(1)
        assert second()
        assert not first()
