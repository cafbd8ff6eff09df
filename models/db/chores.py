"""Keeps what has become of each run of scheduled work. A run says that it is alive; one that is silent has died."""

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from models.db.engine import Database, Lock, hold
from models.db.tables import ChoreRunRow
from models.domain.chores import DIED, ChoreOutcome, ChoreRun


class ChoreStore:
    """Runs of chores by name."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def begin(self, name: str, alive_for: timedelta, flow_run_id: str = "") -> ChoreRun | None:
        """A new run, or None when another one of this name is at work, on whatever machine.

        Runs of the name that have died are ended.
        """
        with self._db.transaction() as session:
            hold(session.connection(), Lock.CHORES)
            now = self._db.clock()
            _end_dead(session, now, name)
            busy = select(ChoreRunRow.id).where(ChoreRunRow.name == name, ChoreRunRow.ended_at.is_(None))
            if session.scalar(busy.limit(1)) is not None:
                return None
            row = ChoreRunRow(
                name=name,
                started_at=now,
                alive_until_at=now + alive_for,
                ended_at=None,
                outcome=None,
                message="",
                flow_run_id=flow_run_id,
            )
            session.add(row)
            session.flush()
            return _run(row)

    def stay(self, run_id: int, alive_for: timedelta) -> None:
        """Say that a run is alive."""
        with self._db.transaction() as session:
            mine = update(ChoreRunRow).where(ChoreRunRow.id == run_id, ChoreRunRow.ended_at.is_(None))
            session.execute(mine.values(alive_until_at=self._db.clock() + alive_for))

    def end(self, run_id: int, outcome: ChoreOutcome, message: str) -> None:
        """Write down how a run has ended, also when it had been taken for dead meanwhile."""
        with self._db.transaction() as session:
            mine = update(ChoreRunRow).where(ChoreRunRow.id == run_id)
            session.execute(mine.values(ended_at=self._db.clock(), outcome=outcome, message=message))

    def end_dead(self) -> tuple[ChoreRun, ...]:
        """End the runs whose processes have died, and return them."""
        with self._db.transaction() as session:
            return _end_dead(session, self._db.clock())

    def last(self, names: Collection[str], limit: int = 1) -> dict[str, list[ChoreRun]]:
        """The last runs of each name, newest first."""
        ranked = (
            select(
                ChoreRunRow.id,
                func.row_number().over(partition_by=ChoreRunRow.name, order_by=ChoreRunRow.id.desc()).label("place"),
            )
            .where(ChoreRunRow.name.in_(names))
            .subquery()
        )
        wanted = (
            select(ChoreRunRow)
            .join(ranked, ranked.c.id == ChoreRunRow.id)
            .where(ranked.c.place <= limit)
            .order_by(ChoreRunRow.id.desc())
        )
        found: dict[str, list[ChoreRun]] = {name: [] for name in names}
        with self._db.reading() as session:
            for row in session.scalars(wanted):
                found[row.name].append(_run(row))
        return found

    def of_flow_run(self, flow_run_id: str) -> ChoreRun | None:
        """The run that a flow run of Prefect did."""
        with self._db.reading() as session:
            row = session.scalar(select(ChoreRunRow).where(ChoreRunRow.flow_run_id == flow_run_id))
            return None if row is None else _run(row)

    def remove_old(self, started_before: datetime) -> int:
        """Forget runs that began before, but the last of each name; return how many there were."""
        newest = select(func.max(ChoreRunRow.id)).group_by(ChoreRunRow.name)
        old = delete(ChoreRunRow).where(ChoreRunRow.started_at < started_before, ChoreRunRow.id.not_in(newest))
        with self._db.transaction() as session:
            return len(session.execute(old.returning(ChoreRunRow.id)).all())


def _end_dead(session: Session, now: datetime, name: str | None = None) -> tuple[ChoreRun, ...]:
    dead = select(ChoreRunRow).where(ChoreRunRow.ended_at.is_(None), ChoreRunRow.alive_until_at <= now)
    rows = session.scalars(dead.where(ChoreRunRow.name == name) if name else dead).all()
    for row in rows:
        row.ended_at, row.outcome, row.message = row.alive_until_at, ChoreOutcome.FAILURE, DIED
    session.flush()
    return tuple(_run(row) for row in rows)


def _run(row: ChoreRunRow) -> ChoreRun:
    return ChoreRun(
        id=row.id,
        name=row.name,
        started_at=row.started_at,
        alive_until_at=row.alive_until_at,
        ended_at=row.ended_at,
        outcome=row.outcome,
        message=row.message,
        flow_run_id=row.flow_run_id,
    )
