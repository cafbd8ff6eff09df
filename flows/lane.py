"""What the items that are worked on at the same time share, and how all of them are ended at once."""

import threading
from collections.abc import Collection, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dicom.files.target import is_there
from flows.steps import Start
from models.db.engine import Database
from models.domain.errors import LeaseLost
from models.settings import Settings
from tasks.attempt import Attempt


class Halt:
    """Tells the lanes of a flow run to end: none takes up another item, and attempts at work are given up."""

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._attempts: set[Attempt] = set()
        self.is_called = False

    def call(self) -> None:
        """Have all lanes end within moments."""
        with self._changing:
            self.is_called = True
            attempts = list(self._attempts)
        for attempt in attempts:
            attempt.stop(LeaseLost())

    @contextmanager
    def ends(self, attempt: Attempt) -> Generator[None]:
        """Stop the attempt when the halt is called as long as the context is open, or was called before."""
        with self._changing:
            self._attempts.add(attempt)
        try:
            if self.is_called:
                attempt.stop(LeaseLost())
            yield
        finally:
            with self._changing:
                self._attempts.discard(attempt)


@dataclass(frozen=True, slots=True)
class Lane:
    """Where one item after another is worked on. ``stream_bytes`` is its part of what the worker may hold in memory.

    ``folders`` are the destinations that were there when the flow run began.
    """

    db: Database
    settings: Settings
    start: Start
    halt: Halt
    stream_bytes: int
    folders: Collection[Path] = ()

    @property
    def has_lost_a_folder(self) -> bool:
        """Whether a share is gone from this machine: what comes next is for others, or for later."""
        return not all(is_there(folder) for folder in self.folders)
