"""Fetches from the source what is still missing and puts it on the stream."""

from dicom.network import choose
from dicom.network.ports import Retriever
from models.domain.errors import (
    AditError,
    AssociationRejected,
    Incomplete,
    NotFound,
    PeerError,
    TimedOut,
    Unreachable,
)
from models.domain.instances import EncodedInstance
from models.domain.receipts import NOT_LISTED
from services.streams import Parcel
from tasks.attempt import Attempt
from tasks.step import step


@step
def retrieve(attempt: Attempt) -> None:
    """Fetch every instance of the plan that this or an earlier attempt has not got yet.

    An instance that arrives twice is passed on once. Raises Incomplete when the source says it has sent all and
    something is missing.
    """
    attempt.retrieved.wait_for_room()
    if _missing(attempt) == 0:
        return
    with attempt.connection(choose.retriever(attempt.source, attempt.local)) as retriever:
        refusal = _retrieve_all(attempt, retriever)
    if refusal is not None:
        raise refusal
    missing = _missing(attempt)
    if missing:
        raise Incomplete(f"The source has sent all it will, and {missing} announced instances are missing.")


def _retrieve_all(attempt: Attempt, retriever: Retriever) -> AditError | None:
    """Ask for everything that is missing, and return the first refusal: one bad series does not hold up the others."""
    refusal: AditError | None = None
    for selection in attempt.plan.selections(frozenset(attempt.handed_on)):
        try:
            retriever.retrieve(selection, lambda instance: _pass_on(attempt, instance))
        except (Unreachable, AssociationRejected, TimedOut):
            raise
        except (NotFound, PeerError) as error:
            refusal = refusal or error
    return refusal


def _pass_on(attempt: Attempt, instance: EncodedInstance) -> None:
    uid = instance.sop_uid
    if uid in attempt.handed_on:
        return
    expected = attempt.plan.expected
    is_planned = expected is None or uid in expected
    if is_planned:
        attempt.retrieved.put(Parcel(uid, instance))
    attempt.handed_on.add(uid)
    with attempt.record:
        attempt.receipt.received.add(uid)
        if not is_planned:
            attempt.receipt.left_out[uid] = NOT_LISTED
        attempt.touch()


def _missing(attempt: Attempt) -> int | None:
    """How many announced instances were not handed on, or None when the source did not list them."""
    expected = attempt.plan.expected
    if expected is not None:
        return len(expected - attempt.handed_on)
    announced = attempt.plan.announced_count
    return max(announced - len(attempt.handed_on), 0) if announced else None
