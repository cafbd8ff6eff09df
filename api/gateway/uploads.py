"""The body of a request for a worker thread, chunk by chunk: no more is taken from the caller than is used."""

import time
from collections.abc import Callable, Iterator

import anyio
from anyio import from_thread
from fastapi import Request
from starlette.types import Message, Receive

from models.domain.errors import Canceled, NotPermitted, TimedOut

LONGEST_SILENCE_S = 60.0
_LOOK_EVERY_S = 5.0
_KEY = "adit.upload"
_MOST_DRAINED_BYTES = 32 << 20
_LONGEST_DRAIN_S = 10.0


class Upload(Iterator[bytes]):
    """Iterate it once, in a thread that anyio started.

    Raises Canceled when the caller hangs up, TimedOut when nothing comes for a minute, NotPermitted soon after the
    caller's token is dead, which is asked of ``is_alive``.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.is_alive: Callable[[], bool] = lambda: True
        self._looked_at = time.monotonic()
        self.is_at_end = False
        self.is_silent = False

    def __next__(self) -> bytes:
        if self.is_at_end:
            raise StopIteration
        if time.monotonic() - self._looked_at > _LOOK_EVERY_S:
            self._looked_at = time.monotonic()
            if not self.is_alive():
                raise NotPermitted("The token was revoked, or has expired.")
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
        try:
            with anyio.fail_after(LONGEST_SILENCE_S):
                message = await self._receive()
        except TimeoutError:
            self.is_silent = self.is_at_end = True
            raise TimedOut("Nothing of the body has come for a minute, so the request was ended.") from None
        self._note(message)
        if message["type"] == "http.disconnect":
            raise Canceled("The caller has hung up.")
        return message.get("body", b"")

    def _note(self, message: Message) -> None:
        self.is_at_end = message["type"] == "http.disconnect" or not message.get("more_body", False)


def upload_of(request: Request) -> Upload:
    """The one upload of a request."""
    return request.scope.setdefault(_KEY, Upload(request.receive))
