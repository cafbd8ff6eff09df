"""Of any number of dispatchers one works, and another takes over when it ends, falls silent, or tries in vain."""

from pathlib import Path

import pytest

from models.db.engine import Database
from services import dispatch
from services.dispatch import Duty
from tests.databases import Clock, sqlite_database


@pytest.fixture
def a_clock() -> Clock:
    return Clock()


@pytest.fixture
def a_database(tmp_path: Path, a_clock: Clock) -> Database:
    return sqlite_database(tmp_path, a_clock)


def test_one_dispatches_and_the_other_stands_by_until_it_ends(a_database: Database) -> None:
    with Duty(a_database) as second:
        with Duty(a_database) as first:
            assert first.is_mine()
            assert not second.is_mine()
            assert first.is_mine()
        assert second.is_mine()


def test_a_dispatcher_that_falls_silent_is_replaced_and_stands_by_when_it_wakes_up(
    a_database: Database, a_clock: Clock
) -> None:
    with Duty(a_database) as first, Duty(a_database) as second:
        assert first.is_mine()
        a_clock.pass_by(9)
        assert not second.is_mine()
        a_clock.pass_by(1)
        assert second.is_mine()
        assert not first.is_mine()


def test_who_leaves_the_duty_does_not_take_it_before_another_one_could(
    a_database: Database, a_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed_s = 0.0
    monkeypatch.setattr(dispatch, "monotonic", lambda: passed_s)
    with Duty(a_database) as first, Duty(a_database) as second:
        assert first.is_mine()
        first.leave()
        passed_s = 2.0
        assert not first.is_mine()
        assert second.is_mine()
        passed_s = 6.0
        assert not first.is_mine()


def test_who_leaves_the_duty_and_is_alone_has_it_again_after_some_seconds(
    a_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed_s = 0.0
    monkeypatch.setattr(dispatch, "monotonic", lambda: passed_s)
    with Duty(a_database) as alone:
        assert alone.is_mine()
        alone.leave()
        assert (alone.is_mine(), alone.is_anothers) == (False, False)
        passed_s = 6.0
        assert alone.is_mine()


def test_who_stands_by_knows_that_another_one_works(a_database: Database) -> None:
    with Duty(a_database) as first, Duty(a_database) as second:
        assert first.is_mine() and not second.is_mine()
        assert (first.is_anothers, second.is_anothers) == (False, True)
