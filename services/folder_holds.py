"""Folders that can take nothing: their items wait, one at a time tries again, at once where staff wants it."""

import logging
import socket
from collections.abc import Mapping

from models.db.engine import Database
from models.db.folder_holds import FolderHoldStore
from models.db.nodes import NodeStore
from models.domain import holding
from models.domain.audit import AuditAction
from models.domain.errors import FolderGone, HeldBack, NotFound, NotPermitted
from models.domain.holding import FolderHold
from models.domain.jobs import Item
from models.domain.nodes import Folder
from models.domain.people import Actor
from services import audit

log = logging.getLogger(__name__)


def of_folder(db: Database, folder_id: int) -> FolderHold | None:
    """What an item has met at a folder, so that the others wait; None when they don't."""
    return FolderHoldStore(db).of_folder(folder_id)


def all_now(db: Database) -> Mapping[int, FolderHold]:
    """The same of all folders for which items wait, by their ids."""
    return {hold.folder_id: hold for hold in FolderHoldStore(db).list()}


def words(db: Database, hold: FolderHold | None) -> str:
    """Why a folder is held back, as people read it; empty when it is not."""
    return "" if hold is None else holding.folder_reason(hold, db.clock(), db.zone).message


def needed_bytes(db: Database, item: Item) -> int:
    """How much room an item needs at its folder at least, as far as it was seen when there was not enough."""
    return FolderHoldStore(db).needed_bytes(item.target_id, item.id)


def hold(db: Database, folder: Folder, item: Item, reason: HeldBack, needed_bytes: int) -> None:
    """Have all items wait that go to a folder, after what one of them has met there.

    ``needed_bytes`` is how much room that one would have needed at least; 0 when it has not come so far.
    """
    log.warning("folder %s at %s is held back: %s", folder.name, folder.path, reason.message)
    FolderHoldStore(db).hold(folder.id, item.id, reason, socket.gethostname(), needed_bytes)


def can_be_written(db: Database, item: Item) -> None:
    """Say that an item could write to its folder: others need not wait for its end where that is what was wrong."""
    held = of_folder(db, item.target_id)
    if held is not None and held.code == FolderGone.__name__:
        FolderHoldStore(db).end(item.target_id, item.id)


def has_worked(db: Database, item: Item) -> None:
    """Say that an item has got to its folder; when it was the one to try that, the others follow."""
    if of_folder(db, item.target_id) is not None:
        FolderHoldStore(db).end(item.target_id, item.id)


def appoint(db: Database) -> None:
    """Choose who tries the folders whose time has come."""
    FolderHoldStore(db).appoint()


def try_now(db: Database, actor: Actor, folder_id: int) -> Folder:
    """Have one item try a folder at once that is held back; when it gets there, the others follow.

    Does nothing to a folder that is not held back. Raises NotPermitted for others than staff, or NotFound.
    """
    subject = f"node {folder_id}: tried again"
    with audit.refusals_recorded(db, actor, AuditAction.CHANGE_NODE, subject):
        if not actor.is_staff:
            raise NotPermitted("Only staff may have a folder tried again.")
    with db.transaction():
        folder = NodeStore(db).get(folder_id)
        if not isinstance(folder, Folder):
            raise NotFound("There is no such folder.")
        if FolderHoldStore(db).try_now(folder_id):
            audit.record(db, actor, AuditAction.CHANGE_NODE, f"folder {folder.name}: tried again")
        return folder
