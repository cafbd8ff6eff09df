"""The open sockets of this process, so that they can be looked at again at once when somebody's rights have ended."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(eq=False, slots=True)
class Watch:
    """One socket; ``wake`` is set when its session must be looked up again."""

    user_id: int
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)


_watches: set[Watch] = set()


@contextmanager
def watched(user_id: int) -> Generator[Watch]:
    """Watch a socket as long as the block runs; in the event loop."""
    watch = Watch(user_id)
    _watches.add(watch)
    try:
        yield watch
    finally:
        _watches.discard(watch)


def recheck(user_id: int | None = None) -> None:
    """Look up the sessions of somebody's open sockets again, of everybody's without an ID; from any thread.

    Those that have ended are closed within a moment. To be called after whatever ends sessions or begins maintenance:
    without it the sockets of this process hear of it with their next message, or within seconds.
    """
    for watch in tuple(_watches):
        if user_id is None or watch.user_id == user_id:
            watch.loop.call_soon_threadsafe(watch.wake.set)
