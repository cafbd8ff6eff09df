"""How much programs may do at the same time in one process, so that nobody can have all of it for themselves."""

import threading
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager

from models.domain.errors import PeerBusy


class Places:
    """A number of places, of which one person, whatever tokens they use, has ``most_each``: half, unless given.

    ``what`` says in the plural what takes them.
    """

    def __init__(self, count: int, what: str = "retrievals", most_each: int | None = None) -> None:
        self._count = count
        self._most_each = max(count // 2, 1) if most_each is None else most_each
        self._what = what
        self._taken: Counter[int | None] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def taken(self, user_id: int | None) -> Generator[None]:
        """Have a place; raises PeerBusy when there is none, or none for this person."""
        with self._lock:
            self._check(user_id)
            self._taken[user_id] += 1
        try:
            yield
        finally:
            with self._lock:
                self._taken -= Counter((user_id,))

    def _check(self, user_id: int | None) -> None:
        if self._taken.total() >= self._count:
            raise PeerBusy(f"All {self._count} {self._what} that run at a time are taken. Try again in a minute.")
        if self._taken[user_id] >= self._most_each:
            raise PeerBusy(
                f"{self._most_each} of your {self._what} are under way; one person has no more at a time. "
                "Try again when one has ended."
            )
