"""A real SMTP server on a free loopback port that keeps what it takes, for tests of mails."""

import contextlib
import datetime
import ipaddress
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.peers import free_port
from tests.waiting import wait_until

USER, PASSWORD = "adit", "s3cret/with:odd@signs"


@dataclass
class Letter:
    """A mail as the server took it: ``recipients`` are those of the envelope."""

    sender: str
    recipients: list[str]
    message: EmailMessage
    was_secure: bool

    @property
    def text(self) -> str:
        """What was written, with line ends as we write them."""
        return str(self.message.get_content()).replace("\r\n", "\n")


@dataclass
class MailServer:
    """A running server. ``on_recipient`` and ``on_data`` answer in its place when they return something."""

    port: int
    letters: list[Letter] = field(default_factory=list)
    on_recipient: Callable[[str], str] = lambda address: ""
    on_data: Callable[[Letter], str] = lambda letter: ""

    @property
    def recipients(self) -> list[str]:
        return [recipient for letter in self.letters for recipient in letter.recipients]

    def to(self, address: str) -> list[Letter]:
        return [letter for letter in self.letters if letter.recipients == [address]]

    def wait_for(self, address: str, subject: str = "") -> Letter:
        """The newest mail to the address whose subject holds the text, as soon as it is there."""

        def found() -> list[Letter]:
            return [letter for letter in self.to(address) if subject in str(letter.message["Subject"])]

        wait_until(found, f"a mail to {address} about {subject or 'anything'}", 500)
        return found()[-1]

    @contextlib.contextmanager
    def hesitates_at(self, number: int) -> Iterator[None]:
        """Keep the letter of this number, and answer nobody any more until the context is left."""
        goes_on = threading.Event()
        self.on_data = lambda letter: "" if len(self.letters) < number else _nothing_after(goes_on)
        try:
            yield
        finally:
            self.on_data = lambda letter: ""
            goes_on.set()

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        if answer := self.on_recipient(address):
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        message = cast(EmailMessage, message_from_bytes(envelope.content, policy=default))
        letter = Letter(envelope.mail_from, list(envelope.rcpt_tos), message, session.ssl is not None)
        self.letters.append(letter)
        if (answer := self.on_data(letter)) == "hang up":
            server.transport.abort()
            return "421 bye"
        return answer or "250 OK"


@contextlib.contextmanager
def mail_server(port: int = 0, tls: ssl.SSLContext | None = None, **options: Any) -> Iterator[MailServer]:
    """Run a server. With ``tls`` it speaks TLS from the start; ``options`` are those of aiosmtpd's SMTP."""
    server = MailServer(port or free_port())
    controller = Controller(server, "127.0.0.1", server.port, ssl_context=tls, ready_timeout=120, **options)
    controller.start()
    try:
        yield server
    finally:
        controller.stop()


def _nothing_after(event: threading.Event) -> str:
    event.wait()
    return ""


def only_with_password(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    """The authenticator of a server that knows one user."""
    known = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=known, handled=False)


def a_certificate(directory: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for 127.0.0.1 that is its own authority: its file, and what a server needs of it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file, key_file = directory / "mail.pem", directory / "mail.key"
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, key_file)
    return file, context
