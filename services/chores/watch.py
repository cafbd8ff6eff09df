"""Tells administrators by mail when a chore fails or is not done any more, and when that is over; each once."""

from datetime import datetime

from models.db.engine import Database
from models.settings import Settings
from services.alarms import watching
from services.chores import overview
from services.chores.roster import CHORES


def look(db: Database, settings: Settings, since: datetime) -> None:
    """Look at all chores once; ``since`` is when whoever looks has begun to."""
    found = overview.troubles(db, settings, since)
    for name in CHORES:
        if name in found:
            title, words = found[name]
            watching.see(db, settings, f"chore-{name}", f"Scheduled work: {title}", words)
        else:
            watching.clear(db, settings, f"chore-{name}")
