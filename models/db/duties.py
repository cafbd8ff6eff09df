"""Keeps who does what only one process of all machines may do at a time.

A duty runs out unless it is taken again: when its holder dies, or its machine is lost, somebody else has it soon.
"""

from datetime import timedelta

from sqlalchemy import and_, or_, update
from sqlalchemy.exc import IntegrityError

from models.db.engine import Database
from models.db.tables import DutyRow


class DutyStore:
    """Duties by name; ``holder`` is any text that names one process."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def take(self, name: str, holder: str, lease_for: timedelta) -> bool:
        """Have the duty for so long, or for longer when one has it already; False while somebody else has it."""
        now = self._db.clock()
        with self._db.transaction() as session:
            is_free = or_(DutyRow.holder == holder, DutyRow.until_at <= now)
            mine = update(DutyRow).where(and_(DutyRow.name == name, is_free))
            taken = mine.values(holder=holder, until_at=now + lease_for).returning(DutyRow.name)
            if session.execute(taken).first() is not None:
                return True
            if session.get(DutyRow, name) is not None:
                return False
            try:
                with session.begin_nested():
                    session.add(DutyRow(name=name, holder=holder, until_at=now + lease_for))
            except IntegrityError:  # somebody else took it for the first time a moment ago
                return False
            return True

    def give_back(self, name: str, holder: str) -> None:
        """Let somebody else have the duty at once."""
        with self._db.transaction() as session:
            mine = update(DutyRow).where(DutyRow.name == name, DutyRow.holder == holder)
            session.execute(mine.values(until_at=self._db.clock()))
