"""Replaces the identity in each instance on its way from the source to the destination."""

from models.domain.errors import DeidError, Excluded, NeedsReview
from services.streams import Parcel
from tasks.attempt import Attempt
from tasks.step import step


@step
def pseudonymize(attempt: Attempt) -> None:
    """Treat every instance of the stream, or pass it as it is when the job may transfer unpseudonymized.

    An instance that needs a person's review is held, one that the profile excludes is left out; the receipt names
    both, and no bytes of them are kept. Whatever else de-identification cannot treat ends the item: nothing identified
    passes. Nor does an instance of another study or patient than the source had listed, treated or not
    (IdentityConflict).
    """
    receipt = attempt.receipt
    for parcel in attempt.retrieved:
        try:
            treated = attempt.treated(parcel.instance)
        except NeedsReview as review:
            _note(attempt, receipt.held, parcel, review)
        except Excluded as exclusion:
            _note(attempt, receipt.left_out, parcel, exclusion)
        else:
            attempt.pseudonymized.put(Parcel(parcel.source_uid, treated))


def _note(attempt: Attempt, reasons: dict[str, str], parcel: Parcel, error: DeidError) -> None:
    with attempt.record:
        reasons[parcel.source_uid] = error.message
        attempt.touch()
