"""The times of the week in which a server may be used for transfers: as people write them, and what can be wrong."""

import re
from collections.abc import Sequence
from datetime import time

from models.domain.errors import BadRequest
from models.domain.nodes import Window

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MOST = 50
"""Windows of one server; more is a mistake."""
_MIDNIGHT = time(0)
_NUMBERS = {name.lower(): number for number, name in enumerate(WEEKDAYS)}
_FORM = re.compile(
    r"(?P<first>[a-z]{3})(?:\s*-\s*(?P<last>[a-z]{3}))?\s+(?P<begin>\d{1,2}:\d{2})\s*-\s*(?P<end>\d{1,2}:\d{2})"
)
_EXAMPLE = "Write them like Mon 20:00-06:00 or Mon-Fri 20:00-06:00; Sat 00:00-00:00 is a whole day."


def parsed(text: str) -> tuple[Window, ...]:
    """The windows that a text names, one for each of its days; raises BadRequest naming the field ``windows``."""
    match = _FORM.fullmatch(text.strip().lower())
    if match is None:
        raise _not_understood()
    first, last = match["first"], match["last"] or match["first"]
    try:
        days = _days(_NUMBERS[first], _NUMBERS[last])
        begin, end = (time.fromisoformat(match[name].zfill(5)) for name in ("begin", "end"))
    except (KeyError, ValueError):
        raise _not_understood() from None
    return tuple(Window(day, begin, end) for day in days)


def words(window: Window) -> str:
    """The window as people write it, and as ``parsed`` reads it."""
    return f"{WEEKDAYS[window.weekday]} {window.begin:%H:%M}-{window.end:%H:%M}"


def problem(windows: Sequence[Window]) -> str:
    """What is wrong with the windows of a server, in a sentence; empty when nothing is.

    Windows may overlap, and one that ends at or before its begin goes on into the next day. Only 00:00-00:00 may begin
    and end at the same time: it is the whole day.
    """
    if len(windows) > MOST:
        return f"at most {MOST}."
    if any(window.weekday not in range(7) for window in windows):
        return "the weekday must be between 0 (Monday) and 6 (Sunday)."
    if any(not (_is_minute(window.begin) and _is_minute(window.end)) for window in windows):
        return "times are whole minutes, without a time zone of their own."
    if any(window.begin == window.end != _MIDNIGHT for window in windows):
        return "one must not end when it begins, unless it is 00:00-00:00 for the whole day."
    if len(set(windows)) < len(windows):
        return "one stands there twice."
    return ""


def _days(first: int, last: int) -> list[int]:
    """The days from one to the other, over the end of the week if need be."""
    return [(first + n) % 7 for n in range((last - first) % 7 + 1)]


def _is_minute(moment: time) -> bool:
    return moment.tzinfo is None and moment.second == 0 and moment.microsecond == 0


def _not_understood() -> BadRequest:
    return BadRequest.of({"windows": f"this is none. {_EXAMPLE}"})
