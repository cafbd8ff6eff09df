"""Which servers somebody reaches through the DICOMweb gateway. Refusals are written down.

A server that does not exist and one that is not theirs look the same, so that nobody learns which there are.
"""

import re
from collections.abc import Callable, Mapping

from models.db.engine import Database
from models.db.nodes import NodeStore
from models.domain.audit import AuditAction
from models.domain.errors import AditError, NotFound, NotPermitted
from models.domain.nodes import Server
from models.domain.people import Actor, Permission
from models.domain.project import App
from services import audit, holding, project
from services.people import tokens

NO_SERVER = "There is no server with this AE title among those that you may use."
_AE_TITLE = re.compile(r"[\x20-\x7e]{1,16}")
_ACTIONS: Mapping[Permission, AuditAction] = {
    Permission.WEB_QUERY: AuditAction.WEB_QUERY,
    Permission.WEB_RETRIEVE: AuditAction.WEB_RETRIEVE,
    Permission.WEB_STORE: AuditAction.WEB_STORE,
}


def source(db: Database, actor: Actor, ae_title: str, permission: Permission) -> Server:
    """The server to ask or to read from, with its credentials; ``permission`` is WEB_QUERY or WEB_RETRIEVE.

    Raises NotPermitted without the permission, UnderMaintenance, AppLocked, NotFound when there is no such server among
    the actor's sources, or ServerStopped; OutsideWindow for all but searches, which are small. Each leaves a line in
    the audit trail.
    """
    return _reached(db, actor, ae_title, permission, actor.access.may_read)


def destination(db: Database, actor: Actor, ae_title: str) -> Server:
    """The server to store on, with its credentials; raises as ``source`` does, of the actor's destinations."""
    return _reached(db, actor, ae_title, Permission.WEB_STORE, actor.access.may_write)


def may_go_on(db: Database, actor: Actor, server: Server, *permissions: Permission) -> bool:
    """Whether somebody may still do what they have begun at a server, for which they need all these permissions.

    It is asked now and then while it lasts, since what a group gives may be taken away meanwhile.
    """
    now = tokens.actor_now(db, actor)
    if now is None:
        return False
    may_use = now.access.may_write if Permission.WEB_STORE in permissions else now.access.may_read
    return now.permissions.issuperset(permissions) and may_use(server.id)


def _reached(
    db: Database, actor: Actor, ae_title: str, permission: Permission, may_use: Callable[[int], bool]
) -> Server:
    subject = "server"
    try:
        _check(actor, permission)
        project.check_open(db, actor, App.DICOM_WEB)
        if not _AE_TITLE.fullmatch(ae_title):
            raise NotFound
        found = NodeStore(db).by_ae_title(ae_title)
        subject = f"server {found.name}"
        if not may_use(found.id):
            raise NotFound
        if permission is Permission.WEB_QUERY:
            holding.check_not_stopped(db, found.id)
        else:
            holding.check(db, found.id)
        return found
    except NotFound as error:
        audit.record(db, actor, _ACTIONS[permission], subject, error.code)
        raise NotFound(NO_SERVER) from None
    except AditError as error:
        audit.record(db, actor, _ACTIONS[permission], subject, error.code)
        raise


def _check(actor: Actor, permission: Permission) -> None:
    if permission not in actor.permissions:
        raise NotPermitted(f"You do not have the right {permission.value}. Ask an administrator for it.")
