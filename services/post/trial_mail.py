"""Sends one mail at once, to see whether mails go out: past the queue, so that the mail server's answer is told."""

from models.db.engine import Database
from models.domain.audit import DONE, AuditAction
from models.domain.errors import AditError, BadRequest, NotPermitted, PeerBusy, Unreachable
from models.domain.people import Actor
from models.settings import Settings
from services import audit
from services.post import mails
from services.post.smtp import Answer, MailServer, Outcome

_ERRORS = {Outcome.LATER: PeerBusy, Outcome.REFUSED: NotPermitted, Outcome.HUNG_UP: Unreachable}


def send(db: Database, settings: Settings, actor: Actor, recipient: str) -> None:
    """Send a mail that says what it is; the audit trail tells of it, whatever becomes of it.

    Raises BadRequest for what is no address, or without a mail server; NotPermitted for others than superusers, and
    when the mail server wants neither us nor the mail; Unreachable or PeerBusy when it cannot take it now.
    """
    try:
        _send(db, settings, actor, recipient)
    except Exception as error:
        _record(db, actor, error.code if isinstance(error, AditError) else type(error).__name__, recipient)
        raise
    _record(db, actor, DONE, recipient)


def _send(db: Database, settings: Settings, actor: Actor, recipient: str) -> None:
    if not actor.is_superuser:
        raise NotPermitted("Only superusers may send a test mail.")
    if not mails.has_server(settings):
        raise BadRequest("There is no mail server. Set ADIT_SMTP_URL.")
    mail = mails.render("test_mail", recipient, name=actor.name)
    mails.check(mail)
    message = mails.composed(settings, mail, f"{db.clock():%Y%m%d%H%M%S%f}.test", db.clock())
    with MailServer(settings) as server:
        answer = server.send(message, mails.sender(settings), recipient)
    _check(answer)


def _record(db: Database, actor: Actor, outcome: str, recipient: str) -> None:
    audit.record(db, actor, AuditAction.SEND_TEST_MAIL, "", outcome, {"recipient": recipient})


def _check(answer: Answer) -> None:
    if answer.outcome is not Outcome.TAKEN:
        raise _ERRORS[answer.outcome](f"The mail server does not take the mail: {answer.complaint}")
