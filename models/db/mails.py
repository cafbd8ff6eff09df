"""Keeps mails on their way out, and broadcasts. A mail's text is encrypted, and removed as soon as it is not needed.

A sender claims one mail at a time by putting off when it is due again. A sender that dies therefore keeps one mail
back for a while, and no two senders have the same mail at the same time.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, delete, func, select, update
from sqlalchemy.orm import Session

from models.db.engine import Database
from models.db.tables import MailRow
from models.domain.mails import Mail, MailState


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to send one mail until a given time; ``attempts`` counts this one and tells later claims apart."""

    mail_id: int
    attempts: int
    created_at: datetime


class MailStore:
    """Mails in the order in which they are due. ``broadcast_id`` None means those that belong to no broadcast."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def add(self, mail: Mail, broadcast_id: int | None = None) -> int:
        """The id of a new mail that is due at once."""
        now = self._db.clock()
        row = MailRow(
            broadcast_id=broadcast_id,
            recipient=mail.recipient,
            content=self._db.vault.encrypt(json.dumps([mail.subject, mail.body]).encode()),
            state=MailState.WAITING,
            attempts=0,
            error="",
            created_at=now,
            not_before_at=now,
            sent_at=None,
        )
        with self._db.transaction() as session:
            session.add(row)
            session.flush()
            return row.id

    def has_due(self, broadcast_id: int | None) -> bool:
        """Whether a mail could be sent now."""
        with self._db.reading() as session:
            return (
                session.scalar(select(MailRow.id).where(_is_due(self._db.clock(), broadcast_id)).limit(1)) is not None
            )

    def waiting(self) -> tuple[int, datetime | None]:
        """How many mails wait, those of broadcasts too, and since when the oldest does."""
        waits = select(func.count(MailRow.id), func.min(MailRow.created_at)).where(MailRow.state == MailState.WAITING)
        with self._db.reading() as session:
            count, since = session.execute(waits).one()
            return count, since

    def claim(self, broadcast_id: int | None, claim_for: timedelta, max_attempts: int) -> Claim | None:
        """Take the mail that has been due for longest, or None when none is due.

        One whose last allowed attempt ended without a word has failed.
        """
        while True:
            with self._db.transaction() as session:
                row = _next(session, self._db.clock(), broadcast_id)
                if row is None:
                    return None
                if row.attempts >= max_attempts:
                    _end(row, MailState.FAILED, self._db.clock(), "It was tried too often.")
                    continue
                row.attempts += 1
                row.not_before_at = self._db.clock() + claim_for
                return Claim(row.id, row.attempts, row.created_at)

    def claimed(self, claim: Claim) -> Mail:
        """The mail to send; raises NotPermitted when its text cannot be decrypted."""
        with self._db.reading() as session:
            row = session.get_one(MailRow, claim.mail_id)
            subject, body = json.loads(self._db.vault.decrypt(row.content))
            return Mail(row.recipient, subject, body)

    def end(self, claim: Claim, state: MailState, error: str = "") -> None:
        """Say that a claimed mail was sent or has failed; its text is removed. Later claims are not disturbed."""
        with self._db.transaction() as session:
            row = _held(session, claim)
            if row is not None:
                _end(row, state, self._db.clock(), error)

    def wait(self, claim: Claim, until: datetime, error: str) -> None:
        """Let a claimed mail wait for another attempt."""
        with self._db.transaction() as session:
            row = _held(session, claim)
            if row is not None:
                row.not_before_at, row.error = until, error

    def give_back(self, claim: Claim) -> None:
        """Undo a claim: the mail is due, and was not tried."""
        with self._db.transaction() as session:
            row = _held(session, claim)
            if row is not None:
                row.not_before_at = self._db.clock()
                row.attempts -= 1

    def put_off(self, broadcast_id: int | None, wait: Callable[[timedelta], timedelta]) -> None:
        """Let everything that is due wait, each for as long as ``wait`` makes of its age."""
        now = self._db.clock()
        with self._db.transaction() as session:
            due = session.execute(select(MailRow.id, MailRow.created_at).where(_is_due(now, broadcast_id))).all()
            waits = [{"id": row.id, "not_before_at": now + wait(now - row.created_at)} for row in due]
            if waits:
                session.execute(update(MailRow), waits)

    def remove_ended(self, created_before: datetime) -> int:
        """Delete what is left of mails that were sent or have failed, except those of broadcasts; how many."""
        ended = and_(MailRow.state != MailState.WAITING, MailRow.broadcast_id.is_(None))
        with self._db.transaction() as session:
            old = delete(MailRow).where(ended, MailRow.created_at < created_before).returning(MailRow.id)
            return len(session.execute(old).all())


def _is_due(now: datetime, broadcast_id: int | None) -> ColumnElement[bool]:
    mine = MailRow.broadcast_id.is_(None) if broadcast_id is None else MailRow.broadcast_id == broadcast_id
    return and_(MailRow.state == MailState.WAITING, MailRow.not_before_at <= now, mine)


def _next(session: Session, now: datetime, broadcast_id: int | None) -> MailRow | None:
    due = select(MailRow).where(_is_due(now, broadcast_id)).order_by(MailRow.not_before_at, MailRow.id)
    return session.scalar(due.limit(1).with_for_update(skip_locked=True))


def _held(session: Session, claim: Claim) -> MailRow | None:
    """The row, unless somebody else has claimed it since."""
    mine = (MailRow.id == claim.mail_id, MailRow.attempts == claim.attempts, MailRow.state == MailState.WAITING)
    return session.scalar(select(MailRow).where(*mine).with_for_update())


def _end(row: MailRow, state: MailState, now: datetime, error: str) -> None:
    row.state, row.error, row.content, row.not_before_at = state, error, b"", now
    row.sent_at = now if state is MailState.SENT else None
