"""Watches how long ago a lease was renewed, so that nobody goes on with what may be another worker's by now."""

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from models.domain.errors import LeaseLost
from services.beating import beating

_LOOK_EVERY_S = 0.25


class Pulse:
    """When a lease was last renewed, as far as that is certain: the moment before the renewal was asked for."""

    def __init__(self) -> None:
        self.renewed_at = time.monotonic()

    @contextmanager
    def watched(self, lease_s: float, stop: Callable[[LeaseLost], None]) -> Generator[None]:
        """Call ``stop`` once as soon as the lease may have run out, also while a question to the database hangs.

        From then on another worker may take the item, and its places at servers, so no connection may stay open.
        """
        has_stopped = threading.Event()

        def look() -> None:
            if time.monotonic() - self.renewed_at > lease_s:
                stop(LeaseLost())
                has_stopped.set()

        with beating("pulse", _LOOK_EVERY_S, look, goes_on=lambda: not has_stopped.is_set()):
            yield
