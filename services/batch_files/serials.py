"""What the numbers and formats of spreadsheet cells mean: dates, times, and plain numbers."""

import math
import re
from datetime import date, datetime, time, timedelta

from services.batch_files.tables import Trouble, Value

_LITERALS = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]', re.IGNORECASE)
_HIGHEST_SERIAL = 2_958_466


def kind_of_format(code: str) -> str:
    """Whether a number format (18.8.31) shows a ``number``, a ``date`` or only a ``time``."""
    letters = _LITERALS.sub("", code).split(";")[0].lower()
    if "general" in letters:
        return "number"
    if "y" in letters or "d" in letters:
        return "date"
    if "h" in letters or "s" in letters or "[" in letters:
        return "time"
    return "date" if "m" in letters else "number"


def date_of(serial: float, has_1904_dates: bool) -> Value:
    """The date, with its time if it is not midnight, that a serial number means (18.17.4.1).

    The 1900 system counts a 29 February 1900 that never was: 60 is no date, and those before are one day further.
    """
    if not 0 <= serial < _HIGHEST_SERIAL:
        return Trouble.NO_NUMBER
    days, seconds = divmod(round(serial * 86_400), 86_400)
    if not has_1904_dates and days in (0, 60):
        return time_of(serial) if days == 0 else Trouble.NO_NUMBER
    begin = datetime(1904, 1, 1) if has_1904_dates else datetime(1899, 12, 30 if days > 60 else 31)
    try:
        found = begin + timedelta(days=days, seconds=seconds)
    except OverflowError:
        return Trouble.NO_NUMBER
    return found if seconds else found.date()


def moment(text: str) -> Value:
    """The date or time that a text in ISO 8601 means."""
    for read in (date.fromisoformat, datetime.fromisoformat, time.fromisoformat):
        try:
            found = read(text)
        except ValueError:
            continue
        is_midnight = isinstance(found, datetime) and found.time() == time()
        return found.date() if isinstance(found, datetime) and is_midnight else found
    return Trouble.NO_NUMBER


def finite(text: str) -> float | None:
    """The number that a text means, or None."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in text else None


def time_of(serial: float) -> Value:
    """The time of day that a serial number means."""
    if not 0 <= serial < _HIGHEST_SERIAL:
        return Trouble.NO_NUMBER
    return (datetime(1900, 1, 1) + timedelta(seconds=round(serial % 1 * 86_400))).time()
