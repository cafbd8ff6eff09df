"""Whether a caller is still there and may still be answered, looked at while they are."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
from anyio import CancelScope, create_task_group
from starlette.types import Receive

from api.threads import QUICK, in_thread
from models.domain.errors import AditError, NotPermitted

NO_LONGER = "The token was revoked, has expired, or may not do this any more."
LOOK_EVERY_S = 3.0
_MOST_FAILED_LOOKS = 5
"""A database that does not answer for a moment ends no answer; one that is gone does."""


async def until_dead(is_alive: Callable[[], bool]) -> None:
    """Return when the caller may not go on: the token or a right was lost. ``is_alive`` is asked in threads."""
    failed = 0
    while failed < _MOST_FAILED_LOOKS:
        await anyio.sleep(LOOK_EVERY_S)
        try:
            if not await in_thread(is_alive):
                return
            failed = 0
        except AditError:
            failed += 1


@dataclass(slots=True)
class Watch:
    """What was seen of a caller."""

    is_revoked: bool = False
    has_ended: bool = False

    def check(self) -> None:
        """Raise NotPermitted when the token does not count any more."""
        if self.is_revoked:
            raise NotPermitted(NO_LONGER)


@asynccontextmanager
async def watching(
    receive: Receive, stop: Callable[[], Any] | None, is_alive: Callable[[], bool] | None
) -> AsyncGenerator[Watch]:
    """Call ``stop``, in another thread, as soon as the caller hangs up, the server does, or the token counts no more.

    Only for requests whose body has been read or does not matter. What is raised within comes out as it is.
    """
    watch = Watch()
    failure: Exception | None = None

    async def until_gone() -> None:
        try:
            while (await receive())["type"] != "http.disconnect":
                pass
        finally:
            if not watch.has_ended and stop is not None:
                with CancelScope(shield=True):
                    await in_thread(stop, limiter=QUICK)

    async def while_alive() -> None:
        if is_alive is None:
            return
        await until_dead(is_alive)
        watch.is_revoked = True
        if stop is not None:
            await in_thread(stop, limiter=QUICK)

    async with create_task_group() as group:
        group.start_soon(until_gone)
        group.start_soon(while_alive)
        try:
            yield watch
        except Exception as error:
            failure = error
        watch.has_ended = True
        group.cancel_scope.cancel()
    if failure is not None:
        raise failure
