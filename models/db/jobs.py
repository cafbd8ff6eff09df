"""Keeps jobs and items: what people ask for and do to them. Questions and leases have modules of their own.

Each move happens in one transaction that first locks the job's row, so the job's state is always the one derived
from its items, whatever number of workers end theirs at the same moment.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, select, update
from sqlalchemy.orm import Session

from models.db.job_events import tell
from models.db.job_questions import JobQuestions, stand_of
from models.db.job_rows import (
    counts_of,
    derive,
    end,
    finish,
    insert_items,
    is_abandoned,
    item_of,
    job_of,
    job_row,
    locked,
    move_items,
    move_job,
    new_items,
    new_job,
)
from models.db.leases import CANCELED_TEXT, LeaseStore
from models.db.tables import AnswerRow, ItemRow, JobRow, ReceiptRow, ReviewRow
from models.domain.errors import NotFound, WrongState
from models.domain.job_actions import check_allows, check_item_allows
from models.domain.jobs import FINISHED, Item, ItemAction, Job, JobAction, State
from models.domain.requests import TransferRequest
from models.domain.webhooks import Event


class JobStore(JobQuestions, LeaseStore):
    """Jobs and items by id: all that can be asked, done and worked on."""

    def add(
        self, owner: str, request: TransferRequest, scope_id: int, policy_digest: str = "", state: State = State.PENDING
    ) -> Job:
        """Write an accepted request down as a job, pending or unverified, with one pending item per study.

        ``policy_digest`` is that of the request's profile as it is now.
        """
        with self._db.transaction() as session:
            row = new_job(owner, request.head, scope_id, policy_digest, state, self._db.clock())
            session.add(row)
            session.flush()
            insert_items(session, new_items(row.id, request))
            tell(session, Event.ACCEPTED, row, {State.PENDING: len(request.studies)}, row.created_at)
            return job_of(row)

    def made_of(self, check_id: int) -> Job | None:
        """The transfer that was made of a check, if one was.

        Inside a transaction nobody else can make one before it ends. Raises NotFound without such a check.
        """
        with self._db.transaction() as session:
            locked(session, check_id)
            row = session.scalar(select(JobRow).where(JobRow.checked_by_job_id == check_id))
            return None if row is None else job_of(row)

    def verify(self, job_id: int) -> Job:
        """Let an unverified job begin; raises WrongState for any other."""
        with self._db.transaction() as session:
            row = _row_that_allows(session, JobAction.VERIFY, job_id)
            move_job(row, State.PENDING)
            return job_of(row)

    def hurry(self, job_id: int, urgent: bool) -> Job:
        """Make a job urgent, or not urgent any more; raises WrongState once it has ended."""
        with self._db.transaction() as session:
            row = _row_that_allows(session, JobAction.HURRY, job_id)
            row.urgent = urgent
            return job_of(row)

    def cancel(self, job_id: int) -> Job:
        """Stop a job: what waits is canceled at once, what a living worker holds as soon as that worker notices.

        Raises WrongState unless the job is pending or in progress.
        """
        with self._db.transaction() as session:
            row = _row_that_allows(session, JobAction.CANCEL, job_id)
            now = self._db.clock()
            _cancel_idle_items(session, job_id, now)
            counts = counts_of(session, job_id)
            if counts[State.IN_PROGRESS]:
                move_job(row, State.CANCELING)
            else:
                finish(session, row, State.CANCELED, counts, now)
            return job_of(row)

    def finish_canceled(self, now: datetime | None = None) -> tuple[int, ...]:
        """End the jobs that are being canceled and whose workers have died; returns their ids."""
        now = now or self._db.clock()
        with self._db.reading() as session:
            ids = session.scalars(select(JobRow.id).where(JobRow.state == State.CANCELING)).all()
        return tuple(job_id for job_id in ids if self._has_ended_canceled(job_id, now))

    def resume(self, job_id: int) -> Job:
        """Let the canceled items of a finished job wait again; their attempts and receipts are kept."""
        return self._again(JobAction.RESUME, job_id, {State.CANCELED}, keeps_attempts=True)

    def retry_failed(self, job_id: int) -> Job:
        """Let the failed items of a failed job wait again; receipts are kept, so only what is missing is sent."""
        return self._again(JobAction.RETRY, job_id, {State.FAILURE})

    def restart(self, job_id: int) -> Job:
        """Let every item of a finished job wait again as if it had never run; what came of them is deleted."""
        with self._db.transaction() as session:
            self._again(JobAction.RESTART, job_id, FINISHED)
            _forget_delivery(session, ItemRow.job_id == job_id)
            row = job_row(session, job_id)
            row.started_at = None
            return job_of(row)

    def at_rest(self, item_id: int) -> Item:
        """The item, which no worker can take up before the transaction at hand ends.

        Raises WrongState while a worker has it, or while its job is being canceled.
        """
        with self._db.transaction() as session:
            return item_of(_at_rest(session, self.item(item_id))[1])

    def reopen_item(self, item_id: int) -> Item:
        """Let one item wait again, and its job with it, so that an attempt can move what may be moved now.

        One that waits anyway stays as it is, and so does one that was canceled. Raises WrongState as ``at_rest`` does.
        """
        with self._db.transaction() as session:
            job, row = _at_rest(session, self.item(item_id))
            if row.state in {State.SUCCESS, State.WARNING, State.FAILURE}:
                check_item_allows(ItemAction.RESET, row.state, stand_of(session, job, item_id))
                _let_wait_again(session, ItemRow.id == item_id, {row.state}, keeps_attempts=False)
                _wait_with_items(job)
            session.refresh(row)
            return item_of(row)

    def reset_item(self, item_id: int) -> Item:
        """Let one item that has ended wait again as if it had never run; its receipt and reviews are deleted.

        Raises WrongState for one that has not ended, or while its job is being canceled.
        """
        with self._db.transaction() as session:
            job, row = _at_rest(session, self.item(item_id))
            check_item_allows(ItemAction.RESET, row.state, stand_of(session, job, item_id))
            _let_wait_again(session, ItemRow.id == item_id, {row.state}, keeps_attempts=False)
            _forget_delivery(session, ItemRow.id == item_id)
            _wait_with_items(job)
            session.refresh(row)
            return item_of(row)

    def cancel_item(self, item_id: int) -> Item:
        """Cancel an item that waits; its job goes on with the others, and ends when all of them have.

        Raises WrongState for an item that does not wait, or whose job is unverified.
        """
        with self._db.transaction() as session:
            job, row = _at_rest(session, self.item(item_id))
            check_item_allows(ItemAction.CANCEL, row.state, stand_of(session, job, item_id))
            now = self._db.clock()
            end(row, State.CANCELED, CANCELED_TEXT, now)
            row.error_code = ""
            session.flush()
            derive(session, job, now)
            return item_of(row)

    def delete_item(self, item_id: int) -> Job:
        """Remove an item that waits, and return its job, which ends when all others have.

        Raises WrongState for an item that does not wait, that has delivered something, or that is the only one.
        """
        with self._db.transaction() as session:
            job, row = _at_rest(session, self.item(item_id))
            check_item_allows(ItemAction.DELETE, row.state, stand_of(session, job, item_id))
            session.delete(row)
            session.flush()
            derive(session, job, self._db.clock())
            return job_of(job)

    def describe(self, item_id: int, message: str) -> None:
        """Replace the message of an item that has ended."""
        with self._db.transaction() as session:
            ended = and_(ItemRow.id == item_id, ItemRow.state.in_(FINISHED))
            session.execute(update(ItemRow).where(ended).values(message=message))

    def delete(self, job_id: int) -> None:
        """Remove a job nobody has begun, or one that only asked and has ended; raises WrongState for any other."""
        with self._db.transaction() as session:
            row = _row_that_allows(session, JobAction.DELETE, job_id)
            tell(session, Event.DELETED, row, {}, self._db.clock())
            session.delete(row)

    def set_flow_run(self, job_id: int, flow_run_id: str, requested_at: datetime | None = None) -> None:
        """Remember which flow run was asked to work on the job, and when."""
        with self._db.transaction() as session:
            row = locked(session, job_id)
            row.flow_run_id = flow_run_id
            row.run_requested_at = requested_at or self._db.clock()

    def _again(
        self, action: JobAction, job_id: int, item_states: Collection[State], keeps_attempts: bool = False
    ) -> Job:
        with self._db.transaction() as session:
            row = _row_that_allows(session, action, job_id)
            _let_wait_again(session, ItemRow.job_id == job_id, item_states, keeps_attempts)
            _wait_with_items(row)
            return job_of(row)

    def _has_ended_canceled(self, job_id: int, now: datetime) -> bool:
        with self._db.transaction() as session:
            row = locked(session, job_id)
            if row.state is not State.CANCELING:
                return False
            _cancel_idle_items(session, job_id, now)
            return derive(session, row, now) is State.CANCELED


def _row_that_allows(session: Session, action: JobAction, job_id: int) -> JobRow:
    """The job's row, locked; raises WrongState when the job does not let the action be done."""
    row = locked(session, job_id)
    check_allows(action, stand_of(session, row))
    return row


def _at_rest(session: Session, item: Item) -> tuple[JobRow, ItemRow]:
    """The job's row, locked, and the item's row as it is now."""
    job = locked(session, item.job_id)
    row = session.get(ItemRow, item.id, populate_existing=True)
    if row is None:  # somebody has deleted it while this waited for the job
        raise NotFound("There is no such item.")
    if row.state is State.IN_PROGRESS or job.state is State.CANCELING:
        raise WrongState("A worker has this item; wait until its attempt has ended.")
    return job, row


def _wait_with_items(job: JobRow) -> None:
    """Let an ended job wait again; one that has not ended takes up its items anyway."""
    if job.state in FINISHED:
        move_job(job, State.PENDING)
        job.message, job.ended_at, job.run_requested_at = "", None, None
        job.finished_mail_at = None


def _let_wait_again(
    session: Session, chosen: ColumnElement[bool], states: Collection[State], keeps_attempts: bool
) -> None:
    """Let items wait again; what they have found is deleted, so that nobody takes it for new."""
    values: dict[str, Any] = {"message": "", "error_code": "", "not_before_at": None}
    values |= {"started_at": None, "ended_at": None} | ({} if keeps_attempts else {"attempts": 0})
    items = select(ItemRow.id).where(chosen, ItemRow.state.in_(states))
    session.execute(delete(AnswerRow).where(AnswerRow.item_id.in_(items)))
    for state in states:
        move_items(session, and_(chosen, ItemRow.state == state), state, State.PENDING, values)


def _forget_delivery(session: Session, chosen: ColumnElement[bool]) -> None:
    """Delete receipts and reviews of items that are done anew: nothing of it may be taken for new."""
    items = select(ItemRow.id).where(chosen)
    session.execute(delete(ReceiptRow).where(ReceiptRow.item_id.in_(items)))
    session.execute(delete(ReviewRow).where(ReviewRow.item_id.in_(items)))


def _cancel_idle_items(session: Session, job_id: int, now: datetime) -> None:
    """Cancel what waits and what a dead worker held."""
    values = {"message": CANCELED_TEXT, "error_code": "", "not_before_at": None, "ended_at": now}
    values |= {"lease_token": None, "lease_until_at": None}
    waits = and_(ItemRow.job_id == job_id, ItemRow.state == State.PENDING)
    move_items(session, waits, State.PENDING, State.CANCELED, values)
    abandoned = and_(ItemRow.job_id == job_id, is_abandoned(now))
    move_items(session, abandoned, State.IN_PROGRESS, State.CANCELED, values)
