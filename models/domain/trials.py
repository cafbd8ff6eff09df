"""Trials, within which patients keep their pseudonyms, and who uses them."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class TrialUser:
    """Somebody who uses a trial, by the name that jobs know their owner by.

    ``by`` is who let them in: they themselves where the trial was new, or a group of theirs used it. It is empty for
    those whose jobs are older than the rule.
    """

    username: str
    since_at: datetime
    by: str


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial with its users, by name. ``id`` is the number of its linkage scope; a forgotten one has no users."""

    id: int
    protocol_id: str
    made_at: datetime
    is_forgotten: bool
    job_count: int
    users: tuple[TrialUser, ...]
