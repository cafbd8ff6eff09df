"""Keeps jobs and items: who may work on what, and every move from state to state.

Each move happens in one transaction that first locks the job's row, so the job's state is always the one derived
from its items, whatever number of workers end theirs at the same moment.
"""

import secrets
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, exists, func, or_, select, update
from sqlalchemy.orm import Session

from models.db.engine import Database
from models.db.tables import ItemRow, JobRow, ReceiptRow, ReviewRow
from models.domain.errors import LeaseLost, NotFound, WrongState
from models.domain.jobs import (
    FINISHED,
    Item,
    Job,
    JobProgress,
    Lease,
    State,
    check_item_move,
    check_job_move,
    derived_state,
    summary,
)
from models.domain.requests import TransferRequest

_CANCELED_TEXT = "Canceled on request."
_ABANDONED_TEXT = "Its worker died without a word during the last attempt."


class JobStore:
    """Jobs and items by id."""

    def __init__(self, db: Database) -> None:
        self._db = db

    # -- asking ---------------------------------------------------------------------------------------------------

    def get(self, job_id: int) -> Job:
        """The job; raises NotFound."""
        with self._db.reading() as session:
            return _job(_job_row(session, job_id))

    def item(self, item_id: int) -> Item:
        """One item; raises NotFound."""
        with self._db.reading() as session:
            row = session.get(ItemRow, item_id)
            if row is None:
                raise NotFound("There is no such item.")
            return _item(row)

    def items(self, job_id: int) -> Sequence[Item]:
        """The items of a job in the order of the request."""
        with self._db.reading() as session:
            rows = session.scalars(select(ItemRow).where(ItemRow.job_id == job_id).order_by(ItemRow.position))
            return [_item(row) for row in rows]

    def progress(self, job_id: int) -> JobProgress:
        """The job with how many of its items are in which state."""
        with self._db.reading() as session:
            job = _job(_job_row(session, job_id))
            return JobProgress(job, _counts(session, job_id))

    def list(
        self, owner: str | None = None, states: Collection[State] | None = None, limit: int = 50, offset: int = 0
    ) -> tuple[Job, ...]:
        """Jobs, newest first; None means every owner or every state."""
        wanted = select(JobRow).order_by(JobRow.id.desc()).limit(limit).offset(offset)
        if owner is not None:
            wanted = wanted.where(JobRow.owner == owner)
        if states is not None:
            wanted = wanted.where(JobRow.state.in_(states))
        with self._db.reading() as session:
            return tuple(_job(row) for row in session.scalars(wanted))

    def due_jobs(self, now: datetime | None = None) -> tuple[int, ...]:
        """Ids of jobs that have something to do and nobody who does it: urgent ones first, then the oldest."""
        now = now or self._db.clock()
        of_job = ItemRow.job_id == JobRow.id
        in_hand = and_(of_job, ItemRow.state == State.IN_PROGRESS, ItemRow.lease_until_at > now)
        wanted = (
            select(JobRow.id)
            .where(JobRow.state.in_([State.PENDING, State.IN_PROGRESS]))
            .where(exists().where(of_job, _is_due(now)), ~exists().where(in_hand))
            .order_by(JobRow.urgent.desc(), JobRow.id)
        )
        with self._db.reading() as session:
            return tuple(session.scalars(wanted))

    def is_canceling(self, job_id: int) -> bool:
        """Whether somebody wants the job to stop, or it has stopped already for that reason."""
        with self._db.reading() as session:
            state = session.scalar(select(JobRow.state).where(JobRow.id == job_id))
            return state in {State.CANCELING, State.CANCELED}

    def last_activity_at(self, job_id: int) -> datetime | None:
        """When a worker last claimed an item, renewed a lease or ended an attempt; None if there never was one."""
        with self._db.reading() as session:
            return session.scalar(select(func.max(ItemRow.active_at)).where(ItemRow.job_id == job_id))

    # -- requests -------------------------------------------------------------------------------------------------

    def add(self, owner: str, request: TransferRequest, scope_id: int, policy_digest: str = "") -> Job:
        """Write an accepted request down as a pending job with one pending item per study.

        ``policy_digest`` is that of the request's profile as it is now.
        """
        with self._db.transaction() as session:
            row = _new_job(owner, request, scope_id, policy_digest, self._db.clock())
            session.add(row)
            session.flush()
            session.add_all(_new_items(row.id, request))
            return _job(row)

    def cancel(self, job_id: int) -> Job:
        """Stop a job: what waits is canceled at once, what a living worker holds as soon as that worker notices.

        Raises WrongState unless the job is pending or in progress.
        """
        with self._db.transaction() as session:
            row = _locked(session, job_id)
            if row.state not in {State.PENDING, State.IN_PROGRESS}:
                raise WrongState(f"A job that is {row.state.value} cannot be canceled.")
            now = self._db.clock()
            _cancel_idle_items(session, job_id, now)
            counts = _counts(session, job_id)
            if counts[State.IN_PROGRESS]:
                _move_job(row, State.CANCELING)
            else:
                _finish(row, State.CANCELED, counts, now)
            return _job(row)

    def finish_canceled(self, now: datetime | None = None) -> tuple[int, ...]:
        """End the jobs that are being canceled and whose workers have died; returns their ids."""
        now = now or self._db.clock()
        with self._db.reading() as session:
            ids = session.scalars(select(JobRow.id).where(JobRow.state == State.CANCELING)).all()
        return tuple(job_id for job_id in ids if self._has_ended_canceled(job_id, now))

    def resume(self, job_id: int) -> Job:
        """Let the canceled items of a finished job wait again; their attempts and receipts are kept."""
        with self._db.transaction() as session:
            row = _locked(session, job_id)
            if row.state is not State.CANCELED and not _counts(session, job_id).get(State.CANCELED):
                raise WrongState(f"This cannot be done with a job that is {row.state.value}.")
            return self._reopen(job_id, FINISHED, {State.CANCELED}, keeps_attempts=True)

    def retry_failed(self, job_id: int) -> Job:
        """Let the failed items of a failed job wait again; receipts are kept, so only what is missing is sent."""
        return self._reopen(job_id, {State.FAILURE}, {State.FAILURE})

    def restart(self, job_id: int) -> Job:
        """Let every item of a finished job wait again as if it had never run; receipts and reviews are deleted."""
        with self._db.transaction() as session:
            self._reopen(job_id, FINISHED, FINISHED)
            of_job = select(ItemRow.id).where(ItemRow.job_id == job_id)
            session.execute(delete(ReceiptRow).where(ReceiptRow.item_id.in_(of_job)))
            session.execute(delete(ReviewRow).where(ReviewRow.item_id.in_(of_job)))
            row = _job_row(session, job_id)
            row.started_at = None
            return _job(row)

    def at_rest(self, item_id: int) -> Item:
        """The item, which no worker can take up before the transaction at hand ends.

        Raises WrongState while a worker has it, or while its job is being canceled.
        """
        with self._db.transaction() as session:
            return _item(_at_rest(session, self.item(item_id))[1])

    def reopen_item(self, item_id: int) -> Item:
        """Let one item wait again, and its job with it, so that an attempt can move what may be moved now.

        One that waits anyway stays as it is, and so does one that was canceled. Raises WrongState as ``at_rest`` does.
        """
        with self._db.transaction() as session:
            job, row = _at_rest(session, self.item(item_id))
            if row.state in {State.SUCCESS, State.WARNING, State.FAILURE}:
                _let_wait_again(session, ItemRow.id == item_id, {row.state}, keeps_attempts=False)
                _wait_with_items(job)
            session.refresh(row)
            return _item(row)

    def describe(self, item_id: int, message: str) -> None:
        """Replace the message of an item that has ended."""
        with self._db.transaction() as session:
            ended = and_(ItemRow.id == item_id, ItemRow.state.in_(FINISHED))
            session.execute(update(ItemRow).where(ended).values(message=message))

    def delete(self, job_id: int) -> None:
        """Remove a job nobody has begun; raises WrongState for any other."""
        with self._db.transaction() as session:
            row = _locked(session, job_id)
            unbegun = row.state in {State.UNVERIFIED, State.PENDING}
            if not unbegun or set(_counts(session, job_id)) > {State.PENDING}:
                raise WrongState("Only a job whose items are all pending can be deleted.")
            session.delete(row)

    def set_flow_run(self, job_id: int, flow_run_id: str, requested_at: datetime | None = None) -> None:
        """Remember which flow run was asked to work on the job, and when."""
        with self._db.transaction() as session:
            row = _locked(session, job_id)
            row.flow_run_id = flow_run_id
            row.run_requested_at = requested_at or self._db.clock()

    # -- work -----------------------------------------------------------------------------------------------------

    def claim_next(self, job_id: int, lease_for: timedelta) -> tuple[Item, Lease] | None:
        """Take the next due item for an attempt, or None when there is none now.

        Due are pending items whose time has come and items whose worker let the lease run out. Never the same item
        for two callers, and nothing of a job that is being canceled.
        """
        with self._db.transaction() as session:
            job = _locked(session, job_id)
            if job.state not in {State.PENDING, State.IN_PROGRESS}:
                return None
            now = self._db.clock()
            due = select(ItemRow).where(ItemRow.job_id == job_id, _is_due(now)).order_by(ItemRow.position).limit(1)
            row = session.scalar(due)
            if row is None:
                return None
            lease = _begin(row, now, lease_for)
            if job.state is State.PENDING:
                _move_job(job, State.IN_PROGRESS)
            job.started_at = job.started_at or now
            return _item(row), lease

    def fail_abandoned(self, job_id: int, max_attempts: int) -> int:
        """Fail items whose worker died in the last allowed attempt, and return how many.

        Without this an item that kills its worker would be taken up again for ever.
        """
        with self._db.transaction() as session:
            job = _locked(session, job_id)
            if job.state is not State.IN_PROGRESS:
                return 0
            now = self._db.clock()
            is_hopeless = and_(ItemRow.job_id == job_id, _is_abandoned(now), ItemRow.attempts >= max_attempts)
            lost = session.scalars(select(ItemRow).where(is_hopeless).with_for_update()).all()
            for item in lost:
                _end(item, State.FAILURE, _ABANDONED_TEXT, now)
                item.error_code = LeaseLost.__name__
            if lost:
                _derive(session, job, now)
            return len(lost)

    def renew(self, lease: Lease, lease_for: timedelta) -> bool:
        """Prolong a lease; False when the item is no longer the caller's."""
        with self._db.transaction() as session:
            row = session.scalar(_held_by(lease))
            if row is None:
                return False
            row.active_at = now = self._db.clock()
            row.lease_until_at = now + lease_for
            return True

    def set_pseudonym(self, lease: Lease, pseudonym: str) -> Item:
        """Write down under which pseudonym the item's patient goes; raises LeaseLost when another worker has it."""
        with self._db.transaction() as session:
            row = session.scalar(_held_by(lease))
            if row is None:
                raise LeaseLost
            row.pseudonym = pseudonym
            return _item(row)

    def end_attempt(
        self, lease: Lease, state: State, message: str, error_code: str = "", not_before_at: datetime | None = None
    ) -> None:
        """End an attempt and derive the job's state; ``pending`` means that it will be tried again.

        In a job that is being canceled nothing becomes pending again: such an item is canceled. Raises LeaseLost
        when the item is no longer the caller's, WrongState for a move that is not allowed.
        """
        with self._db.transaction() as session:
            job = _locked(session, _job_of(session, lease))
            item = session.scalar(_held_by(lease))
            if item is None:
                raise LeaseLost
            now = self._db.clock()
            if state is State.PENDING and job.state is State.CANCELING:
                state, not_before_at, message, error_code = State.CANCELED, None, _CANCELED_TEXT, ""
            _end(item, state, message, now)
            item.active_at, item.error_code, item.not_before_at = now, error_code, not_before_at
            _derive(session, job, now)

    def _reopen(
        self, job_id: int, job_states: Collection[State], item_states: Collection[State], keeps_attempts: bool = False
    ) -> Job:
        with self._db.transaction() as session:
            row = _locked(session, job_id)
            if row.state not in job_states:
                raise WrongState(f"This cannot be done with a job that is {row.state.value}.")
            _let_wait_again(session, ItemRow.job_id == job_id, item_states, keeps_attempts)
            _wait_with_items(row)
            return _job(row)

    def _has_ended_canceled(self, job_id: int, now: datetime) -> bool:
        with self._db.transaction() as session:
            row = _locked(session, job_id)
            if row.state is not State.CANCELING:
                return False
            _cancel_idle_items(session, job_id, now)
            return _derive(session, row, now) is State.CANCELED


def _is_due(now: datetime) -> ColumnElement[bool]:
    time_has_come = or_(ItemRow.not_before_at.is_(None), ItemRow.not_before_at <= now)
    return or_(
        and_(ItemRow.state == State.PENDING, time_has_come),
        _is_abandoned(now),
    )


def _is_abandoned(now: datetime) -> ColumnElement[bool]:
    return and_(ItemRow.state == State.IN_PROGRESS, ItemRow.lease_until_at <= now)


def _counts(session: Session, job_id: int) -> Counter[State]:
    by_state = select(ItemRow.state, func.count()).where(ItemRow.job_id == job_id).group_by(ItemRow.state)
    return Counter(dict(session.execute(by_state).all()))


def _job_row(session: Session, job_id: int) -> JobRow:
    row = session.get(JobRow, job_id)
    if row is None:
        raise NotFound("There is no such job.")
    return row


def _locked(session: Session, job_id: int) -> JobRow:
    """The job's row as it is now; no other transaction can change it before this one ends."""
    row = session.get(JobRow, job_id, with_for_update=True, populate_existing=True)
    if row is None:
        raise NotFound("There is no such job.")
    return row


def _at_rest(session: Session, item: Item) -> tuple[JobRow, ItemRow]:
    """The job's row, locked, and the item's row as it is now."""
    job = _locked(session, item.job_id)
    row = session.get_one(ItemRow, item.id, populate_existing=True)
    if row.state is State.IN_PROGRESS or job.state is State.CANCELING:
        raise WrongState("A worker has this item; wait until its attempt has ended.")
    return job, row


def _held_by(lease: Lease) -> Select[ItemRow]:
    """The item's row, locked, if the lease still stands: a worker that came later has put its own token there."""
    holds = and_(ItemRow.id == lease.item_id, ItemRow.lease_token == lease.token, ItemRow.state == State.IN_PROGRESS)
    return select(ItemRow).where(holds).with_for_update().execution_options(populate_existing=True)


def _job_of(session: Session, lease: Lease) -> int:
    job_id = session.scalar(select(ItemRow.job_id).where(ItemRow.id == lease.item_id))
    if job_id is None:
        raise LeaseLost
    return job_id


def _begin(row: ItemRow, now: datetime, lease_for: timedelta) -> Lease:
    if row.state is not State.IN_PROGRESS:
        _move_item(row, State.IN_PROGRESS)
    row.attempts += 1
    row.message, row.error_code, row.not_before_at, row.ended_at = "", "", None, None
    row.started_at = row.active_at = now
    lease = Lease(row.id, secrets.token_urlsafe(24))
    row.lease_token, row.lease_until_at = lease.token, now + lease_for
    return lease


def _end(row: ItemRow, state: State, message: str, now: datetime) -> None:
    _move_item(row, state)
    row.message = message
    row.lease_token = row.lease_until_at = row.not_before_at = None
    row.ended_at = now if state in FINISHED else None


def _wait_with_items(job: JobRow) -> None:
    """Let an ended job wait again; one that has not ended takes up its items anyway."""
    if job.state in FINISHED:
        _move_job(job, State.PENDING)
        job.message, job.ended_at, job.run_requested_at = "", None, None
        job.finished_mail_at = None


def _let_wait_again(
    session: Session, chosen: ColumnElement[bool], states: Collection[State], keeps_attempts: bool
) -> None:
    values: dict[str, Any] = {"message": "", "error_code": "", "not_before_at": None}
    values |= {"started_at": None, "ended_at": None} | ({} if keeps_attempts else {"attempts": 0})
    for state in states:
        _move_items(session, and_(chosen, ItemRow.state == state), state, State.PENDING, values)


def _cancel_idle_items(session: Session, job_id: int, now: datetime) -> None:
    """Cancel what waits and what a dead worker held."""
    values = {"message": _CANCELED_TEXT, "error_code": "", "not_before_at": None, "ended_at": now}
    values |= {"lease_token": None, "lease_until_at": None}
    waits = and_(ItemRow.job_id == job_id, ItemRow.state == State.PENDING)
    _move_items(session, waits, State.PENDING, State.CANCELED, values)
    abandoned = and_(ItemRow.job_id == job_id, _is_abandoned(now))
    _move_items(session, abandoned, State.IN_PROGRESS, State.CANCELED, values)


def _move_items(session: Session, chosen: ColumnElement[bool], old: State, new: State, values: dict[str, Any]) -> None:
    """Move many items of one state by one statement: a job may have ten thousand."""
    check_item_move(old, new)
    statement = update(ItemRow).where(chosen).values(state=new, **values)
    session.execute(statement, execution_options={"synchronize_session": False})


def _move_item(row: ItemRow, state: State) -> None:
    check_item_move(row.state, state)
    row.state = state


def _move_job(row: JobRow, state: State) -> None:
    check_job_move(row.state, state)
    row.state = state


def _derive(session: Session, job: JobRow, now: datetime) -> State:
    """Bring the job's state in line with its items and return it."""
    counts = _counts(session, job.id)
    state = derived_state(job.state, counts.elements())
    if state is job.state:
        return state
    if state in FINISHED:
        _finish(job, state, counts, now)
    else:
        _move_job(job, state)
    return state


def _finish(job: JobRow, state: State, counts: Counter[State], now: datetime) -> None:
    _move_job(job, state)
    job.ended_at = now
    job.message = summary(counts.elements())


def _new_job(owner: str, request: TransferRequest, scope_id: int, policy_digest: str, now: datetime) -> JobRow:
    return JobRow(
        kind=request.kind,
        state=State.PENDING,
        owner=owner,
        urgent=request.urgent,
        message="",
        trial_protocol_id=request.trial_protocol_id,
        trial_protocol_name=request.trial_protocol_name,
        linkage_scope_id=scope_id,
        profile=request.profile,
        policy_digest=policy_digest,
        keep_identity=request.keep_identity,
        send_finished_mail=request.send_finished_mail,
        flow_run_id="",
        created_at=now,
    )


def _new_items(job_id: int, request: TransferRequest) -> list[ItemRow]:
    return [
        ItemRow(
            job_id=job_id,
            position=position,
            state=State.PENDING,
            source_id=request.source_id,
            destination_id=request.destination_id,
            patient_id=wish.patient_id,
            study_uid=wish.study_uid,
            series_uids=list(wish.series_uids),
            pseudonym=wish.pseudonym,
            attempts=0,
            message="",
            error_code="",
        )
        for position, wish in enumerate(request.studies, start=1)
    ]


def _job(row: JobRow) -> Job:
    return Job(
        id=row.id,
        kind=row.kind,
        state=row.state,
        owner=row.owner,
        urgent=row.urgent,
        message=row.message,
        trial_protocol_id=row.trial_protocol_id,
        trial_protocol_name=row.trial_protocol_name,
        linkage_scope_id=row.linkage_scope_id,
        flow_run_id=row.flow_run_id,
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        run_requested_at=row.run_requested_at,
        profile=row.profile,
        policy_digest=row.policy_digest,
        keep_identity=row.keep_identity,
        send_finished_mail=row.send_finished_mail,
    )


def _item(row: ItemRow) -> Item:
    return Item(
        id=row.id,
        job_id=row.job_id,
        position=row.position,
        state=row.state,
        source_id=row.source_id,
        destination_id=row.destination_id,
        patient_id=row.patient_id,
        study_uid=row.study_uid,
        series_uids=tuple(row.series_uids),
        pseudonym=row.pseudonym,
        attempts=row.attempts,
        message=row.message,
        error_code=row.error_code,
        not_before_at=row.not_before_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
    )
