"""Whether the token of a caller still counts, asked now and then while they are being answered."""

from collections.abc import Callable

import anyio

from api.threads import in_thread
from models.domain.errors import AditError

LOOK_EVERY_S = 3.0
_MOST_FAILED_LOOKS = 5
"""A database that does not answer for a moment ends no answer; one that is gone does."""


async def until_dead(is_alive: Callable[[], bool]) -> None:
    """Return when the token has been revoked or has expired; ``is_alive`` is asked in threads."""
    failed = 0
    while failed < _MOST_FAILED_LOOKS:
        await anyio.sleep(LOOK_EVERY_S)
        try:
            if not await in_thread(is_alive):
                return
            failed = 0
        except AditError:
            failed += 1
