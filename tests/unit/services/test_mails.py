"""Mails wait in the database until the mail server has taken them: one for each recipient, none twice, none lost."""

import logging
import re
import threading
from collections.abc import Callable
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from jinja2 import UndefinedError
from sqlalchemy import select

from models.db.broadcasts import BroadcastStore
from models.db.engine import Database
from models.db.mails import MailStore
from models.db.tables import MailRow
from models.domain.errors import AditError, BadRequest, NotPermitted, PeerBusy, Unreachable
from models.domain.mails import Mail, MailState
from models.settings import Settings
from services.post import mails
from services.post.smtp import Answer, Outcome
from tests.databases import Clock
from tests.samples import some_settings

TEMPLATES = sorted(path.stem for path in Path(mails.__file__).with_name("mail_templates").glob("*.txt"))
TAKEN = Answer(Outcome.TAKEN)
BUSY = Answer(Outcome.LATER, "451 4.7.1 greylisted")
GONE = Answer(Outcome.REFUSED, "550 5.1.1 (address) unknown")
HUNG_UP = Answer(Outcome.HUNG_UP, "The mail server does not answer.")


class Server:
    """Answers as it is told to, and remembers what it has taken."""

    def __init__(self) -> None:
        self.answer: Callable[[str], Answer] = lambda recipient: TAKEN
        self.door: AditError | None = None
        self.connections = 0
        self.taken: list[EmailMessage] = []

    def __call__(self, settings: Settings) -> "Server":
        return self

    def __enter__(self) -> "Server":
        self.connections += 1
        if self.door is not None:
            raise self.door
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def send(self, message: EmailMessage, sender: str, recipient: str) -> Answer:
        answer = self.answer(recipient)
        if answer.outcome is Outcome.TAKEN:
            self.taken.append(message)
        return answer

    @property
    def recipients(self) -> list[str]:
        return [str(message["To"]) for message in self.taken]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server()
    monkeypatch.setattr("services.post.mails.MailServer", server)
    return server


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return some_settings(
        tmp_path,
        smtp_url="smtp://127.0.0.1:1",
        mail_from="ADIT <adit@clinic.example>",
        web_url="https://adit.clinic.example",
        support_email="help@clinic.example",
    )


def write(database: Database, *names: str, broadcast_id: int | None = None) -> None:
    for name in names:
        mails.queue(database, Mail(f"{name}@clinic.example", f"To {name}", "The text.\n"), broadcast_id)


def rows(database: Database) -> list[dict[str, Any]]:
    with database.reading() as session:
        found = session.scalars(select(MailRow).order_by(MailRow.id))
        return [{column.name: getattr(row, column.name) for column in MailRow.__table__.columns} for row in found]


def states(database: Database) -> list[str]:
    return [row["state"].value for row in rows(database)]


def test_a_mail_stands_or_falls_with_the_transaction_it_is_written_in(database: Database) -> None:
    with pytest.raises(BadRequest), database.transaction():
        write(database, "ada")
        raise BadRequest
    assert rows(database) == []


def test_the_text_of_a_mail_is_not_readable_in_the_database_and_gone_when_it_is_sent(
    database: Database, settings: Settings, server: Server
) -> None:
    mails.queue(database, Mail("ada@clinic.example", "Reset", "https://adit/reset?token=s3cret"))
    (row,) = rows(database)
    assert b"s3cret" not in row["content"] and b"Reset" not in row["content"]
    mails.send_due(database, settings)
    assert rows(database)[0]["content"] == b""
    assert "token=s3cret" in server.taken[0].get_content()


@pytest.mark.parametrize("subject", ["", " ", "a\nBcc: eve@evil.example", "a\r\nX: y", "a\rb", "a\x00b", "a\u2028b"])
def test_a_subject_cannot_become_a_header(database: Database, subject: str) -> None:
    with pytest.raises(BadRequest) as refused:
        mails.queue(database, Mail("ada@clinic.example", subject, "text"))
    assert list(refused.value.problems) == ["subject"]


@pytest.mark.parametrize(
    "recipient",
    ["", "ada", "a@b, c@d", "a@b\nBcc: c@d", "<a@b>", "Ada <a@b>", "a b@c", "a@b@c", "@b", "a@", "a" * 250 + "@b.de"],
)
def test_a_recipient_is_one_address(database: Database, recipient: str) -> None:
    with pytest.raises(BadRequest) as refused:
        mails.queue(database, Mail(recipient, "subject", "text"))
    assert list(refused.value.problems) == ["recipient"]


def test_each_recipient_gets_a_mail_of_their_own(database: Database, settings: Settings, server: Server) -> None:
    write(database, "ada", "bob", "eve")
    assert mails.send_due(database, settings) == 3
    assert server.recipients == ["ada@clinic.example", "bob@clinic.example", "eve@clinic.example"]
    assert server.connections == 1
    assert states(database) == ["sent"] * 3
    assert mails.send_due(database, settings) == 0
    assert server.connections == 1


def test_a_mail_says_who_sends_it_and_that_a_program_does(
    database: Database, settings: Settings, server: Server, clock: Clock
) -> None:
    mails.queue(database, Mail("ada@clinic.example", "Grüße", "Zeile eins äöü\n" + "lang " * 300 + "\n.\nFrom here\n"))
    mails.send_due(database, settings)
    (message,) = server.taken
    assert str(message["From"]) == "ADIT <adit@clinic.example>"
    assert str(message["Subject"]) == "Grüße"
    assert message["Date"].datetime == clock.now
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Reply-To"] == "help@clinic.example"
    assert re.fullmatch(r"<[0-9]+\.1@clinic\.example>", message["Message-ID"])
    assert message.get_content_type() == "text/plain" and message.get_content_charset() == "utf-8"
    content = message.get_content()
    assert "Zeile eins äöü\n" in content and "\n.\nFrom here\n" in content
    assert "https://adit.clinic.example" in content and "help@clinic.example" in content
    assert max(len(line) for line in message.as_bytes().splitlines()) <= 78
    assert message.as_bytes().isascii()


@pytest.mark.parametrize("template", [name for name in TEMPLATES if name != "signature"])
def test_every_template_begins_with_its_subject(template: str) -> None:
    lines = (Path(mails.__file__).parent / "mail_templates" / f"{template}.txt").read_text().splitlines()
    assert lines[0].startswith("Subject: ") and len(lines[0]) > len("Subject: ")
    assert lines[1] == ""


def test_a_template_gets_all_that_it_needs() -> None:
    mail = mails.render("broadcast", "ada@x", subject="Pause <b>", message="Morgen & übermorgen\n\nkein Betrieb")
    assert mail == Mail("ada@x", "Pause <b>", "Morgen & übermorgen\n\nkein Betrieb\n")
    with pytest.raises(UndefinedError):
        mails.render("broadcast", "ada@x", subject="Pause")


def test_what_the_server_puts_off_is_tried_again_after_growing_waits(
    database: Database, settings: Settings, server: Server, clock: Clock
) -> None:
    server.answer = lambda recipient: BUSY
    write(database, "ada")
    begun, waits = clock.now, list[float]()
    while states(database) == ["waiting"]:
        tried_at = clock.now
        mails.send_due(database, settings)
        (row,) = rows(database)
        if row["state"] is MailState.WAITING:
            waits.append((row["not_before_at"] - tried_at).total_seconds())
            clock.now = row["not_before_at"]
    assert waits[:7] == [60, 60, 120, 240, 480, 960, 1920]
    assert set(waits[8:]) == {3600}
    assert (states(database), row["attempts"], row["content"]) == (["failed"], mails.MAX_ATTEMPTS, b"")
    assert row["error"] == BUSY.complaint
    assert timedelta(hours=10) < clock.now - begun < timedelta(hours=24)


def test_a_refused_recipient_fails_and_the_others_get_their_mail(
    database: Database, settings: Settings, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.answer = lambda recipient: GONE if recipient.startswith("bob") else TAKEN
    write(database, "ada", "bob", "eve")
    with caplog.at_level(logging.DEBUG):
        assert mails.send_due(database, settings) == 2
    assert states(database) == ["sent", "failed", "sent"]
    assert rows(database)[1]["error"] == GONE.complaint
    assert "mail 2 has failed: 550" in caplog.text
    assert "@" not in caplog.text and "To bob" not in caplog.text


def test_while_the_server_is_down_all_wait_and_no_try_counts(
    database: Database, settings: Settings, server: Server, clock: Clock
) -> None:
    server.door = Unreachable()
    write(database, "ada", "bob")
    for _ in range(50):
        with pytest.raises(Unreachable):
            mails.send_due(database, settings)
        connections = server.connections
        assert mails.send_due(database, settings) == 0
        assert server.connections == connections
        clock.pass_by(3600)
    assert [row["attempts"] for row in rows(database)] == [0, 0]
    server.door = None
    assert mails.send_due(database, settings) == 2


def test_a_connection_that_breaks_counts_for_the_mail_that_was_under_way_only(
    database: Database, settings: Settings, server: Server
) -> None:
    server.answer = lambda recipient: HUNG_UP if recipient.startswith("ada") else TAKEN
    write(database, "ada", "bob")
    assert mails.send_due(database, settings) == 0
    assert [row["attempts"] for row in rows(database)] == [1, 0]
    assert mails.send_due(database, settings) == 1
    assert states(database) == ["waiting", "sent"]


@pytest.mark.parametrize("error", [NotPermitted, PeerBusy])
def test_a_server_that_does_not_take_our_sender_address_costs_no_mail_a_try(
    database: Database, settings: Settings, server: Server, error: type[AditError], clock: Clock
) -> None:
    def refuse(recipient: str) -> Answer:
        raise error

    server.answer = refuse
    write(database, "ada", "bob")
    with pytest.raises(error):
        mails.send_due(database, settings)
    assert [(row["attempts"], row["state"]) for row in rows(database)] == [(0, MailState.WAITING)] * 2
    assert mails.send_due(database, settings) == 0
    server.answer = lambda recipient: TAKEN
    clock.pass_by(60)
    assert mails.send_due(database, settings) == 2


def test_without_a_mail_server_mails_wait_and_the_log_says_so_once(
    database: Database, tmp_path: Path, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    mails._tell_that_mails_wait.cache_clear()
    options = some_settings(tmp_path)
    assert mails.send_due(database, options) == 0
    assert caplog.text == ""
    write(database, "ada")
    for _ in range(3):
        assert mails.send_due(database, options) == 0
    assert caplog.text.count("ADIT_SMTP_URL") == 1
    assert server.connections == 0


def test_senders_at_the_same_time_send_no_mail_twice(database: Database, settings: Settings, server: Server) -> None:
    write(database, *(f"user{number}" for number in range(30)))
    threads = [threading.Thread(target=mails.send_due, args=(database, settings)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(server.recipients) == sorted(f"user{number}@clinic.example" for number in range(30))
    assert set(states(database)) == {"sent"}


def test_a_mail_whose_sender_died_goes_out_again_after_a_while_with_the_same_message_id(
    database: Database, settings: Settings, server: Server, clock: Clock
) -> None:
    write(database, "ada")

    def die(recipient: str) -> Answer:
        raise KeyboardInterrupt

    server.answer = die
    with pytest.raises(KeyboardInterrupt):
        mails.send_due(database, settings)
    server.answer = lambda recipient: TAKEN
    assert mails.send_due(database, settings) == 0
    clock.pass_by(mails.CLAIM_FOR.total_seconds())
    assert mails.send_due(database, settings) == 1
    (message,) = server.taken
    created = rows(database)[0]["created_at"]
    assert message["Message-ID"].startswith(f"<{created:%Y%m%d%H%M%S%f}.1@")
    assert rows(database)[0]["attempts"] == 2


def test_a_sender_that_comes_back_late_does_not_disturb_the_one_that_took_over(
    database: Database, settings: Settings, server: Server, clock: Clock
) -> None:
    write(database, "ada")
    store = MailStore(database)
    late = store.claim(None, mails.CLAIM_FOR, 5) or pytest.fail("nothing was due")
    clock.pass_by(mails.CLAIM_FOR.total_seconds())
    new = store.claim(None, mails.CLAIM_FOR, 5) or pytest.fail("nothing was due")
    store.end(late, MailState.FAILED, "late")
    store.wait(late, clock.now, "late")
    store.give_back(late)
    assert (states(database), rows(database)[0]["error"]) == (["waiting"], "")
    assert store.claim(None, mails.CLAIM_FOR, 5) is None
    store.end(new, MailState.SENT)
    assert states(database) == ["sent"]


def test_a_mail_that_always_kills_its_sender_fails_in_the_end(
    database: Database, settings: Settings, server: Server, clock: Clock
) -> None:
    write(database, "ada", "bob")
    for _ in range(mails.MAX_ATTEMPTS):
        MailStore(database).claim(None, timedelta(0), mails.MAX_ATTEMPTS + 1)
    with database.transaction() as session:
        first, second = session.scalars(select(MailRow).order_by(MailRow.id))
        first.attempts, second.attempts = mails.MAX_ATTEMPTS, 0
    assert mails.send_due(database, settings) == 1
    assert states(database) == ["failed", "sent"]


def test_a_text_that_cannot_be_decrypted_fails_alone(database: Database, settings: Settings, server: Server) -> None:
    write(database, "ada", "bob")
    with database.transaction() as session:
        session.get_one(MailRow, 1).content = b"damaged"
    assert mails.send_due(database, settings) == 1
    assert states(database) == ["failed", "sent"]


def test_mails_of_broadcasts_go_out_by_their_flow_only(database: Database, settings: Settings, server: Server) -> None:
    first, second = (BroadcastStore(database).add("s", "m", "ada") for _ in range(2))
    write(database, "ada", broadcast_id=first)
    write(database, "bob", broadcast_id=second)
    assert mails.send_due(database, settings) == 0
    assert mails.send_broadcast(database, settings, second) is False
    assert server.recipients == ["bob@clinic.example"]


def test_what_is_left_of_a_mail_goes_after_a_month(
    database: Database, settings: Settings, server: Server, clock: Clock
) -> None:
    server.answer = lambda recipient: GONE if recipient.startswith("bob") else TAKEN
    broadcast_id = BroadcastStore(database).add("s", "m", "ada")
    write(database, "ada", "bob")
    write(database, "eve", broadcast_id=broadcast_id)
    mails.send_due(database, settings)
    mails.send_broadcast(database, settings, broadcast_id)
    write(database, "waiting")
    clock.pass_by(29 * 86_400)
    assert mails.remove_old(database) == 0
    clock.pass_by(2 * 86_400)
    assert mails.remove_old(database) == 2
    assert [row["recipient"].split("@")[0] for row in rows(database)] == ["eve", "waiting"]
