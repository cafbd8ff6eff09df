"""Whom the receiver lets in: the servers, also for the moment in which the database cannot be read."""

import logging
from pathlib import Path
from typing import NoReturn

import pytest

from deployments import receiver
from models.db.engine import Database
from models.db.nodes import NodeStore
from services import nodes
from tests.databases import Clock, sqlite_database
from tests.samples import a_folder, a_server


class Now:
    """What the receiver takes for the time."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def a_database(tmp_path: Path) -> Database:
    database = sqlite_database(tmp_path, Clock())
    store = NodeStore(database)
    store.add(a_server("PACS", ae_title="PACS1"))
    store.add(a_folder("share", str(tmp_path)))
    return database


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Now:
    now = Now()
    monkeypatch.setattr(receiver, "time", now)
    return now


def broken(_given: object) -> NoReturn:
    raise RuntimeError("the password is 1234")


def test_the_servers_that_there_are_now_may_send(a_database: Database) -> None:
    callers = receiver._Callers(a_database)
    assert set(callers()) == {"PACS1"}
    NodeStore(a_database).add(a_server("Other", ae_title="PACS2"))
    assert set(callers()) == {"PACS1", "PACS2"}


def test_the_last_list_counts_for_a_minute_while_there_is_none(
    a_database: Database, now: Now, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    callers = receiver._Callers(a_database)
    callers()
    with caplog.at_level(logging.DEBUG), monkeypatch.context() as patched:
        patched.setattr(nodes, "ae_titles", broken)
        now.now_s += 60
        assert set(callers()) == {"PACS1"}
        now.now_s += 1
        with pytest.raises(RuntimeError):
            callers()
    assert "RuntimeError" in caplog.text and "1234" not in caplog.text
    assert set(callers()) == {"PACS1"}


def test_without_any_list_yet_the_error_is_raised(a_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "ae_titles", broken)
    with pytest.raises(RuntimeError):
        receiver._Callers(a_database)()


def test_who_may_send_is_told_without_any_credentials(a_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    NodeStore(a_database).add(a_server("Web", ae_title="WEB", dicomweb_authorization_header="Basic c2VjcmV0"))
    monkeypatch.setattr(a_database.vault, "decrypt", broken)
    assert set(receiver._Callers(a_database)()) == {"PACS1", "WEB"}
