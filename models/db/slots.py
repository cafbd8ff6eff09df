"""Keeps count of the connections that all workers together hold to each node, so that no budget is exceeded.

Slots run out unless they are renewed: a worker that dies frees its own.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.orm import Session

from models.db.engine import Database, Lock, hold
from models.db.tables import SlotRow, SlotWaitRow

_FORGOTTEN_AFTER = timedelta(days=1)
_WAITS_FOR = timedelta(seconds=10)
"""An urgent holder that waits asks again within a second; one that has died holds nobody up for longer."""


class SlotStore:
    """Slots by holder (any text that names one user of connections) and node."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def try_acquire(
        self,
        holder: str,
        wanted: Mapping[int, int],
        budgets: Mapping[int, int],
        lease_for: timedelta,
        urgent: bool = False,
    ) -> bool:
        """Take ``wanted`` slots (node id to count) if every node has that many free; else take none.

        ``budgets`` says how many slots each node has. What the holder has of these nodes already is replaced.
        An urgent holder that gets none is noted down as waiting for the nodes that lacked some since it began to wait,
        and for some seconds others that are not urgent get none of these, so that it has the next that come free.
        """
        with self._db.transaction() as session:
            hold(session.connection(), Lock.SLOTS)
            now = self._db.clock()
            rows = _rows(session, wanted.keys())
            if any(_is_to_be_expired(row, now) for row in rows):
                _expire(session, now)
            taken = _taken_by_others(rows, holder, now)
            lacking = {node_id for node_id, count in wanted.items() if taken[node_id] + count > budgets[node_id]}
            if lacking or (not urgent and _urgent_work_waits(session, holder, wanted.keys(), now)):
                if urgent:
                    _note_waiting(session, holder, lacking, now)
                return False
            if urgent:
                _wait_no_longer(session, holder)
            if any(row.holder == holder for row in rows):
                _drop(session, holder, wanted.keys())
            until = now + lease_for
            added = [_row(holder, node_id, count, until) for node_id, count in wanted.items()]
            session.execute(insert(SlotRow), added)
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

    def give_up(self, holder: str) -> None:
        """Forget that an urgent holder waits, which has its slots or wants none any more."""
        with self._db.transaction() as session:
            hold(session.connection(), Lock.SLOTS)
            _wait_no_longer(session, holder)

    def taken(self, node_id: int) -> int:
        """How many slots of a node are in use now."""
        with self._db.reading() as session:
            in_use = select(func.sum(SlotRow.count)).where(
                SlotRow.node_id == node_id, SlotRow.expires_at > self._db.clock()
            )
            return session.scalar(in_use) or 0


def _rows(session: Session, node_ids: Collection[int]) -> "Sequence[Row[str, int, int, datetime]]":
    """Holder, node, count and end of every row of these nodes: a handful, which costs one question for each attempt."""
    columns = (SlotRow.holder, SlotRow.node_id, SlotRow.count.label("held"), SlotRow.expires_at)
    return session.execute(select(*columns).where(SlotRow.node_id.in_(node_ids))).all()


def _urgent_work_waits(session: Session, holder: str, node_ids: Collection[int], now: datetime) -> bool:
    ahead = SlotWaitRow.node_id.in_(node_ids), SlotWaitRow.holder != holder, SlotWaitRow.expires_at > now
    return session.scalar(select(SlotWaitRow.holder).where(*ahead).limit(1)) is not None


def _note_waiting(session: Session, holder: str, lacking: Collection[int], now: datetime) -> None:
    """Keep what was noted before, else others could take one node while the holder waits for another, by turns."""
    session.execute(delete(SlotWaitRow).where(SlotWaitRow.expires_at <= now))
    noted = session.scalars(select(SlotWaitRow.node_id).where(SlotWaitRow.holder == holder)).all()
    _wait_no_longer(session, holder)
    until = now + _WAITS_FOR
    rows = [{"holder": holder, "node_id": node_id, "expires_at": until} for node_id in sorted({*noted, *lacking})]
    session.execute(insert(SlotWaitRow), rows)


def _wait_no_longer(session: Session, holder: str) -> None:
    session.execute(delete(SlotWaitRow).where(SlotWaitRow.holder == holder))


def _row(holder: str, node_id: int, count: int, until: datetime) -> dict[str, Any]:
    return {"holder": holder, "node_id": node_id, "count": count, "expires_at": until}


def _is_to_be_expired(row: "Row[str, int, int, datetime]", now: datetime) -> bool:
    return row.expires_at <= now and (row.held > 0 or row.expires_at <= now - _FORGOTTEN_AFTER)


def _expire(session: Session, now: datetime) -> None:
    """Empty what has run out. The empty row stays a while, to tell its holder if that one wakes up again."""
    run_out = SlotRow.expires_at <= now
    session.execute(update(SlotRow).where(run_out, SlotRow.count > 0).values(count=0))
    session.execute(delete(SlotRow).where(SlotRow.expires_at <= now - _FORGOTTEN_AFTER))


def _taken_by_others(rows: "Iterable[Row[str, int, int, datetime]]", holder: str, now: datetime) -> Counter[int]:
    taken = Counter[int]()
    for row in rows:
        if row.holder != holder and row.expires_at > now:
            taken[row.node_id] += row.held
    return taken


def _drop(session: Session, holder: str, node_ids: Collection[int]) -> None:
    session.execute(delete(SlotRow).where(SlotRow.holder == holder, SlotRow.node_id.in_(node_ids)))
