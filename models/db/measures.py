"""Measures what waits, is at work and is held at this moment; only questions, whose cost is bounded by indexes.

What has ended is not counted here: that is what ``models.db.totals`` is for, and its rows are few.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, exists, func, select, type_coerce

from models.db.engine import Database
from models.db.holding import is_held_back
from models.db.job_rows import is_due
from models.db.project import has_to_wait
from models.db.tables import ChoreRunRow, ItemRow, JobRow, MailRow, NoticeRow, ReceiptRow, SlotRow
from models.domain.chores import ChoreOutcome
from models.domain.jobs import JobKind, State
from models.domain.mails import MailState
from models.domain.webhooks import NoticeState

UNENDED_JOBS = (State.UNVERIFIED, State.PENDING, State.IN_PROGRESS, State.CANCELING)
UNENDED_ITEMS = (State.PENDING, State.IN_PROGRESS)

Counts = Mapping[tuple[JobKind, State], int]


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many messages wait to go out, and when the oldest of them was written; None when none waits."""

    count: int
    oldest_at: datetime | None


@dataclass(frozen=True, slots=True)
class ChoreFigures:
    """When a chore began last, when it last ended well, if ever, and whether its last end was a failure."""

    name: str
    started_at: datetime
    succeeded_at: datetime | None
    has_failed: bool


class MeasureStore:
    """Amounts at this moment."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def jobs(self) -> Counts:
        """Jobs that have not ended, by kind and state."""
        counted = select(JobRow.kind, JobRow.state, func.count()).where(JobRow.state.in_(UNENDED_JOBS))
        with self._db.reading() as session:
            rows = session.execute(counted.group_by(JobRow.kind, JobRow.state))
            return {(kind, state): count for kind, state, count in rows}

    def items(self) -> Counts:
        """Items that have not ended, by kind and state. Asked job by job, so that one index holds the answer."""
        found: dict[tuple[JobKind, State], int] = {}
        with self._db.reading() as session:
            unended = session.execute(select(JobRow.id, JobRow.kind).where(JobRow.state.in_(UNENDED_JOBS))).all()
            kinds = dict(unended)
            counted = (
                select(ItemRow.job_id, ItemRow.state, func.count())
                .where(ItemRow.job_id.in_(select(JobRow.id).where(JobRow.state.in_(UNENDED_JOBS))))
                .where(ItemRow.state.in_(UNENDED_ITEMS))
                .group_by(ItemRow.job_id, ItemRow.state)
            )
            for job_id, state, count in session.execute(counted):
                key = kinds[job_id], state
                found[key] = found.get(key, 0) + count
        return found

    def waiting_since(self, held_back: Collection[int]) -> datetime | None:
        """Since when the job waits that waits for longest, though something of it is due; None when none does.

        Of those that nobody works on and nothing holds back, neither maintenance nor servers, named by their ids.
        """
        now = self._db.clock()
        of_job = ItemRow.job_id == JobRow.id
        in_hand = and_(of_job, ItemRow.state == State.IN_PROGRESS, ItemRow.lease_until_at > now)
        due = exists().where(of_job, is_due(now), ~is_held_back(held_back))
        waits = [JobRow.state.in_([State.PENDING, State.IN_PROGRESS]), ~has_to_wait(), due, ~exists().where(in_hand)]
        with self._db.reading() as session:
            asked_at = func.coalesce(JobRow.run_requested_at, JobRow.created_at, type_=JobRow.created_at.type)
            found = session.execute(select(JobRow.id, JobRow.state, asked_at).where(*waits)).all()
            begun = [job_id for job_id, state, _ in found if state is State.IN_PROGRESS]
            active = select(ItemRow.job_id, func.max(ItemRow.active_at)).where(ItemRow.job_id.in_(begun))
            active_at = dict(session.execute(active.group_by(ItemRow.job_id)).all()) if begun else {}
        return min((max(since, active_at.get(job_id) or since) for job_id, _, since in found), default=None)

    def held_back(self, node_ids: Collection[int]) -> int:
        """How many items wait for servers or folders that hold them back, named by their ids."""
        if not node_ids:
            return 0
        waits = and_(ItemRow.state == State.PENDING, is_held_back(node_ids))
        with self._db.reading() as session:
            return session.scalar(select(func.count()).select_from(ItemRow).where(waits)) or 0

    def held_instances(self) -> int:
        """How many instances wait for a person's review."""
        held = select(func.sum(ReceiptRow.held_count)).where(ReceiptRow.held_count > 0)
        with self._db.reading() as session:
            return int(session.scalar(held) or 0)

    def associations(self) -> Mapping[int, int]:
        """How many places in the budget of each server are taken, by its id."""
        taken = select(SlotRow.node_id, func.sum(SlotRow.count)).where(SlotRow.expires_at > self._db.clock())
        with self._db.reading() as session:
            return {node_id: int(count) for node_id, count in session.execute(taken.group_by(SlotRow.node_id))}

    def mails(self) -> Backlog:
        """Mails that wait to be sent."""
        waiting = select(func.count(), func.min(MailRow.created_at)).where(MailRow.state == MailState.WAITING)
        with self._db.reading() as session:
            return Backlog(*session.execute(waiting).one())

    def notices(self) -> Backlog:
        """What webhooks wait to be told."""
        waiting = select(func.count(), func.min(NoticeRow.created_at)).where(NoticeRow.state == NoticeState.WAITING)
        with self._db.reading() as session:
            return Backlog(*session.execute(waiting).one())

    def chores(self) -> tuple[ChoreFigures, ...]:
        """How it stands with each chore that has ever run."""
        row = ChoreRunRow
        succeeded = func.max(row.ended_at).filter(row.outcome == ChoreOutcome.SUCCESS)
        by_name = select(row.name, func.max(row.started_at), type_coerce(succeeded, row.ended_at.type)).group_by(
            row.name
        )
        ended = select(func.max(row.id)).where(row.outcome.is_not(None)).group_by(row.name)
        with self._db.reading() as session:
            failed = select(row.name).where(row.id.in_(ended), row.outcome == ChoreOutcome.FAILURE)
            names = set(session.scalars(failed))
            return tuple(
                ChoreFigures(name, begun, done, name in names)
                for name, begun, done in session.execute(by_name.order_by(row.name))
            )
