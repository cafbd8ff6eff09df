"""Lets administrators write to users: one mail each, sent by a flow, with a list of what has become of each."""

import re
from collections.abc import Collection, Iterable

from models.db.broadcasts import BroadcastStore
from models.db.engine import Database
from models.db.people import UserStore
from models.domain.audit import AuditAction
from models.domain.errors import BadRequest, NotPermitted
from models.domain.mails import Broadcast, Delivery, Mail
from models.domain.people import Actor, Standing, User
from models.settings import Settings
from services import audit
from services.post import mails

SUBJECT_LENGTH, MESSAGE_LENGTH = 200, 10_000
_EVERYBODY = 100_000
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CONTROL_BUT_LINES = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def recipients(db: Database, actor: Actor) -> tuple[User, ...]:
    """Everybody who has an active account, by username; raises NotPermitted."""
    _check_is_staff(actor)
    return UserStore(db).list("", Standing.ACTIVE, _EVERYBODY, 0)


def preview(settings: Settings, actor: Actor, subject: str, message: str) -> Mail:
    """The mail as each will get it, to nobody; raises NotPermitted, or BadRequest naming subject and message."""
    _check_is_staff(actor)
    return mails.signed(settings, _mail("", *_checked(subject, message)))


def send(db: Database, actor: Actor, subject: str, message: str, user_ids: Collection[int] | None) -> Broadcast:
    """Write a mail down for each of the users, None for everybody with an active account, and have them sent.

    Raises NotPermitted, or BadRequest naming what is wrong: with user_ids, when nobody or somebody without an active
    account was chosen.
    """
    with audit.refusals_recorded(db, actor, AuditAction.BROADCAST, ""), db.transaction():
        _check_is_staff(actor)
        subject, message = _checked(subject, message)
        chosen = _chosen(recipients(db, actor), user_ids)
        broadcast_id = BroadcastStore(db).add(subject, message, actor.name)
        for user in chosen:
            mails.queue(db, _mail(user.profile.email, subject, message), broadcast_id)
        audit.record(db, actor, AuditAction.BROADCAST, f"broadcast {broadcast_id}, {len(chosen)} recipients")
        return BroadcastStore(db).get(broadcast_id)


def list(db: Database, actor: Actor, limit: int = 50, offset: int = 0) -> tuple[Broadcast, ...]:
    """Broadcasts, newest first; raises NotPermitted."""
    _check_is_staff(actor)
    return BroadcastStore(db).list(limit, offset)


def count(db: Database, actor: Actor) -> int:
    """How many broadcasts there are; raises NotPermitted."""
    _check_is_staff(actor)
    return BroadcastStore(db).count()


def get(db: Database, actor: Actor, broadcast_id: int) -> Broadcast:
    """One broadcast; raises NotPermitted or NotFound."""
    _check_is_staff(actor)
    return BroadcastStore(db).get(broadcast_id)


def deliveries(
    db: Database, actor: Actor, broadcast_id: int, limit: int = _EVERYBODY, offset: int = 0
) -> tuple[Delivery, ...]:
    """What has become of each mail of a broadcast, by recipient; raises NotPermitted."""
    _check_is_staff(actor)
    return BroadcastStore(db).deliveries(broadcast_id, limit, offset)


def progress(db: Database, broadcast_id: int) -> Broadcast:
    """How far a broadcast is, for the flow that sends it; raises NotFound."""
    return BroadcastStore(db).get(broadcast_id)


def _checked(subject: str, message: str) -> tuple[str, str]:
    """Subject and message without blanks around them and with line ends of one kind; raises BadRequest."""
    subject, message = subject.strip(), message.replace("\r\n", "\n").strip()
    problems: dict[str, str] = {}
    if not subject or len(subject) > SUBJECT_LENGTH or _CONTROL.search(subject):
        problems["subject"] = f"One line of 1 to {SUBJECT_LENGTH} characters is needed."
    if not message or len(message) > MESSAGE_LENGTH:
        problems["message"] = f"A text of 1 to {MESSAGE_LENGTH} characters is needed."
    elif _CONTROL_BUT_LINES.search(message):
        problems["message"] = "It has characters that cannot be shown. Enter it as plain text."
    if problems:
        raise BadRequest.of(problems)
    return subject, message


def _chosen(active: Iterable[User], user_ids: Collection[int] | None) -> tuple[User, ...]:
    chosen = tuple(user for user in active if user_ids is None or user.id in user_ids)
    if not chosen:
        raise BadRequest.of({"user_ids": "Choose somebody who has an active account."})
    if user_ids is not None and len(chosen) < len(set(user_ids)):
        raise BadRequest.of({"user_ids": "Somebody you chose has no active account any more. Choose again."})
    return chosen


def _mail(recipient: str, subject: str, message: str) -> Mail:
    return mails.render("broadcast", recipient, subject=subject, message=message)


def _check_is_staff(actor: Actor) -> None:
    if not actor.is_staff:
        raise NotPermitted("Only administrators write to users.")
