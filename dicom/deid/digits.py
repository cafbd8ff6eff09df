"""Numbers that stand for somebody: those within identifiers, and how they are grouped in text."""

import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation

LONG = 6
"""Digits are compared without the letters beside them only when there are so many of them."""
_MOST_ROUND_DIGITS = 2
"""A round number, as 100000, is in many attributes by chance."""
_MOST_GROUPS = 20
_POINTS = frozenset({".", ","})
_NUMBER = re.compile(r"[0-9]+")
_LETTERS = re.compile(r"[^\W\d_]+")
_GROUPED = re.compile(r"[0-9](?:[ ()/.,'\u2019_\\\u2010-\u2015\u2212-]{0,3}[0-9])+")
_UID = re.compile(r"[0-9]+(?:\.[0-9]+){3,}")
_DATE = re.compile(
    r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?P<time>(?:[01][0-9]|2[0-3])(?:[0-5][0-9]){1,2})?"
    r"|(?:0[1-9]|[12][0-9]|3[01])(?:0[1-9]|1[0-2])(?:19|20)[0-9]{2}"
)
_TIME = re.compile(r"(?:[01][0-9]|2[0-3])(?:[0-5][0-9]){2}")
_LARGEST_EXPONENT = 32


def telling_numbers(identifier: str) -> frozenset[str]:
    """Return the numbers of an identifier that has more than digits in it, which tell whose it is without the rest.

    ``identifier`` is spaced text. Told are digits between letters, in one or in groups. Too short ones, round ones,
    dates and times (those of an examination are many people's) and parts of UIDs tell nobody.
    """
    plain = _UID.sub(_joined, identifier) if "." in identifier else identifier
    chunks = (_NUMBER.findall(chunk) for chunk in _LETTERS.split(plain) if len(chunk) >= LONG)
    return frozenset(number for groups in chunks for number in _candidates(groups) if _is_telling(number))


def _joined(uid: re.Match[str]) -> str:
    return uid[0].replace(".", "")


def _candidates(groups: list[str]) -> Iterator[str]:
    yield "".join(groups)
    if len(groups) == 1:
        return
    is_dated = any(_DATE.fullmatch(group) for group in groups)
    yield from (group for group in groups if not (is_dated and _TIME.fullmatch(group)))


def _is_telling(number: str) -> bool:
    return len(number) >= LONG and not is_round(number) and _DATE.fullmatch(number) is None


def is_round(number: str) -> bool:
    """Whether a number is so round or so small that many have it by chance."""
    return len(number.strip("0")) <= _MOST_ROUND_DIGITS


def runs(text: str) -> Iterator[str]:
    """Yield the digits of each number in a text, also of one that is written in groups."""
    return ("".join(_NUMBER.findall(run)) for run in _GROUPED.findall(text))


def grouped(text: str) -> Iterator[str]:
    """Yield the digits of whatever neighbouring groups in a text could be one number, but not those behind a point."""
    for run in _GROUPED.findall(text):
        groups, between = _NUMBER.findall(run), _NUMBER.split(run)
        for start, group in enumerate(groups):
            if between[start] in _POINTS or (not group.strip("0") and between[start + 1] in _POINTS):
                continue
            for stop in range(start + 1, min(start + _MOST_GROUPS, len(groups)) + 1):
                yield "".join(groups[start:stop])


def integer(decimal: str) -> str:
    """Return the digits of a decimal string (PS3.5 section 6.2) that is a whole number, without leading zeros."""
    try:
        number = Decimal(decimal)
        is_whole = number.adjusted() < _LARGEST_EXPONENT and number == number.to_integral_value()
    except InvalidOperation:
        return ""
    return f"{abs(number):.0f}".lstrip("0") if is_whole else ""
