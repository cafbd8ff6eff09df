"""Alarms: what is wrong with an installation as a whole, when it counts as wrong, and when that is over."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

LOOK_BACK = timedelta(minutes=15)
"""Within this time failures at one node are one burst."""
_BURST, _SHARE = 10, 0.5
_OVER, _OVER_SHARE = 5, 0.25
"""A burst is over only well below what began it, or one that goes up and down would be told of again and again."""


@dataclass(frozen=True, slots=True)
class Ends:
    """How items have ended at one node within a short time; ``failures`` are counted by the code of their error."""

    node_name: str
    total: int
    failures: Counter[str] = field(default_factory=Counter[str])

    @property
    def failed(self) -> int:
        """How many have failed."""
        return self.failures.total()

    @property
    def is_burst(self) -> bool:
        """Whether so many fail that somebody should look."""
        return self.failed >= _BURST and self.failed >= _SHARE * self.total

    @property
    def is_calm(self) -> bool:
        """Whether a burst is over."""
        return self.failed < _OVER or self.failed < _OVER_SHARE * self.total


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that is wrong, in a few words and in a sentence, both without patients.

    ``told_at`` is when administrators got a mail; None for what is only shown.
    """

    name: str
    since_at: datetime
    title: str
    text: str
    told_at: datetime | None = None
