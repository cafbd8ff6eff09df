"""Keeps which flow runs work on which job: a large one has several at a time, so that several machines share it.

A run is known from the moment in which it begins, or in which it was asked for beside others. It says that it is alive
as long as its process is, and is forgotten when it has ended as it should. One that is silent has died, or waits.
"""

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from models.db.engine import Database
from models.db.holding import HoldingStore, is_held_back
from models.db.job_rows import waits_no_longer
from models.db.project import has_to_wait
from models.db.tables import ItemRow, JobRow, RunRow
from models.domain.jobs import State


@dataclass(frozen=True, slots=True)
class Run:
    """A flow run of a job; ``heard_at`` is None until it has begun."""

    flow_run_id: str
    job_id: int
    asked_at: datetime
    heard_at: datetime | None


class RunStore:
    """Flow runs by their ids in Prefect."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def ask(self, job_id: int, flow_run_id: str) -> None:
        """Remember that a run was asked for beside others; nothing when it is known already."""
        with self._db.transaction() as session:
            if session.get(RunRow, flow_run_id) is None:
                _add(session, RunRow(flow_run_id=flow_run_id, job_id=job_id, asked_at=self._db.clock(), heard_at=None))

    def hear(self, job_id: int, flow_run_id: str) -> None:
        """Say that a run is alive; its first word makes it known."""
        now = self._db.clock()
        with self._db.transaction() as session:
            heard = update(RunRow).where(RunRow.flow_run_id == flow_run_id).values(heard_at=now)
            if session.execute(heard.returning(RunRow.flow_run_id)).first() is None:
                _add(session, RunRow(flow_run_id=flow_run_id, job_id=job_id, asked_at=now, heard_at=now))

    def forget(self, flow_run_id: str) -> None:
        """Strike out a run that has ended."""
        with self._db.transaction() as session:
            session.execute(delete(RunRow).where(RunRow.flow_run_id == flow_run_id))

    def heard_at(self, flow_run_id: str) -> datetime | None:
        """When a run was last heard of; None for one that has not begun, or is not known."""
        with self._db.reading() as session:
            return session.scalar(select(RunRow.heard_at).where(RunRow.flow_run_id == flow_run_id))

    def of_job(self, job_id: int) -> tuple[Run, ...]:
        """The known runs of a job, by their ids."""
        with self._db.reading() as session:
            rows = session.scalars(select(RunRow).where(RunRow.job_id == job_id).order_by(RunRow.flow_run_id))
            return tuple(_run(row) for row in rows)

    def silent(self, patience: timedelta) -> tuple[Run, ...]:
        """Runs of which nothing was heard for so long, nor were they asked for in that time; the oldest first."""
        last = func.coalesce(RunRow.heard_at, RunRow.asked_at)
        wanted = select(RunRow).where(last <= self._db.clock() - patience).order_by(last)
        with self._db.reading() as session:
            return tuple(_run(row) for row in session.scalars(wanted))

    def waiting(self, kinds: Collection[str]) -> Mapping[int, int]:
        """How many items wait to be taken up in each job of these kinds that a run is at work on.

        None that has to wait: its application is suspended, there is maintenance, or a server holds it back.
        """
        now = self._db.clock()
        held = HoldingStore(self._db).reasons()
        at_work = exists().where(RunRow.job_id == JobRow.id, RunRow.heard_at.is_not(None))
        wanted = (
            select(ItemRow.job_id, func.count())
            .join(JobRow, JobRow.id == ItemRow.job_id)
            .where(JobRow.state == State.IN_PROGRESS, JobRow.kind.in_(kinds), at_work, ~has_to_wait())
            .where(waits_no_longer(now), ~is_held_back(held))
            .group_by(ItemRow.job_id)
        )
        with self._db.reading() as session:
            return dict(session.execute(wanted).all())


def _add(session: Session, row: RunRow) -> None:
    """Add the row, unless the dispatcher or the run itself was faster, or the job is gone."""
    with suppress(IntegrityError), session.begin_nested():
        session.add(row)


def _run(row: RunRow) -> Run:
    return Run(row.flow_run_id, row.job_id, row.asked_at, row.heard_at)
