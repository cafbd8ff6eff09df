"""Keeps alarms: since when something has been wrong, and whether administrators were told. One lock for all of them."""

from datetime import timedelta

from sqlalchemy import select

from models.db.engine import Database, Lock, hold
from models.db.tables import AlarmRow
from models.domain.alarms import Alarm

_FORGOTTEN_AFTER = timedelta(minutes=5)
"""If nobody has looked for so long, what was seen then says nothing about the time since."""


class AlarmStore:
    """Alarms by name."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def see(self, name: str, title: str, text: str, patience: timedelta = timedelta(0)) -> bool:
        """Note that something is wrong; whether that is to be told now: once, when it has lasted for the patience.

        Title and text are those of the moment at which it is told.
        """
        now = self._db.clock()
        with self._db.transaction() as session:
            hold(session.connection(), Lock.ALARMS)
            row = session.get(AlarmRow, name, populate_existing=True)
            if row is None:
                row = AlarmRow(name=name, since_at=now, seen_at=now, told_at=None, title=title, text=text)
                session.add(row)
            if row.told_at is None and now - row.seen_at > _FORGOTTEN_AFTER:
                row.since_at = now
            row.seen_at = now
            if row.told_at is not None or now - row.since_at < patience:
                return False
            row.told_at, row.title, row.text = now, title, text
            return True

    def clear(self, name: str) -> Alarm | None:
        """Note that something is not wrong any more; the alarm if it was told, so that its end has to be told, too."""
        with self._db.transaction() as session:
            hold(session.connection(), Lock.ALARMS)
            row = session.get(AlarmRow, name, populate_existing=True)
            if row is None:
                return None
            session.delete(row)
            return _alarm(row) if row.told_at else None

    def list(self) -> tuple[Alarm, ...]:
        """Alarms that were told and are not over, the oldest first."""
        told = select(AlarmRow).where(AlarmRow.told_at.is_not(None)).order_by(AlarmRow.since_at, AlarmRow.name)
        with self._db.reading() as session:
            return tuple(map(_alarm, session.scalars(told)))

    def names(self) -> frozenset[str]:
        """The names of all that is or may become an alarm."""
        with self._db.reading() as session:
            return frozenset(session.scalars(select(AlarmRow.name)))


def _alarm(row: AlarmRow) -> Alarm:
    return Alarm(row.name, row.since_at, row.title, row.text, row.told_at)
