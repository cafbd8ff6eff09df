"""What people may know of nodes, and what administrators do with them: add, change and remove servers and folders.

A server's authorization header goes in and never comes out to a person again.
"""

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import NoReturn, TypeVar

from models.db.engine import Database
from models.db.folder_holds import FolderHoldStore
from models.db.nodes import NodeStore
from models.domain.audit import AuditAction
from models.domain.errors import BadRequest, NotPermitted
from models.domain.nodes import Folder, Node, NodeName, Server
from models.domain.people import Actor
from models.settings import Settings
from services import audit, own_directories
from services.node_rules import folder_problems, server_problems, web_place

NO_NODE = "there is no such node, or you may not use it."
"""What is said of nodes that there are not, and of those of others: names are not told."""

N = TypeVar("N", Server, Folder)
HEADER = "dicomweb_authorization_header"
_NOT_ENTERED = frozenset({"id", "version", "stop", "measured_bytes", "measured_at"})
"""Fields that no person fills in."""


def sources(db: Database, actor: Actor) -> tuple[NodeName, ...]:
    """The servers that the actor may take studies from, as far as their settings allow to find and retrieve any."""
    return _names(db, lambda node: actor.access.may_read(node.id) and _is_source(node))


def destinations(db: Database, actor: Actor) -> tuple[NodeName, ...]:
    """The servers and folders that the actor may send studies to, as far as their settings allow to store any."""
    return _names(db, lambda node: actor.access.may_write(node.id) and _is_destination(node))


def chosen_source(db: Database, actor: Actor, wished: int | str | None) -> NodeName:
    """The source that an id, a name or an AE title means, or the actor's only one when nothing is wished.

    Raises BadRequest naming ``source``, with what would be possible.
    """
    return _chosen("source", wished, sources(db, actor))


def chosen_destination(db: Database, actor: Actor, wished: int | str | None) -> NodeName:
    """The destination that is meant, as in ``chosen_source``."""
    return _chosen("destination", wished, destinations(db, actor))


def names(db: Database) -> dict[int, str]:
    """The name of every node by its id, for those who see what was moved from where to where."""
    return {node.id: node.name for node in NodeStore(db).list(with_credentials=False)}


def listed(db: Database, actor: Actor) -> tuple[Node, ...]:
    """All nodes with their settings, servers before folders, then by name; raises NotPermitted for others than staff.

    No server has its authorization header here; ``with_authorization`` tells whether there is one.
    """
    _check_is_staff(actor)
    return NodeStore(db).list(with_credentials=False)


def shown(db: Database, actor: Actor, node_id: int) -> Node:
    """One node as in ``listed``; raises NotPermitted or NotFound."""
    _check_is_staff(actor)
    return NodeStore(db).get(node_id, with_credentials=False)


def with_authorization(db: Database, actor: Actor) -> frozenset[int]:
    """The ids of all servers for which an authorization header is kept; raises NotPermitted."""
    _check_is_staff(actor)
    return NodeStore(db).with_authorization()


def add_server(db: Database, actor: Actor, server: Server) -> Server:
    """The server with its new id, without its credentials. Raises NotPermitted, or BadRequest naming every field."""
    return _add(db, actor, server, lambda: server_problems(server))


def add_folder(db: Database, settings: Settings, actor: Actor, folder: Folder) -> Folder:
    """The folder with its new id. Its path must exist when data is sent there.

    Raises NotPermitted, or BadRequest naming every field, also for a path that ADIT keeps for itself.
    """
    return _add(db, actor, folder, lambda: _folder_problems(settings, folder))


def update(db: Database, settings: Settings, actor: Actor, node: Node) -> Node:
    """Replace all fields of the node with this id, and return it without its credentials.

    A server whose authorization header is empty keeps the one it has; where its DICOMweb address leads to somebody else
    than before, the header has to be entered again, so that nobody can have it sent to a place of their own.

    Raises NotPermitted, NotFound, Outdated when somebody else was faster, or BadRequest naming every field, also for a
    path that ADIT keeps for itself.
    """
    _check_is_staff_or_tell(db, actor, AuditAction.CHANGE_NODE, f"node {node.id}")
    _refuse(_problems(settings, node, NodeStore(db).get(node.id, with_credentials=False)))
    with db.transaction():
        before = NodeStore(db).get(node.id)
        wanted = with_kept_authorization(node, before)
        after = NodeStore(db).update(wanted)
        if isinstance(before, Folder) and isinstance(after, Folder) and before.path != after.path:
            FolderHoldStore(db).end(after.id)
        if changes := _changes(before, wanted):
            audit.record(db, actor, AuditAction.CHANGE_NODE, f"{_words(before)}: {', '.join(changes)} changed")
        return _without_credentials(after)


def clear_authorization(db: Database, actor: Actor, node_id: int) -> Node:
    """Forget the authorization header of a server, and return it as it is now; raises NotPermitted or NotFound."""
    _check_is_staff_or_tell(db, actor, AuditAction.CHANGE_NODE, f"node {node_id}")
    with db.transaction():
        before = NodeStore(db).get(node_id)
        if not isinstance(before, Server) or not before.dicomweb_authorization_header:
            return before
        after = NodeStore(db).update(replace(before, dicomweb_authorization_header=""))
        audit.record(db, actor, AuditAction.CHANGE_NODE, f"{_words(before)}: {HEADER} removed")
        return after


def delete(db: Database, actor: Actor, node_id: int) -> None:
    """Remove a node. Raises NotPermitted, NotFound, or WrongState when jobs name it."""
    _check_is_staff_or_tell(db, actor, AuditAction.DELETE_NODE, f"node {node_id}")
    with db.transaction():
        node = NodeStore(db).get(node_id, with_credentials=False)
        NodeStore(db).delete(node_id)
        audit.record(db, actor, AuditAction.DELETE_NODE, _words(node))


def list(db: Database) -> tuple[Node, ...]:
    """All nodes, servers before folders, then by name. Servers carry their credentials: don't print those."""
    return NodeStore(db).list()


def ae_titles(db: Database) -> frozenset[str]:
    """The AE titles of all servers."""
    return NodeStore(db).ae_titles()


def get(db: Database, node_id: int) -> Node:
    """The node with this id and its credentials; raises NotFound."""
    return NodeStore(db).get(node_id)


def by_name(db: Database, name: str) -> Node:
    """The node with this name and its credentials; raises NotFound."""
    return NodeStore(db).by_name(name)


def with_kept_authorization(node: Node, before: Node) -> Node:
    """The node as entered, with the authorization header it had before where none was entered.

    Raises BadRequest when the header would go to somebody else than before.
    """
    if not isinstance(node, Server) or not isinstance(before, Server):
        return node
    header = before.dicomweb_authorization_header
    if node.dicomweb_authorization_header or not header:
        return node
    if web_place(node) != web_place(before):
        problem = "enter it again, because the root URL leads to another place; or remove it."
        raise BadRequest.of({HEADER: problem})
    return replace(node, dicomweb_authorization_header=header)


def _add(db: Database, actor: Actor, node: N, problems: Callable[[], dict[str, str]]) -> N:
    _check_is_staff_or_tell(db, actor, AuditAction.ADD_NODE, "node")
    _refuse(problems())
    with db.transaction():
        added = _without_credentials(NodeStore(db).add(node))
        audit.record(db, actor, AuditAction.ADD_NODE, _words(node))
    assert isinstance(added, type(node))
    return added


def _problems(settings: Settings, node: Node, before: Node) -> dict[str, str]:
    """What is wrong with a node as it is to be. A path that stays is not looked at: its share may be down."""
    if isinstance(node, Server):
        return server_problems(node)
    is_moved = not isinstance(before, Folder) or before.path != node.path
    return _folder_problems(settings, node) if is_moved else folder_problems(node)


def _folder_problems(settings: Settings, folder: Folder) -> dict[str, str]:
    """What is wrong with a folder, also where it would be; a path that cannot be one is not looked for."""
    problems = folder_problems(folder)
    if "path" not in problems and (found := own_directories.problem(settings, folder.path)):
        problems["path"] = found
    return problems


def _refuse(problems: dict[str, str]) -> None:
    if problems:
        raise BadRequest.of(problems)


def _check_is_staff(actor: Actor) -> None:
    if not actor.is_staff:
        _refuse_others()


def _check_is_staff_or_tell(db: Database, actor: Actor, action: AuditAction, subject: str) -> None:
    """Raise NotPermitted for others than staff, and leave a line about the try."""
    if not actor.is_staff:
        audit.record(db, actor, action, subject, NotPermitted.__name__)
        _refuse_others()


def _refuse_others() -> NoReturn:
    raise NotPermitted("Only staff may see and change the settings of nodes.")


def _names(db: Database, is_wanted: Callable[[Node], bool]) -> tuple[NodeName, ...]:
    found = NodeStore(db).list(with_credentials=False)
    return tuple(_name(node) for node in found if is_wanted(node))


def _name(node: Node) -> NodeName:
    title = node.ae_title if isinstance(node, Server) else ""
    return NodeName(node.id, node.name, isinstance(node, Server), title)


def _chosen(side: str, wished: int | str | None, possible: Sequence[NodeName]) -> NodeName:
    if wished is None:
        meant, problem = possible, "say which one."
    else:
        meant, problem = _meant(wished, possible), NO_NODE
    if len(meant) == 1:
        return meant[0]
    if len(meant) > 1 and wished is not None:
        problem = "more than one has this AE title: name one of them, or give its id."
    known = ", ".join(node.name for node in possible)
    raise BadRequest.of({side: f"{problem} Possible: {known}." if known else "you have none. Ask an administrator."})


def _meant(wished: int | str, possible: Sequence[NodeName]) -> Sequence[NodeName]:
    """The nodes with this id; else with this name; else with this AE title."""
    if isinstance(wished, int):
        return [node for node in possible if node.id == wished]
    if by_name := [node for node in possible if node.name == wished]:
        return by_name
    return [node for node in possible if wished and node.ae_title == wished]


def _is_source(node: Node) -> bool:
    return isinstance(node, Server) and node.can_be_queried and node.can_be_read


def _is_destination(node: Node) -> bool:
    return isinstance(node, Folder) or node.can_be_written


def _without_credentials(node: Node) -> Node:
    return replace(node, dicomweb_authorization_header="") if isinstance(node, Server) else node


def _changes(before: Node, after: Node) -> tuple[str, ...]:
    """The fields that differ, by name only."""
    entered = (field.name for field in fields(after) if field.name not in _NOT_ENTERED)
    return tuple(name for name in entered if getattr(before, name) != getattr(after, name))


def _words(node: Node) -> str:
    return f"{'server' if isinstance(node, Server) else 'folder'} {node.name}"
