"""Keeps leases: which worker may work on which item until when, and what has become of its attempt."""

import secrets
from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import Select, and_, select
from sqlalchemy.orm import Session

from models.db.engine import Database
from models.db.holding import HoldingStore, is_held_back
from models.db.job_events import tell
from models.db.job_rows import (
    counts_of,
    derive,
    end,
    is_abandoned,
    item_of,
    locked,
    move_item,
    move_job,
    waits_no_longer,
)
from models.db.project import has_to_wait
from models.db.tables import ItemRow, JobRow
from models.db.totals import count_attempt
from models.domain.errors import LeaseLost
from models.domain.jobs import Item, Lease, State
from models.domain.webhooks import Event

CANCELED_TEXT = "Canceled on request."
_ABANDONED_TEXT = "Its worker died without a word during the last attempt."


class LeaseStore:
    """What workers do with items: claim, stay alive, end."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def claim_next(self, job_id: int, lease_for: timedelta, source_id: int | None = None) -> tuple[Item, Lease] | None:
        """Take the next due item for an attempt, of one source where it is named, or None when there is none now.

        Due are pending items whose time has come and items whose worker let the lease run out. Never the same item
        for two callers, nothing of a job that is being canceled or has to wait (suspended, or under maintenance), and
        no item of which a server is stopped or outside its windows.
        """
        with self._db.transaction() as session:
            job = locked(session, job_id)
            if job.state not in {State.PENDING, State.IN_PROGRESS}:
                return None
            if session.scalar(select(JobRow.id).where(JobRow.id == job_id, has_to_wait())) is not None:
                return None
            now = self._db.clock()
            row = _next_due(session, job_id, now, source_id, HoldingStore(self._db).reasons())
            if row is None:
                return None
            lease = _begin(row, now, lease_for)
            if job.state is State.PENDING:
                move_job(job, State.IN_PROGRESS)
                tell(session, Event.STARTED, job, counts_of(session, job_id), now)
            job.started_at = job.started_at or now
            return item_of(row), lease

    def fail_abandoned(self, job_id: int, max_attempts: int) -> int:
        """Fail items whose worker died in the last allowed attempt, and return how many.

        Without this an item that kills its worker would be taken up again for ever.
        """
        with self._db.transaction() as session:
            job = locked(session, job_id)
            if job.state is not State.IN_PROGRESS:
                return 0
            now = self._db.clock()
            is_hopeless = and_(ItemRow.job_id == job_id, is_abandoned(now), ItemRow.attempts >= max_attempts)
            by_route = (ItemRow.source_id, ItemRow.destination_id)  # so counters are locked in one order everywhere
            lost = session.scalars(select(ItemRow).where(is_hopeless).order_by(*by_route).with_for_update()).all()
            for item in lost:
                end(item, State.FAILURE, _ABANDONED_TEXT, now)
                item.error_code = LeaseLost.__name__
                count_attempt(session, item, State.FAILURE, item.error_code, now)
            if lost:
                derive(session, job, now)
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
            return item_of(row)

    def end_attempt(
        self,
        lease: Lease,
        state: State,
        message: str,
        error_code: str = "",
        not_before_at: datetime | None = None,
        is_counted: bool = True,
    ) -> None:
        """End an attempt and derive the job's state; ``pending`` means that it will be tried again.

        One that is not counted leaves the item as many attempts as it had. In a job that is being canceled nothing
        becomes pending again: such an item is canceled. Raises LeaseLost when the item is no longer the caller's,
        WrongState for a move that is not allowed.
        """
        with self._db.transaction() as session:
            job = locked(session, _job_of(session, lease))
            item = session.scalar(_held_by(lease))
            if item is None:
                raise LeaseLost
            now = self._db.clock()
            if state is State.PENDING and job.state is State.CANCELING:
                state, not_before_at, message, error_code = State.CANCELED, None, CANCELED_TEXT, ""
            end(item, state, message, now)
            item.active_at, item.error_code, item.not_before_at = now, error_code, not_before_at
            if not is_counted:
                item.attempts = max(item.attempts - 1, 0)
            count_attempt(session, item, state, error_code, now)
            derive(session, job, now)


def check_lease(session: Session, lease: Lease) -> None:
    """Raise LeaseLost when another worker has the item; it cannot take it before the transaction ends."""
    if session.scalar(_held_by(lease)) is None:
        raise LeaseLost


def _held_by(lease: Lease) -> Select[ItemRow]:
    """The item's row, locked, if the lease still stands: a worker that came later has put its own token there."""
    holds = and_(ItemRow.id == lease.item_id, ItemRow.lease_token == lease.token, ItemRow.state == State.IN_PROGRESS)
    return select(ItemRow).where(holds).with_for_update().execution_options(populate_existing=True)


def _job_of(session: Session, lease: Lease) -> int:
    job_id = session.scalar(select(ItemRow.job_id).where(ItemRow.id == lease.item_id))
    if job_id is None:
        raise LeaseLost
    return job_id


def _next_due(
    session: Session, job_id: int, now: datetime, source_id: int | None, held_back: Collection[int]
) -> ItemRow | None:
    """The first due item of the job. Asked by state, since the index then leads to it, whatever the number of items."""
    wanted = select(ItemRow).where(ItemRow.job_id == job_id).order_by(ItemRow.position).limit(1)
    if held_back:
        wanted = wanted.where(~is_held_back(held_back))
    if source_id is not None:
        wanted = wanted.where(ItemRow.source_id == source_id)
    found = [session.scalar(wanted.where(due)) for due in (waits_no_longer(now), is_abandoned(now))]
    return min((row for row in found if row is not None), key=lambda row: row.position, default=None)


def _begin(row: ItemRow, now: datetime, lease_for: timedelta) -> Lease:
    if row.state is not State.IN_PROGRESS:
        move_item(row, State.IN_PROGRESS)
    row.attempts += 1
    row.message, row.error_code, row.not_before_at, row.ended_at = "", "", None, None
    row.started_at = row.active_at = now
    lease = Lease(row.id, secrets.token_urlsafe(24))
    row.lease_token, row.lease_until_at = lease.token, now + lease_for
    return lease
