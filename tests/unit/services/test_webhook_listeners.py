"""Webhooks over real HTTP: signed, when listeners fail, hang, lead elsewhere and come back, and over TLS."""

import base64
import hashlib
import hmac
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.messengers import Messengers
from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.webhooks import NoticeStore
from models.domain.people import operator
from models.domain.webhooks import Notice, NoticeState, WebhookWish
from models.settings import Settings
from services.webhooks import administration, listeners, sending
from tests.databases import Clock
from tests.listener import Listener, Told, listener
from tests.mail_server import a_certificate
from tests.peers import free_port
from tests.samples import add_job, some_settings

SHELL = operator("shell")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return some_settings(tmp_path)


@pytest.fixture
def a_listener() -> Iterator[Listener]:
    with listener() as running:
        yield running


def a_webhook(db: Database, settings: Settings, url: str) -> administration.NewSecret:
    return administration.add(db, settings, SHELL, WebhookWish(url))


def newest(db: Database, webhook_id: int) -> Notice:
    return NoticeStore(db).list(webhook_id, 1, 0)[0]


def is_signed(told: Told, secret: str) -> bool:
    """Whether one of the signatures is that of the specification, by the other side's own reckoning."""
    signed = f"{told.headers['webhook-id']}.{told.headers['webhook-timestamp']}.".encode() + told.body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return f"v1,{expected}" in told.headers["webhook-signature"].split(" ")


def test_a_listener_is_told_of_a_job_by_signed_requests(
    db: Database, settings: Settings, a_listener: Listener, clock: Clock
) -> None:
    made = a_webhook(db, settings, a_listener.url)
    job_id = add_job(db).id
    JobStore(db).cancel(job_id)
    assert sending.send_due(db, settings, made.webhook.id) == 2
    first, second = a_listener.told
    assert [told.content["type"] for told in (first, second)] == ["job.accepted", "job.canceled"]
    assert all(is_signed(told, made.secret) for told in (first, second))
    assert first.path == "/adit?for=tests"
    assert first.headers["host"] == f"127.0.0.1:{a_listener.port}"
    assert first.headers["content-type"] == "application/json"
    assert first.headers["webhook-id"] == first.content["id"] != second.content["id"]
    assert int(first.headers["webhook-timestamp"]) == int(clock.now.timestamp())
    assert newest(db, made.webhook.id).trouble == ""


def test_a_listener_that_fails_and_is_away_is_told_when_it_is_back(
    db: Database, settings: Settings, clock: Clock
) -> None:
    port = free_port()
    webhook_id = a_webhook(db, settings, f"http://127.0.0.1:{port}/").webhook.id
    jobs = [add_job(db).id for _ in range(3)]
    assert sending.send_due(db, settings, webhook_id) == 0
    assert newest(db, webhook_id).status is None
    waiting = [notice.trouble for notice in NoticeStore(db).list(webhook_id, 9, 0)]
    assert waiting == ["", "", "No connection could be made."], "the others were not even tried"
    clock.pass_by(10)
    with listener(port) as running:
        running.answer = lambda told: 503
        assert sending.send_due(db, settings, webhook_id) == 0
        assert len(running.told) == 1
        running.answer = lambda told: 200
        clock.pass_by(3600)
        assert sending.send_due(db, settings, webhook_id) == 3
        assert sorted(told.content["job"]["id"] for told in running.told[1:]) == jobs
    assert {notice.state for notice in NoticeStore(db).list(webhook_id, 9, 0)} == {NoticeState.SENT}


def test_a_listener_that_hangs_is_left_in_time_and_holds_up_no_other(
    db: Database, settings: Settings, a_listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listener() as other:
        a_listener.hangs.set()
        hanging = a_webhook(db, settings, a_listener.url).webhook.id
        a_webhook(db, settings, other.url)
        add_job(db)
        messengers = Messengers(db, settings)
        messengers.look()
        other.wait_for(1)
        a_listener.wait_for(1)
        assert NoticeStore(db).count(hanging, NoticeState.SENT) == 0
        a_listener.over.set()
        for thread in threading.enumerate():
            if thread.name.startswith("webhook-"):
                thread.join(60)
        assert newest(db, hanging).trouble == "The connection broke before there was an answer."
    monkeypatch.setattr(listeners, "WITHIN_S", 0.5)
    a_listener.over.clear()
    administration.test(db, SHELL, hanging)
    assert sending.send_due(db, settings, hanging) == 0
    assert newest(db, hanging).trouble == "There was no answer within 0 seconds."


def test_a_redirect_is_not_followed_and_answers_are_not_kept(
    db: Database, settings: Settings, a_listener: Listener, tmp_path: Path
) -> None:
    with listener() as elsewhere:
        a_listener.answer, a_listener.location = (lambda told: 307), elsewhere.url
        webhook_id = a_webhook(db, settings, a_listener.url).webhook.id
        administration.test(db, SHELL, webhook_id)
        assert sending.send_due(db, settings, webhook_id) == 0
        assert len(a_listener.told) == 1 and elsewhere.told == []
    notice = newest(db, webhook_id)
    assert (notice.status, notice.trouble) == (307, "It leads elsewhere (307), which is not followed.")
    db.empty_log()
    assert b"secret" not in (tmp_path / "adit.db").read_bytes().replace(b"secret BLOB", b"").replace(b"_secret", b"")


def test_proxies_of_the_environment_are_not_used(
    db: Database, settings: Settings, a_listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    webhook_id = a_webhook(db, settings, a_listener.url).webhook.id
    administration.test(db, SHELL, webhook_id)
    assert sending.send_due(db, settings, webhook_id) == 1


def test_over_tls_the_certificate_has_to_be_one_of_the_address(
    db: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    file, context = a_certificate(tmp_path)
    with listener(tls=context) as secure:
        webhook_id = a_webhook(db, settings, secure.url).webhook.id
        administration.test(db, SHELL, webhook_id)
        assert sending.send_due(db, settings, webhook_id) == 0
        assert "certificate is not valid here" in newest(db, webhook_id).trouble
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        clock.pass_by(10)
        assert sending.send_due(db, settings, webhook_id) == 1
        wrong = a_webhook(db, settings, secure.url.replace("127.0.0.1", "localhost")).webhook.id
        administration.test(db, SHELL, wrong)
        assert sending.send_due(db, settings, wrong) == 0
        assert "certificate is not valid here" in newest(db, wrong).trouble
        assert len(secure.told) == 1
