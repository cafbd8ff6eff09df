"""Amounts in words: counts and durations. Sizes are told by ``models.domain.quotas.readable``."""

from datetime import timedelta


def counted(count: int, noun: str, plural: str = "") -> str:
    """How many, with the noun in its number: ``1 study``, ``2 studies``, ``1,204 instances``."""
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {plural or _plural(noun)}"


def span(duration: timedelta) -> str:
    """A duration in its two largest units: ``2 h 5 min``, ``12 s``."""
    seconds = max(round(duration.total_seconds()), 0)
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"


def _plural(noun: str) -> str:
    return f"{noun[:-1]}ies" if noun.endswith("y") and noun[-2:-1] not in "aeiou" else f"{noun}s"
