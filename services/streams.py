"""A queue between two steps that is bounded in bytes, not in instances."""

import math
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from models.domain.errors import Stalled
from models.domain.instances import EncodedInstance


@dataclass(frozen=True, slots=True)
class Parcel:
    """An instance on its way, with the SOP Instance UID it has at the source."""

    source_uid: str
    instance: EncodedInstance


class Stream:
    """Parcels in order of arrival, from one writer to any number of readers.

    ``limit_bytes`` bounds what waits inside; a single larger instance passes alone. A reader that fails gives its
    parcel back with ``put_back``, so that nothing is lost between two runs of a step.
    """

    def __init__(self, limit_bytes: int, patience_s: float | None = None) -> None:
        self._limit_bytes = limit_bytes
        self._patience_s = patience_s
        self._parcels: deque[Parcel] = deque()
        self._held_bytes = 0
        self._is_closed = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()

    def put(self, parcel: Parcel) -> None:
        """Append a parcel, waiting for room.

        Raises Stalled when there is none for ``patience_s``; without one it waits as long as it takes.
        """
        size = parcel.instance.size_bytes
        end = math.inf if self._patience_s is None else time.monotonic() + self._patience_s
        with self._changed:
            while not self._has_room(size):
                self._check()
                left = end - time.monotonic()
                if left <= 0:
                    raise Stalled
                self._changed.wait(min(left, 1))
            self._check()
            self._append(parcel, size)

    def put_back(self, parcel: Parcel) -> None:
        """Return a parcel to the head of the stream, whatever room there is."""
        with self._changed:
            self._parcels.appendleft(parcel)
            self._held_bytes += parcel.instance.size_bytes
            self._changed.notify_all()

    def wait_for_room(self) -> None:
        """Return when half of the stream is free again; for a writer about to open a connection."""
        with self._changed:
            while self._held_bytes > self._limit_bytes // 2:
                self._check()
                self._changed.wait(1)
            self._check()

    def close(self) -> None:
        """Say that nothing more will come: readers end when the stream is empty."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def stop(self, error: BaseException) -> None:
        """Drop what waits, and raise the error in whoever reads or writes."""
        with self._changed:
            self._error = self._error or error
            self._parcels.clear()
            self._held_bytes = 0
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Parcel]:
        while (parcel := self._take()) is not None:
            yield parcel

    def _take(self) -> Parcel | None:
        with self._changed:
            while not self._parcels:
                self._check()
                if self._is_closed:
                    return None
                self._changed.wait(1)
            self._check()
            parcel = self._parcels.popleft()
            self._held_bytes -= parcel.instance.size_bytes
            self._changed.notify_all()
            return parcel

    def _append(self, parcel: Parcel, size: int) -> None:
        self._parcels.append(parcel)
        self._held_bytes += size
        self._changed.notify_all()

    def _has_room(self, size: int) -> bool:
        return self._error is not None or not self._held_bytes or self._held_bytes + size <= self._limit_bytes

    def _check(self) -> None:
        if self._error is not None:
            raise self._error
