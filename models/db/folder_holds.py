"""Keeps which folders take nothing at this time, and which one item tries each of them again."""

from contextlib import suppress
from datetime import datetime

from sqlalchemy import ColumnElement, and_, delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from models.db.engine import Database
from models.db.holding import ASKING, HoldingStore, hold_of
from models.db.job_rows import is_due
from models.db.project import has_to_wait
from models.db.tables import FolderHoldRow, ItemRow, JobRow
from models.domain.errors import HeldBack
from models.domain.holding import FolderHold, again_at
from models.domain.jobs import State


class FolderHoldStore:
    """Holds by folder."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def list(self) -> tuple[FolderHold, ...]:
        """All folders that take nothing, the one that does so for longest first."""
        with self._db.reading() as session:
            rows = session.scalars(select(FolderHoldRow).order_by(FolderHoldRow.since_at, FolderHoldRow.folder_id))
            return tuple(map(hold_of, rows))

    def of_folder(self, folder_id: int) -> FolderHold | None:
        """What is so of one folder; None when it takes what comes, as far as is known."""
        with self._db.reading() as session:
            row = session.get(FolderHoldRow, folder_id)
            return None if row is None else hold_of(row)

    def needed_bytes(self, folder_id: int, item_id: int) -> int:
        """How much room an item needs at a held folder at least; 1 as long as that is not known."""
        with self._db.reading() as session:
            row = session.get(FolderHoldRow, folder_id)
            return row.needed_bytes if row is not None and row.needed_by_item_id == item_id else 1

    def hold(self, folder_id: int, item_id: int, reason: HeldBack, machine: str, needed_bytes: int) -> None:
        """Say what an item has met at a folder, so that the others wait. Who tried it has tried.

        Without ``needed_bytes``, what was known of the need stays.
        """
        now = self._db.clock()
        with self._db.transaction() as session:
            row = _locked(session, folder_id) or _added(session, folder_id, now)
            row.code, row.said, row.machine = reason.code, reason.message, machine
            row.again_at, row.probe_item_id = again_at(row.since_at, now), None
            if needed_bytes:
                row.needed_bytes, row.needed_by_item_id = needed_bytes, item_id

    def try_now(self, folder_id: int) -> bool:
        """Have one item try a folder at once; False when the folder is not held."""
        with self._db.transaction() as session:
            row = _locked(session, folder_id)
            if row is not None:
                row.again_at = self._db.clock()
            return row is not None

    def end(self, folder_id: int, probe_item_id: int | None = None) -> None:
        """Say that a folder takes what comes; with an item, only if that is the one that tries it."""
        with self._db.transaction() as session:
            ended = delete(FolderHoldRow).where(FolderHoldRow.folder_id == folder_id)
            if probe_item_id is not None:
                ended = ended.where(FolderHoldRow.probe_item_id == probe_item_id)
            session.execute(ended)

    def appoint(self) -> None:
        """Choose for each folder that is to be tried now the item that does so, unless one is at it.

        Where nothing waits for the folder any more, nobody knows how it is: the next item will see.
        """
        now = self._db.clock()
        due = select(FolderHoldRow.folder_id).where(FolderHoldRow.again_at <= now)
        with self._db.reading() as session:
            folder_ids = session.scalars(due).all()
        for folder_id in folder_ids:
            with self._db.transaction() as session:
                row = _locked(session, folder_id)
                if row is None or row.again_at > now:
                    continue
                if _is_tried(session, row.probe_item_id, now):
                    continue
                if _is_awaited(session, folder_id):
                    row.probe_item_id = self._next(session, folder_id, now)
                else:
                    session.delete(row)

    def _next(self, session: Session, folder_id: int, now: datetime) -> int | None:
        """The item that was at work last: most likely the one that has met it, and knows how much room it needs."""
        reasons = HoldingStore(self._db).reasons()
        wanted = (
            select(ItemRow.id)
            .join(JobRow, JobRow.id == ItemRow.job_id)
            .where(*_goes_there(folder_id), is_due(now), ItemRow.source_id.not_in(reasons.keys()), ~has_to_wait())
            .order_by(ItemRow.active_at.desc().nulls_last(), ItemRow.id)
        )
        return session.scalar(wanted.limit(1))


def _locked(session: Session, folder_id: int) -> FolderHoldRow | None:
    return session.get(FolderHoldRow, folder_id, with_for_update=True, populate_existing=True)


def _added(session: Session, folder_id: int, now: datetime) -> FolderHoldRow:
    """A new row, or that of who was faster."""
    with suppress(IntegrityError), session.begin_nested():
        session.add(
            FolderHoldRow(folder_id=folder_id, code="", said="", machine="", since_at=now, again_at=now, needed_bytes=1)
        )
    return session.get_one(FolderHoldRow, folder_id, with_for_update=True, populate_existing=True)


def _goes_there(folder_id: int) -> tuple[ColumnElement[bool], ...]:
    """Of a job that has been let begin, and writes."""
    return (
        ItemRow.destination_id == folder_id,
        JobRow.state.in_([State.PENDING, State.IN_PROGRESS]),
        JobRow.kind.not_in(ASKING),
    )


def _is_awaited(session: Session, folder_id: int) -> bool:
    waits = ItemRow.state.in_([State.PENDING, State.IN_PROGRESS])
    wanted = select(ItemRow.id).join(JobRow, JobRow.id == ItemRow.job_id).where(*_goes_there(folder_id), waits)
    return session.scalar(wanted.limit(1)) is not None


def _is_tried(session: Session, item_id: int | None, now: datetime) -> bool:
    """Whether a living worker has the item."""
    at_work: ColumnElement[bool] = and_(ItemRow.state == State.IN_PROGRESS, ItemRow.lease_until_at > now)
    return session.scalar(select(ItemRow.id).where(ItemRow.id == item_id, at_work)) is not None
