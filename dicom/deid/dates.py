"""Shifts dates back by a whole number of days, so that intervals and times of day stay (PS3.15 section E.3.6)."""

import re
from collections.abc import Callable
from datetime import date, timedelta

from dicom.deid.keys import LinkageKey

_SHORTEST_DAYS, _RANGE_DAYS = 365, 3650
_DATE = re.compile(rb"(\d{4})(\.?)(\d{2})\2(\d{2})")
_DATE_TIME = re.compile(rb"(\d{8})(\d{0,6}(?:\.\d{0,6})?(?:[+-]\d{4})?)")
_TIME = re.compile(
    rb"(?:(?:[01]\d|2[0-3])(?::?[0-5]\d(?::?(?:[0-5]\d|60)(?:\.\d{0,6})?)?)?)?|[+-](?:0\d|1[0-4])[0-5]\d"
)
"""A time of day (PS3.5 section 6.2), also with the colons of ACR-NEMA, or an offset from UTC. A date is none."""
_PADDING = b" \0"


def days_back(key: LinkageKey, pseudonym: str) -> int:
    """Return by how many days a patient's dates are shifted: 1 to 11 years, and nobody without the key can tell.

    Within a linkage scope a pseudonym belongs to one patient, so this is one number for each patient, also for files
    that lack a patient ID.
    """
    return _SHORTEST_DAYS + key.number("date", pseudonym) % _RANGE_DAYS


def shifted_date(value: bytes, days: int) -> bytes:
    """Return a DA value (one or several) shifted back; dates that cannot be read are emptied."""
    return _each(value, lambda single: _shift(_DATE.fullmatch(single), days))


def shifted_date_time(value: bytes, days: int) -> bytes:
    """Return a DT value (one or several) with its date shifted back; without day, or unreadable, it is emptied."""
    return _each(value, lambda single: _shifted_date_time(single, days))


def plain_date(value: bytes) -> bytes:
    """Return a DA value as it is; what is no date of the calendar is emptied."""
    return _each(value, lambda single: single if _shift(_DATE.fullmatch(single), 0) else b"")


def plain_date_time(value: bytes) -> bytes:
    """Return a DT value as it is; without day, or unreadable, it is emptied."""
    return _each(value, lambda single: single if _shifted_date_time(single, 0) else b"")


def plain_time(value: bytes) -> bytes:
    """Return a TM value, or an offset from UTC, as it is; what is neither is emptied."""
    return _each(value, lambda single: single if _TIME.fullmatch(single) else b"")


def _each(value: bytes, change: Callable[[bytes], bytes]) -> bytes:
    return b"\\".join(change(single.strip(_PADDING)) for single in value.split(b"\\"))


def _shifted_date_time(single: bytes, days: int) -> bytes:
    match = _DATE_TIME.fullmatch(single)
    if not match:
        return b""
    day = _shift(_DATE.fullmatch(match[1]), days)
    return day + match[2] if day else b""


def _shift(match: "re.Match[bytes] | None", days: int) -> bytes:
    if not match:
        return b""
    try:
        day = date(int(match[1]), int(match[3]), int(match[4])) - timedelta(days=days)
    except (ValueError, OverflowError):
        return b""
    return b"%04d%02d%02d" % (day.year, day.month, day.day)
