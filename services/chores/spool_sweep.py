"""Sweeps the spool of the machine on which the flow runs; workers and receivers sweep those of theirs."""

from dicom.files.spool import Spool
from models.db.engine import Database
from models.settings import Settings


def run(_db: Database, settings: Settings) -> str:
    """Remove what processes that died have left in the spool. The inbox is swept by its owner, the receiver."""
    swept = Spool(settings.spool_dir).sweep()
    return f"Removed {swept} leftovers." if swept else "Nothing was left behind."
