"""Forgets what is kept for a limited time."""

from datetime import timedelta

from models.db.chores import ChoreStore
from models.db.engine import Database
from models.db.refusals import RefusalStore
from models.settings import Settings
from services import housekeeping
from services.people import sessions
from services.post import mails
from services.webhooks import sending

_RUNS_KEPT_FOR = timedelta(days=90)
_REFUSALS_KEPT_FOR = timedelta(days=1)


def run(db: Database, settings: Settings) -> str:
    """Forget sessions and links that have ended, and old tokens, keys, mails, notices, runs of chores and refusals."""
    housekeeping.sweep(db)
    sessions.sweep(db, settings)
    RefusalStore(db).remove_old(db.clock() - _REFUSALS_KEPT_FOR)
    removed = mails.remove_old(db) + sending.remove_old(db)
    runs = ChoreStore(db).remove_old(db.clock() - _RUNS_KEPT_FOR)
    return f"Removed {removed} old mails and notices and {runs} old runs of chores, and whatever else has expired."
