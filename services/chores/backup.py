"""Backs up the database at set times."""

from models.db.engine import Database
from models.settings import Settings
from services import backups


def run(_db: Database, settings: Settings) -> str:
    """Make a backup, and keep as many as the settings say."""
    made = backups.make(settings)
    removed = backups.keep(settings, settings.backup_keep)
    return f"Made {made.name}, and removed {removed} older." if removed else f"Made {made.name}."
