"""A program gives signs of life as long as it goes on, and none when it has ended or is stuck."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deployments import signs
from models.db.engine import Database
from models.db.signs import SignStore
from models.domain.errors import Unreachable
from tests.databases import Clock, sqlite_database


@pytest.fixture
def a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.setattr(signs, "EVERY_S", 0.02)
    found = sqlite_database(tmp_path, Clock())
    yield found
    found.close()


def programs(db: Database) -> list[str]:
    return [sign.program for sign in SignStore(db).list()]


def wait_until(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_a_program_is_heard_of_while_it_goes_on_and_no_longer(a_database: Database) -> None:
    with signs.given(a_database, "dispatcher"):
        wait_until(lambda: programs(a_database) == ["dispatcher"])
    assert programs(a_database) == []


def test_a_program_that_is_stuck_gives_no_more_signs(a_database: Database) -> None:
    is_going, asked = True, []
    clock = a_database.clock
    assert isinstance(clock, Clock)

    def going() -> bool:
        asked.append(is_going)
        return is_going

    with signs.given(a_database, "dispatcher", going):
        wait_until(lambda: programs(a_database) == ["dispatcher"])
        is_going = False
        wait_until(lambda: False in asked)
        clock.pass_by(300)
        wait_until(lambda: asked.count(False) > 5)
        (sign,) = SignStore(a_database).list()
        assert (clock.now - sign.seen_at).total_seconds() == 300


@pytest.mark.parametrize("error", [Unreachable("The database does not answer."), ValueError("surprise")])
def test_trouble_that_lasts_for_a_while_ends_nothing(
    a_database: Database, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    tried: list[str] = []

    def gone(*_: object) -> None:
        tried.append("once")
        raise error

    with monkeypatch.context() as away:
        away.setattr(SignStore, "give", gone)
        with signs.given(a_database, "web"):
            wait_until(lambda: len(tried) > 2)
            away.undo()
            wait_until(lambda: programs(a_database) == ["web"])


def test_the_sign_of_a_program_that_ends_by_an_exception_is_taken_back(a_database: Database) -> None:
    with pytest.raises(KeyError), signs.given(a_database, "web"):
        wait_until(lambda: programs(a_database) == ["web"])
        raise KeyError
    assert programs(a_database) == []
