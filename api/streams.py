"""Answers that are sent while they come into being, piece by piece, and end when nobody reads them any more."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from anyio import CancelScope, CapacityLimiter, create_task_group
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api import problems
from api.threads import QUICK, SLOW, in_thread
from models.domain.errors import NotPermitted

_LOOK_EVERY_S = 5.0


class Stream(Response):
    """Sends each piece as it comes; the next one is not asked for before the connection has taken it.

    ``pieces`` is iterated in threads, one piece at a time, and closed at the end where it can be. What it raises before
    the first piece is answered as a problem; later on the connection is broken off, so that nobody takes the half for
    the whole. ``stop`` is called from another thread as soon as the caller hangs up, and should let the iteration end.
    ``is_alive`` is asked now and then whether the caller's token is still good.
    """

    def __init__(
        self,
        pieces: Iterator[bytes],
        media_type: str,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        stop: Callable[[], Any] | None = None,
        is_alive: Callable[[], bool] | None = None,
        limiter: CapacityLimiter = SLOW,
    ) -> None:
        self.status_code = status
        self.media_type = media_type
        self.background = None
        # without a body of its own: one that is empty would be announced as the length of the answer
        self.init_headers(headers)
        self._pieces = pieces
        self._stop = stop
        self._is_alive = is_alive
        self._limiter = limiter
        self._looked_at = time.monotonic()
        self._has_ended = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the answer."""
        failure: Exception | None = None
        try:
            async with create_task_group() as group:
                group.start_soon(self._watch, receive)
                try:
                    await self._serve(scope, receive, send)
                except Exception as error:
                    failure = error
                self._has_ended = True
                group.cancel_scope.cancel()
        finally:
            with CancelScope(shield=True):
                await in_thread(self._close, limiter=self._limiter)
        if failure is not None:
            raise failure

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            piece = await self._next()
        except Exception as error:
            await problems.of(error)(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        while piece is not None:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            piece = await self._next()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _next(self) -> bytes | None:
        return await in_thread(self._pull, limiter=self._limiter)

    def _pull(self) -> bytes | None:
        if self._is_alive is not None and time.monotonic() - self._looked_at > _LOOK_EVERY_S:
            self._looked_at = time.monotonic()
            if not self._is_alive():
                raise NotPermitted("The token was revoked or has expired.")
        return next(self._pieces, None)

    async def _watch(self, receive: Receive) -> None:
        """Stop the work when the caller hangs up, or the server does."""
        try:
            while (await receive())["type"] != "http.disconnect":
                pass
        finally:
            if not self._has_ended and self._stop is not None:
                with CancelScope(shield=True):
                    await in_thread(self._stop, limiter=QUICK)

    def _close(self) -> None:
        if close := getattr(self._pieces, "close", None):
            close()
