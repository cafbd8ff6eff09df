"""Empties jobs that ended long ago of what names patients. That they were, what became of them, and receipts stay."""

from datetime import datetime

from sqlalchemy import ColumnElement, and_, delete, exists, or_, select, update
from sqlalchemy.orm import Session, aliased

from models.db.engine import Database
from models.db.job_rows import locked
from models.db.tables import AnswerRow, BatchFileRow, ItemRow, JobRow, QuestionRow
from models.domain.errors import NotFound
from models.domain.jobs import FINISHED


class RetentionStore:
    """Jobs that keep what names patients for longer than they should."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def due(self, ended_before: datetime, limit: int) -> tuple[int, ...]:
        """The ids of jobs that ended before and were not emptied yet, the oldest first.

        A check stays as long as the transfer that was made of it, whose results need what the check has found.
        """
        wanted = select(JobRow.id).where(_is_due(ended_before), ~_is_needed(ended_before))
        with self._db.reading() as session:
            return tuple(session.scalars(wanted.order_by(JobRow.ended_at).limit(limit)))

    def empty(self, job_id: int, ended_before: datetime) -> bool:
        """Remove what names patients from a job; False when it goes on since, is gone, or was emptied.

        Removed are the file it came from, questions and answers, patient IDs and the rows' own names. States, messages,
        UIDs, pseudonyms, receipts and reviews stay: they prove what was delivered.
        """
        with self._db.transaction() as session:
            try:
                job = locked(session, job_id)
            except NotFound:  # somebody has deleted it since it was found
                return False
            if session.scalar(select(JobRow.id).where(JobRow.id == job_id, _is_due(ended_before))) is None:
                return False
            _empty_items(session, job_id)
            session.execute(delete(BatchFileRow).where(BatchFileRow.job_id == job_id))
            job.emptied_at = self._db.clock()
            return True


def _is_due(ended_before: datetime) -> ColumnElement[bool]:
    return and_(JobRow.state.in_(FINISHED), JobRow.ended_at < ended_before, JobRow.emptied_at.is_(None))


def _is_needed(ended_before: datetime) -> ColumnElement[bool]:
    transfer = aliased(JobRow)
    goes_on = or_(transfer.ended_at.is_(None), transfer.ended_at >= ended_before)
    return exists().where(transfer.checked_by_job_id == JobRow.id, goes_on)


def _empty_items(session: Session, job_id: int) -> None:
    items = select(ItemRow.id).where(ItemRow.job_id == job_id)
    session.execute(delete(QuestionRow).where(QuestionRow.item_id.in_(items)))
    session.execute(delete(AnswerRow).where(AnswerRow.item_id.in_(items)))
    session.execute(update(ItemRow).where(ItemRow.job_id == job_id).values(patient_id="", row_id=""))
