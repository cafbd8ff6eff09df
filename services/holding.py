"""Servers that hold work back: those outside their windows, and those that staff has stopped; and folders, in words.

Jobs wait for all of them, see also ``services.folder_holds``. People who search are let in outside of windows, and
nobody reaches a server that is stopped, but for connection tests.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from models.db.engine import Database
from models.db.holding import HoldingStore
from models.db.nodes import NodeStore
from models.domain import holding
from models.domain.audit import AuditAction
from models.domain.errors import FOLDER_HELD, BadRequest, HeldBack, NotPermitted, OutsideWindow, ServerStopped
from models.domain.holding import ServerState
from models.domain.jobs import FINISHED, Item, Job, State
from models.domain.nodes import Server, Stop
from models.domain.people import Actor
from services import audit

REASON_LENGTH = 500
_CODES = frozenset(kind.__name__ for kind in (HeldBack, OutsideWindow, ServerStopped, *FOLDER_HELD))
_GOES_ON = "It was held back, and goes on as soon as a worker takes it up."


def reasons(db: Database) -> Mapping[int, HeldBack]:
    """Why servers and folders cannot be used at this moment, by their ids; absent when they can."""
    return HoldingStore(db).reasons()


def held_back(db: Database, *node_ids: int | None) -> HeldBack | None:
    """Why work between these nodes has to wait now; None when it may go on."""
    return _first(HoldingStore(db).reasons(node_ids), node_ids)


def check(db: Database, server_id: int) -> None:
    """Raise OutsideWindow or ServerStopped when a server may not be used now."""
    reason = held_back(db, server_id)
    if reason is not None:
        raise reason


def check_not_stopped(db: Database, server_id: int) -> None:
    """Raise ServerStopped when staff has stopped a server."""
    reason = held_back(db, server_id)
    if isinstance(reason, ServerStopped):
        raise reason


def state(db: Database, server: Server) -> ServerState:
    """How a server stands at this moment; what staff sees and changes."""
    return holding.state(server, db.clock(), db.zone)


def state_words(db: Database, server: Server) -> str:
    """The same in short: ``closed until Mon 2026-07-06 20:00``."""
    return holding.state_words(state(db, server), db.zone)


def stop(db: Database, actor: Actor, server_id: int, reason: str = "") -> Server:
    """Stop a server at once: what is at work there is given up within seconds and waits, and nothing new begins.

    People whose jobs wait read the reason. Raises NotPermitted for others than staff, BadRequest, or NotFound.
    """
    if len(reason) > REASON_LENGTH:
        raise BadRequest.of({"reason": f"at most {REASON_LENGTH} characters."})
    return _set(db, actor, server_id, Stop(actor.name, db.clock(), " ".join(reason.split())))


def let_go_on(db: Database, actor: Actor, server_id: int) -> Server:
    """Let a stopped server go on; what waited for it begins within seconds. Raises NotPermitted or NotFound."""
    return _set(db, actor, server_id, None)


def of_jobs(db: Database, job_ids: Collection[int]) -> Mapping[int, str]:
    """Why waiting items of these jobs are held back, in words; jobs of which nothing is held back are absent."""
    found = HoldingStore(db).of_jobs(job_ids)
    return {job_id: " ".join(sorted(each.message for each in of_job)) for job_id, of_job in found.items()}


def of_job_in_own_words(db: Database, job_id: int) -> str:
    """The same of one job, without the reasons that staff has given; empty when nothing of it is held back."""
    found = HoldingStore(db).of_jobs([job_id]).get(job_id, ())
    return " ".join(sorted({each.own_words for each in found}))


def told_jobs(db: Database, jobs: Sequence[Job]) -> Sequence[Job]:
    """The jobs; the message of those that have not ended says why something of them is held back, if it is."""
    held = of_jobs(db, [job.id for job in jobs if job.state not in FINISHED])
    return [replace(job, message=held.get(job.id, job.message)) for job in jobs]


def told_items(db: Database, items: Sequence[Item]) -> Sequence[Item]:
    """The items; the message of those that wait says why they are held back now, not why they were."""
    if not any(item.state is State.PENDING for item in items):
        return items
    found = reasons(db)
    return [_told(item, found) if item.state is State.PENDING else item for item in items]


def _told(item: Item, found: Mapping[int, HeldBack]) -> Item:
    reason = _first(found, (item.source_id, item.destination_id))
    if reason is not None:
        return replace(item, message=reason.message, error_code=reason.code)
    return replace(item, message=_GOES_ON, error_code="") if item.error_code in _CODES else item


def _first(found: Mapping[int, HeldBack], node_ids: Iterable[int | None]) -> HeldBack | None:
    return next((found[each] for each in node_ids if each is not None and each in found), None)


def _set(db: Database, actor: Actor, server_id: int, wanted: Stop | None) -> Server:
    said = "stopped" if wanted is not None else "let go on"
    with audit.refusals_recorded(db, actor, AuditAction.CHANGE_NODE, f"node {server_id}: {said}"):
        if not actor.is_staff:
            raise NotPermitted("Only staff may stop a server and let it go on.")
    with db.transaction():
        before = HoldingStore(db).stop(server_id, wanted)
        server = NodeStore(db).get(server_id, with_credentials=False)
        assert isinstance(server, Server)
        if before is not None or wanted is not None:
            details = {"reason": wanted.reason} if wanted is not None and wanted.reason else None
            audit.record(db, actor, AuditAction.CHANGE_NODE, f"server {server.name}: {said}", details=details)
        return server
