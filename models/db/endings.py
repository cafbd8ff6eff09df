"""Keeps which ends of jobs were looked at, to tell their owners by mail what these want to hear."""

from sqlalchemy import and_, select, update

from models.db.engine import Database
from models.db.tables import JobRow

_IS_UNTOLD = and_(JobRow.finished_mail_at.is_(None), JobRow.ended_at.is_not(None))
"""A job that waits again, after a retry for instance, has neither time any more."""


class EndingStore:
    """Ends of jobs, of which each is looked at once, whether or not the owner wants a mail."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def untold(self, limit: int) -> tuple[int, ...]:
        """The ids of jobs that have ended, or ended again, since they were looked at."""
        with self._db.reading() as session:
            return tuple(session.scalars(select(JobRow.id).where(_IS_UNTOLD).order_by(JobRow.ended_at).limit(limit)))

    def mark_told(self, job_id: int) -> bool:
        """Say that the end is being looked at; False when somebody else has done so already, or the job goes on."""
        with self._db.transaction() as session:
            mine = update(JobRow).where(JobRow.id == job_id, _IS_UNTOLD).values(finished_mail_at=JobRow.ended_at)
            return session.execute(mine.returning(JobRow.id)).first() is not None
