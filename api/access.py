"""Who may come in: the token of a request is looked up each time, counted, and asked for the operation.

``needs`` makes the door that every route declares exactly once::

    def list_jobs(here: Here, caller: Annotated[Caller, Depends(needs(Operation.READ))]) -> Jobs: ...
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import Request

from api.context import Context, context
from api.problems import Problem
from api.threads import in_thread
from models.domain.people import Actor
from models.domain.tokens import Operation, Token
from services.people import tokens

_KEY = "adit.caller"
_SCHEMES = frozenset({"token", "bearer"})
_CHALLENGE = {"www-authenticate": 'Bearer realm="ADIT"'}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, by which token, and from where; good for this request only."""

    actor: Actor
    token: Token
    address: str


class Door:
    """Lets a request in whose token allows the operation. It may be asked again, and counts a request once."""

    def __init__(self, operation: Operation) -> None:
        self.operation = operation

    async def __call__(self, request: Request) -> Caller:
        """The caller; raises Problem with status 401, 403 or 429."""
        caller: Caller | None = request.scope.get(_KEY)
        if caller is None:
            caller = request.scope[_KEY] = await _caller(request)
        allowed = caller.token.operations
        if allowed is not None and self.operation not in allowed:
            raise Problem(
                403, "NotPermitted", f"This token does not allow to {self.operation.value}. Make another one for that."
            )
        return caller


def needs(operation: Operation) -> Door:
    """The door for routes that need this operation, for ``Depends``."""
    return Door(operation)


def caller_of(scope: Mapping[str, Any]) -> Caller | None:
    """Whom a door has let in; None before that."""
    found = scope.get(_KEY)
    return found if isinstance(found, Caller) else None


async def _caller(request: Request) -> Caller:
    here = context(request)
    scheme, _, secret = request.headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() not in _SCHEMES or not secret.strip():
        raise _unknown("Send a token: Authorization: Bearer adit_...")
    address = request.client.host if request.client else ""
    found = await in_thread(tokens.bearer, here.db, secret.strip(), address)
    if found is None:
        raise _unknown("This token is not known, has expired or was revoked.")
    request.scope[_KEY] = caller = Caller(found.actor, found.token, address)
    _count(here, caller)
    return caller


def _count(here: Context, caller: Caller) -> None:
    if wait_s := here.limiter.take(caller.token.user_id):
        most = here.settings.api_requests_per_minute
        detail = f"More than {most} requests in a minute. Try again in {wait_s} s."
        raise Problem(429, "TooManyTries", detail, headers={"retry-after": str(wait_s)})


def _unknown(detail: str) -> Problem:
    return Problem(401, "Unauthenticated", detail, headers=_CHALLENGE)
