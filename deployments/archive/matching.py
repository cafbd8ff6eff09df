"""Whether an attribute matches a key of a query (PS3.4 section C.2.2.2)."""

import re
from collections.abc import Iterable
from functools import cache

_RANGED = frozenset({"DA", "TM", "DT"})
_WITHOUT_WILDCARDS = _RANGED | {"UI", "IS", "DS", "US", "UL", "SS", "SL", "FL", "FD", "AT"}


def matches(vr: str, keys: Iterable[str], values: Iterable[str]) -> bool:
    """Whether any value matches any key: ranges of dates and times, wildcards in text, else equality.

    No key, or an empty one, matches everything. Names match in any case.
    """
    wanted = [key for key in keys if key]
    return not wanted or any(_match(vr, key, value) for key in wanted for value in values)


def _match(vr: str, key: str, value: str) -> bool:
    if vr in _RANGED and "-" in key:
        return _is_in_range(key, value)
    if vr == "TM":
        return value.startswith(key) or value == key
    if vr in _WITHOUT_WILDCARDS:
        return value == key
    return _pattern(vr, key).fullmatch(value.rstrip("^ ") if vr == "PN" else value) is not None


def _is_in_range(key: str, value: str) -> bool:
    """``from-to``, either end may be open; an end that is less precise includes all that begins with it."""
    first, _, last = key.partition("-")
    return bool(value) and (not first or value >= first) and (not last or value[: len(last)] <= last)


@cache
def _pattern(vr: str, key: str) -> re.Pattern[str]:
    text = key.rstrip("^ ") if vr == "PN" else key
    first, *others = [re.escape(piece).replace(r"\?", ".") for piece in text.split("*")]
    between = "".join(f"(?>.*?{piece})" for piece in others[:-1])  # taken where it comes first, so never tried again
    end = f".*{others[-1]}" if others else ""
    return re.compile(first + between + end, re.DOTALL | (re.IGNORECASE if vr == "PN" else 0))
