"""Answers that are sent while they come into being, piece by piece, and end when nobody reads them any more."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from anyio import CancelScope, CapacityLimiter, fail_after
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from api import problems
from api.liveness import Watch, watching
from api.threads import SLOW, in_thread
from models.domain.errors import AditError, TimedOut

LONGEST_REST_S = 60.0
"""How long a caller may take for one piece."""


class Stream(Response):
    """Sends each piece as it comes; the next one is not asked for before the connection has taken it.

    ``pieces`` is iterated in threads, one piece at a time, and closed at the end where it can be. What it raises before
    the first piece is answered as a problem; later on the connection is broken off, so that nobody takes the half for
    the whole. So it is when the caller takes nothing for a minute, or has lost the token: ``is_alive`` is asked for it
    now and then. ``stop`` is called from another thread as soon as the caller hangs up or has lost the token; it should
    let the iteration end.
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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the answer."""
        try:
            async with watching(receive, self._stop, self._is_alive) as watch:
                await self._serve(watch, scope, receive, within_a_minute(send))
        finally:
            with CancelScope(shield=True):
                await in_thread(self._close, limiter=self._limiter)

    async def _serve(self, watch: Watch, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            piece = await self._next(watch)
        except Exception as error:
            await problems.of(error)(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        while piece is not None:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            piece = await self._next(watch)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _next(self, watch: Watch) -> bytes | None:
        try:
            piece = await in_thread(lambda: next(self._pieces, None), limiter=self._limiter)
        except AditError:
            watch.check()
            raise
        watch.check()
        return piece

    def _close(self) -> None:
        if close := getattr(self._pieces, "close", None):
            close()


def within_a_minute(send: Send) -> Send:
    """Raise TimedOut when the connection takes nothing for so long: the work behind it holds places of others."""

    async def sending(message: Message) -> None:
        try:
            with fail_after(LONGEST_REST_S):
                await send(message)
        except TimeoutError:
            raise TimedOut("The caller has taken nothing for a minute, so the answer was ended.") from None

    return sending
