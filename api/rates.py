"""How often one person may ask, with all of their tokens. It is kept in memory: the web process is one."""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class RateLimit:
    """So many requests a minute for each person, as many of them at once as they like."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = float(per_minute)
        self._clock = clock
        self._buckets: dict[int, _Bucket] = {}
        self._lock = threading.Lock()

    def take(self, user_id: int) -> int:
        """Count one request, and return 0; or after how many seconds the next may come, counting nothing."""
        now = self._clock()
        with self._lock:
            bucket = self._buckets.setdefault(user_id, _Bucket(self._most, now))
            bucket.left = min(self._most, bucket.left + (now - bucket.at) * self._most / 60)
            bucket.at = now
            if bucket.left < 1:
                return max(1, math.ceil((1 - bucket.left) * 60 / self._most))
            bucket.left -= 1
            return 0
