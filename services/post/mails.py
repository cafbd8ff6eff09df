"""Writes mails down in the transaction of what they tell about, and sends them afterwards, one for each recipient.

A mail is claimed, handed over and ticked off. A process that is killed between the last two, or a connection that
breaks there, makes the mail go out again, with the same Message-ID: at least once, in all other cases exactly once.
"""

import logging
import re
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from functools import cache
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from models.db.engine import Database
from models.db.mails import Claim, MailStore
from models.domain.errors import AditError, BadRequest, NotPermitted
from models.domain.mails import Mail, MailState
from models.settings import Settings
from services.post.smtp import Answer, MailServer, Outcome

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 20
"""With the waits between them, they take a mail server half a day."""
CLAIM_FOR = timedelta(minutes=10)
"""Longer than one mail can take, with all timeouts; after it, a mail whose sender has died goes out again."""
_KEPT_FOR = timedelta(days=30)
_SHORTEST_WAIT, _LONGEST_WAIT = timedelta(minutes=1), timedelta(hours=1)
_TEMPLATES = Path(__file__).with_name("mail_templates")
_SUBJECT = "Subject: "
_ADDRESS = re.compile(r"[^\s@,;:<>()\[\]\\\"\x00-\x20\x7f]+@[^\s@,;:<>()\[\]\\\"\x00-\x20\x7f]+")
_ADDRESS_LENGTH = 254
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")

_texts = Environment(
    undefined=StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
)


def queue(db: Database, mail: Mail, broadcast_id: int | None = None) -> int:
    """Write a mail down, in the transaction that is open, if one is; the id of the mail.

    Raises BadRequest for an address or subject that could turn into further headers or recipients.
    """
    check(mail)
    return MailStore(db).add(mail, broadcast_id)


def check(mail: Mail) -> None:
    """Raise BadRequest for an address or subject that could turn into further headers or recipients."""
    problems: dict[str, str] = {}
    if not _is_address(mail.recipient):
        problems["recipient"] = "Not one mail address."
    if not mail.subject.strip() or _CONTROL.search(mail.subject):
        problems["subject"] = "One line of text is needed."
    if problems:
        raise BadRequest.of(problems)


def render(template: str, recipient: str, **values: object) -> Mail:
    """The mail that a template in ``mail_templates`` makes of the values; ``template`` is its name without ``.txt``.

    Its first line is ``Subject: ...``, then comes an empty line. A value that the template needs and does not get is an
    error. Who sends the mail and where help is found is added to every mail when it is sent.
    """
    first, _, body = _template(template).partition("\n")
    subject = _texts.from_string(first.removeprefix(_SUBJECT)).render(values)
    return Mail(recipient, subject, _texts.from_string(body).render(values).strip() + "\n")


def signed(settings: Settings, mail: Mail) -> Mail:
    """The mail as it goes out: below the text stand who sends it and where help is found."""
    signature = _texts.from_string(_template("signature"))
    below = signature.render(web_url=settings.web_url, support_email=settings.support_email)
    return Mail(mail.recipient, mail.subject, f"{mail.body.rstrip()}\n{below}")


def send_due(db: Database, settings: Settings, limit: int = 100) -> int:
    """Send mails that are due, up to the limit, except those of broadcasts; how many were sent.

    Takes one connection, and none when nothing is due. Without a mail server in the settings all wait as they are.
    Raises Unreachable, NotPermitted or PeerBusy when the mail server takes no mail at all: then all wait, and are due
    again after a while that grows.
    """
    if not has_server(settings):
        if MailStore(db).has_due(None):
            _tell_that_mails_wait()
        return 0
    return _send(db, settings, None, limit)


def send_broadcast(db: Database, settings: Settings, broadcast_id: int, limit: int = 100) -> bool:
    """Send mails of one broadcast as ``send_due`` does with others; whether more of them are due."""
    if not has_server(settings):
        raise BadRequest("There is no mail server. Set ADIT_SMTP_URL.")
    _send(db, settings, broadcast_id, limit)
    return MailStore(db).has_due(broadcast_id)


def remove_old(db: Database) -> int:
    """Delete what is left of mails that ended long ago, who got them and when; the results of broadcasts stay."""
    return MailStore(db).remove_ended(db.clock() - _KEPT_FOR)


def has_server(settings: Settings) -> bool:
    """Whether mails can be sent at all."""
    return bool(settings.smtp_url.get_secret_value())


def sender(settings: Settings) -> str:
    """The address to which a mail server tells what it could not deliver."""
    return parseaddr(settings.mail_from)[1]


def _send(db: Database, settings: Settings, broadcast_id: int | None, limit: int) -> int:
    store = MailStore(db)
    if not store.has_due(broadcast_id):
        return 0
    try:
        with MailServer(settings) as server:
            return _send_each(db, settings, server, broadcast_id, limit)
    except AditError:
        store.put_off(broadcast_id, _wait)
        raise


def _send_each(db: Database, settings: Settings, server: MailServer, broadcast_id: int | None, limit: int) -> int:
    sent = 0
    for _ in range(limit):
        claim = MailStore(db).claim(broadcast_id, CLAIM_FOR, MAX_ATTEMPTS)
        if claim is None:
            break
        outcome = _deliver(db, settings, server, claim)
        sent += outcome is Outcome.TAKEN
        if outcome is Outcome.HUNG_UP:
            break
    return sent


def _deliver(db: Database, settings: Settings, server: MailServer, claim: Claim) -> Outcome:
    """Hand one mail over and write down what has become of it; what concerns all mails is raised."""
    store = MailStore(db)
    try:
        mail = store.claimed(claim)
    except NotPermitted:
        store.end(claim, MailState.FAILED, "Its text cannot be decrypted.")
        return Outcome.REFUSED
    try:
        number = f"{claim.created_at:%Y%m%d%H%M%S%f}.{claim.mail_id}"
        message = composed(settings, mail, number, db.clock())
        answer = server.send(message, sender(settings), mail.recipient)
    except AditError:
        store.give_back(claim)
        raise
    _note(db, claim, answer)
    return answer.outcome


def _note(db: Database, claim: Claim, answer: Answer) -> None:
    """Write the answer down. The log tells mails by their ids only."""
    store = MailStore(db)
    if answer.outcome is Outcome.TAKEN:
        store.end(claim, MailState.SENT)
    elif answer.outcome is Outcome.REFUSED or claim.attempts >= MAX_ATTEMPTS:
        store.end(claim, MailState.FAILED, answer.complaint)
        log.warning("mail %s has failed: %.3s", claim.mail_id, answer.complaint)
    else:
        store.wait(claim, db.clock() + _wait(db.clock() - claim.created_at), answer.complaint)
        log.info("mail %s waits: %.3s", claim.mail_id, answer.complaint)


def composed(settings: Settings, mail: Mail, number: str, now: datetime) -> EmailMessage:
    """The mail as it travels. Its Message-ID has the number, by which mail servers can tell a repeated one."""
    mail = signed(settings, mail)
    message = EmailMessage(SMTP)
    message["From"] = settings.mail_from
    message["To"] = mail.recipient
    message["Subject"] = mail.subject
    message["Date"] = format_datetime(now)
    domain = sender(settings).partition("@")[2]
    message["Message-ID"] = f"<{number}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    if settings.support_email:
        message["Reply-To"] = settings.support_email
    message.set_content(mail.body, charset="utf-8", cte="quoted-printable")
    return message


def _wait(age: timedelta) -> timedelta:
    """How long a mail of this age waits for its next attempt: as long again, so each wait is twice the one before."""
    return min(max(age, _SHORTEST_WAIT), _LONGEST_WAIT)


def _is_address(text: str) -> bool:
    return len(text) <= _ADDRESS_LENGTH and _ADDRESS.fullmatch(text) is not None


def _template(name: str) -> str:
    return (_TEMPLATES / f"{name}.txt").read_text(encoding="utf-8")


@cache
def _tell_that_mails_wait() -> None:
    log.warning("mails wait in the database: there is no mail server; set ADIT_SMTP_URL")
