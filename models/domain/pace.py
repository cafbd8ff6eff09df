"""How fast the items of a running job end, and when the last one will have, judged by those that ended last."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

LAST_ENDED = 100
"""So many items tell the pace: a job whose studies grow or shrink has another pace than at its beginning."""
_AT_LEAST = 3
_NEVER = timedelta(days=36_500)
_AT_LEAST_FOR = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Pace:
    """Items per minute, and the moment at which none is left if they go on ending like that."""

    items_per_minute: float
    ends_at: datetime


def pace(begun_at: datetime, last_ended: Collection[datetime], left: int, now: datetime) -> Pace | None:
    """The pace since work began, or None as long as that says little: before 3 items have ended and 30 s are over.

    ``begun_at`` is when the worker at hand began, not the job, which may have been on hold for days; ``last_ended`` are
    the ends of its items since then, or the last ``LAST_ENDED`` of them. A standstill counts as time: the pace falls.
    """
    ends = [end for end in last_ended if end >= begun_at]
    if len(ends) < _AT_LEAST or now - begun_at < _AT_LEAST_FOR:
        return None
    begin, count = (begun_at, len(ends)) if len(ends) < LAST_ENDED else (min(ends), len(ends) - 1)
    each = max((now - begin) / count, timedelta(microseconds=1))
    return Pace(timedelta(minutes=1) / each, now + min(each * left, _NEVER))
