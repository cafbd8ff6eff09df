"""Keeps an attempt's lease alive while its steps work, and hears when it has to stop."""

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager

from models.domain.errors import LeaseLost
from tasks.attempt import Attempt
from tasks.pulse import Pulse

BEAT_S = 1.0


@contextmanager
def heartbeat(attempt: Attempt) -> Generator[None]:
    """Beat once a second as long as the context is open.

    When the database cannot be reached for as long as the lease lasts, another worker may have taken over, so the
    attempt is stopped.
    """
    ended, pulse = threading.Event(), Pulse()
    name = f"heartbeat-{attempt.item_id}"
    thread = threading.Thread(target=_beat, args=(attempt, pulse, ended), name=name, daemon=True)
    thread.start()
    try:
        with pulse.watched(attempt.settings.lease_s, attempt.stop):
            yield
    finally:
        ended.set()
        thread.join()


def _beat(attempt: Attempt, pulse: Pulse, ended: threading.Event) -> None:
    while not ended.wait(BEAT_S):
        begun_at = time.monotonic()
        try:
            attempt.beat()
            pulse.renewed_at = begun_at
        except LeaseLost as lost:
            attempt.stop(lost)
        except Exception:  # any fault of the database: the watch decides
            continue
