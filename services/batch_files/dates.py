"""Dates as people write them: ISO, German, English. What could mean two days is decided by its column, or refused."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from models.domain.batches import Problem, Weight
from services.batch_files.tables import Trouble, Value
from services.batch_files.values import hint, lines_named

_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "jan january januar jänner jaenner",
            "feb february februar feber",
            "mar march mrz mär märz maerz",
            "apr april",
            "may mai",
            "jun june juni",
            "jul july juli",
            "aug august",
            "sep sept september",
            "oct october okt oktober",
            "nov november",
            "dec december dez dezember",
        ),
        start=1,
    )
    for name in names.split()
}
_TIME = re.compile(r"[T ]+\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?: ?[ap]\.?m\.?)?(?:Z|[+-]\d\d:?\d\d)?$", re.IGNORECASE)
_YEAR_FIRST = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})")
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})")
_DOTTED = re.compile(r"(\d{1,2})\. ?(\d{1,2})\. ?(\d{4}|\d{2})")
_EITHER = re.compile(r"(\d{1,2})([-/])(\d{1,2})\2(\d{4}|\d{2})")
_DAY_NAMED = re.compile(r"(\d{1,2})\.?[ -]*([^\W\d_]+)\.?,?[ -]*(\d{4}|\d{2})")
_MONTH_NAMED = re.compile(r"([^\W\d_]+)\.? *(\d{1,2})(?:st|nd|rd|th)?,? +(\d{4}|\d{2})", re.IGNORECASE)
_EARLIEST, _LATEST = 1850, 2200
_LONGEST = 60
_PIVOT = 70
"""Archives hold nothing older than the seventies: 69 is 2069, which nobody asks for, and 70 is 1970."""

DAY_FIRST, MONTH_FIRST = "day/month/year", "month/day/year"
_CLEAR = "Write it as 2023-12-31."
_NO_DATE = f"This is no date that can be read. {_CLEAR}"
_NEVER = f"There is no such day. {_CLEAR}"
_TWO_DIGITS = "The year has two digits, which may mean two centuries. Write all four, as in 2023-12-31."
_NO_TIME = f"This is a time, not a date. {_CLEAR}"
_SERIAL = "This is a number, not a date. Format the column as dates in the spreadsheet program."
_AMBIGUOUS = f"This may be day/month/year or month/day/year, and no other row of the column tells which. {_CLEAR}"
_CONTRADICTED = f"This may be day/month/year or month/day/year, and the column has both. {_CLEAR}"


@dataclass(frozen=True, slots=True)
class Either:
    """Two numbers of which nobody can tell which is the month; both are at most 12."""

    first: int
    second: int
    year: int

    def read(self, order: str) -> date | None:
        """The day in one of the two orders."""
        month, day = (self.second, self.first) if order == DAY_FIRST else (self.first, self.second)
        return _day(self.year, month, day)


@dataclass(frozen=True, slots=True)
class Found:
    """A day; ``order`` where the text could be read in that order only."""

    day: date
    order: str = ""


@dataclass(slots=True)
class DateColumn:
    """The dates of a column by line, and what is wrong with the others."""

    days: dict[int, date] = field(default_factory=dict[int, date])
    problems: list[Problem] = field(default_factory=list[Problem])


def read_dates(name: str, cells: Iterable[tuple[int, Value]], needs_century: bool) -> DateColumn:
    """Read the cells of one column, each with its line.

    With ``needs_century`` a year of two digits is refused, as for birth dates.
    """
    column = DateColumn()
    orders: dict[str, list[int]] = {}
    unclear: dict[int, Either] = {}
    true_dates: list[tuple[int, date]] = []
    for line, value in cells:
        read = parsed(value, needs_century)
        if isinstance(read, Either):
            unclear[line] = read
        elif isinstance(read, Found):
            column.days[line] = read.day
            if read.order:
                orders.setdefault(read.order, []).append(line)
            if isinstance(value, date):
                true_dates.append((line, read.day))
        else:
            column.problems.append(Problem(line, name, read, hint(value)))
    _decide(name, column, orders, unclear)
    _doubt_true_dates(name, column, orders, true_dates)
    return column


def parsed(value: Value, needs_century: bool = True) -> Found | Either | str:
    """What a cell says: a day, one of two days, or a sentence about what is wrong with it."""
    if isinstance(value, Trouble):
        return value.value
    if isinstance(value, datetime):
        return _plausible(value.date())
    if isinstance(value, date):
        return _plausible(value)
    if isinstance(value, bool) or value is None:
        return _NO_DATE
    if isinstance(value, float):
        compact = _COMPACT.fullmatch(f"{value:.0f}") if value.is_integer() else None
        return _of_digits(compact) if compact else _SERIAL
    if isinstance(value, str):
        text = " ".join(value.split())
        return _of_text(_TIME.sub("", text), needs_century) if len(text) <= _LONGEST else _NO_DATE
    return _NO_TIME


def _decide(name: str, column: DateColumn, orders: Mapping[str, list[int]], unclear: Mapping[int, Either]) -> None:
    if len(orders) != 1:
        sentence = _CONTRADICTED if orders else _AMBIGUOUS
        column.problems += [Problem(line, name, sentence, "an ambiguous date") for line in unclear]
        return
    ((order, witnesses),) = orders.items()
    for line, either in unclear.items():
        found = _plausible(either.read(order))
        if isinstance(found, Found):
            column.days[line] = found.day
        else:
            column.problems.append(Problem(line, name, found, "a date"))
    if unclear:
        sentence = f"Dates are read as {order}, because {lines_named(witnesses)} can be read in no other way."
        column.problems.append(Problem(0, name, sentence, weight=Weight.WARNING))


def _doubt_true_dates(
    name: str, column: DateColumn, orders: Mapping[str, list[int]], true_dates: Sequence[tuple[int, date]]
) -> None:
    """Warn of what a spreadsheet program does that expects the other order.

    It turns texts into dates where day and month can be exchanged, and leaves the others as they are.
    """
    doubtful = [line for line, day in true_dates if day.day <= 12 and day.day != day.month]
    if orders and doubtful and all(day.day <= 12 for _, day in true_dates):
        sentence = (
            f"Other dates of this column are text in the order {', '.join(orders)}. A spreadsheet program may have "
            f"exchanged day and month in {lines_named(doubtful)}. Compare them with where they come from."
        )
        column.problems.append(Problem(0, name, sentence, "dates and text", Weight.WARNING))


def _of_text(text: str, needs_century: bool) -> Found | Either | str:
    """Read a text with single spaces, without a time behind the date."""
    if found := _YEAR_FIRST.fullmatch(text):
        return _of_numbers(int(found[1]), int(found[3]), int(found[4]))
    if found := _COMPACT.fullmatch(text):
        return _of_digits(found)
    if found := _DOTTED.fullmatch(text):
        return _with_year(found[3], needs_century, int(found[2]), int(found[1]))
    if found := _EITHER.fullmatch(text):
        return _in_some_order(int(found[1]), int(found[3]), found[4], needs_century)
    if (found := _DAY_NAMED.fullmatch(text)) and (month := _MONTHS.get(found[2].casefold())):
        return _with_year(found[3], needs_century, month, int(found[1]))
    if (found := _MONTH_NAMED.fullmatch(text)) and (month := _MONTHS.get(found[1].casefold())):
        return _with_year(found[3], needs_century, month, int(found[2]))
    return _NO_DATE


def _in_some_order(first: int, second: int, year: str, needs_century: bool) -> Found | Either | str:
    if first > 12 or second > 12 or first == second:
        order = "" if first == second else DAY_FIRST if first > 12 else MONTH_FIRST
        month, day = (second, first) if order == DAY_FIRST else (first, second)
        return _with_year(year, needs_century, month, day, order)
    whole = _year(year, needs_century)
    return _TWO_DIGITS if whole is None else Either(first, second, whole)


def _with_year(year: str, needs_century: bool, month: int, day: int, order: str = "") -> Found | str:
    whole = _year(year, needs_century)
    return _TWO_DIGITS if whole is None else _of_numbers(whole, month, day, order)


def _year(text: str, needs_century: bool) -> int | None:
    if len(text) == 4:
        return int(text)
    return None if needs_century else int(text) + (1900 if int(text) >= _PIVOT else 2000)


def _of_digits(found: re.Match[str]) -> Found | str:
    return _of_numbers(int(found[1]), int(found[2]), int(found[3]))


def _of_numbers(year: int, month: int, day: int, order: str = "") -> Found | str:
    return _plausible(_day(year, month, day), order)


def _plausible(day: date | None, order: str = "") -> Found | str:
    return Found(day, order) if day and _EARLIEST <= day.year < _LATEST else _NEVER


def _day(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None
