"""Around every request: nothing unexpected gets out, bodies are bounded, and answers are counted."""

import logging
from collections.abc import MutableMapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import problems
from api.access import caller_of
from api.context import Context
from models.domain.errors import AditError, Bug
from services import faults

log = logging.getLogger(__name__)

LARGEST_BODY = 5 * 2**20
"""Of requests below ``/v1``; the gateway takes instances of any size and bounds them itself."""
_ALLOWED = "adit.largest_body"


class Traffic:
    """Pure ASGI, so that streams pass through piece by piece."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answered_bytes = 0
        has_begun = False

        async def counted(message: Message) -> None:
            nonlocal answered_bytes, has_begun
            has_begun = True
            answered_bytes += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, _bounded(scope, receive) if _is_bounded(scope) else receive, counted)
        except Exception as error:
            if has_begun:  # the connection is broken off, so that nobody takes the half for the whole
                _note(error)
            else:
                await problems.of(error)(scope, receive, counted)
        finally:
            if caller := caller_of(scope):
                context: Context = scope["app"].state.context
                context.usage.note(caller.token.id, answered_bytes)


def _note(error: Exception) -> None:
    """Write down why an answer was broken off; the framework wraps errors that come too late for an answer."""
    cause = error.__cause__ if isinstance(error.__cause__, AditError) else error
    if isinstance(cause, AditError) and not isinstance(cause, Bug):
        log.warning("an answer was broken off: %s", cause.code)
    else:
        faults.record(error)


def _is_bounded(scope: Scope) -> bool:
    return Request(scope).url.path.removeprefix(scope.get("root_path", "")).startswith("/v1/")


def allow_body(scope: MutableMapping[str, Any], size_bytes: int) -> None:
    """Let the body of this request be so large, instead of ``LARGEST_BODY``; call it before the body is read."""
    scope[_ALLOWED] = size_bytes


def _bounded(scope: Scope, receive: Receive) -> Receive:
    """Raise HTTPException once more than the largest body has come in."""
    received_bytes = 0

    async def receiving() -> Message:
        nonlocal received_bytes
        message = await receive()
        received_bytes += len(message.get("body", b""))
        if received_bytes > scope.get(_ALLOWED, LARGEST_BODY):
            raise HTTPException(413)
        return message

    return receiving
