"""The one door to the mail server: an open connection that takes mail after mail and says what it thinks of each.

Texts of smtplib's errors are never passed on, nor kept as a cause: they quote addresses.
"""

import re
import smtplib
import ssl
from email.message import EmailMessage
from enum import StrEnum
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import unquote, urlsplit

from models.domain.errors import AditError, NotPermitted, PeerBusy, Unreachable, reason_of
from models.settings import Settings

_TIMEOUT_S = 30.0
_SCHEMES = "In ADIT_SMTP_URL, smtps:// is for a port that speaks TLS from the start, smtp+starttls:// for others."
_PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
_CLOSING, _PERMANENT, _NEEDS_SIGN_IN = 421, 500, 530
_POLICY = re.compile(r"\s*5\.7\.\d")
_HAS_ADDRESS = re.compile(r"\S*(@|://)\S*")
_LONGEST_COMPLAINT = 200


class Outcome(StrEnum):
    """What the server makes of one mail."""

    TAKEN = "taken"
    LATER = "later"
    REFUSED = "refused"
    HUNG_UP = "hung_up"
    """The connection is gone; the server may have taken the mail or not."""


class Answer(NamedTuple):
    """The server's answer to one mail; ``complaint`` holds no address."""

    outcome: Outcome
    complaint: str = ""


class MailServer:
    """A connection to the mail server of the settings, open inside a ``with``.

    Raises Unreachable when it does not answer; NotPermitted or PeerBusy when it does not let us in or does not take our
    sender address, so that the same would happen to every mail.
    """

    def __init__(self, settings: Settings) -> None:
        self._url = urlsplit(settings.smtp_url.get_secret_value())
        self._smtp: smtplib.SMTP | None = None

    def __enter__(self) -> Self:
        try:
            self._smtp = self._connect()
        except OSError as error:
            raise _trouble(error) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._smtp is not None:
            try:
                self._smtp.quit()
            except OSError:
                self._smtp.close()

    def send(self, message: EmailMessage, sender: str, recipient: str) -> Answer:
        """Hand over one mail for one recipient. After HUNG_UP the connection is of no use any more."""
        assert self._smtp is not None, "the connection is not open"
        try:
            self._smtp.send_message(message, sender, [recipient])
        except smtplib.SMTPRecipientsRefused as error:
            return _answer(*error.recipients[recipient], recipient)
        except smtplib.SMTPDataError as error:
            return _answer(error.smtp_code, error.smtp_error, recipient)
        except smtplib.SMTPNotSupportedError:
            return Answer(Outcome.REFUSED, "The mail server takes no addresses with such letters.")
        except OSError as error:
            trouble = _trouble(error)
            if isinstance(trouble, Unreachable):
                return Answer(Outcome.HUNG_UP, trouble.message)
            raise trouble from None
        return Answer(Outcome.TAKEN)

    def _connect(self) -> smtplib.SMTP:
        host, port = self._url.hostname or "", self._url.port or _PORTS[self._url.scheme]
        if self._url.scheme == "smtps":
            smtp = smtplib.SMTP_SSL(host, port, timeout=_TIMEOUT_S, context=ssl.create_default_context())
        else:
            smtp = smtplib.SMTP(host, port, timeout=_TIMEOUT_S)
        try:
            if self._url.scheme == "smtp+starttls":
                smtp.starttls(context=ssl.create_default_context())
            if self._url.username:
                smtp.login(unquote(self._url.username), unquote(self._url.password or ""))
        except BaseException:
            smtp.close()
            raise
        return smtp


def _trouble(error: OSError) -> AditError:
    """What is wrong with the connection as a whole. Every error of smtplib is an OSError, too."""
    told = error.__context__ if isinstance(error, smtplib.SMTPServerDisconnected) else None
    if isinstance(told, OSError):  # smtplib puts its own in the place of what the system said
        return _trouble(told)
    match error:
        case smtplib.SMTPAuthenticationError():
            return NotPermitted("The mail server does not accept user and password. Check ADIT_SMTP_URL.")
        case smtplib.SMTPNotSupportedError():
            return NotPermitted("The mail server offers no STARTTLS, or no way to sign in. Check ADIT_SMTP_URL.")
        case smtplib.SMTPSenderRefused(smtp_code=code) if code != _CLOSING:
            kind = NotPermitted if code >= _PERMANENT else PeerBusy
            return kind(f"The mail server refuses our sender address ({code}). Check ADIT_MAIL_FROM.")
        case smtplib.SMTPResponseException(smtp_code=code):
            return Unreachable(f"The mail server is not ready ({code}).")
        case smtplib.SMTPException():
            return Unreachable("The mail server does not answer, or is none. Check that it runs, and ADIT_SMTP_URL.")
        case ssl.SSLCertVerificationError(verify_message=message):
            return Unreachable(f"The certificate of the mail server is not valid here ({message}).")
        case ssl.SSLError(reason=reason):
            return Unreachable(f"TLS with the mail server has failed ({reason}). {_SCHEMES}")
        case TimeoutError():
            return Unreachable(f"The mail server does not answer within {_TIMEOUT_S:.0f} seconds. {_SCHEMES}")
        case _:
            return Unreachable(
                f"The mail server does not answer: {reason_of(error)}. Check that it runs, and ADIT_SMTP_URL."
            )


def _answer(code: int, text: bytes | str, recipient: str) -> Answer:
    """The answer to one mail.

    What a server says about itself or us (sign in first, no relaying, a policy: 5.7.x) is not held against the mail:
    somebody may set it right.
    """
    said = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    if code == _CLOSING:
        return Answer(Outcome.HUNG_UP, "The mail server has ended the connection (421).")
    lasts = code >= _PERMANENT and code != _NEEDS_SIGN_IN and not _POLICY.match(said)
    return Answer(Outcome.REFUSED if lasts else Outcome.LATER, f"{code} {_without_address(said, recipient)}")


def _without_address(text: str, recipient: str) -> str:
    """One line without anybody's address, the part before the @ that servers repeat alone, and links that sign in."""
    name = re.escape(recipient.partition("@")[0])
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    line = _HAS_ADDRESS.sub("(address)", line)
    return re.sub(rf"(?<!\w){name}(?!\w)", "(address)", line, flags=re.IGNORECASE)[:_LONGEST_COMPLAINT]
