"""The times of the week in which a server may be used, and its budget by hour: as people write them, and what they say.

The clock on the wall decides, in the time zone of the settings: what it never shows, when summer time begins, is never
open, and what it shows twice, when summer time ends, is open twice.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time, timedelta, tzinfo

from models.domain.errors import BadRequest, Bug
from models.domain.nodes import BudgetRule, Window

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MOST = 50
"""Windows of one server, and budgets by hour; more is a mistake."""
_MIDNIGHT = time(0)
_A_DAY, _A_SECOND = timedelta(days=1), timedelta(seconds=1)
_LOOK_AHEAD_DAYS = 16
"""What opens every week may be left out once, when clocks change."""
_NUMBERS = {name.lower(): number for number, name in enumerate(WEEKDAYS)}
_FORM = re.compile(
    r"(?P<first>[a-z]{3})(?:\s*-\s*(?P<last>[a-z]{3}))?\s+(?P<begin>\d{1,2}:\d{2})\s*-\s*(?P<end>\d{1,2}:\d{2})"
)
_RULE = re.compile(r"(?P<hours>[^=]+)=\s*(?P<budget>\d{1,9})\s*")
_EXAMPLE = "Write them like Mon 20:00-06:00 or Mon-Fri 20:00-06:00; Sat 00:00-00:00 is a whole day."
_RULE_EXAMPLE = "Write them like Mon-Fri 20:00-06:00 = 12."


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


def parsed_rules(text: str) -> tuple[BudgetRule, ...]:
    """The budgets by hour that a text names, one for each day; raises BadRequest naming the field ``budget_rules``."""
    match = _RULE.fullmatch(text.strip())
    try:
        hours = parsed(match["hours"]) if match else ()
    except BadRequest:
        hours = ()
    if match is None or not hours:
        raise BadRequest.of({"budget_rules": f"this is none. {_RULE_EXAMPLE}"})
    return tuple(BudgetRule(window, int(match["budget"])) for window in hours)


def words(window: Window) -> str:
    """The window as people write it, and as ``parsed`` reads it."""
    return f"{WEEKDAYS[window.weekday]} {window.begin:%H:%M}-{window.end:%H:%M}"


def rule_words(rule: BudgetRule) -> str:
    """The budget as people write it, and as ``parsed_rules`` reads it."""
    return f"{words(rule.hours)} = {rule.budget}"


def is_open(windows: Sequence[Window], moment: datetime, zone: tzinfo) -> bool:
    """Whether a server with these windows may be used at an aware moment; without any it always may."""
    local = _local(moment, zone)
    return not windows or any(_shows(window, local) for window in windows)


def opens_at(windows: Sequence[Window], moment: datetime, zone: tzinfo) -> datetime:
    """When it may be used from the moment on: at that very moment if it is open, else when it opens next."""
    if is_open(windows, moment, zone):
        return moment
    opens = _next(windows, moment, zone, is_to_be_open=True)
    if opens is None:
        raise Bug("A server has windows of which none ever comes.")
    return opens


def closes_at(windows: Sequence[Window], moment: datetime, zone: tzinfo) -> datetime | None:
    """When an open server closes next; None when it never does."""
    return _next(windows, moment, zone, is_to_be_open=False) if windows else None


def budget_at(rules: Sequence[BudgetRule], usual: int, moment: datetime, zone: tzinfo) -> int:
    """The budget at an aware moment: the smallest of those whose hours it is, else the usual one."""
    local = _local(moment, zone)
    return min((rule.budget for rule in rules if _shows(rule.hours, local)), default=usual)


def problem(windows: Sequence[Window]) -> str:
    """What is wrong with the windows of a server, in a sentence; empty when nothing is.

    Windows may overlap, and one that ends at or before its begin goes on into the next day. Only 00:00-00:00 may begin
    and end at the same time: it is the whole day.
    """
    return _problem(windows) or _repetition(windows)


def rules_problem(rules: Sequence[BudgetRule]) -> str:
    """What is wrong with budgets by hour, in a sentence; empty when nothing is. They may overlap, as windows may."""
    if any(rule.budget < 1 for rule in rules):
        return "a budget must be positive; hours without any are for windows to say."
    return _problem([rule.hours for rule in rules]) or _repetition(rules)


def _problem(windows: Sequence[Window]) -> str:
    if len(windows) > MOST:
        return f"at most {MOST}."
    if any(window.weekday not in range(7) for window in windows):
        return "the weekday must be between 0 (Monday) and 6 (Sunday)."
    if any(not (_is_minute(window.begin) and _is_minute(window.end)) for window in windows):
        return "times are whole minutes, without a time zone of their own."
    if any(window.begin == window.end != _MIDNIGHT for window in windows):
        return "one must not end when it begins, unless it is 00:00-00:00 for the whole day."
    return ""


def _repetition(entries: Sequence[object]) -> str:
    return "one stands there twice." if len(set(entries)) < len(entries) else ""


def _shows(window: Window, local: datetime) -> bool:
    """Whether a clock that shows this is within the window."""
    day, clock = local.weekday(), local.time()
    if window.begin < window.end:
        return day == window.weekday and window.begin <= clock < window.end
    is_evening = day == window.weekday and clock >= window.begin
    return is_evening or (day == (window.weekday + 1) % 7 and clock < window.end)


def _local(moment: datetime, zone: tzinfo) -> datetime:
    """What the clock shows; by way of UTC, since a moment of the zone itself may be one that it never shows."""
    return moment.astimezone(UTC).astimezone(zone)


def _next(windows: Sequence[Window], moment: datetime, zone: tzinfo, is_to_be_open: bool) -> datetime | None:
    """The first moment later than this one from which on it is so."""
    for day in range(-1, _LOOK_AHEAD_DAYS):
        for change in sorted(set(_changes(windows, _local(moment, zone) + day * _A_DAY, zone))):
            if change > moment and is_open(windows, change, zone) is is_to_be_open:
                return change
    return None


def _changes(windows: Sequence[Window], day: datetime, zone: tzinfo) -> Iterator[datetime]:
    """Moments of a day of the calendar at which something may change: begins, ends, midnight, a jump of clocks."""
    for clock in {_MIDNIGHT, *(each for window in windows for each in (window.begin, window.end))}:
        for fold in (0, 1):
            yield datetime.combine(day, clock.replace(fold=fold), zone).astimezone(UTC)
    begin = datetime.combine(day, _MIDNIGHT, zone).astimezone(UTC)
    if (jump := _jump(begin, begin + _A_DAY, zone)) is not None:
        yield jump


def _jump(first: datetime, last: datetime, zone: tzinfo) -> datetime | None:
    """When the clocks of a zone jump between two moments, to the second; None when they don't."""
    before = first.astimezone(zone).utcoffset()
    if last.astimezone(zone).utcoffset() == before:
        return None
    while last - first > _A_SECOND:
        middle = first + (last - first) // 2
        if middle.astimezone(zone).utcoffset() == before:
            first = middle
        else:
            last = middle
    return last.replace(microsecond=0)


def _days(first: int, last: int) -> list[int]:
    """The days from one to the other, over the end of the week if need be."""
    return [(first + n) % 7 for n in range((last - first) % 7 + 1)]


def _is_minute(moment: time) -> bool:
    return moment.tzinfo is None and moment.second == 0 and moment.microsecond == 0


def _not_understood() -> BadRequest:
    return BadRequest.of({"windows": f"this is none. {_EXAMPLE}"})
