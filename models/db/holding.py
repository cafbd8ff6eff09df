"""Knows what holds work back now: servers that are stopped or outside their windows, folders that can take nothing.

Stops servers, lets them go on. Closed and stopped servers are looked up anew each time: nothing has to be written when
a window opens or closes.
"""

from collections.abc import Collection, Mapping

from sqlalchemy import ColumnElement, String, and_, cast, false, or_, select

from models.db.engine import Database, in_parts
from models.db.nodes import stop_of, windows_of
from models.db.tables import FolderHoldRow, ItemRow, JobRow, ServerRow
from models.domain import holding
from models.domain.errors import HeldBack, NotFound
from models.domain.holding import FolderHold
from models.domain.jobs import JobKind, State
from models.domain.nodes import Stop

ASKING = [kind for kind in JobKind if kind.only_asks]


class HoldingStore:
    """What holds servers and folders back, by their ids."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def reasons(self, node_ids: Collection[int | None] | None = None) -> Mapping[int, HeldBack]:
        """Why nodes cannot be used at this moment, by their ids: of these nodes, or of all; absent when they can."""
        columns = (ServerRow.id, ServerRow.name, ServerRow.windows)
        stop = (ServerRow.stopped_by, ServerRow.stopped_at, ServerRow.stop_reason)
        limited = or_(ServerRow.stopped_at.is_not(None), cast(ServerRow.windows, String) != "[]")
        wanted = select(*columns, *stop).where(limited)
        held = select(FolderHoldRow)
        if node_ids is not None:
            ids = [each for each in node_ids if each is not None]
            wanted, held = wanted.where(ServerRow.id.in_(ids)), held.where(FolderHoldRow.folder_id.in_(ids))
        with self._db.reading() as session:
            rows = session.execute(wanted).all()
            holds = [hold_of(row) for row in session.scalars(held)]
        now, zone = self._db.clock(), self._db.zone
        found = {
            server_id: holding.reason(name, windows_of(hours), stop_of(by, at, why), now, zone)
            for server_id, name, hours, by, at, why in rows
        } | {hold.folder_id: holding.folder_reason(hold, now, zone) for hold in holds}
        return {node_id: reason for node_id, reason in found.items() if reason is not None}

    def stop(self, server_id: int, stop: Stop | None) -> Stop | None:
        """Stop a server or, with None, let it go on; returns how it stood before. Raises NotFound."""
        with self._db.transaction() as session:
            row = session.get(ServerRow, server_id, with_for_update=True, populate_existing=True)
            if row is None:
                raise NotFound("There is no server with this id.")
            before = stop_of(row.stopped_by, row.stopped_at, row.stop_reason)
            row.stopped_at = None if stop is None else stop.at
            row.stopped_by, row.stop_reason = ("", "") if stop is None else (stop.by, stop.reason)
            return before

    def of_jobs(self, job_ids: Collection[int]) -> Mapping[int, Collection[HeldBack]]:
        """What holds waiting items of these jobs back; jobs of which nothing is held back are absent."""
        reasons = self.reasons()
        found: dict[int, dict[int, HeldBack]] = {}
        if not reasons:
            return {}
        ends = (ItemRow.job_id, ItemRow.source_id, ItemRow.destination_id)
        with self._db.reading() as session:
            for some in in_parts(job_ids):
                waits = and_(ItemRow.job_id.in_(some), ItemRow.state == State.PENDING, is_held_back(reasons))
                for job_id, source, target in session.execute(select(*ends).where(waits).distinct()):
                    held = {node: reasons[node] for node in (source, target) if node is not None and node in reasons}
                    found.setdefault(job_id, {}).update(held)
        return {job_id: [*of_job.values()] for job_id, of_job in found.items()}


def is_held_back(node_ids: Collection[int]) -> ColumnElement[bool]:
    """Whether an item needs one of these nodes, as source or destination.

    A held folder is not needed by the item that tries it again, nor by those that write nothing there.
    """
    if not node_ids:
        return false()
    probes = select(FolderHoldRow.probe_item_id).where(FolderHoldRow.probe_item_id.is_not(None))
    folders, asking = select(FolderHoldRow.folder_id), select(JobRow.id).where(JobRow.kind.in_(ASKING))
    only_asks = and_(ItemRow.destination_id.in_(folders), ItemRow.job_id.in_(asking))
    reaches = and_(
        ItemRow.destination_id.is_not(None),
        ItemRow.destination_id.in_(node_ids),
        ItemRow.id.not_in(probes),
        ~only_asks,
    )
    return or_(ItemRow.source_id.in_(node_ids), reaches)


def hold_of(row: FolderHoldRow) -> FolderHold:
    """The hold that stands in a row."""
    return FolderHold(row.folder_id, row.code, row.said, row.machine, row.since_at, row.again_at)
