"""Keeps an attempt's lease alive while its steps work, and hears when it has to stop."""

import time
from collections.abc import Generator
from contextlib import contextmanager

from models.domain.errors import LeaseLost
from services.beating import beating
from services.pulse import Pulse
from tasks.attempt import Attempt

BEAT_S = 1.0


@contextmanager
def heartbeat(attempt: Attempt) -> Generator[None]:
    """Beat once a second as long as the context is open.

    When the database cannot be reached for as long as the lease lasts, another worker may have taken over, so the
    attempt is stopped.
    """
    pulse = Pulse()

    def beat() -> None:
        begun_at = time.monotonic()
        try:
            attempt.beat()
            pulse.renewed_at = begun_at
        except LeaseLost as lost:
            attempt.stop(lost)

    with (
        beating(f"heartbeat-{attempt.item_id}", BEAT_S, beat),
        pulse.watched(attempt.settings.lease_s, attempt.stop),
    ):
        yield
