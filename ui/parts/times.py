"""Times as people here read them: in the time zone of the settings."""

from datetime import datetime

from ui import context

NONE = "-"
"""What stands where there is no value."""


def moment(at: datetime | None) -> str:
    """A point in time to the minute, ``2026-03-05 14:07``; a dash for none."""
    return local(at).strftime("%Y-%m-%d %H:%M") if at else NONE


def exact(at: datetime | None) -> str:
    """A point in time to the second with its zone, ``2026-03-05 14:07:31 CET``; a dash for none."""
    return local(at).strftime("%Y-%m-%d %H:%M:%S %Z") if at else NONE


def local(at: datetime) -> datetime:
    """The same moment in the time zone of the settings."""
    return at.astimezone(context.time_zone())
