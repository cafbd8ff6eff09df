"""Empties jobs that ended long ago of what names patients. Old flow runs are deleted by Prefect's server itself."""

from datetime import timedelta

from models.db.engine import Database
from models.db.retention import RetentionStore
from models.settings import Settings

_AT_A_TIME = 100


def run(db: Database, settings: Settings) -> str:
    """Empty the jobs that ended more than ``keep_jobs_days`` ago; none when that is 0. Each in its own transaction."""
    if not settings.keep_jobs_days:
        return "Jobs keep everything (ADIT_KEEP_JOBS_DAYS is 0)."
    store, emptied = RetentionStore(db), 0
    before = db.clock() - timedelta(days=settings.keep_jobs_days)
    while due := store.due(before, _AT_A_TIME):
        emptied += sum(store.empty(job_id, before) for job_id in due)
    return f"Removed the patient data of {emptied} jobs." if emptied else "No job is old enough."
