"""Counts what is asked and answered by each token, and writes it down in bulk: not an update for every request."""

import logging
import threading
from collections.abc import Mapping
from dataclasses import replace

from models.db.engine import Database
from models.domain.errors import AditError
from services.people import tokens
from services.people.tokens import Use

log = logging.getLogger(__name__)

EVERY_S = 3.0
"""How long a count may wait to be written down."""


class Usage:
    """What was counted since it was last written down; threads share it."""

    def __init__(self, db: Database, every_s: float = EVERY_S) -> None:
        self._db = db
        self._every_s = every_s
        self._uses: dict[int, Use] = {}
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()

    def note(self, token_id: int, answered_bytes: int) -> None:
        """Count one request, which got so many bytes for an answer."""
        with self._lock:
            self._add({token_id: Use(1, answered_bytes, self._db.clock())})
            if self._timer is None:
                self._timer = threading.Timer(self._every_s, self.flush)
                self._timer.daemon = True
                self._timer.start()

    def flush(self) -> None:
        """Write down what was counted; what a database in trouble does not take is kept for the next time."""
        with self._lock:
            uses, self._uses = self._uses, {}
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        if not uses:
            return
        try:
            tokens.note_use(self._db, uses)
        except AditError as error:
            log.warning("the use of %s tokens could not be written down: %s", len(uses), error.code)
            with self._lock:
                self._add(uses)

    def _add(self, uses: Mapping[int, Use]) -> None:
        for token_id, use in uses.items():
            known = self._uses.get(token_id)
            self._uses[token_id] = use if known is None else _sum(known, use)


def _sum(one: Use, other: Use) -> Use:
    return replace(one, requests=one.requests + other.requests, bytes=one.bytes + other.bytes, at=max(one.at, other.at))
