"""What a worker does with items: claim, stay alive, keep the receipt, end; and what it needs to know for that."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import StrEnum

from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.nodes import NodeStore
from models.db.questions import QuestionStore
from models.db.receipts import ReceiptStore
from models.db.reviews import ReviewStore
from models.db.slots import SlotStore
from models.domain.answers import Answer, CheckedStudy
from models.domain.errors import AditError, BadRequest, Canceled, HeldBack, Retry
from models.domain.jobs import Item, Job, JobKind, JobProgress, Lease, State
from models.domain.nodes import Node
from models.domain.receipts import Receipt
from models.domain.reviews import Decision
from models.settings import Settings

_GIVEN_BACK = "The worker was told to end. The item goes on with the next one, from where it was."


class Signal(StrEnum):
    """What a worker hears when it renews its lease."""

    KEEP_GOING = "keep_going"
    CANCEL = "cancel"
    LOST = "lost"


def job(db: Database, job_id: int) -> Job:
    """The job; raises NotFound."""
    return JobStore(db).get(job_id)


def job_of_kind(db: Database, job_id: int, kind: JobKind) -> Job:
    """The job; raises NotFound, and BadRequest for one of another kind, which another flow works on."""
    found = job(db, job_id)
    if found.kind is not kind:
        raise BadRequest(f"Job {job_id} is a {found.kind.value}, which another deployment works on.")
    return found


def node(db: Database, node_id: int) -> Node:
    """The node with its credentials; raises NotFound."""
    return NodeStore(db).get(node_id)


def progress(db: Database, job_id: int) -> JobProgress:
    """The job and how many of its items are in which state."""
    return JobStore(db).progress(job_id)


def unended(db: Database, job_id: int) -> int:
    """How many items of the job wait or are at work."""
    counts = JobStore(db).counts([job_id]).get(job_id, {})
    return counts.get(State.PENDING, 0) + counts.get(State.IN_PROGRESS, 0)


def decisions(db: Database, item_id: int) -> Mapping[str, Decision]:
    """What reviewers have decided about held instances of an item, by SOP Instance UID of the source."""
    return ReviewStore(db).decisions(item_id)


def claim_next(
    db: Database, job_id: int, lease_for: timedelta, max_attempts: int | None = None, source_id: int | None = None
) -> tuple[Item, Lease] | None:
    """Take the next due item of a job for one attempt, of one source where it is named, or None when none is due.

    With ``max_attempts`` an item whose worker died in its last allowed attempt fails instead of being taken again.
    """
    jobs = JobStore(db)
    with db.transaction():
        if max_attempts is not None:
            jobs.fail_abandoned(job_id, max_attempts)
        return jobs.claim_next(job_id, lease_for, source_id)


def fail_abandoned(db: Database, job_id: int, max_attempts: int) -> int:
    """Fail items whose worker died in the last allowed attempt, and return how many."""
    return JobStore(db).fail_abandoned(job_id, max_attempts)


def renew(db: Database, lease: Lease, lease_for: timedelta) -> Signal:
    """Prolong the lease, and the places in association budgets held under its token; hear whether to go on.

    LOST means: another worker has the item, or the places have run out and others may use them.
    """
    with db.transaction():
        if not SlotStore(db).renew(lease.token, lease_for):
            return Signal.LOST
        jobs = JobStore(db)
        if not jobs.renew(lease, lease_for):
            return Signal.LOST
        return Signal.CANCEL if jobs.is_canceling(jobs.item(lease.item_id).job_id) else Signal.KEEP_GOING


def due_sources(db: Database, job_id: int) -> Mapping[int, int]:
    """How many items of a job are due now, by their source."""
    return JobStore(db).due_sources(job_id)


def is_canceling(db: Database, job_id: int) -> bool:
    """Whether somebody wants the job to stop, or it has stopped already for that reason."""
    return JobStore(db).is_canceling(job_id)


def question(db: Database, item_id: int) -> bytes:
    """What an item asks, as ``services.batches.content`` reads it."""
    return QuestionStore(db).content(item_id)


def end_question(
    db: Database, lease: Lease, state: State, message: str, answers: Sequence[Answer | CheckedStudy]
) -> None:
    """End a question with its answers, instead of those of an earlier attempt; raises LeaseLost."""
    QuestionStore(db).end(lease, state, message, answers)


def load_receipt(db: Database, item_id: int) -> Receipt:
    """What earlier attempts have proven; an empty receipt before the first."""
    return ReceiptStore(db).load(item_id)


def save_receipt(db: Database, lease: Lease, receipt: Receipt) -> None:
    """Keep the receipt; raises LeaseLost when another worker has the item."""
    ReceiptStore(db).save(lease, receipt)


def hold_back(db: Database, lease: Lease, reason: HeldBack) -> None:
    """End an attempt that a server holds back: the item waits, and the attempt does not count; raises LeaseLost."""
    JobStore(db).end_attempt(lease, State.PENDING, reason.message, reason.code, is_counted=False)


def give_back(db: Database, lease: Lease) -> None:
    """Leave the item of a worker that is told to end to the next one; the attempt does not count; raises LeaseLost."""
    JobStore(db).end_attempt(lease, State.PENDING, _GIVEN_BACK, is_counted=False)


def end_attempt(db: Database, lease: Lease, state: State, message: str, error_code: str = "") -> None:
    """End the item for good; raises LeaseLost when another worker has it."""
    JobStore(db).end_attempt(lease, state, message, error_code)


def fail(db: Database, lease: Lease, item: Item, error: AditError, settings: Settings) -> State:
    """End an attempt that raised, and return the item's new state.

    Pending, to be tried after a wait that grows with the attempts, if the error says so and attempts are left; pending
    as if there had been no attempt when a server holds it back; canceled when the job was canceled; else failure.
    Raises LeaseLost when another worker has the item.
    """
    jobs = JobStore(db)
    if isinstance(error, HeldBack):
        hold_back(db, lease, error)
    elif isinstance(error, Canceled):
        jobs.end_attempt(lease, State.CANCELED, error.message, error.code)
    elif error.retry is not Retry.NEVER and item.attempts < settings.max_attempts:
        again_at = db.clock() + settings.retry_wait * item.attempts
        jobs.end_attempt(lease, State.PENDING, f"{error.message} It will be tried again.", error.code, again_at)
    else:
        jobs.end_attempt(lease, State.FAILURE, error.message, error.code)
    return jobs.item(item.id).state
