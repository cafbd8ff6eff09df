"""Replaces the identity in each instance on its way from the source to the destination."""

from dicom.deid.identity import check_identity
from models.domain.errors import NeedsReview
from tasks.attempt import Attempt
from tasks.step import step
from tasks.stream import Parcel


@step
def pseudonymize(attempt: Attempt) -> None:
    """Treat every instance of the stream, or pass it as it is when the job may transfer unpseudonymized.

    An instance that needs a person's review is left out and named in the receipt. Whatever else de-identification
    cannot treat ends the item: nothing identified passes. Nor does an instance of another study or patient than the
    source had listed, treated or not (IdentityConflict).
    """
    deidentifier = attempt.deidentifier
    for parcel in attempt.retrieved:
        check_identity(parcel.instance, attempt.plan.ref)
        if deidentifier is None:
            attempt.pseudonymized.put(parcel)
            continue
        try:
            treated = deidentifier.instance(parcel.instance)
        except NeedsReview as review:
            _leave_out(attempt, parcel, review)
            continue
        attempt.pseudonymized.put(Parcel(parcel.source_uid, treated))


def _leave_out(attempt: Attempt, parcel: Parcel, review: NeedsReview) -> None:
    with attempt.record:
        attempt.receipt.left_out[parcel.source_uid] = review.message
        attempt.touch()
