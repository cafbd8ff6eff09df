"""Sends what a retrieval gives while it still goes on, and breaks the connection off when it fails halfway.

Nobody then takes half a study for the whole: a body that is not finished as its protocol says is an error for every
client. A failure before the first piece is told as any other.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import anyio
from anyio import CapacityLimiter, to_thread
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.liveness import NO_LONGER, until_dead
from api.streams import within_a_minute
from models.domain.errors import AditError, Canceled, NotPermitted
from models.domain.instances import Bytes
from services.gateway.retrieving import Retrieval

T = TypeVar("T")

PIECE_BYTES = 128 << 10


@dataclass(frozen=True, slots=True)
class Opened:
    """An answer about which all is known but its pieces, which are made one after the other in a thread.

    ``ending`` concludes the retrieval and makes the last piece. It is sent when everything has been given back, so that
    a caller who asks for the next at once finds a place.
    """

    media_type: str
    headers: Mapping[str, str]
    pieces: Iterator[bytes]
    ending: Callable[[], bytes]


Opening = Callable[[Retrieval], AbstractContextManager[Opened]]
"""Begins a retrieval and opens its answer; what it raises is told to the caller."""


class Streamed(Response):
    """The answer of one retrieval. ``is_alive`` is asked in threads whether the caller may go on."""

    def __init__(
        self, retrieval: Retrieval, opening: Opening, is_alive: Callable[[], bool], threads: CapacityLimiter
    ) -> None:
        self.status_code = 200
        self.background = None
        self._retrieval = retrieval
        self._opening = opening
        self._is_alive = is_alive
        self._threads = threads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it all, or raise: before the first piece what the caller should hear, afterwards anything."""
        stack, send = ExitStack(), within_a_minute(send)
        try:
            async with self._watched(receive):
                opened = await self._in_thread(lambda: self._open(stack))
                await send({"type": "http.response.start", "status": 200, "headers": _raw(opened)})
                while piece := await self._in_thread(lambda: next(opened.pieces, b"")):
                    self._retrieval.check()  # what has been retrieved already does not go on being sent either
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                ending = await self._in_thread(opened.ending)
                await self._close(stack, None)
                await send({"type": "http.response.body", "body": ending, "more_body": False})
        except BaseException as error:
            await self._close(stack, error)
            raise

    def _open(self, stack: ExitStack) -> Opened:
        return stack.enter_context(self._opening(stack.enter_context(self._retrieval)))

    async def _close(self, stack: ExitStack, error: BaseException | None) -> None:
        """End the retrieval, whatever becomes of us."""
        self._retrieval.stop(error if isinstance(error, AditError) else None)
        kind, traceback = (None, None) if error is None else (type(error), error.__traceback__)
        with anyio.CancelScope(shield=True):
            await self._in_thread(lambda: stack.__exit__(kind, error, traceback))

    @asynccontextmanager
    async def _watched(self, receive: Receive) -> AsyncGenerator[None]:
        """Stop the retrieval when the caller hangs up or may not go on."""
        tasks = [asyncio.create_task(self._until_gone(receive)), asyncio.create_task(self._while_alive())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _until_gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._retrieval.stop(Canceled("The caller has hung up."))

    async def _while_alive(self) -> None:
        await until_dead(self._is_alive)
        self._retrieval.stop(NotPermitted(NO_LONGER))

    async def _in_thread(self, function: Callable[[], T]) -> T:
        return await to_thread.run_sync(function, limiter=self._threads, abandon_on_cancel=True)


def cut(pieces: Iterator[Bytes]) -> Iterator[bytes]:
    """The same bytes in pieces that are neither small nor large; nothing is held back behind the last."""
    waiting = bytearray()
    for piece in pieces:
        view = memoryview(piece)
        while len(view):
            room = PIECE_BYTES - len(waiting)
            waiting += view[:room]
            view = view[room:]
            if len(waiting) >= PIECE_BYTES:
                yield bytes(waiting)
                waiting.clear()
    if waiting:
        yield bytes(waiting)


_KEPT_NOWHERE = {"cache-control": "no-store", "x-accel-buffering": "no"}
"""Neither in a cache nor, at nginx, in the files of a proxy, where patients' data would lie."""


def _raw(opened: Opened) -> list[tuple[bytes, bytes]]:
    headers = {"content-type": opened.media_type, **_KEPT_NOWHERE, **opened.headers}
    return [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()]
