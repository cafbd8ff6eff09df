"""`adit send-test-mail` against real mail servers: it arrives, or one line says why not; the audit trail has a line."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from deployments.cli import app
from models.db.engine import Database
from models.domain.audit import EVERYTHING, AuditAction
from models.domain.people import operator
from models.settings import settings
from services import audit
from services.post import smtp
from tests.databases import MASTER_KEY
from tests.mail_server import PASSWORD, USER, a_certificate, mail_server, only_with_password
from tests.peers import free_port

ADA = "ada@clinic.example"
READER = operator("root")
Send = Callable[..., tuple[int, str]]


@pytest.fixture
def send(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Send]:
    """Call the command in an installation of its own, with a mail server; its status and what it says, in one line."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("ADIT_")]:
        del os.environ[name]
    monkeypatch.chdir(tmp_path)

    def call(url: str, address: str = ADA) -> tuple[int, str]:
        os.environ |= {"ADIT_DATA_DIR": str(tmp_path / "data"), "ADIT_MASTER_KEY": MASTER_KEY, "ADIT_SMTP_URL": url}
        settings.cache_clear()
        ended = CliRunner().invoke(app, ["send-test-mail", address])
        assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exception
        return ended.exit_code, " ".join(ended.output.split())

    (tmp_path / "data").mkdir()
    yield call
    os.environ.clear()
    os.environ.update(before)
    settings.cache_clear()


@pytest.fixture
def trail(tmp_path: Path) -> Callable[[], list[tuple[str, str, dict[str, str]]]]:
    """What the audit trail says of test mails, oldest first: the action, how it ended, and what is encrypted."""

    def read() -> list[tuple[str, str, dict[str, str]]]:
        db = Database(f"sqlite:///{tmp_path}/data/adit.db", MASTER_KEY)
        try:
            entries = [one for one in audit.entries(db, READER, EVERYTHING) if one.action is AuditAction.SEND_TEST_MAIL]
            assert all(one.actor.startswith("shell:") and "@" not in one.subject for one in entries)
            return [(one.subject, one.outcome, details(db, one.id)) for one in reversed(entries)]
        finally:
            db.close()

    return read


def details(db: Database, entry_id: int) -> dict[str, str]:
    return dict(audit.details(db, READER, entry_id, "a look in a test"))


def test_a_mail_arrives_and_is_written_down(send: Send, trail: Callable[[], list[Any]]) -> None:
    with mail_server() as server:
        status, said = send(f"smtp://127.0.0.1:{server.port}")
        assert (status, "has taken a mail for ada@clinic.example" in said) == (0, True), said
        letter = server.wait_for(ADA)
    assert letter.message["Subject"] == "A test of ADIT's mails"
    assert "shell:" in letter.text and "\n--\nADIT, " in letter.text
    assert letter.message["Message-ID"].endswith("@localhost>")
    assert trail() == [("", "done", {"recipient": ADA})]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("550 5.1.1 no such user", "NotPermitted: The mail server does not take the mail: 550 5.1.1 no such user"),
        ("450 4.2.1 try later", "PeerBusy: The mail server does not take the mail: 450 4.2.1 try later"),
    ],
)
def test_what_the_server_says_of_the_recipient_is_said(
    send: Send, trail: Callable[[], list[Any]], answer: str, told: str
) -> None:
    with mail_server() as server:
        server.on_recipient = lambda address: answer
        status, said = send(f"smtp://127.0.0.1:{server.port}")
    assert (status, told in said) == (2, True), said
    assert trail() == [("", told.partition(":")[0], {"recipient": ADA})]


def test_a_refused_sign_in_a_missing_starttls_and_a_strange_certificate_are_said(
    send: Send, trail: Callable[[], list[Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, context = a_certificate(tmp_path)
    options = {"require_starttls": True, "auth_required": True, "authenticator": only_with_password}
    with mail_server(tls_context=context, **options) as server:
        assert "certificate of the mail server is not valid" in send(f"smtp+starttls://127.0.0.1:{server.port}")[1]
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        status, said = send(f"smtp+starttls://{USER}:hidden-1@127.0.0.1:{server.port}")
        assert (status, "does not accept user and password" in said) == (2, True), said
        assert "hidden" not in said and PASSWORD not in said
    with mail_server() as plain:
        assert "offers no STARTTLS" in send(f"smtp+starttls://127.0.0.1:{plain.port}")[1]
        status, said = send(f"smtps://127.0.0.1:{plain.port}")
        assert (status, "TLS with the mail server has failed" in said) == (2, True), said
    assert server.letters == plain.letters == []
    assert [outcome for _, outcome, _ in trail()] == ["Unreachable", "NotPermitted", "NotPermitted", "Unreachable"]


def test_a_server_that_is_not_there_and_one_that_never_answers_are_said(
    send: Send, trail: Callable[[], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    status, said = send(f"smtp://127.0.0.1:{free_port()}")
    assert (status, "does not answer: connection refused" in said) == (2, True), said
    monkeypatch.setattr(smtp, "_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        status, said = send(f"smtp://127.0.0.1:{silent.getsockname()[1]}")
        assert (status, "does not answer within" in said) == (2, True), said
    assert [outcome for _, outcome, _ in trail()] == ["Unreachable", "Unreachable"]


def test_a_connection_that_is_cut_is_said(send: Send, trail: Callable[[], list[Any]]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=lambda: server.accept()[0].close())
        thread.start()
        status, said = send(f"smtp://127.0.0.1:{server.getsockname()[1]}")
        thread.join()
    assert (status, "Unreachable: The mail server does not answer" in said) == (2, True), said
    assert len(trail()) == 1


@pytest.mark.parametrize(
    "address", ["ada", "ada@clinic.example,eve@clinic.example", "ada@clinic.example\nBcc: x@y.org"]
)
def test_what_is_no_address_is_sent_nowhere(send: Send, address: str) -> None:
    with mail_server() as server:
        status, said = send(f"smtp://127.0.0.1:{server.port}", address)
    assert (status, "Not one mail address" in said, server.letters) == (2, True, []), said


def test_without_a_mail_server_the_setting_is_named(send: Send) -> None:
    status, said = send("")
    assert (status, "Set ADIT_SMTP_URL" in said) == (2, True), said
