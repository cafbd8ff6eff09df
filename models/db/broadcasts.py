"""Keeps broadcasts: what was said to whom, by whom, and how far its mails are."""

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import and_, func, select, update
from sqlalchemy.orm import Session

from models.db.engine import Database
from models.db.tables import BroadcastRow, MailRow
from models.domain.errors import NotFound
from models.domain.mails import Broadcast, Delivery, MailState


class BroadcastStore:
    """Broadcasts by id."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def add(self, subject: str, message: str, sender: str) -> int:
        """The id of a new broadcast that has no mails yet."""
        row = BroadcastRow(subject=subject, message=message, sender=sender, flow_run_id="", created_at=self._db.clock())
        with self._db.transaction() as session:
            session.add(row)
            session.flush()
            return row.id

    def get(self, broadcast_id: int) -> Broadcast:
        """The broadcast; raises NotFound."""
        with self._db.reading() as session:
            row = session.get(BroadcastRow, broadcast_id)
            if row is None:
                raise NotFound("There is no such broadcast.")
            return _broadcast(row, _counts(session, [row.id]).get(row.id, {}))

    def list(self, limit: int, offset: int) -> tuple[Broadcast, ...]:
        """Broadcasts, newest first."""
        with self._db.reading() as session:
            newest = select(BroadcastRow).order_by(BroadcastRow.id.desc())
            rows = session.scalars(newest.limit(limit).offset(offset)).all()
            counts = _counts(session, [row.id for row in rows])
            return tuple(_broadcast(row, counts.get(row.id, {})) for row in rows)

    def count(self) -> int:
        """How many broadcasts there are."""
        with self._db.reading() as session:
            return session.scalar(select(func.count(BroadcastRow.id))) or 0

    def deliveries(self, broadcast_id: int, limit: int, offset: int) -> tuple[Delivery, ...]:
        """What has become of each mail of a broadcast, by recipient."""
        mine = select(MailRow).where(MailRow.broadcast_id == broadcast_id).order_by(MailRow.recipient, MailRow.id)
        with self._db.reading() as session:
            return tuple(_delivery(row) for row in session.scalars(mine.limit(limit).offset(offset)))

    def due(self) -> tuple[int, ...]:
        """The ids of broadcasts of which a mail could be sent now, the oldest first."""
        waits = and_(MailRow.state == MailState.WAITING, MailRow.not_before_at <= self._db.clock())
        wanted = select(MailRow.broadcast_id).where(waits, MailRow.broadcast_id.is_not(None)).distinct()
        with self._db.reading() as session:
            return tuple(sorted(found for found in session.scalars(wanted) if found is not None))

    def set_flow_run(self, broadcast_id: int, flow_run_id: str) -> None:
        """Note which flow run sends the mails."""
        mine = BroadcastRow.id == broadcast_id
        with self._db.transaction() as session:
            session.execute(update(BroadcastRow).where(mine).values(flow_run_id=flow_run_id))

    def last_activity_at(self, broadcast_id: int) -> datetime | None:
        """When a mail of the broadcast was last sent or has failed; None if none has."""
        ended = and_(MailRow.broadcast_id == broadcast_id, MailRow.state != MailState.WAITING)
        with self._db.reading() as session:
            return session.scalar(select(func.max(MailRow.not_before_at)).where(ended))

    def cancel(self, broadcast_id: int, error: str) -> None:
        """Let the mails that still wait fail."""
        waiting = and_(MailRow.broadcast_id == broadcast_id, MailRow.state == MailState.WAITING)
        now = self._db.clock()
        with self._db.transaction() as session:
            failed = {"state": MailState.FAILED, "error": error, "content": b"", "not_before_at": now}
            session.execute(update(MailRow).where(waiting).values(failed))


def _counts(session: Session, ids: Collection[int]) -> Mapping[int, Mapping[MailState, int]]:
    counted = (
        select(MailRow.broadcast_id, MailRow.state, func.count())
        .where(MailRow.broadcast_id.in_(ids))
        .group_by(MailRow.broadcast_id, MailRow.state)
    )
    counts: dict[int, dict[MailState, int]] = {}
    for broadcast_id, state, count in session.execute(counted):
        if broadcast_id is not None:
            counts.setdefault(broadcast_id, {})[state] = count
    return counts


def _broadcast(row: BroadcastRow, counts: Mapping[MailState, int]) -> Broadcast:
    return Broadcast(
        id=row.id,
        subject=row.subject,
        message=row.message,
        sender=row.sender,
        created_at=row.created_at,
        flow_run_id=row.flow_run_id,
        waiting=counts.get(MailState.WAITING, 0),
        sent=counts.get(MailState.SENT, 0),
        failed=counts.get(MailState.FAILED, 0),
    )


def _delivery(row: MailRow) -> Delivery:
    return Delivery(row.id, row.recipient, row.state, row.attempts, row.error, row.sent_at)
