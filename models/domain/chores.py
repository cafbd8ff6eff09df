"""Chores: the work that an installation does by itself at set times."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ChoreOutcome(StrEnum):
    """How a run of a chore has ended."""

    SUCCESS = "success"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class ChoreRun:
    """One run of a chore, at work as long as it has no outcome; ``message`` says what it did, and names no patient."""

    id: int
    name: str
    started_at: datetime
    alive_until_at: datetime
    ended_at: datetime | None
    outcome: ChoreOutcome | None
    message: str
    flow_run_id: str

    def is_at_work(self, now: datetime) -> bool:
        """Whether its process lives."""
        return self.ended_at is None and self.alive_until_at > now


DIED = "Its process ended without a word."
"""The message of a run that no longer says that it is alive."""
