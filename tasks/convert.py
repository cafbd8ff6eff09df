"""Makes NIfTI files of what is staged in the spool."""

from collections.abc import Mapping

from dicom.files import nifti
from models.domain.errors import Bug, Unconvertible
from models.domain.receipts import NOT_CONVERTED
from tasks.attempt import Attempt
from tasks.destination import NiftiDestination, destination_of
from tasks.step import step

HELD = "Others of it are held for a review."
"""Why a series waits: of a part of it there would be a volume with gaps."""


@step
def convert(attempt: Attempt) -> None:
    """Convert the series one after the other, and stage their files in the folder; half a study is not converted.

    The instances of a series of which nothing comes are left out, and the receipt says why. Raises ConversionFailed,
    Unsupported, ResidueFound, which publishes nothing, OverQuota and TargetError kinds.
    """
    destination = destination_of(attempt)
    if not isinstance(destination, NiftiDestination):
        raise Bug("Only a folder gets NIfTI files.")
    if not attempt.series.places or not destination.may_be_published(attempt.receipt):
        return
    destination.staged.discard()  # of an earlier run of this step, or attempt
    attempt.room.hold(0)
    files: dict[str, str] = {}
    reasons: dict[str, str] = {}
    for series_uid in attempt.series.places:
        try:
            files |= _converted(attempt, destination, series_uid)
        except Unconvertible as reason:
            reasons[series_uid] = f"{NOT_CONVERTED} {_called(attempt, series_uid)}. {reason.message}"
    _record(attempt, files, reasons)
    attempt.save_receipt()


def _converted(attempt: Attempt, destination: NiftiDestination, series_uid: str) -> Mapping[str, str]:
    """The digests of the files by their names; raises Unconvertible."""
    if _waits(attempt, series_uid):
        raise Unconvertible(HELD)
    series = attempt.series
    place = series.places[series_uid]

    def check() -> None:
        attempt.check()
        series.check_room()

    files = nifti.convert(series.workspace, place, place.name, check)
    try:
        return destination.take_in(series_uid, {path: path.name.removeprefix(place.name) for path in files})
    finally:
        for path in files:
            path.unlink()


def _waits(attempt: Attempt, series_uid: str) -> bool:
    """Whether instances of the series are held, or may be: a source that lists none does not tell whose they are."""
    held = attempt.receipt.held.keys()
    planned = [each for each in attempt.plan.series if attempt.target_uid(each.series.series_uid) == series_uid]
    return bool(held) and any(each.instances is None or each.sop_uids & held for each in planned)


def _called(attempt: Attempt, series_uid: str) -> str:
    """A series by its number. By its new UID it could be found at the destination after its trial was forgotten."""
    for planned in attempt.plan.series:
        if attempt.target_uid(planned.series.series_uid) == series_uid and planned.series.number.strip().isdigit():
            return f"series {planned.series.number.strip()}"
    return "a series without a number"


def _record(attempt: Attempt, files: dict[str, str], reasons: Mapping[str, str]) -> None:
    left_out = {uid: reason for series_uid, reason in reasons.items() for uid in attempt.series.sop_uids[series_uid]}
    with attempt.record:
        receipt = attempt.receipt
        found = {uid: left_out[target] for uid in receipt.stored if (target := attempt.target_uid(uid)) in left_out}
        receipt.left_out |= found
        receipt.stored -= found.keys()
        receipt.files = files
        attempt.touch()
