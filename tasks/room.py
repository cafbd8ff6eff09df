"""The room that one attempt has at a folder: nothing is written there before enough of it is reserved."""

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

from models.db.engine import Database
from models.domain.jobs import Lease
from models.domain.nodes import Node
from services import quotas


class Room:
    """Counts what an attempt has on the disk, and has the item's reservation grow when that is not enough.

    Reservations grow in portions, so most instances cost no question to the database. What the reservation covers is
    at any time at least what the item has in the folder and no walk and no settlement has counted.
    """

    def __init__(self, db: Database, lease: Lease, folder: Node) -> None:
        self._db = db
        self._lease = lease
        self._folder = folder
        self._taken_bytes = 0
        self._covered_bytes = 0
        self._needed_bytes = 0
        self._changing = threading.Lock()

    @property
    def needed_bytes(self) -> int:
        """The most that this attempt has had on the disk, or wanted to have, at a time."""
        return self._needed_bytes

    def begin(self, check: Callable[[], None]) -> int:
        """Return how much earlier attempts have reserved; a folder that was never measured is measured first."""
        quotas.ensure_measured(self._db, self._folder.id, check)
        return quotas.reserved(self._db, self._lease)

    def hold(self, size_bytes: int) -> None:
        """Say how much is on the disk; raises OverQuota when there is no room for it, LeaseLost."""
        with self._changing:
            self._cover(size_bytes)
            self._taken_bytes = size_bytes

    @contextmanager
    def make(self, size_bytes: int) -> Generator[None]:
        """Make room for so much more before it is written; what raises inside has not been written.

        Raises OverQuota when there is none, LeaseLost when another worker has the item.
        """
        with self._changing:
            self._cover(self._taken_bytes + size_bytes)
            self._taken_bytes += size_bytes
            self._needed_bytes = max(self._needed_bytes, self._taken_bytes)
        try:
            yield
        except BaseException:
            with self._changing:
                self._taken_bytes -= size_bytes
            raise

    def settle(self, published_bytes: int) -> None:
        """End the reservation: nothing is staged any more, and so much is published; raises LeaseLost."""
        with self._changing:
            quotas.settle(self._db, self._lease, published_bytes)
            self._taken_bytes = self._covered_bytes = 0

    def _cover(self, needed_bytes: int) -> None:
        if needed_bytes > self._covered_bytes:
            self._covered_bytes = quotas.cover(self._db, self._lease, self._folder.id, needed_bytes)
