"""What a program is told when something did not work: one shape for everything, RFC 9457 ``application/problem+json``.

Nothing of the request comes back: it may name a patient, and programs write what they are told into their logs.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from models.domain import errors
from models.domain.errors import AditError, BadRequest, HeldBack, Refused
from models.domain.refs import UID_PATTERN
from services import faults

MEDIA_TYPE = "application/problem+json"

STATUS: Mapping[type[AditError], int] = {
    errors.AditError: 500,
    errors.Refused: 403,
    errors.NotPermitted: 403,
    errors.BadRequest: 422,
    errors.WrongState: 409,
    errors.Outdated: 409,
    errors.WrongVersion: 503,
    errors.TooManyTries: 429,
    errors.OverQuota: 409,
    errors.AppLocked: 423,
    errors.UnderMaintenance: 503,
    errors.HeldBack: 503,
    errors.OutsideWindow: 503,
    errors.ServerStopped: 503,
    errors.FolderFull: 503,
    errors.FolderGone: 503,
    errors.PeerError: 502,
    errors.Unreachable: 502,
    errors.AssociationRejected: 502,
    errors.TimedOut: 504,
    errors.PeerBusy: 503,
    errors.Unsupported: 409,
    errors.PeerLied: 502,
    errors.DataError: 502,
    errors.NotFound: 404,
    errors.Ambiguous: 409,
    errors.IdentityConflict: 409,
    errors.Unreadable: 502,
    errors.Unconvertible: 502,
    errors.ConversionFailed: 502,
    errors.Incomplete: 502,
    errors.DeidError: 409,
    errors.ProfileInvalid: 409,
    errors.RuleFailed: 409,
    errors.ResidueFound: 409,
    errors.Excluded: 409,
    errors.NeedsReview: 409,
    errors.TargetError: 502,
    errors.NoSpace: 507,
    errors.WriteFailed: 502,
    errors.NotConfirmed: 502,
    errors.Interrupted: 503,
    errors.Canceled: 503,
    errors.LeaseLost: 503,
    errors.Stalled: 504,
    errors.Bug: 500,
}
"""The status of every kind of error."""

_RETRY_AFTER_S = {429: 60, 503: 10}
_HELD_BACK_RETRY_AFTER_S = 300
"""Of a server that somebody has stopped, nobody knows until when."""
_PLACES = frozenset({"body", "query", "path", "header", "cookie"})
_MOST_NAMED = 20
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}")
_OTHER_CODES = {
    400: ("BadRequest", "The request cannot be read."),
    404: ("NotFound", "There is nothing at this address."),
    405: ("MethodNotAllowed", "This address does not take such requests."),
    413: ("TooLarge", "The request is too large."),
}
_OF_THE_BODY = {400: "it cannot be read.", 413: "it is too large."}
_SENTENCES = {
    "missing": "it is needed.",
    "extra_forbidden": "it has a field that is not known.",
    "json_invalid": "this is no JSON.",
    "model_attributes_type": "it has to be an object.",
}
_OF_A_PATTERN = {
    f"^{UID_PATTERN.pattern}$": "this is no DICOM UID.",
    r"^[^\x00]*$": "it has the character NUL.",
    r"^[ -~]*$": "it has letters other than those of ASCII.",
}


class Problem(Exception):  # noqa: N818  (what it is called in RFC 9457)
    """What has no error of its own below the API: its status, code and sentence."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        errors: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = dict(errors or {})
        self.headers = dict(headers or {})
        self.more = dict(more or {})


def answer(
    status: int,
    code: str,
    detail: str,
    errors: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    reference: str = "",
    more: Mapping[str, Any] | None = None,
) -> JSONResponse:
    """The answer that tells of a problem. Where waiting may help it says how long."""
    document: dict[str, Any] = {
        "type": f"urn:adit:error:{code}",
        "title": _words(code),
        "status": status,
        "detail": detail,
        "code": code,
        "errors": dict(errors or {}),
        **(more or {}),
    }
    if reference:
        document["reference"] = reference
    found = {"retry-after": str(_RETRY_AFTER_S[status])} if status in _RETRY_AFTER_S else {}
    return JSONResponse(document, status, {**found, **(headers or {})}, media_type=MEDIA_TYPE)


def of(error: BaseException) -> JSONResponse:
    """The answer for an error; what nobody expected is logged, and told only by its reference."""
    if isinstance(error, Problem):
        return answer(error.status, error.code, error.detail, error.errors, error.headers, more=error.more)
    if isinstance(error, AditError) and (status := status_of(error)) != 500:
        problems = error.problems if isinstance(error, Refused) else None
        return answer(status, error.code, error.message, problems, _until(error))
    reference = faults.record(error)
    return answer(500, "Bug", faults.apology(reference), reference=reference)


def _until(error: AditError) -> dict[str, str]:
    """The header that says how long to wait for a server that is held back."""
    if not isinstance(error, HeldBack):
        return {}
    wait_s = _HELD_BACK_RETRY_AFTER_S if error.until is None else (error.until - datetime.now(UTC)).total_seconds()
    return {"retry-after": str(max(1, math.ceil(wait_s)))}


def status_of(error: AditError) -> int:
    """The HTTP status of an error: that of its kind, or of the kind above it."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def install(app: FastAPI) -> None:
    """Let the application answer every error as a problem."""
    app.add_exception_handler(AditError, _told)
    app.add_exception_handler(Problem, _told)
    app.add_exception_handler(HTTPException, _not_served)
    app.add_exception_handler(RequestValidationError, _not_valid)


async def _told(_request: Request, error: Exception) -> JSONResponse:
    return of(error)


async def _not_served(_request: Request, error: Exception) -> JSONResponse:
    """What the framework refuses; its own words are dropped, since they may quote the request."""
    assert isinstance(error, HTTPException)
    code, detail = _OTHER_CODES.get(error.status_code, ("Refused", HTTPStatus(error.status_code).phrase + "."))
    named = {"body": _OF_THE_BODY[error.status_code]} if error.status_code in _OF_THE_BODY else None
    return answer(error.status_code, code, detail, named, headers=error.headers)


async def _not_valid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = field_problems(error.errors())
    detail = "Something is wrong with the request: " + " ".join(f"{name}: {text}" for name, text in found.items())
    return answer(422, BadRequest.__name__, detail, found)


def field_problems(problems: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """A sentence for each of the first 20 fields, by its path in the request, rows counted from 0 as JSON does."""
    found: dict[str, str] = {}
    for problem in problems:
        if len(found) == _MOST_NAMED:
            break
        found.setdefault(_field(problem["loc"], problem["type"]), _sentence(problem))
    return found


def _field(path: Sequence[str | int], kind: str) -> str:
    """The name of a field, of one that is not known the place: its name may be anything, also that of a patient."""
    path = path[:-1] if kind == "extra_forbidden" else path
    parts = [str(part) for part in path if isinstance(part, int) or _NAME.fullmatch(part)]
    if len(parts) > 1 and parts[0] in _PLACES:
        parts = parts[1:]
    return "body" if kind == "json_invalid" or not parts else ".".join(parts)


def _sentence(problem: Mapping[str, Any]) -> str:
    pattern = problem.get("ctx", {}).get("pattern")
    if sentence := _SENTENCES.get(problem["type"]) or _OF_A_PATTERN.get(pattern):
        return sentence
    text = str(problem["msg"]).removeprefix("Value error, ")
    return text[:1].lower() + text[1:].rstrip(".") + "."


def _words(code: str) -> str:
    words = re.findall(r"[A-Z][a-z]+", code)
    return " ".join(words).capitalize() if words else code
