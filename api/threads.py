"""The threads in which the API works, so that it neither stops the event loop nor takes those of the pages."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread

T = TypeVar("T")

SEARCHES_AT_ONCE, SEARCHES_OF_ONE = 24, 8
"""Searches that wait or run at a time: of all, which leaves threads to other slow work, and of one person."""
UPLOADS_AT_ONCE = 8
"""Uploads that one process takes at a time."""
QUICK = CapacityLimiter(16)
"""Threads for questions to the database."""
SLOW = CapacityLimiter(32)
"""Threads for what waits for archives; a quick question never waits behind it."""
UPLOADS = CapacityLimiter(UPLOADS_AT_ONCE)
"""Threads for what callers send on to archives."""


async def in_thread(function: Callable[..., T], *values: Any, limiter: CapacityLimiter = QUICK, **more: Any) -> T:
    """What the function returns, called in a thread of the API."""
    return await to_thread.run_sync(partial(function, *values, **more), limiter=limiter)
