"""The body of a request for a worker thread, chunk by chunk: no more is taken from the caller than is used."""

import time
from collections.abc import Callable, Iterator

import anyio
from anyio import from_thread
from fastapi import Request
from starlette.types import Message, Receive

from api.liveness import NO_LONGER
from models.domain.errors import Canceled, NotPermitted, TimedOut

LONGEST_SILENCE_S = 60.0
"""How long a caller is waited for in all until so much has come as anybody can send in that time."""
_LEAST_BYTES = 64 << 10
_LOOK_EVERY_S = 5.0
_KEY = "adit.upload"
_MOST_DRAINED_BYTES = 32 << 20
_LONGEST_DRAIN_S = 10.0


class Upload(Iterator[bytes]):
    """Iterate it once, in a thread that anyio started.

    A chunk is empty when nothing has come for a few seconds, so that whoever reads can let go of what others need.
    Raises Canceled when the caller hangs up, TimedOut when nothing worth mentioning comes for a minute, NotPermitted
    soon after the caller may not go on, which is asked of ``is_alive``.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.is_alive: Callable[[], bool] = lambda: True
        self._looked_at = time.monotonic()
        self.is_at_end = False
        self.is_silent = False
        self._waited_s = 0.0
        self._received_bytes = 0

    def __next__(self) -> bytes:
        if self.is_at_end:
            raise StopIteration
        if time.monotonic() - self._looked_at > _LOOK_EVERY_S:
            self._looked_at = time.monotonic()
            if not self.is_alive():
                raise NotPermitted(NO_LONGER)
        return from_thread.run(self._next)

    async def drain(self) -> None:
        """Take what is still to come of a body that is not wanted, within reason.

        A caller who is still sending when the connection is closed may never see the answer.
        """
        drained_bytes = 0
        with anyio.move_on_after(_LONGEST_DRAIN_S):
            while not self.is_at_end and drained_bytes < _MOST_DRAINED_BYTES:
                message = await self._receive()
                drained_bytes += len(message.get("body", b""))
                self._note(message)

    async def _next(self) -> bytes:
        begun_at, message = time.monotonic(), None
        with anyio.move_on_after(min(_LOOK_EVERY_S, LONGEST_SILENCE_S)):
            message = await self._receive()
        body = message.get("body", b"") if message else b""
        if message:
            self._note(message)
            if message["type"] == "http.disconnect":
                raise Canceled("The caller has hung up.")
        if not self.is_at_end:
            self._check_pace(len(body), time.monotonic() - begun_at)
        return body

    def _check_pace(self, size_bytes: int, waited_s: float) -> None:
        """Raise TimedOut for a caller who holds a place, and hardly sends anything."""
        self._received_bytes += size_bytes
        self._waited_s += waited_s
        if self._received_bytes >= _LEAST_BYTES:
            self._received_bytes, self._waited_s = 0, 0.0
        elif self._waited_s >= LONGEST_SILENCE_S:
            self.is_silent = self.is_at_end = True
            raise TimedOut("Hardly anything of the body has come for a minute, so the request was ended.")

    def _note(self, message: Message) -> None:
        self.is_at_end = message["type"] == "http.disconnect" or not message.get("more_body", False)


def upload_of(request: Request) -> Upload:
    """The one upload of a request."""
    return request.scope.setdefault(_KEY, Upload(request.receive))
