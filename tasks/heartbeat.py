"""Keeps an attempt's lease alive while its steps work, and hears when it has to stop."""

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial

from models.domain.errors import LeaseLost
from tasks.attempt import Attempt

BEAT_S = 1.0


@contextmanager
def heartbeat(attempt: Attempt) -> Generator[None]:
    """Beat once a second as long as the context is open.

    When the database cannot be reached for as long as the lease lasts, another worker may have taken over, so the
    attempt is stopped.
    """
    ended = threading.Event()
    beat = partial(copy_context().run, _beat, attempt, ended)
    thread = threading.Thread(target=beat, name=f"heartbeat-{attempt.item_id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _beat(attempt: Attempt, ended: threading.Event) -> None:
    renewed_at = time.monotonic()
    while not ended.wait(BEAT_S):
        try:
            attempt.beat()
            renewed_at = time.monotonic()
        except LeaseLost as lost:
            attempt.stop(lost)
        except Exception:  # any fault of the database: the lease decides
            if time.monotonic() - renewed_at > attempt.settings.lease_s:
                attempt.stop(LeaseLost())
