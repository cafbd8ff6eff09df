"""Keeps which machines leave a job to others, since something that it needs is not there."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import delete, select

from models.db.engine import Database
from models.db.tables import RefusalRow


class RefusalStore:
    """Refusals by job and machine."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def refuse(self, job_id: int, machine: str, reason: str) -> None:
        """Write down that the machine leaves the job to others, and why."""
        with self._db.transaction() as session:
            session.merge(RefusalRow(job_id=job_id, machine=machine, reason=reason, refused_at=self._db.clock()))

    def withdraw(self, job_id: int, machine: str) -> None:
        """Say that the machine can work on the job now."""
        with self._db.transaction() as session:
            session.execute(delete(RefusalRow).where(RefusalRow.job_id == job_id, RefusalRow.machine == machine))

    def remove_old(self, refused_before: datetime) -> None:
        """Forget what was last said before; a machine that has been taken away takes nothing back."""
        with self._db.transaction() as session:
            session.execute(delete(RefusalRow).where(RefusalRow.refused_at < refused_before))

    def of_job(self, job_id: int, within: timedelta) -> Mapping[str, str]:
        """Why machines have refused the job in this time, by machine."""
        since = self._db.clock() - within
        wanted = select(RefusalRow.machine, RefusalRow.reason).where(
            RefusalRow.job_id == job_id, RefusalRow.refused_at >= since
        )
        with self._db.reading() as session:
            return dict(session.execute(wanted.order_by(RefusalRow.machine)).all())

    def recent(self, within: timedelta) -> Mapping[str, str]:
        """Why machines have refused jobs in this time, whichever jobs, by machine; the newest reason of each."""
        since = self._db.clock() - within
        wanted = select(RefusalRow.machine, RefusalRow.reason).where(RefusalRow.refused_at >= since)
        with self._db.reading() as session:
            return dict(session.execute(wanted.order_by(RefusalRow.refused_at)).all())
