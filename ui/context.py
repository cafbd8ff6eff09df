"""The installation that this process serves: its settings, and the one database handle that all threads share."""

from functools import cache
from zoneinfo import ZoneInfo

from models.db.engine import Database, open_database
from models.settings import settings

__all__ = ["database", "settings", "time_zone"]


@cache
def database() -> Database:
    """The database, opened at the first call."""
    return open_database(settings())


def time_zone() -> ZoneInfo:
    """The zone of all times on pages."""
    return ZoneInfo(settings().time_zone)
