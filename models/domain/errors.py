"""The one tree of errors. A message is written to the person who can act and never names a patient.

AditError
├── Refused       a rule said no
│   ├── NotPermitted
│   ├── BadRequest
│   ├── WrongState
│   ├── Outdated
│   ├── WrongVersion
│   ├── TooManyTries
│   ├── OverQuota
│   ├── AppLocked
│   ├── UnderMaintenance
│   └── HeldBack
│       ├── OutsideWindow · ServerStopped                           (servers)
│       └── FolderFull · FolderGone                                 (folders)
├── PeerError     the other side of a connection
│   ├── Unreachable · AssociationRejected · TimedOut · PeerBusy     (retried)
│   ├── Unsupported                                                 (never)
│   └── PeerLied
├── DataError     the data itself
│   ├── NotFound · Ambiguous · IdentityConflict
│   ├── Unreadable
│   │   ├── Unconvertible
│   │   └── ConversionFailed                                        (retried)
│   └── Incomplete
├── DeidError     fails closed: what raised it is not delivered
│   ├── ProfileInvalid · RuleFailed · ResidueFound
│   ├── Excluded
│   └── NeedsReview
├── TargetError   the place data goes to
│   └── NoSpace · WriteFailed · NotConfirmed
├── Interrupted   we stopped it ourselves
│   ├── Canceled · LeaseLost
│   └── Stalled                                                     (retried)
└── Bug           a broken invariant: loud, not retried
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Self


class Retry(StrEnum):
    """Whether the same step may help when it is tried again."""

    NEVER = "never"
    SOON = "soon"
    LATER = "later"


class AditError(Exception):
    """Something went wrong. The docstring of each class is its message when none is given."""

    retry = Retry.NEVER

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or " ".join((type(self).__doc__ or "").split()))

    @property
    def code(self) -> str:
        """The name by which logs, the API and the database know this kind of error."""
        return type(self).__name__

    @property
    def message(self) -> str:
        return str(self.args[0])

    @property
    def own_words(self) -> str:
        """The message without what a person has typed, who may have named a patient. Prefect is told no more."""
        return self.message

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return type(self), (self.message,)


class Refused(AditError):
    """A rule of this installation does not allow it."""

    problems: Mapping[str, str] = {}
    """What is wrong with which field, where the request came from a form."""

    @classmethod
    def of(cls, problems: Mapping[str, str]) -> Self:
        """The error that names every field with its problem, a sentence each."""
        error = cls(" ".join(f"{field}: {problem}" for field, problem in problems.items()))
        error.problems = dict(problems)
        return error


class NotPermitted(Refused):
    """You do not have the right to do this. Ask an administrator for it."""


class BadRequest(Refused):
    """The request is not complete or not consistent."""


class WrongState(Refused):
    """The job or item is not in a state in which this can be done."""


class Outdated(Refused):
    """Somebody else has changed this in the meantime. Reload the page and enter your change again."""


class WrongVersion(Refused):
    """The database and this program are of different versions of ADIT."""


class TooManyTries(Refused):
    """Too many tries. Wait some minutes, then try again."""


class OverQuota(Refused):
    """The folder has no room left within its quota. Ask an administrator for more, or for space to be freed."""


class AppLocked(Refused):
    """An administrator has locked this application for now."""


class UnderMaintenance(Refused):
    """ADIT is under maintenance. Try again later."""


class HeldBack(Refused):
    """A server or folder that this needs cannot be used now. Jobs wait and go on by themselves."""

    until: datetime | None = None
    """When it may be used again, where that is known."""

    @classmethod
    def because(cls, message: str, until: datetime | None = None) -> Self:
        """The error with the moment at which the server may be used again."""
        error = cls(message)
        error.until = until
        return error


class OutsideWindow(HeldBack):
    """The server is outside its transfer windows. Jobs wait and go on by themselves when it opens."""


class ServerStopped(HeldBack):
    """An administrator has stopped the server. Jobs wait and go on by themselves when it may go on."""

    @property
    def own_words(self) -> str:
        """Without the reason that the administrator gives."""
        return ServerStopped().message


class FolderFull(HeldBack):
    """The disk of the folder has no room left. Jobs wait and go on by themselves when it has."""


class FolderGone(HeldBack):
    """The folder cannot be written: its share may be gone, or read-only. Jobs wait and go on by themselves."""


FOLDER_HELD = (FolderFull, FolderGone)
"""What one item has met at a folder, and all others would meet, too."""


class PeerError(AditError):
    """The other side failed."""

    retry = Retry.SOON


class Unreachable(PeerError):
    """The server could not be reached. Check that it is running, and its host and port."""


class AssociationRejected(PeerError):
    """The server refused the association. Check the AE titles on both sides."""


class TimedOut(PeerError):
    """The server did not answer in time."""


OUT_OF_REACH = (Unreachable, AssociationRejected, TimedOut)
"""What fails again at once, and takes as long."""


class PeerBusy(PeerError):
    """The server is out of resources for the moment."""

    retry = Retry.LATER


class Unsupported(PeerError):
    """The server does not support what this needs. Check its protocol settings."""

    retry = Retry.NEVER


class PeerLied(PeerError):
    """The server's answer contradicts itself."""


class DataError(AditError):
    """The data is not what it should be."""


class NotFound(DataError):
    """The source does not have this study or series."""


class Ambiguous(DataError):
    """The source lists more than one study for this identifier."""


class IdentityConflict(DataError):
    """The patient of the study is not the patient of the request, or a pseudonym already belongs to someone else."""


class Unreadable(DataError):
    """An instance cannot be read as DICOM."""


class Unconvertible(Unreadable):
    """There is nothing in a series that can be converted to NIfTI, or not all of it can."""


class ConversionFailed(Unreadable):
    """The program that converts to NIfTI could not convert a series."""

    retry = Retry.SOON


class Incomplete(DataError):
    """Not every instance that the source announced has arrived. The receipt lists the missing ones."""

    retry = Retry.SOON


class DeidError(AditError):
    """De-identification stopped. What it could not treat was not delivered."""


class ProfileInvalid(DeidError):
    """The de-identification profile is not valid."""


class RuleFailed(DeidError):
    """A de-identification rule could not be applied to an instance."""


class ResidueFound(DeidError):
    """An identifier of the patient is still in what should be delivered."""


class Excluded(DeidError):
    """The de-identification profile lets no instance of this kind pass."""


class NeedsReview(DeidError):
    """An instance may show the patient's identity in its pixels or document and needs a person's review."""


class TargetError(AditError):
    """The destination could not take the data."""

    retry = Retry.SOON


class NoSpace(TargetError):
    """A disk that ADIT works on has no space left. Free some, then retry."""

    retry = Retry.LATER


class WriteFailed(TargetError):
    """The destination could not be written. Check that it exists and its permissions."""

    retry = Retry.NEVER


class NotConfirmed(TargetError):
    """The destination does not list everything it said it had stored."""


class Interrupted(AditError):
    """The work was stopped from our side."""


class Canceled(Interrupted):
    """The job was canceled."""


class LeaseLost(Interrupted):
    """Another worker has taken over this item."""


class Stalled(Interrupted):
    """The destination is slower than the source allows. What is missing will be fetched again."""

    retry = Retry.SOON


class Bug(AditError):
    """An invariant of the program is broken. Please report it with the code given here."""


def reason_of(error: OSError) -> str:
    """What the operating system says of an error, without the path."""
    return (error.strerror or "unknown trouble").lower()
