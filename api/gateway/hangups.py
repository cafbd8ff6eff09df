"""Work in a thread for a caller who may hang up or lose the token before it is done: then it is stopped."""

from collections.abc import Callable
from typing import Any, TypeVar

from anyio import CapacityLimiter
from starlette.types import Receive

from api.liveness import watching
from api.threads import in_thread

T = TypeVar("T")


async def unless_hung_up(
    receive: Receive,
    work: Callable[[], T],
    stop: Callable[[], Any],
    threads: CapacityLimiter,
    is_alive: Callable[[], bool],
) -> T:
    """What the work returns or raises. ``stop`` is called from another thread, and should let the work end soon.

    ``is_alive`` is asked now and then whether the caller may go on; raises NotPermitted when not.
    Only for requests whose body has been read or does not matter.
    """
    async with watching(receive, stop, is_alive) as watch:
        try:
            found = await in_thread(work, limiter=threads)
        except Exception:
            watch.check()
            raise
        watch.check()
    return found
