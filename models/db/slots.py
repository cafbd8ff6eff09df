"""Keeps count of the connections that all workers together hold to each node, so that no budget is exceeded.

Slots run out unless they are renewed: a worker that dies frees its own.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from models.db.engine import Database, Lock, hold
from models.db.tables import SlotRow

_FORGOTTEN_AFTER = timedelta(days=1)


class SlotStore:
    """Slots by holder (any text that names one user of connections) and node."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def try_acquire(
        self, holder: str, wanted: Mapping[int, int], budgets: Mapping[int, int], lease_for: timedelta
    ) -> bool:
        """Take ``wanted`` slots (node id to count) if every node has that many free; else take none.

        ``budgets`` says how many slots each node has. What the holder has of these nodes already is replaced.
        """
        with self._db.transaction() as session:
            hold(session.connection(), Lock.SLOTS)
            now = self._db.clock()
            _expire(session, now)
            taken = _taken_by_others(session, holder, wanted.keys())
            if any(taken.get(node_id, 0) + count > budgets[node_id] for node_id, count in wanted.items()):
                return False
            _drop(session, holder, wanted.keys())
            for node_id, count in wanted.items():
                session.add(SlotRow(holder=holder, node_id=node_id, count=count, expires_at=now + lease_for))
            return True

    def renew(self, holder: str, lease_for: timedelta) -> bool:
        """Prolong what the holder has, be it nothing; False when slots have run out and somebody may use them."""
        with self._db.transaction() as session:
            hold(session.connection(), Lock.SLOTS)
            has_lost = session.scalar(select(func.count()).where(SlotRow.holder == holder, SlotRow.count == 0))
            if has_lost:
                return False
            until = self._db.clock() + lease_for
            session.execute(update(SlotRow).where(SlotRow.holder == holder).values(expires_at=until))
            return True

    def release(self, holder: str) -> None:
        """Give back all slots of a holder."""
        with self._db.transaction() as session:
            hold(session.connection(), Lock.SLOTS)
            session.execute(delete(SlotRow).where(SlotRow.holder == holder))

    def taken(self, node_id: int) -> int:
        """How many slots of a node are in use now."""
        with self._db.reading() as session:
            in_use = select(func.sum(SlotRow.count)).where(
                SlotRow.node_id == node_id, SlotRow.expires_at > self._db.clock()
            )
            return session.scalar(in_use) or 0


def _expire(session: Session, now: datetime) -> None:
    """Empty what has run out. The empty row stays a while, to tell its holder if that one wakes up again."""
    run_out = SlotRow.expires_at <= now
    session.execute(update(SlotRow).where(run_out, SlotRow.count > 0).values(count=0))
    session.execute(delete(SlotRow).where(SlotRow.expires_at <= now - _FORGOTTEN_AFTER))


def _taken_by_others(session: Session, holder: str, node_ids: Collection[int]) -> dict[int, int]:
    sums = (
        select(SlotRow.node_id, func.sum(SlotRow.count))
        .where(SlotRow.node_id.in_(node_ids), SlotRow.holder != holder)
        .group_by(SlotRow.node_id)
    )
    return dict(session.execute(sums).all())


def _drop(session: Session, holder: str, node_ids: Collection[int]) -> None:
    session.execute(delete(SlotRow).where(SlotRow.holder == holder, SlotRow.node_id.in_(node_ids)))
