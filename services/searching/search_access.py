"""Who may look for studies where. Every try is written down, the keys of a search encrypted."""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager

from models.db.engine import Database
from models.db.nodes import NodeStore
from models.domain.audit import DONE, AuditAction
from models.domain.errors import AditError, AppLocked, BadRequest, Canceled, NotPermitted, Refused
from models.domain.nodes import Node, Server
from models.domain.people import Actor, Permission
from models.domain.project import App
from services import audit, holding, project
from services.people import tokens

_MAY_SEARCH: Mapping[Permission, App] = {
    Permission.ADD_SELECTIVE_TRANSFER: App.SELECTIVE_TRANSFER,
    Permission.ADD_BATCH_TRANSFER: App.BATCH_TRANSFER,
    Permission.ADD_BATCH_QUERY: App.BATCH_QUERY,
    Permission.EXPLORE: App.DICOM_EXPLORER,
}


def source(db: Database, actor: Actor, node_id: int) -> Server:
    """The server to search, with its credentials.

    Raises NotPermitted without one of the rights to search or for a node that is not among the actor's sources,
    UnderMaintenance, AppLocked when every application is locked for which the actor has the right, BadRequest for a
    node that cannot be searched, ServerStopped. Outside its windows a server may be searched. Each leaves a line in
    the audit trail.
    """
    try:
        _check_may_search(db, actor)
        if not actor.access.may_read(node_id):
            raise NotPermitted("This server is not among your sources. Ask an administrator for it.")
        found = _searchable(db, node_id)
        holding.check_not_stopped(db, node_id)
        return found
    except Refused as refused:
        audit.record(db, actor, AuditAction.SEARCH, f"node {node_id}", refused.code)
        raise


def destination(db: Database, actor: Actor, node_id: int) -> Node:
    """The node to send to; raises NotPermitted for one that is not among the actor's destinations, or BadRequest."""
    if not actor.access.may_write(node_id):
        raise NotPermitted("This node is not among your destinations. Ask an administrator for it.")
    found = NodeStore(db).find(node_id)
    if found is None:
        raise BadRequest.of({"destination": "there is no such node."})
    return found


def may_go_on(db: Database, actor: Actor, source_id: int, destination_id: int | None = None) -> bool:
    """Whether who came in by a token may still do what they have begun at these nodes.

    It is asked now and then while it lasts, since what a group gives may be taken away meanwhile.
    """
    now = tokens.actor_now(db, actor)
    if now is None or now.permissions.isdisjoint(_MAY_SEARCH):
        return False
    return now.access.may_read(source_id) and (destination_id is None or now.access.may_write(destination_id))


@contextmanager
def recorded(
    db: Database,
    actor: Actor,
    server: Server,
    tell: Callable[[], str],
    details: Mapping[str, str],
    action: AuditAction = AuditAction.SEARCH,
) -> Generator[None]:
    """Write down a search when it has ended, however that was; one that nobody went on with is ``Canceled``.

    ``tell`` says then what was found and never names a patient; ``details``, which are encrypted, may.
    """
    outcome = Canceled.__name__
    try:
        yield
        outcome = DONE
    except Exception as error:
        outcome = error.code if isinstance(error, AditError) else type(error).__name__
        raise
    finally:
        audit.record(db, actor, action, f"server {server.name}: {tell()}", outcome, details)


def _check_may_search(db: Database, actor: Actor) -> None:
    """Pass when one application is open for which the actor has the right."""
    apps = [app for permission, app in _MAY_SEARCH.items() if permission in actor.permissions]
    if not apps:
        raise NotPermitted("You do not have the right to search. Ask an administrator for it.")
    for app in apps:
        try:
            project.check_open(db, actor, app)
        except AppLocked:
            continue
        return
    raise AppLocked


def _searchable(db: Database, node_id: int) -> Server:
    found = NodeStore(db).find(node_id)
    if found is None:
        raise BadRequest.of({"source": "there is no such node."})
    if not isinstance(found, Server):
        raise BadRequest.of({"source": "a folder cannot be searched."})
    if not found.can_be_queried:
        raise BadRequest.of({"source": "the server's settings do not allow to query it."})
    return found
