"""One listener that hangs holds up no other, and what goes wrong at one is logged by its kind."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.messengers import Messengers
from models.db.engine import Database
from models.db.webhooks import WebhookStore
from models.domain.errors import Unreachable
from models.domain.webhooks import WebhookWish
from tests.databases import Clock, sqlite_database
from tests.samples import add_job, some_settings


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    found = sqlite_database(tmp_path, Clock())
    yield found
    found.close()


def test_each_webhook_has_a_thread_of_its_own_and_never_two(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, quick = (WebhookStore(db).add(WebhookWish("https://x.example/"), b"s", "root").id for _ in range(2))
    add_job(db)
    begun, may_end, is_told = list[int](), threading.Event(), threading.Event()

    def send(_db: Database, _settings: object, webhook_id: int) -> int:
        begun.append(webhook_id)
        if webhook_id == slow:
            may_end.wait(60)
        else:
            is_told.set()
        return 0

    monkeypatch.setattr("services.webhooks.sending.send_due", send)
    messengers = Messengers(db, some_settings(tmp_path))
    messengers.look()
    assert is_told.wait(60), "although the other one hangs"
    for _ in range(3):
        messengers.look()
    assert begun.count(slow) == 1
    may_end.set()
    for thread in threading.enumerate():
        if thread.name == f"webhook-{slow}":
            thread.join(60)
    messengers.look()
    assert begun.count(slow) == 2
    assert quick in begun


@pytest.mark.parametrize("error", [Unreachable("The database does not answer."), ValueError("https://x.example/t0ken")])
def test_what_goes_wrong_is_logged_by_its_kind(
    db: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    webhook = WebhookStore(db).add(WebhookWish("https://x.example/t0ken"), b"s", "root").id

    def fail(*_arguments: object) -> int:
        raise error

    monkeypatch.setattr("services.webhooks.sending.send_due", fail)
    Messengers(db, some_settings(tmp_path))._send(webhook)
    assert f"webhook {webhook} could not be told: {type(error).__name__}" in caplog.text
    assert "t0ken" not in caplog.text
