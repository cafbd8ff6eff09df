"""Answers questions about jobs and items; changes nothing."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, exists, func, or_, select, true
from sqlalchemy.orm import Session

from models.db.engine import Database
from models.db.holding import HoldingStore, is_held_back
from models.db.job_rows import counts_of, is_due, item_of, job_of, job_row
from models.db.project import has_to_wait
from models.db.tables import GroupPermissionRow, ItemRow, JobRow, MembershipRow, ReceiptRow, UserRow
from models.domain.errors import NotFound
from models.domain.job_actions import Stand
from models.domain.job_rights import MAY_SEE
from models.domain.jobs import EVERY_JOB, FINISHED, Item, Job, JobFilter, JobKind, JobProgress, Onlooker, State
from models.domain.pace import LAST_ENDED, Pace, pace
from models.domain.people import Permission

_DIGITS = 10
"""A number with so many digits may be no job's: PostgreSQL would refuse to compare with it."""


class JobQuestions:
    """Jobs and items by id, and lists of them."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def get(self, job_id: int) -> Job:
        """The job; raises NotFound."""
        with self._db.reading() as session:
            return job_of(job_row(session, job_id))

    def item(self, item_id: int) -> Item:
        """One item; raises NotFound."""
        with self._db.reading() as session:
            row = session.get(ItemRow, item_id)
            if row is None:
                raise NotFound("There is no such item.")
            return item_of(row)

    def items(
        self, job_id: int, states: Collection[State] | None = None, limit: int | None = None, offset: int = 0
    ) -> Sequence[Item]:
        """The items of a job in the order of the request; None means every state, or all of them."""
        wanted = select(ItemRow).where(ItemRow.job_id == job_id).order_by(ItemRow.position)
        if states is not None:
            wanted = wanted.where(ItemRow.state.in_(states))
        with self._db.reading() as session:
            return [item_of(row) for row in session.scalars(wanted.limit(limit).offset(offset or None))]

    def progress(self, job_id: int) -> JobProgress:
        """The job with how many of its items are in which state, and how fast they end while it runs."""
        with self._db.reading() as session:
            job = job_of(job_row(session, job_id))
            counts = counts_of(session, job_id)
            return JobProgress(job, counts, _pace(session, job, counts, self._db.clock()))

    def list(
        self, wanted: JobFilter = EVERY_JOB, limit: int = 50, offset: int = 0, seen_by: Onlooker | None = None
    ) -> tuple[Job, ...]:
        """Jobs, newest first, of those that somebody may see; None for all."""
        found = select(JobRow).where(*_conditions(wanted, seen_by)).order_by(JobRow.id.desc())
        with self._db.reading() as session:
            return tuple(job_of(row) for row in session.scalars(found.limit(limit).offset(offset)))

    def count(self, wanted: JobFilter = EVERY_JOB, seen_by: Onlooker | None = None) -> int:
        """How many jobs the whole list has."""
        found = select(func.count()).select_from(JobRow).where(*_conditions(wanted, seen_by))
        with self._db.reading() as session:
            return session.scalar(found) or 0

    def is_seen(self, job_id: int, seen_by: Onlooker) -> bool:
        """Whether the job exists for somebody."""
        found = select(JobRow.id).where(JobRow.id == job_id, _is_seen_by(seen_by))
        with self._db.reading() as session:
            return session.scalar(found) is not None

    def counts(self, job_ids: Collection[int], seen_by: Onlooker | None = None) -> Mapping[int, Mapping[State, int]]:
        """How many items of each job are in which state, by one question; jobs that somebody may not see are absent."""
        asked = (
            select(ItemRow.job_id, ItemRow.state, func.count())
            .join(JobRow, JobRow.id == ItemRow.job_id)
            .where(ItemRow.job_id.in_(job_ids), *_conditions(EVERY_JOB, seen_by))
            .group_by(ItemRow.job_id, ItemRow.state)
        )
        found: dict[int, Counter[State]] = defaultdict(Counter)
        with self._db.reading() as session:
            for job_id, state, count in session.execute(asked):
                found[job_id][state] = count
        return dict(found)

    def overview(self) -> Mapping[JobKind, Mapping[State, int]]:
        """How many jobs of each kind are in which state, by one question."""
        found: dict[JobKind, Counter[State]] = {kind: Counter() for kind in JobKind}
        by_kind_and_state = select(JobRow.kind, JobRow.state, func.count()).group_by(JobRow.kind, JobRow.state)
        with self._db.reading() as session:
            for kind, state, count in session.execute(by_kind_and_state):
                found[kind][state] = count
        return found

    def nodes(self, job_id: int) -> frozenset[tuple[int, int | None]]:
        """Source and destination of the items of a job; a batch query may ask several sources and has no destination.

        A transfer has one pair, as long as requests have one of each.
        """
        wanted = select(ItemRow.source_id, ItemRow.destination_id).where(ItemRow.job_id == job_id).distinct()
        with self._db.reading() as session:
            return frozenset((source, destination) for source, destination in session.execute(wanted))

    def due_sources(self, job_id: int) -> Mapping[int, int]:
        """How many items of a job are due now, by their source; none that a server holds back."""
        is_asked = and_(is_due(self._db.clock()), ~is_held_back(HoldingStore(self._db).reasons()))
        due = select(ItemRow.source_id, func.count()).where(ItemRow.job_id == job_id, is_asked)
        with self._db.reading() as session:
            return dict(session.execute(due.group_by(ItemRow.source_id)).all())

    def at_work(self) -> int:
        """How many items living workers have now."""
        held = and_(ItemRow.state == State.IN_PROGRESS, ItemRow.lease_until_at > self._db.clock())
        with self._db.reading() as session:
            return session.scalar(select(func.count()).select_from(ItemRow).where(held)) or 0

    def stand(self, job_id: int, item_id: int | None = None) -> Stand:
        """How the job stands, for what may be done to it or to one item of it; raises NotFound."""
        with self._db.reading() as session:
            return stand_of(session, job_row(session, job_id), item_id)

    def due_jobs(self, now: datetime | None = None) -> tuple[int, ...]:
        """Ids of jobs that have something to do and nobody who does it: urgent ones first, then the oldest.

        None that has to wait, because its application is suspended or there is maintenance, nor one of which servers
        hold back all that is due.
        """
        now = now or self._db.clock()
        held = HoldingStore(self._db).reasons()
        of_job = ItemRow.job_id == JobRow.id
        in_hand = and_(of_job, ItemRow.state == State.IN_PROGRESS, ItemRow.lease_until_at > now)
        wanted = (
            select(JobRow.id)
            .where(JobRow.state.in_([State.PENDING, State.IN_PROGRESS]))
            .where(~has_to_wait(), exists().where(of_job, is_due(now), ~is_held_back(held)), ~exists().where(in_hand))
            .order_by(JobRow.urgent.desc(), JobRow.id)
        )
        with self._db.reading() as session:
            return tuple(session.scalars(wanted))

    def unended(self) -> frozenset[int]:
        """The ids of all jobs that have not ended, those that nobody has verified among them."""
        with self._db.reading() as session:
            return frozenset(session.scalars(select(JobRow.id).where(JobRow.state.in_(frozenset(State) - FINISHED))))

    def is_canceling(self, job_id: int) -> bool:
        """Whether somebody wants the job to stop, or it has stopped already for that reason."""
        with self._db.reading() as session:
            state = session.scalar(select(JobRow.state).where(JobRow.id == job_id))
            return state in {State.CANCELING, State.CANCELED}

    def last_activity_at(self, job_id: int) -> datetime | None:
        """When a worker last claimed an item, renewed a lease or ended an attempt; None if there never was one."""
        with self._db.reading() as session:
            return session.scalar(select(func.max(ItemRow.active_at)).where(ItemRow.job_id == job_id))


def _pace(session: Session, job: Job, counts: Mapping[State, int], now: datetime) -> Pace | None:
    """Of a running job; the question for the last ends looks at all items, some milliseconds for ten thousand."""
    begun_at = job.run_requested_at or job.started_at
    if job.state is not State.IN_PROGRESS or begun_at is None:
        return None
    ended = select(ItemRow.ended_at).where(ItemRow.job_id == job.id, ItemRow.ended_at >= begun_at)
    last = session.scalars(ended.order_by(ItemRow.ended_at.desc()).limit(LAST_ENDED)).all()
    left = counts.get(State.PENDING, 0) + counts.get(State.IN_PROGRESS, 0)
    return pace(begun_at, [end for end in last if end is not None], left, now)


def stand_of(session: Session, job: JobRow, item_id: int | None = None) -> Stand:
    """How a job stands; what was delivered is told of the whole job, or of one item where it is named."""
    meant = ItemRow.job_id == job.id if item_id is None else ItemRow.id == item_id
    delivered = exists().where(ReceiptRow.item_id == ItemRow.id, ReceiptRow.stored_count > 0, meant)
    is_used = exists().where(JobRow.checked_by_job_id == job.id)
    return Stand(
        state=job.state,
        counts=counts_of(session, job.id),
        has_delivered=bool(session.scalar(select(delivered))),
        is_used=bool(session.scalar(select(is_used))),
        is_emptied=job.emptied_at is not None,
        only_asks=job.kind.only_asks,
    )


def _conditions(wanted: JobFilter, seen_by: Onlooker | None) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [] if seen_by is None else [_is_seen_by(seen_by)]
    if wanted.owner is not None:
        found.append(JobRow.owner == wanted.owner)
    if wanted.states is not None:
        found.append(JobRow.state.in_(wanted.states))
    if wanted.kinds is not None:
        found.append(JobRow.kind.in_(wanted.kinds))
    if wanted.trial:
        found.append(JobRow.trial_protocol_id == wanted.trial)
    if wanted.text:
        found.append(_has(wanted.text))
    return found


def _has(text: str) -> ColumnElement[bool]:
    """Whether trial or owner contain the text in any case of letters, or the job has this number."""
    columns = (JobRow.trial_protocol_id, JobRow.trial_protocol_name, JobRow.owner)
    found = [column.icontains(text, autoescape=True) for column in columns]
    if text.isdecimal() and len(text) < _DIGITS:
        found.append(JobRow.id == int(text))
    return or_(*found)


def _is_seen_by(somebody: Onlooker) -> ColumnElement[bool]:
    if somebody.nodes is None:
        return _is_shown_to(somebody)
    elsewhere = or_(ItemRow.source_id.not_in(somebody.nodes), ItemRow.destination_id.not_in(somebody.nodes))
    names_others = exists().where(ItemRow.job_id == JobRow.id, elsewhere).correlate(JobRow)
    return and_(_is_shown_to(somebody), ~names_others)


def _is_shown_to(somebody: Onlooker) -> ColumnElement[bool]:
    """Own jobs, and those of a kind that a group shows to its members when their owner is a member, too."""
    if somebody.everybody:
        return true()
    own = JobRow.owner == somebody.name
    if not somebody.groups:
        return own
    shown = [and_(JobRow.kind == kind, _is_of_colleague(somebody, right)) for kind, right in MAY_SEE.items()]
    return or_(own, *shown)


def _is_of_colleague(somebody: Onlooker, right: Permission) -> ColumnElement[bool]:
    shares = [
        UserRow.username == JobRow.owner,
        MembershipRow.user_id == UserRow.id,
        MembershipRow.group_id.in_(somebody.groups),
    ]
    if not somebody.is_shown_all:
        shares += [GroupPermissionRow.group_id == MembershipRow.group_id, GroupPermissionRow.permission == right]
    return exists().where(*shares)
