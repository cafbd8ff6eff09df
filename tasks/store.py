"""Sends each treated instance to the destination and keeps its answer."""

from concurrent.futures import ThreadPoolExecutor

from dicom.network.ports import Sender
from models.domain.instances import StoreOutcome, Verdict
from services.streams import Parcel
from tasks.attempt import Attempt
from tasks.destination import Destination, destination_of
from tasks.step import step


@step
def store(attempt: Attempt) -> None:
    """Send what comes off the stream, on as many connections as the destination takes at a time.

    A parcel whose sending broke off goes back to the stream, so that the next run of this step sends it.
    What the destination refuses is in the receipt and makes the item short.
    """
    destination = destination_of(attempt)
    with ThreadPoolExecutor(destination.senders) as pool:
        sending = [pool.submit(_send_all, attempt, destination) for _ in range(destination.senders)]
    errors = [error for future in sending if (error := future.exception()) is not None]
    if errors:
        raise errors[0]


def _send_all(attempt: Attempt, destination: Destination) -> None:
    with attempt.connection(destination.sender()) as sender:
        for parcel in attempt.pseudonymized:
            _record(attempt, parcel, _send(attempt, destination, sender, parcel))


def _send(attempt: Attempt, destination: Destination, sender: Sender, parcel: Parcel) -> StoreOutcome:
    try:
        destination.check(parcel.instance)
        return sender.send(parcel.instance)
    except BaseException:
        attempt.pseudonymized.put_back(parcel)
        raise


def _record(attempt: Attempt, parcel: Parcel, outcome: StoreOutcome) -> None:
    uid, receipt = parcel.source_uid, attempt.receipt
    with attempt.record:
        if outcome.verdict is Verdict.REFUSED:
            receipt.refused[uid] = f"{outcome.status:04X}"
        else:
            receipt.stored.add(uid)
            receipt.size_bytes += parcel.instance.size_bytes
        if outcome.verdict is Verdict.STORED_WITH_WARNING:
            receipt.stored_with_warning[uid] = f"{outcome.status:04X}"
        if outcome.digest:
            receipt.digests[uid] = outcome.digest
        attempt.touch()
