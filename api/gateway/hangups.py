"""Work in a thread for a caller who may hang up or lose the token before it is done: then it is stopped."""

from collections.abc import Callable
from typing import Any, TypeVar

from anyio import CancelScope, CapacityLimiter, create_task_group
from starlette.types import Receive

from api.liveness import until_dead
from api.threads import QUICK, in_thread
from models.domain.errors import NotPermitted

T = TypeVar("T")


async def unless_hung_up(
    receive: Receive,
    work: Callable[[], T],
    stop: Callable[[], Any],
    threads: CapacityLimiter,
    is_alive: Callable[[], bool],
) -> T:
    """What the work returns or raises. ``stop`` is called from another thread, and should let the work end soon.

    ``is_alive`` is asked now and then whether the token still counts; raises NotPermitted when it does not any more.
    Only for requests whose body has been read or does not matter.
    """
    found: list[T] = []
    failure: Exception | None = None
    is_revoked = False

    async def look() -> None:
        nonlocal is_revoked
        await until_dead(is_alive)
        is_revoked = True
        await in_thread(stop, limiter=QUICK)

    async def watch() -> None:
        try:
            while (await receive())["type"] != "http.disconnect":
                pass
        finally:
            if not found and failure is None:
                with CancelScope(shield=True):
                    await in_thread(stop, limiter=QUICK)

    async with create_task_group() as group:
        group.start_soon(watch)
        group.start_soon(look)
        try:
            found.append(await in_thread(work, limiter=threads))
        except Exception as error:
            failure = error
        group.cancel_scope.cancel()
    if is_revoked:
        raise NotPermitted("The token was revoked, or has expired.") from failure
    if failure is not None:
        raise failure
    return found[0]
