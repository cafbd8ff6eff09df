"""The one tree of errors and warnings of the client. No text names a token, a patient or what a request carried.

AditClientError
├── BadArgument          what the caller gave cannot be sent (also a ValueError)
├── ConnectionFailed     no answer came
│   └── NoAnswerInTime
├── AnswerError          the server answered with an error: status, code, detail, errors by field
│   ├── InvalidRequest 400, 422 · NotSignedIn 401 · Forbidden 403 · NotFound 404 · Conflict 409, 412 · Locked 423
│   ├── TooManyRequests 429 · Unavailable 503
│   ├── PeerFailed 502, 504 · ServerFailed 500 and the others
│   ├── BadBatchFile     422 to a batch file (also an InvalidRequest): what is wrong, by line and column
│   └── NothingStored    409 to store_images: the result tells why, instance by instance
├── Redirected           the server leads elsewhere, which is not followed with a token
├── BadAnswer            the answer is not what this client understands
├── IncompleteDownload   the answer ended early, or the server says that instances are missing
├── NotAllFound          a batch transfer was checked, and rows were neither found nor left out
└── WaitTimedOut         the job has not ended yet (also a TimeoutError)

AditClientWarning
├── InsecureConnection   the token would travel unencrypted
├── InstancesLeftOut     the server has left out instances of a download
└── InstancesNotStored   the destination has not taken all instances
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydicom import Dataset

    from adit_client.values import CheckOutcome, DownloadReceipt, FileProblem, Job

_PROBLEMS_TOLD = 5
"""How many problems of a file stand in the text of an error."""


class AditClientError(Exception):
    """Something went wrong. The docstring of each class is its message when none is given."""

    status: int | None = None
    """The HTTP status of the answer, where there was one."""
    code: str = ""
    """The name by which the server knows this kind of error."""
    detail: str = ""
    """What the server says about it, a sentence or two."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or " ".join((type(self).__doc__ or "").split()))

    @property
    def errors(self) -> Mapping[str, str]:
        """What is wrong with which field of the request, where the server says so."""
        return {}


class BadArgument(AditClientError, ValueError):
    """What was given cannot be sent to the server."""


class ConnectionFailed(AditClientError):
    """No answer came from the server. Check its address, and that it is running."""


class NoAnswerInTime(ConnectionFailed):
    """The server did not answer in time."""


class AnswerError(AditClientError):
    """The server answered with an error."""

    def __init__(
        self,
        status: int,
        code: str = "",
        detail: str = "",
        errors: Mapping[str, str] | None = None,
        reference: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        self.status = status
        self.code = code
        self.detail = detail
        self.reference = reference
        """By which an administrator finds an unexpected error in the server's log."""
        self.retry_after_s = retry_after_s
        """When the server wants to be asked again, where it says so."""
        self._errors = dict(errors or {})
        super().__init__(self._sentence())

    @property
    def errors(self) -> Mapping[str, str]:
        return self._errors

    def _sentence(self) -> str:
        own = " ".join((type(self).__doc__ or "").split())
        fields = " ".join(f"{field}: {problem}" for field, problem in self._errors.items())
        says = self.detail or own
        # a detail may already consist of the sentences about the fields
        parts = [says, "" if fields in says else fields, f"Reference: {self.reference}." if self.reference else ""]
        name = f"{self.status} {self.code}".strip()
        return f"{' '.join(part for part in parts if part)} ({name})"

    def __reduce__(self) -> tuple[object, ...]:
        given = (self.status, self.code, self.detail, self._errors, self.reference, self.retry_after_s)
        return type(self), given


class InvalidRequest(AnswerError):
    """The server does not accept the request as it is."""


class BadBatchFile(InvalidRequest):
    """The batch file has errors, so nothing was accepted."""

    def __init__(
        self,
        status: int,
        code: str = "",
        detail: str = "",
        errors: Mapping[str, str] | None = None,
        reference: str = "",
        problems: Sequence[FileProblem] = (),
    ) -> None:
        self.problems = tuple(problems)
        """What is wrong, by line and column; it quotes no cell."""
        super().__init__(status, code, detail, errors, reference)

    def _sentence(self) -> str:
        told = [str(problem) for problem in self.problems[:_PROBLEMS_TOLD]]
        more = len(self.problems) - len(told)
        return "\n".join([super()._sentence(), *told, *([f"and {more} more"] if more else [])])

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.status, self.code, self.detail, self._errors, self.reference, self.problems)


class NotSignedIn(AnswerError):
    """The server does not accept the token: it is wrong, was revoked or has expired, or its owner is not active."""


class Forbidden(AnswerError):
    """The owner of the token does not have the right to do this, or the token is limited to other operations."""


class NotFound(AnswerError):
    """There is no such thing, or it is not yours to see."""


class Conflict(AnswerError):
    """This cannot be done as things stand."""


class Locked(AnswerError):
    """An administrator has locked this application for now."""


class TooManyRequests(AnswerError):
    """There were too many requests in a short time."""


class Unavailable(AnswerError):
    """The server, or the archive behind it, has no time at the moment; it may be under maintenance."""


class PeerFailed(AnswerError):
    """The archive behind the server did not do what it was asked for."""


class ServerFailed(AnswerError):
    """The server failed."""


class NothingStored(AnswerError):
    """The destination has taken none of the instances; the result tells why."""

    def __init__(self, result: Dataset) -> None:
        self.result = result
        """Its FailedSOPSequence names each instance and the reason."""
        super().__init__(409)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.result,)


class Redirected(AditClientError):
    """The server leads to another address, which is not followed with a token. Check the address of the server."""

    def __init__(self, status: int = 302) -> None:
        self.status = status
        super().__init__()


class BadAnswer(AditClientError):
    """The answer is not what this client understands. Check the address, and the versions of server and client."""


class IncompleteDownload(AditClientError):
    """The download ended before everything had arrived."""

    receipt: DownloadReceipt | None = None
    """What the server says about the download, where it came to that."""


class NotAllFound(AditClientError):
    """Rows of the batch were neither found nor left out, so nothing was transferred."""

    def __init__(self, check: Job, outcome: CheckOutcome, open_verdicts: Sequence[str] = ()) -> None:
        self.check = check
        """The check, which stays: ``transfer_checked(error.check, leave_out=[...])`` goes on from here."""
        self.outcome = outcome
        """How many studies have which verdict."""
        self.open_verdicts = tuple(open_verdicts)
        """The verdicts that would have to be left out."""
        counts = ", ".join(f"{outcome.verdicts[one].studies} {one}" for one in self.open_verdicts)
        super().__init__(
            f"Nothing was transferred: {counts}. Leave these out, or correct the file. The check is job {check.id}."
        )

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.check, self.outcome, self.open_verdicts)


class WaitTimedOut(AditClientError, TimeoutError):
    """The job has not ended yet. It goes on all the same."""

    job: Job | None = None
    """The job as it was when it was last looked at."""


class AditClientWarning(UserWarning):
    """Something that a person should know of."""


class InsecureConnection(AditClientWarning):
    """The token and all data would travel unencrypted."""


class InstancesLeftOut(AditClientWarning):
    """The server has left out instances of a download."""


class InstancesNotStored(AditClientWarning):
    """The destination has not taken all instances."""


BY_STATUS: Mapping[int, type[AnswerError]] = {
    400: InvalidRequest,
    401: NotSignedIn,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    412: Conflict,
    422: InvalidRequest,
    423: Locked,
    429: TooManyRequests,
    502: PeerFailed,
    503: Unavailable,
    504: PeerFailed,
}
"""All others are a ServerFailed from 500 on, and an InvalidRequest below."""
