"""Mails over real SMTP: plain, with STARTTLS and over TLS, with a password, and when the server has trouble."""

import logging
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from models.db.engine import Database
from models.db.mails import MailStore
from models.domain.errors import AditError, NotPermitted, Unreachable
from models.domain.mails import Mail
from models.settings import Settings
from services.post import mails
from tests.databases import Clock, sqlite_database
from tests.mail_server import PASSWORD, USER, MailServer, a_certificate, mail_server, only_with_password
from tests.peers import free_port
from tests.samples import some_settings

SIGN_IN = f"{USER}:{quote(PASSWORD, safe='')}@"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(tmp_path: Path, clock: Clock) -> Iterator[Database]:
    db = sqlite_database(tmp_path, clock)
    yield db
    db.close()


@pytest.fixture
def a_mail_server() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


def options(tmp_path: Path, smtp_url: str) -> Settings:
    return some_settings(tmp_path, smtp_url=smtp_url, mail_from="ADIT <adit@clinic.example>")


def plain(tmp_path: Path, server: MailServer) -> Settings:
    return options(tmp_path, f"smtp://127.0.0.1:{server.port}")


def write(database: Database, *names: str) -> None:
    for name in names:
        mails.queue(database, Mail(f"{name}@clinic.example", f"Für {name}", ".\nPunkt ü\n\nhttps://adit/x?token=abc\n"))


def errors_of(database: Database) -> list[tuple[str, int, str]]:
    """State, attempts and complaint of each mail, read past the store."""
    with database.reading() as session:
        found = session.connection().exec_driver_sql("SELECT state, attempts, error FROM mails ORDER BY id")
        return [(str(state), int(attempts), str(error)) for state, attempts, error in found]


def test_mails_arrive_one_by_one_as_they_were_written(
    database: Database, tmp_path: Path, a_mail_server: MailServer
) -> None:
    write(database, "ada", "bob")
    assert mails.send_due(database, plain(tmp_path, a_mail_server)) == 2
    assert [letter.recipients for letter in a_mail_server.letters] == [["ada@clinic.example"], ["bob@clinic.example"]]
    letter = a_mail_server.wait_for("ada@clinic.example")
    assert letter.sender == "adit@clinic.example"
    assert letter.message["To"] == "ada@clinic.example"
    assert letter.message["Subject"] == "Für ada"
    assert letter.text.startswith(".\nPunkt ü\n\nhttps://adit/x?token=abc\n\n--\nADIT, http://localhost:8000\n")
    assert "bob" not in str(letter.message)


def test_a_password_goes_over_starttls_only(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, context = a_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    write(database, "ada")
    with mail_server(
        tls_context=context, require_starttls=True, auth_required=True, authenticator=only_with_password
    ) as server:
        with pytest.raises(NotPermitted, match="user and password"):
            mails.send_due(database, options(tmp_path, f"smtp+starttls://{USER}:wrong@127.0.0.1:{server.port}"))
        MailStore(database).put_off(None, lambda age: age)
        database.clock.pass_by(60)  # type: ignore[attr-defined]
        right = options(tmp_path, f"smtp+starttls://{SIGN_IN}127.0.0.1:{server.port}")
        assert mails.send_due(database, right) == 1
        assert [letter.was_secure for letter in server.letters] == [True]


@pytest.mark.filterwarnings("ignore:Requiring AUTH:UserWarning")
def test_mails_go_over_tls_from_the_start(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, context = a_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    write(database, "ada")
    secure = {"auth_required": True, "auth_require_tls": False, "authenticator": only_with_password}
    with mail_server(tls=context, **secure) as server:
        assert mails.send_due(database, options(tmp_path, f"smtps://{SIGN_IN}127.0.0.1:{server.port}")) == 1
        assert server.recipients == ["ada@clinic.example"]


@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
def test_a_server_whose_certificate_nobody_vouches_for_gets_nothing(
    database: Database, tmp_path: Path, scheme: str
) -> None:
    _, context = a_certificate(tmp_path)
    write(database, "ada")
    with (
        mail_server(tls=context) if scheme == "smtps" else mail_server(tls_context=context) as server,
        pytest.raises(Unreachable, match="certificate"),
    ):
        mails.send_due(database, options(tmp_path, f"{scheme}://{SIGN_IN}127.0.0.1:{server.port}"))
    assert server.letters == []
    assert errors_of(database) == [("waiting", 0, "")]


def test_a_server_without_starttls_gets_neither_password_nor_mail(
    database: Database, tmp_path: Path, a_mail_server: MailServer
) -> None:
    write(database, "ada")
    with pytest.raises(NotPermitted, match="STARTTLS"):
        mails.send_due(database, options(tmp_path, f"smtp+starttls://{SIGN_IN}127.0.0.1:{a_mail_server.port}"))
    assert a_mail_server.letters == []


@pytest.mark.parametrize(
    ("answer", "state", "complaint"),
    [
        ("550 5.1.1 <bob@clinic.example>: no such user Bob", "failed", "550 5.1.1 (address) no such user (address)"),
        ("553 5.1.3 bad address bob@CLINIC.example.", "failed", "553 5.1.3 bad address (address)"),
        ("450 4.2.1 try later, bob", "waiting", "450 4.2.1 try later, (address)"),
        ("550 5.7.1 unable to relay", "waiting", "550 5.7.1 unable to relay"),
        ("530 5.7.0 sign in first", "waiting", "530 5.7.0 sign in first"),
        ("554 see https://spam.example/?t=abc", "failed", "554 see (address)"),
    ],
)
def test_what_the_server_says_of_one_recipient_concerns_that_mail_only_and_is_kept_without_the_address(
    database: Database,
    tmp_path: Path,
    a_mail_server: MailServer,
    caplog: pytest.LogCaptureFixture,
    answer: str,
    state: str,
    complaint: str,
) -> None:
    a_mail_server.on_recipient = lambda address: answer if address.startswith("bob") else ""
    write(database, "ada", "bob", "eve")
    with caplog.at_level(logging.DEBUG):
        assert mails.send_due(database, plain(tmp_path, a_mail_server)) == 2
    assert errors_of(database) == [("sent", 1, ""), (state, 1, complaint), ("sent", 1, "")]
    assert a_mail_server.recipients == ["ada@clinic.example", "eve@clinic.example"]
    logged = " ".join(record.getMessage() for record in caplog.records if record.name.startswith("services"))
    assert "mail 2" in logged
    assert "clinic.example" not in logged and "bob" not in logged.lower()


def test_a_text_that_is_refused_fails(database: Database, tmp_path: Path, a_mail_server: MailServer) -> None:
    a_mail_server.on_data = lambda letter: "554 5.6.0 not in this house"
    write(database, "ada")
    mails.send_due(database, plain(tmp_path, a_mail_server))
    assert errors_of(database) == [("failed", 1, "554 5.6.0 not in this house")]


def test_mails_wait_while_the_server_is_down_and_go_out_when_it_is_back(
    database: Database, tmp_path: Path, clock: Clock
) -> None:
    port = free_port()
    settings = options(tmp_path, f"smtp://127.0.0.1:{port}")
    write(database, "ada", "bob")
    for _ in range(3):
        with pytest.raises(Unreachable):
            mails.send_due(database, settings)
        clock.pass_by(3600)
    with mail_server(port) as server:
        assert mails.send_due(database, settings) == 2
        assert server.recipients == ["ada@clinic.example", "bob@clinic.example"]
    assert errors_of(database) == [("sent", 1, "")] * 2


def test_a_mail_that_was_taken_without_a_word_comes_again_with_the_same_message_id(
    database: Database, tmp_path: Path, a_mail_server: MailServer, clock: Clock
) -> None:
    """The window in which a mail can arrive twice."""
    a_mail_server.on_data = lambda letter: "hang up" if len(a_mail_server.letters) == 1 else ""
    write(database, "ada", "bob")
    settings = plain(tmp_path, a_mail_server)
    assert mails.send_due(database, settings) == 0
    assert mails.send_due(database, settings) == 1
    clock.pass_by(60)
    assert mails.send_due(database, settings) == 1
    assert a_mail_server.recipients == [f"{name}@clinic.example" for name in ("ada", "bob", "ada")]
    ids = [letter.message["Message-ID"] for letter in a_mail_server.letters]
    assert ids[0] == ids[2] != ids[1]


def test_a_server_that_closes_counts_for_one_mail(
    database: Database, tmp_path: Path, a_mail_server: MailServer
) -> None:
    a_mail_server.on_recipient = lambda address: "421 4.3.2 shutting down"
    write(database, "ada", "bob")
    assert mails.send_due(database, plain(tmp_path, a_mail_server)) == 0
    assert [(state, attempts) for state, attempts, _ in errors_of(database)] == [("waiting", 1), ("waiting", 0)]


@pytest.mark.parametrize("takes_unicode", [True, False])
def test_an_address_with_foreign_letters_goes_to_servers_that_take_it(
    database: Database, tmp_path: Path, takes_unicode: bool
) -> None:
    mails.queue(database, Mail("jürgen@klinik.example", "Grüße", "text"))
    with mail_server(enable_SMTPUTF8=takes_unicode) as server:
        assert mails.send_due(database, plain(tmp_path, server)) == takes_unicode
        assert server.recipients == (["jürgen@klinik.example"] if takes_unicode else [])


def test_errors_do_not_carry_what_the_library_said(database: Database, tmp_path: Path) -> None:
    """smtplib's texts quote addresses; tracebacks are written to logs."""
    write(database, "ada")
    with pytest.raises(AditError) as raised:
        mails.send_due(database, options(tmp_path, f"smtp://127.0.0.1:{free_port()}"))
    assert raised.value.__cause__ is None and raised.value.__suppress_context__
