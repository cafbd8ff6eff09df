"""Keeps count of the room in folders: what was measured, what was published since, what is reserved.

Their sum is never less than what our jobs have on the disk. Whoever takes room holds one lock, so that two never take
the same; nobody touches a disk meanwhile.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.orm import Session

from models.db.engine import Database, Lock, hold
from models.db.leases import check_lease
from models.db.tables import FolderRow, ItemRow, ReservationRow
from models.domain.errors import NotFound
from models.domain.jobs import FINISHED, Lease
from models.domain.quotas import Usage, check_room, grown, in_bytes, warn_at_bytes


@dataclass(frozen=True, slots=True)
class Walk:
    """A walk through a folder that begins ``at``, with what was known of the folder then."""

    folder_id: int
    name: str
    path: Path
    at: datetime
    measured_at: datetime | None
    settled_bytes: int


class QuotaStore:
    """Usage of folders, and reservations by item."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def usage(self, folder_id: int) -> Usage:
        """How full a folder is; raises NotFound, also for a server."""
        with self._db.reading() as session:
            return _usage(session, folder_id)

    def usages(self) -> tuple[Usage, ...]:
        """How full each folder is, by name."""
        with self._db.reading() as session:
            return tuple(_usage_of(*row) for row in session.execute(_folders().order_by(FolderRow.name)))

    def reserve(self, folder_id: int, job_id: int, sizes: Sequence[int]) -> None:
        """Reserve room for the items of a new job, in their order, all or none; raises OverQuota.

        Nothing is kept for an item of unknown size (0), but a full folder takes none of these either. Does nothing for
        a server.
        """
        with self._db.transaction() as session:
            if session.get(FolderRow, folder_id) is None:
                return
            hold(session.connection(), Lock.QUOTAS)
            wanted = sum(sizes)
            check_room(_usage_with_room(session, folder_id, wanted or 1), wanted)
            if wanted:
                item_ids = session.scalars(
                    select(ItemRow.id).where(ItemRow.job_id == job_id).order_by(ItemRow.position)
                )
                for item_id, size in zip(item_ids, sizes, strict=True):
                    if size:
                        session.add(ReservationRow(item_id=item_id, folder_id=folder_id, size_bytes=size))

    def reserved(self, item_id: int) -> int:
        """How many bytes are reserved for an item."""
        with self._db.reading() as session:
            return _reserved(session, item_id)

    def cover(self, lease: Lease, folder_id: int, needed_bytes: int) -> int:
        """Let the item's reservation grow to at least ``needed_bytes``, and return its size.

        Raises OverQuota, or LeaseLost when another worker has the item.
        """
        with self._db.transaction() as session:
            check_lease(session, lease)
            hold(session.connection(), Lock.QUOTAS)
            reserved = _reserved(session, lease.item_id)
            if reserved >= needed_bytes:
                return reserved
            usage = _usage_with_room(session, folder_id, needed_bytes - reserved)
            size = grown(usage, reserved, needed_bytes)
            session.merge(ReservationRow(item_id=lease.item_id, folder_id=folder_id, size_bytes=size))
            return size

    def settle(self, lease: Lease, published_bytes: int) -> None:
        """End the reservation of an item that has nothing staged any more and ``published_bytes`` at its place.

        As much of it as may have been filled counts until the next walk has found it. A second call does nothing.
        Raises LeaseLost when another worker has the item.
        """
        with self._db.transaction() as session:
            check_lease(session, lease)
            hold(session.connection(), Lock.QUOTAS)
            row = session.get(ReservationRow, lease.item_id, populate_existing=True)
            if row is not None:
                _count_as_settled(session, row.folder_id, min(row.size_bytes, published_bytes))
                session.delete(row)

    def ended(self, folder_id: int) -> frozenset[int]:
        """Ids of items that have ended and still have a reservation."""
        with self._db.reading() as session:
            return frozenset(session.scalars(_of_ended(folder_id).with_only_columns(ReservationRow.item_id)))

    def drop(self, folder_id: int, item_ids: Collection[int]) -> int:
        """End the reservations of items that have ended and have nothing staged any more; those of others stay.

        Whether their workers died before or after publishing, only a walk can tell: what begun items had reserved
        counts until then, and is returned in bytes.
        """
        with self._db.transaction() as session:
            hold(session.connection(), Lock.QUOTAS)
            doubtful = 0
            for row, attempts in session.execute(_of_ended(folder_id).add_columns(ItemRow.attempts)):
                if row.item_id in item_ids:
                    doubtful += row.size_bytes if attempts else 0
                    session.delete(row)
            _count_as_settled(session, folder_id, doubtful)
            return doubtful

    def forget_measured(self) -> None:
        """Take no folder for measured: before somebody has looked, none with a quota takes anything."""
        with self._db.transaction() as session:
            hold(session.connection(), Lock.QUOTAS)
            session.execute(update(FolderRow).values(measured_at=None, measured_bytes=None, settled_bytes=0))

    def newly_full(self) -> tuple[Usage, ...]:
        """Folders that have reached their threshold since they were last named here.

        Each once, until it was well below: what jobs reserve goes up and down.
        """
        with self._db.transaction() as session:
            hold(session.connection(), Lock.QUOTAS)
            found: list[Usage] = []
            for folder, reserved_bytes in session.execute(_folders().order_by(FolderRow.name)):
                usage = _usage_of(folder, reserved_bytes)
                if usage.warns and folder.warned_at is None:
                    folder.warned_at = self._db.clock()
                    found.append(usage)
                elif usage.is_well_below:
                    folder.warned_at = None
            return tuple(found)

    def begin_walk(self, folder_id: int) -> Walk:
        """What has to be known before a walk; raises NotFound. All that is settled by now, the walk will find."""
        with self._db.reading() as session:
            row = session.get(FolderRow, folder_id)
            if row is None:
                raise NotFound("There is no such folder.")
            return Walk(folder_id, row.name, Path(row.path), self._db.clock(), row.measured_at, row.settled_bytes)

    def end_walk(self, walk: Walk, measured_bytes: int) -> bool:
        """Keep what a walk has found; False when the folder was moved or measured meanwhile, so that it is worthless.

        What was settled during the walk may have been found or not, so it counts until the next one.
        """
        with self._db.transaction() as session:
            hold(session.connection(), Lock.QUOTAS)
            row = session.get(FolderRow, walk.folder_id, populate_existing=True)
            if row is None or row.path != str(walk.path) or row.measured_at != walk.measured_at:
                return False
            row.measured_bytes, row.measured_at = measured_bytes, walk.at
            _count_as_settled(session, walk.folder_id, -walk.settled_bytes)
            return True


def _folders() -> Select[FolderRow, int]:
    """Folders as they are now, each with what is reserved in it."""
    reserved = (
        select(func.coalesce(func.sum(ReservationRow.size_bytes), 0))
        .where(ReservationRow.folder_id == FolderRow.id)
        .correlate(FolderRow)
        .scalar_subquery()
    )
    return select(FolderRow, reserved).execution_options(populate_existing=True)


def _usage_of(folder: FolderRow, reserved_bytes: int) -> Usage:
    return Usage(
        folder_id=folder.id,
        folder_name=folder.name,
        quota_bytes=in_bytes(folder.quota_gb),
        measured_bytes=folder.measured_bytes or 0,
        settled_since_bytes=folder.settled_bytes,
        reserved_bytes=int(reserved_bytes),
        warn_at_bytes=warn_at_bytes(folder.quota_gb, folder.warn_at_gb, folder.warn_at_percent),
        measured_at=folder.measured_at,
    )


def _usage(session: Session, folder_id: int) -> Usage:
    row = session.execute(_folders().where(FolderRow.id == folder_id)).one_or_none()
    if row is None:
        raise NotFound("There is no such folder.")
    return _usage_of(*row)


def _usage_with_room(session: Session, folder_id: int, wanted_bytes: int) -> Usage:
    """The usage; if there is not so much room, after giving up what ended jobs had reserved and never touched."""
    usage = _usage(session, folder_id)
    if usage.left_bytes is None or usage.left_bytes >= wanted_bytes:
        return usage
    untouched = _of_ended(folder_id).where(ItemRow.attempts == 0).with_only_columns(ReservationRow.item_id)
    session.execute(
        delete(ReservationRow).where(ReservationRow.item_id.in_(untouched)),
        execution_options={"synchronize_session": False},
    )
    return _usage(session, folder_id)


def _of_ended(folder_id: int) -> Select[ReservationRow]:
    return (
        select(ReservationRow)
        .join(ItemRow, ItemRow.id == ReservationRow.item_id)
        .where(ReservationRow.folder_id == folder_id, ItemRow.state.in_(FINISHED))
    )


def _reserved(session: Session, item_id: int) -> int:
    return session.scalar(select(ReservationRow.size_bytes).where(ReservationRow.item_id == item_id)) or 0


def _count_as_settled(session: Session, folder_id: int, size_bytes: int) -> None:
    if size_bytes:
        session.execute(
            update(FolderRow)
            .where(FolderRow.id == folder_id)
            .values(settled_bytes=FolderRow.settled_bytes + size_bytes)
            .execution_options(synchronize_session=False)
        )
