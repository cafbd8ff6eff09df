"""Servers, folders, tests of connections, and how full folders are."""

from typing import Annotated

from fastapi import APIRouter, Path

from api.context import Context, Here
from api.routes.admin import Admin
from api.routing import Route, SlowRoute
from api.schemas.places import (
    FindingShown,
    FolderChanged,
    FolderShown,
    FolderWished,
    Place,
    Places,
    ServerChanged,
    ServerShown,
    ServerWished,
    StopWished,
    UsageShown,
)
from api.schemas.shapes import Listed, Number
from models.domain.errors import NotFound
from models.domain.nodes import Folder, Node, Server
from models.domain.people import Actor
from services import folder_holds, holding, nodes, quotas
from services.checks import connections

router = APIRouter(prefix="/v1/admin", tags=["admin: nodes"], route_class=Route)
slow_router = APIRouter(prefix="/v1/admin", tags=["admin: nodes"], route_class=SlowRoute)

NodeId = Annotated[Number, Path()]


@router.get("/nodes")
def list_all_nodes(here: Here, admin: Admin) -> Places:
    """All servers and folders with their settings, each kind by name."""
    found = nodes.listed(here.db, admin.actor)
    with_header, holds = nodes.with_authorization(here.db, admin.actor), folder_holds.all_now(here.db)
    servers = (node for node in found if isinstance(node, Server))
    return Places(
        servers=[ServerShown.of(node, node.id in with_header, holding.state(here.db, node)) for node in servers],
        folders=[FolderShown.of(node, holds.get(node.id)) for node in found if isinstance(node, Folder)],
    )


@router.get("/nodes/{node_id}")
def show_node(here: Here, admin: Admin, node_id: NodeId) -> Place:
    """One server or folder."""
    return _place(here, admin.actor, nodes.shown(here.db, admin.actor, node_id))


@router.delete("/nodes/{node_id}", status_code=204)
def delete_node(here: Here, admin: Admin, node_id: NodeId) -> None:
    """Remove a node that no job names."""
    nodes.delete(here.db, admin.actor, node_id)


@router.delete("/nodes/{node_id}/authorization")
def forget_authorization(here: Here, admin: Admin, node_id: NodeId) -> Place:
    """Forget the authorization header of a server."""
    return _place(here, admin.actor, nodes.clear_authorization(here.db, admin.actor, node_id))


@slow_router.post("/nodes/{node_id}/test")
def test_node(here: Here, admin: Admin, node_id: NodeId) -> Listed[FindingShown]:
    """Try whether a node can be used as it is configured; nothing of a patient is read or moved."""
    findings = connections.test(here.db, here.settings, admin.actor, node_id)
    return Listed(results=[FindingShown.model_validate(finding) for finding in findings])


@router.post("/servers", status_code=201)
def add_server(here: Here, admin: Admin, wished: ServerWished) -> ServerShown:
    """A new server."""
    return _server(here, admin.actor, nodes.add_server(here.db, admin.actor, wished.server()))


@router.put("/servers/{node_id}")
def change_server(here: Here, admin: Admin, node_id: NodeId, changed: ServerChanged) -> ServerShown:
    """Replace all settings of a server; a header that is left out stays."""
    _check_kind(here, admin.actor, node_id, Server)
    nodes.update(here.db, here.settings, admin.actor, changed.server(node_id, changed.version))
    after = nodes.shown(here.db, admin.actor, node_id)
    assert isinstance(after, Server)
    return _server(here, admin.actor, after)


@router.post("/servers/{node_id}/stop")
def stop_server(here: Here, admin: Admin, node_id: NodeId, wished: StopWished) -> ServerShown:
    """Stop a server within seconds: what is at work there waits, as everything does that needs it."""
    return _server(here, admin.actor, holding.stop(here.db, admin.actor, node_id, wished.reason))


@router.post("/servers/{node_id}/go-on")
def let_server_go_on(here: Here, admin: Admin, node_id: NodeId) -> ServerShown:
    """Let a stopped server go on; what waited for it begins within seconds."""
    return _server(here, admin.actor, holding.let_go_on(here.db, admin.actor, node_id))


@router.post("/folders", status_code=201)
def add_folder(here: Here, admin: Admin, wished: FolderWished) -> FolderShown:
    """A new folder."""
    return _folder(here, nodes.add_folder(here.db, here.settings, admin.actor, wished.folder()))


@router.put("/folders/{node_id}")
def change_folder(here: Here, admin: Admin, node_id: NodeId, changed: FolderChanged) -> FolderShown:
    """Replace all settings of a folder."""
    _check_kind(here, admin.actor, node_id, Folder)
    after = nodes.update(here.db, here.settings, admin.actor, changed.folder(node_id, changed.version))
    assert isinstance(after, Folder)
    return _folder(here, after)


@router.post("/folders/{node_id}/go-on")
def try_folder_again(here: Here, admin: Admin, node_id: NodeId) -> FolderShown:
    """Have one item try a folder at once that could take nothing; when it gets there, the others follow."""
    return _folder(here, folder_holds.try_now(here.db, admin.actor, node_id))


@router.get("/quotas")
def list_usages(here: Here, admin: Admin) -> Listed[UsageShown]:
    """How full each folder is."""
    return Listed(results=[UsageShown.of(usage) for usage in quotas.usages(here.db, admin.actor)])


@router.get("/quotas/{folder_id}")
def show_usage(here: Here, admin: Admin, folder_id: Annotated[Number, Path()]) -> UsageShown:
    """How full one folder is."""
    return UsageShown.of(quotas.usage(here.db, admin.actor, folder_id))


@slow_router.post("/quotas/{folder_id}/measure")
def measure(here: Here, admin: Admin, folder_id: Annotated[Number, Path()]) -> UsageShown:
    """Walk through a folder, which may take minutes, and tell how full it is."""
    return UsageShown.of(quotas.measure_now(here.db, admin.actor, folder_id))


def _check_kind(here: Context, actor: Actor, node_id: int, kind: type[Server] | type[Folder]) -> None:
    if not isinstance(nodes.shown(here.db, actor, node_id), kind):
        raise NotFound(f"There is no such {kind.__name__.lower()}.")


def _server(here: Context, actor: Actor, server: Server) -> ServerShown:
    has_header = server.id in nodes.with_authorization(here.db, actor)
    return ServerShown.of(server, has_header, holding.state(here.db, server))


def _folder(here: Context, folder: Folder) -> FolderShown:
    return FolderShown.of(folder, folder_holds.of_folder(here.db, folder.id))


def _place(here: Context, actor: Actor, node: Node) -> Place:
    if isinstance(node, Folder):
        return Place(folder=_folder(here, node))
    return Place(server=_server(here, actor, node))
