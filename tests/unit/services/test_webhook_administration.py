"""Administrators manage webhooks; secrets are shown once and kept encrypted, addresses stay out of the audit trail."""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from models.db.audit import AuditStore
from models.db.engine import Database
from models.db.tables import WebhookRow
from models.db.webhooks import WebhookStore
from models.domain.audit import AuditAction
from models.domain.errors import BadRequest, NotFound, NotPermitted, Outdated, WrongState
from models.domain.people import Actor, operator
from models.domain.webhooks import JOB_EVENTS, Event, WebhookWish
from models.settings import Settings
from services.webhooks import administration, signing
from tests.samples import add_job, some_settings

SHELL = operator("shell")
WISH = WebhookWish("https://listener.example/hook/t0ken", "  For   the board ", frozenset({Event.FINISHED}))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return some_settings(tmp_path)


def test_a_secret_is_shown_once_and_kept_encrypted(db: Database, settings: Settings) -> None:
    made = administration.add(db, settings, SHELL, WISH)
    (key,) = WebhookStore(db).secrets(made.webhook.id)
    assert len(key) == 32 and signing.shown(key) == made.secret
    assert made.secret not in repr(made)
    with db.reading() as session:
        kept = session.scalars(select(WebhookRow.secret)).one()
    assert key not in kept and made.secret.encode() not in kept
    another = administration.renew_secret(db, SHELL, made.webhook.id)
    assert another.secret != made.secret
    assert [signing.shown(each) for each in WebhookStore(db).secrets(made.webhook.id)] == [another.secret, made.secret]


def test_what_was_entered_is_kept_tidily_and_replaced_as_a_whole(db: Database, settings: Settings) -> None:
    before = administration.add(db, settings, SHELL, WISH).webhook
    assert (before.description, before.created_by, before.is_active) == ("For the board", "shell", True)
    wish = WebhookWish("https://elsewhere.example/", "", frozenset(JOB_EVENTS), is_active=False)
    after = administration.update(db, settings, SHELL, before.id, wish, before.version)
    assert (after.url, after.events, after.is_active) == (wish.url, wish.events, False)
    with pytest.raises(Outdated):
        administration.update(db, settings, SHELL, before.id, wish, before.version)


def test_every_field_that_is_wrong_is_named(db: Database, settings: Settings) -> None:
    wish = WebhookWish("http://listener.example/", "x" * 201, frozenset())
    with pytest.raises(BadRequest) as refused:
        administration.add(db, settings, SHELL, wish)
    assert set(refused.value.problems) == {"url", "description", "events"}
    with pytest.raises(BadRequest) as refused:
        administration.add(db, settings, SHELL, replace(WISH, events=frozenset({Event.TEST})))
    assert set(refused.value.problems) == {"events"}


def test_the_audit_trail_tells_who_did_what_and_no_address(db: Database, settings: Settings) -> None:
    webhook = administration.add(db, settings, SHELL, WISH).webhook
    administration.update(db, settings, SHELL, webhook.id, replace(WISH, url="https://new.example/t0ken"), 1)
    administration.renew_secret(db, SHELL, webhook.id)
    notice = administration.test(db, SHELL, webhook.id)
    administration.send_again(db, SHELL, webhook.id, notice.id)
    administration.delete(db, SHELL, webhook.id)
    with pytest.raises(NotPermitted):
        administration.add(db, settings, Actor("eve"), WISH)
    found = [(entry.action, entry.subject, entry.outcome) for entry in reversed(AuditStore(db).entries())]
    assert found == [
        (AuditAction.ADD_WEBHOOK, "webhook 1: job.finished; active", "done"),
        (AuditAction.CHANGE_WEBHOOK, "webhook 1: job.finished; active; another address", "done"),
        (AuditAction.CHANGE_WEBHOOK, "webhook 1: new secret", "done"),
        (AuditAction.CHANGE_WEBHOOK, "webhook 1: test", "done"),
        (AuditAction.CHANGE_WEBHOOK, "webhook 1: notice 1 again", "done"),
        (AuditAction.DELETE_WEBHOOK, "webhook 1", "done"),
        (AuditAction.ADD_WEBHOOK, "new webhook", "NotPermitted"),
    ]


def test_a_notice_is_sent_again_by_its_own_webhook_only_and_while_that_is_active(
    db: Database, settings: Settings
) -> None:
    every = WebhookWish("https://listener.example/")
    one, other = (administration.add(db, settings, SHELL, every).webhook for _ in range(2))
    add_job(db)
    (notice,) = administration.notices(db, SHELL, one.id)
    with pytest.raises(NotFound):
        administration.send_again(db, SHELL, other.id, notice.id)
    administration.update(db, settings, SHELL, one.id, replace(every, is_active=False), 1)
    with pytest.raises(WrongState, match="Activate"):
        administration.send_again(db, SHELL, one.id, notice.id)


def test_there_are_only_so_many(db: Database, settings: Settings) -> None:
    for _ in range(administration.MOST_WEBHOOKS):
        administration.add(db, settings, SHELL, WISH)
    with pytest.raises(BadRequest, match="Delete one"):
        administration.add(db, settings, SHELL, WISH)
