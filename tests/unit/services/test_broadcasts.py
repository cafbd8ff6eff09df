"""Administrators write to whom they choose; what has become of each mail is known."""

import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import run

import pytest

from models.db.broadcasts import BroadcastStore
from models.db.engine import Database
from models.db.mails import MailStore
from models.db.people import UserStore
from models.domain.audit import AuditAction
from models.domain.errors import BadRequest, NotFound, NotPermitted
from models.domain.mails import Mail, MailState
from models.domain.people import Actor, Profile, User, operator
from models.settings import Settings
from services import audit
from services.post import broadcasts, mails
from tests.databases import Clock
from tests.house.source_tree import ROOT
from tests.samples import some_settings

STAFF = Actor("root", is_staff=True, address="192.0.2.1")
READER = operator("reader")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return some_settings(tmp_path, support_email="help@clinic.example")


def an_account(database: Database, name: str, is_confirmed: bool = True, is_approved: bool = True) -> User:
    users = UserStore(database)
    user = users.add(name, Profile(f"{name}@clinic.example", name.title(), "Test"), "hash")
    user = users.confirm_email(user.id) if is_confirmed else user
    return users.approve(user.id, "root") if is_approved else user


def sent_to(database: Database, broadcast_id: int) -> list[str]:
    return [one.recipient for one in broadcasts.deliveries(database, STAFF, broadcast_id)]


def test_only_active_accounts_can_be_written_to(database: Database) -> None:
    bob, ada = an_account(database, "bob"), an_account(database, "ada")
    an_account(database, "new", is_confirmed=False, is_approved=False)
    waiting = an_account(database, "waiting", is_approved=False)
    assert broadcasts.recipients(database, STAFF) == (ada, bob)
    for chosen in ([waiting.id], [ada.id, waiting.id], [ada.id, 999], []):
        with pytest.raises(BadRequest) as refused:
            broadcasts.send(database, STAFF, "Pause", "text", chosen)
        assert list(refused.value.problems) == ["user_ids"]
    assert broadcasts.list(database, STAFF) == ()


def test_each_of_the_chosen_gets_one_mail_and_the_trail_tells_how_many(database: Database, clock: Clock) -> None:
    ada, _, eve = (an_account(database, name) for name in ("ada", "bob", "eve"))
    sent = broadcasts.send(database, STAFF, " Pause ", " Zeile 1\r\n\r\nZeile 2 ", [eve.id, ada.id, ada.id])
    assert (sent.subject, sent.message, sent.sender) == ("Pause", "Zeile 1\n\nZeile 2", "root")
    assert (sent.waiting, sent.sent, sent.failed, sent.created_at) == (2, 0, 0, clock.now)
    assert sent_to(database, sent.id) == ["ada@clinic.example", "eve@clinic.example"]
    (entry,) = audit.entries(database, READER)
    assert (entry.actor, entry.action, entry.subject) == ("root", AuditAction.BROADCAST, "broadcast 1, 2 recipients")
    assert entry.address == "192.0.2.1"


def test_everybody_is_everybody_with_an_active_account(database: Database) -> None:
    for name in ("ada", "bob"):
        an_account(database, name)
    an_account(database, "waiting", is_approved=False)
    sent = broadcasts.send(database, STAFF, "Pause", "text", None)
    assert sent_to(database, sent.id) == ["ada@clinic.example", "bob@clinic.example"]


@pytest.mark.parametrize(
    ("subject", "message", "problems"),
    [
        ("", "text", ["subject"]),
        ("x" * 201, "text", ["subject"]),
        ("a\nBcc: eve@evil.example", "text", ["subject"]),
        ("a\tb", "text", ["subject"]),
        ("Pause", " \n ", ["message"]),
        ("Pause", "x" * 10_001, ["message"]),
        ("Pause", "a\x00b", ["message"]),
        ("Pause", "a\x1b[2Jb", ["message"]),
        ("", "", ["subject", "message"]),
    ],
)
def test_subject_and_message_are_plain_text_of_a_bounded_length(
    database: Database, settings: Settings, subject: str, message: str, problems: list[str]
) -> None:
    an_account(database, "ada")
    with pytest.raises(BadRequest) as refused:
        broadcasts.send(database, STAFF, subject, message, None)
    assert list(refused.value.problems) == problems
    with pytest.raises(BadRequest) as refused:
        broadcasts.preview(settings, STAFF, subject, message)
    assert list(refused.value.problems) == problems
    assert MailStore(database).has_due(None) is False


def test_the_longest_subject_and_message_pass(database: Database) -> None:
    an_account(database, "ada")
    assert broadcasts.send(database, STAFF, "x" * 200, "y" * 10_000, None).waiting == 1


def test_the_preview_is_the_mail_that_goes_out(database: Database, settings: Settings) -> None:
    an_account(database, "ada")
    shown = broadcasts.preview(settings, STAFF, "{{ subject }} Grüße", "{% if %} text\ttab")
    sent = broadcasts.send(database, STAFF, "{{ subject }} Grüße", "{% if %} text\ttab", None)
    claim = MailStore(database).claim(sent.id, mails.CLAIM_FOR, 5) or pytest.fail("nothing was due")
    out = mails.signed(settings, MailStore(database).claimed(claim))
    assert (out.subject, out.body) == (shown.subject, shown.body)
    assert "{% if %} text\ttab\n" in out.body and "help@clinic.example" in out.body


@pytest.mark.parametrize(
    "call",
    [
        lambda db, settings: broadcasts.recipients(db, Actor("eve")),
        lambda db, settings: broadcasts.preview(settings, Actor("eve"), "s", "m"),
        lambda db, settings: broadcasts.send(db, Actor("eve"), "s", "m", None),
        lambda db, settings: broadcasts.list(db, Actor("eve")),
        lambda db, settings: broadcasts.count(db, Actor("eve")),
        lambda db, settings: broadcasts.get(db, Actor("eve"), 1),
        lambda db, settings: broadcasts.deliveries(db, Actor("eve"), 1),
    ],
)
def test_only_staff_may(database: Database, settings: Settings, call: Callable[[Database, Settings], object]) -> None:
    an_account(database, "ada")
    broadcasts.send(database, STAFF, "s", "m", None)
    with pytest.raises(NotPermitted):
        call(database, settings)
    assert broadcasts.count(database, STAFF) == 1


def test_a_refused_broadcast_is_in_the_trail(database: Database) -> None:
    with pytest.raises(NotPermitted):
        broadcasts.send(database, Actor("eve"), "s", "m", None)
    (entry,) = audit.entries(database, READER)
    assert (entry.actor, entry.action, entry.outcome) == ("eve", AuditAction.BROADCAST, "NotPermitted")


def test_how_far_a_broadcast_is_can_be_seen(database: Database, clock: Clock) -> None:
    for name in ("ada", "bob", "eve"):
        an_account(database, name)
    first = broadcasts.send(database, STAFF, "one", "m", None)
    second = broadcasts.send(database, STAFF, "two", "m", None)
    store = MailStore(database)
    clock.pass_by(5)
    for state, error in ((MailState.SENT, ""), (MailState.FAILED, "550 (address) unknown")):
        store.end(store.claim(first.id, mails.CLAIM_FOR, 5) or pytest.fail("nothing was due"), state, error)
    listed = broadcasts.list(database, STAFF)
    assert [(one.id, one.waiting, one.sent, one.failed) for one in listed] == [
        (second.id, 3, 0, 0),
        (first.id, 1, 1, 1),
    ]
    assert broadcasts.get(database, STAFF, first.id) == listed[1] == broadcasts.progress(database, first.id)
    with pytest.raises(NotFound):
        broadcasts.get(database, STAFF, 99)
    found = [
        (one.recipient[:3], one.state, one.error, one.sent_at)
        for one in broadcasts.deliveries(database, STAFF, first.id)
    ]
    assert found == [
        ("ada", MailState.SENT, "", clock.now),
        ("bob", MailState.FAILED, "550 (address) unknown", None),
        ("eve", MailState.WAITING, "", None),
    ]
    assert [one.recipient[:3] for one in broadcasts.deliveries(database, STAFF, first.id, 1, 1)] == ["bob"]


def test_a_broadcast_is_due_as_long_as_a_mail_of_it_is(database: Database, clock: Clock) -> None:
    an_account(database, "ada")
    mails.queue(database, Mail("root@clinic.example", "subject", "text"))
    store = BroadcastStore(database)
    assert store.due() == ()
    first, second = (broadcasts.send(database, STAFF, "s", "m", None).id for _ in range(2))
    assert store.due() == (first, second)
    claim = MailStore(database).claim(first, mails.CLAIM_FOR, 5) or pytest.fail("nothing was due")
    assert (store.due(), store.last_activity_at(first)) == ((second,), None)
    clock.pass_by(5)
    MailStore(database).end(claim, MailState.SENT)
    assert store.last_activity_at(first) == clock.now
    store.cancel(second, "Canceled in Prefect.")
    assert store.due() == ()
    assert store.get(second).failed == 1
    assert MailStore(database).has_due(None)


def test_the_services_of_the_pages_do_not_import_prefect() -> None:
    names = ("services.audit", "services.post.mails", "services.post.broadcasts", "services.post.notifications")
    imports = f"import sys, {', '.join(names)}; sys.exit('prefect' in sys.modules)"
    assert run([sys.executable, "-c", imports], cwd=ROOT, check=False).returncode == 0
