"""One item: query, then retrieve, pseudonymize and store at the same time, then convert if that is wished, and confirm.

And what becomes of it.
"""

import logging
import time
from contextlib import ExitStack, suppress
from queue import Empty, SimpleQueue

from flows.lane import Lane
from flows.opening import open_attempt, staging_for_conversion
from flows.steps import Running, Start
from models.domain.errors import (
    FOLDER_HELD,
    AditError,
    Bug,
    Canceled,
    HeldBack,
    Incomplete,
    LeaseLost,
    Retry,
    TargetError,
)
from models.domain.jobs import Item, Lease, State
from models.domain.nodes import Folder
from models.domain.receipts import Completeness, Receipt, concerns, excluded_series, instances
from services import folder_holds, work
from tasks.attempt import Attempt
from tasks.confirm import confirm
from tasks.convert import convert
from tasks.destination import destination_of
from tasks.heartbeat import heartbeat
from tasks.pseudonymize import pseudonymize
from tasks.query import query
from tasks.retrieve import retrieve
from tasks.step import Step
from tasks.store import store

log = logging.getLogger(__name__)

QUIET_WITHIN_S = 60.0
"""How long the steps of a stopped attempt may take to end; they need moments, since their connections are broken."""
_NOTHING_CONVERTED = "Nothing of the study can be converted to NIfTI."
LONGEST_END_S = 900.0
"""How long a step is waited for that has no connection which could be broken, as one that reads a study back."""


def transfer_study(lane: Lane, item: Item, lease: Lease) -> None:
    """Run one attempt of a claimed item to its end and record what became of it.

    Failures are recorded, not raised: one bad item never stops the others. Raises only LeaseLost, when another
    worker has taken over, when the lanes are told to end, or when a step does not end: then the item waits for the
    next worker.
    """
    with ExitStack() as held:
        try:
            attempt = open_attempt(lane.db, lane.settings, item, lease, lane.stream_bytes)
            held.enter_context(staging_for_conversion(attempt))
        except AditError as error:
            work.fail(lane.db, lease, item, error, lane.settings)
            return
        _work_on(lane, attempt)


def _work_on(lane: Lane, attempt: Attempt) -> None:
    with heartbeat(attempt), lane.halt.ends(attempt):
        try:
            _run_steps(attempt, lane.start)
            _succeed(attempt)
        except Canceled as canceled:
            _cancel(attempt, canceled)
        except HeldBack as reason:
            _hold_back(attempt, reason)
        except LeaseLost:
            if _give_up(attempt) and lane.halt.is_called:
                _give_back(attempt)
            raise
        except AditError as error:
            _fail(attempt, error)
        except BaseException:  # a fault of the flow itself: the item is taken up again when the lease ends
            _give_up(attempt)
            raise


def _run_steps(attempt: Attempt, start: Start) -> None:
    _run(query, attempt, start)
    with attempt.associations({attempt.source: 1, **destination_of(attempt).budget}):
        try:
            short_delivery = _stream(attempt, start)
        except BaseException as error:
            attempt.stop(error)
            attempt.is_quiet_within(QUIET_WITHIN_S)  # connections are counted until they are closed
            raise
    if attempt.job.convert_to_nifti:
        _run(convert, attempt, start)
    _run(confirm, attempt, start)
    if short_delivery is not None:
        raise short_delivery


def _run(step: Step, attempt: Attempt, start: Start) -> None:
    ended: SimpleQueue[str] = SimpleQueue()
    running = start(step, attempt)
    running.on_end(lambda: ended.put(step.name))
    _next_end(ended, attempt)
    error = running.error()
    if error is not None:
        raise known(error)


def _stream(attempt: Attempt, start: Start) -> AditError | None:
    """Run the three overlapping steps; when one ends for good, close the stream behind it.

    A retrieval that fails leaves what it has fetched to be stored, so that the receipt tells what is missing and
    the next attempt fetches only that. Its error is returned; errors of the others are raised, and stop the attempt.
    """
    ended: SimpleQueue[str] = SimpleQueue()
    running: dict[str, Running] = {}
    for step in (retrieve, pseudonymize, store):
        running[step.name] = started = start(step, attempt)
        started.on_end(lambda name=step.name: ended.put(name))
    short_delivery: AditError | None = None
    for _ in range(len(running)):
        name = _next_end(ended, attempt)
        error = running[name].error()
        if name == retrieve.name:
            short_delivery = None if error is None else known(error)
            attempt.is_cut_short = error is not None
            attempt.retrieved.close()
        elif error is not None:
            raise known(error)
        elif name == pseudonymize.name:
            attempt.pseudonymized.close()
    return short_delivery


def _next_end(ended: SimpleQueue[str], attempt: Attempt) -> str:
    """The name of the next step that ends; raises as soon as the attempt is stopped, though a step may still wait."""
    while True:
        attempt.check()
        try:
            name = ended.get(timeout=0.2)
        except Empty:
            continue
        attempt.check()
        return name


def known(error: BaseException) -> AditError:
    """The error as one of ours. A step that ends with its process says nothing of the item, which is given up."""
    if isinstance(error, AditError):
        return error
    return Bug(f"{type(error).__name__} between the steps.") if isinstance(error, Exception) else LeaseLost()


def _succeed(attempt: Attempt) -> None:
    """End the item by its receipt: only a complete one of a study as it was checked is a success."""
    receipt, change = attempt.receipt, _change(attempt)
    match receipt.verdict:
        case Completeness.COMPLETE if attempt.job.convert_to_nifti and not receipt.files:
            _end(attempt, State.WARNING, " ".join(filter(None, (_NOTHING_CONVERTED, change, concerns(receipt)))))
        case Completeness.COMPLETE if not (receipt.left_out or receipt.stored_with_warning or change):
            _end(attempt, State.SUCCESS, _success(receipt))
        case Completeness.COMPLETE if not (receipt.left_out or receipt.stored_with_warning):
            _end(attempt, State.WARNING, f"{change} {_success(receipt)}")
        case Completeness.SHORT:
            _fail(attempt, _shortage(receipt))
        case _:
            _end(attempt, State.WARNING, f"{change} {concerns(receipt)}".strip())


def _change(attempt: Attempt) -> str:
    """What is another since the check that the transfer was made of, as a sentence; empty when nothing is."""
    receipt, planned = attempt.receipt, attempt.item.planned_count
    count = receipt.announced_count if receipt.expected is None else len(receipt.expected)
    if planned is None or count is None or count == planned:
        return ""
    return f"The check saw {planned} instances, and the source lists {count} now."


def _success(receipt: Receipt) -> str:
    said = f"{instances(receipt.confirmed)} transferred and confirmed."
    if receipt.files:
        files = "1 NIfTI file" if len(receipt.files) == 1 else f"{len(receipt.files)} NIfTI files"
        said = f"{instances(receipt.confirmed)} converted to {files}, transferred and confirmed."
    return f"{said} {excluded_series(receipt)}".strip()


def _shortage(receipt: Receipt) -> AditError:
    if receipt.refused:
        return TargetError(f"The destination refused {instances(receipt.refused)}; the receipt tells which.")
    if not receipt.received:
        return Incomplete("The source sent nothing.")
    if receipt.expected is None:
        announced = receipt.announced_count
        return Incomplete(f"The source announced {announced} and sent {instances(receipt.received)}.")
    return Incomplete(f"Not at the destination: {instances(receipt.missing)}; the receipt tells which.")


def _fail(attempt: Attempt, error: AditError) -> None:
    _end_steps(attempt, error)
    may_be_repeated = error.retry is not Retry.NEVER and attempt.item.attempts < attempt.settings.max_attempts
    attempt.save_receipt()  # raises LeaseLost before anything that is another worker's by now is touched
    if not may_be_repeated:
        _discard(attempt)
    work.fail(attempt.db, attempt.lease, attempt.item, error, attempt.settings)


def _end_steps(attempt: Attempt, error: AditError) -> None:
    """Stop the attempt for the error, and wait until no step is at work: only then may the item be given away.

    The heartbeat keeps the lease meanwhile. Raises LeaseLost when a step goes on for a quarter of an hour, as one may
    that waits for a share: the item waits for the end of its lease.
    """
    attempt.stop(error)
    end = time.monotonic() + LONGEST_END_S
    while not attempt.is_quiet_within(QUIET_WITHIN_S):
        log.warning("item %s was stopped (%s), and a step of it is still at work", attempt.item_id, error.code)
        attempt.save_receipt()  # raises LeaseLost before anything that is another worker's by now is waited for
        if time.monotonic() > end:
            raise LeaseLost


def _give_up(attempt: Attempt) -> bool:
    """Leave the item to whoever takes it up next: end every step, and touch nothing that may be theirs by now.

    Tells whether all steps have ended.
    """
    attempt.stop(LeaseLost())
    return attempt.is_quiet_within(QUIET_WITHIN_S)


def _give_back(attempt: Attempt) -> None:
    """Spare the item the wait for the end of its lease, and an attempt; where that fails, the lease runs out."""
    with suppress(AditError), attempt.ending():
        attempt.save_receipt()
        work.give_back(attempt.db, attempt.lease)


def _cancel(attempt: Attempt, canceled: Canceled) -> None:
    """End a canceled item; one of which all that may pass was already proven to be there ends as if nobody had."""
    _end_steps(attempt, canceled)
    if attempt.receipt.verdict in {Completeness.COMPLETE, Completeness.HELD}:
        _succeed(attempt)
        return
    attempt.save_receipt()
    _discard(attempt)
    _end(attempt, State.CANCELED, canceled.message, canceled.code)


def _hold_back(attempt: Attempt, reason: HeldBack) -> None:
    """Let an item wait for its servers with all that it has: what was stored or staged need not come again.

    One that its folder has no room for leaves the folder to others, which wait for it, too.
    """
    _end_steps(attempt, reason)
    if isinstance(reason, FOLDER_HELD) and isinstance(attempt.destination, Folder):
        attempt.save_receipt()  # raises LeaseLost before anything that is another worker's by now is touched
        _withdraw(attempt)
        folder_holds.hold(attempt.db, attempt.destination, attempt.item, reason, attempt.room.needed_bytes)
    with attempt.ending():
        attempt.save_receipt()
        work.hold_back(attempt.db, attempt.lease, reason)


def _end(attempt: Attempt, state: State, message: str, error_code: str = "") -> None:
    with attempt.ending():
        attempt.save_changes()
        work.end_attempt(attempt.db, attempt.lease, state, message, error_code)
    if state is not State.CANCELED:
        folder_holds.has_worked(attempt.db, attempt.item)


def _discard(attempt: Attempt) -> None:
    """Remove what is staged, now that no step is at work; where that fails, the sweep does it later."""
    with suppress(AditError):
        if attempt.has_plan:
            destination_of(attempt).discard()
        else:
            _give_back_room(attempt)


def _withdraw(attempt: Attempt) -> None:
    """Give the disk back what is staged, but keep what is reserved: the item comes again."""
    with suppress(AditError):
        if attempt.has_plan:
            destination_of(attempt).withdraw()


def _give_back_room(attempt: Attempt) -> None:
    """End what was reserved for a study that is not to be had; what earlier attempts have staged, the sweep removes."""
    if isinstance(attempt.destination, Folder) and attempt.item.attempts <= 1 and not attempt.receipt.stored:
        attempt.room.settle(0)
