"""What administrators do with nodes: add, change and remove servers and folders. Every wrong field is named."""

import re
from datetime import timedelta
from urllib.parse import urlsplit

from models.db.engine import Database
from models.db.nodes import NodeStore
from models.domain.errors import BadRequest, NotPermitted
from models.domain.nodes import Folder, Node, Server
from models.domain.people import Actor

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_AE_TITLE = re.compile(r"[\x20-\x5b\x5d-\x7e]{1,16}")
_NAME_LENGTH, _HOST_LENGTH, _URL_LENGTH, _PATH_LENGTH = 64, 255, 2000, 1024
_CAPABILITIES = (
    "patient_root_find_support",
    "patient_root_get_support",
    "patient_root_move_support",
    "study_root_find_support",
    "study_root_get_support",
    "study_root_move_support",
    "store_scp_support",
    "dicomweb_qido_support",
    "dicomweb_wado_support",
    "dicomweb_stow_support",
)
_WEB_CAPABILITIES = ("dicomweb_qido_support", "dicomweb_wado_support", "dicomweb_stow_support")
_PREFIXES = ("dicomweb_qido_prefix", "dicomweb_wado_prefix", "dicomweb_stow_prefix")


def add_server(db: Database, actor: Actor, server: Server) -> Server:
    """The server with its new id. Raises NotPermitted, or BadRequest naming every field that cannot be as it is."""
    _check_is_staff(actor)
    _refuse(server_problems(server))
    added = NodeStore(db).add(server)
    assert isinstance(added, Server)
    return added


def add_folder(db: Database, actor: Actor, folder: Folder) -> Folder:
    """The folder with its new id. Its path must exist when data is sent there. Raises NotPermitted or BadRequest."""
    _check_is_staff(actor)
    _refuse(folder_problems(folder))
    added = NodeStore(db).add(folder)
    assert isinstance(added, Folder)
    return added


def update(db: Database, actor: Actor, node: Node) -> Node:
    """Replace all fields of the node with this id. Raises NotPermitted, NotFound or BadRequest."""
    _check_is_staff(actor)
    _refuse(server_problems(node) if isinstance(node, Server) else folder_problems(node))
    return NodeStore(db).update(node)


def delete(db: Database, actor: Actor, node_id: int) -> None:
    """Remove a node. Raises NotPermitted, NotFound, or WrongState when jobs name it."""
    _check_is_staff(actor)
    NodeStore(db).delete(node_id)


def list(db: Database) -> tuple[Node, ...]:
    """All nodes, servers before folders, then by name. Servers carry their credentials: don't print those."""
    return NodeStore(db).list()


def get(db: Database, node_id: int) -> Node:
    """The node with this id; raises NotFound."""
    return NodeStore(db).get(node_id)


def by_name(db: Database, name: str) -> Node:
    """The node with this name; raises NotFound."""
    return NodeStore(db).by_name(name)


def server_problems(server: Server) -> tuple[str, ...]:
    """What is wrong with a server, one sentence per field; empty when nothing is."""
    found = (
        *_name_problems(server.name),
        *_address_problems(server),
        *_web_problems(server),
        *_tls_problems(server),
        *_budget_problems(server),
        *_timeout_problems(server),
    )
    if not any(getattr(server, name) for name in _CAPABILITIES):
        return (*found, "capabilities: the server must support at least one of them.")
    return found


def folder_problems(folder: Folder) -> tuple[str, ...]:
    """What is wrong with a folder, one sentence per field; empty when nothing is."""
    found = [*_name_problems(folder.name)]
    if not folder.path.is_absolute() or ".." in folder.path.parts:
        found.append("path: it must be absolute and without '..'.")
    if len(str(folder.path)) > _PATH_LENGTH or _CONTROL.search(str(folder.path)):
        found.append(f"path: at most {_PATH_LENGTH} characters, no control characters.")
    for name in ("quota_gb", "warn_at_gb", "warn_at_percent"):
        value: float | None = getattr(folder, name)
        if value is not None and not 0 < value < float("inf"):
            found.append(f"{name}: it must be positive, or empty.")
    if folder.warn_at_percent is not None and folder.warn_at_percent > 100:
        found.append("warn_at_percent: at most 100.")
    return tuple(found)


def _check_is_staff(actor: Actor) -> None:
    if not actor.is_staff:
        raise NotPermitted("Only staff may change nodes.")


def _refuse(problems: tuple[str, ...]) -> None:
    if problems:
        raise BadRequest(" ".join(problems))


def _name_problems(name: str) -> tuple[str, ...]:
    if not name or len(name) > _NAME_LENGTH or name != name.strip() or _CONTROL.search(name):
        return (f"name: 1 to {_NAME_LENGTH} characters, no control characters, no spaces at the ends.",)
    return ()


def _address_problems(server: Server) -> tuple[str, ...]:
    found: tuple[str, ...] = ()
    if not _AE_TITLE.fullmatch(server.ae_title) or server.ae_title != server.ae_title.strip():
        found += ("ae_title: 1 to 16 ASCII characters, no backslash or control characters, no spaces at the ends.",)
    if not server.host or len(server.host) > _HOST_LENGTH or re.search(r"[\s/@]", server.host):
        found += (f"host: a name or address of at most {_HOST_LENGTH} characters, without spaces, '/' and '@'.",)
    if not 1 <= server.port <= 65535:
        found += ("port: it must be between 1 and 65535.",)
    return found


def _web_problems(server: Server) -> tuple[str, ...]:
    found: tuple[str, ...] = ()
    if server.dicomweb_root_url:
        found += _url_problems(server.dicomweb_root_url)
    elif any(getattr(server, name) for name in _WEB_CAPABILITIES):
        found += ("dicomweb_root_url: needed by the DICOMweb capabilities.",)
    for name in _PREFIXES:
        prefix: str = getattr(server, name)
        if len(prefix) > _URL_LENGTH or re.search(r"[\s?#\x00-\x1f\x7f]", prefix) or "://" in prefix:
            found += (f"{name}: a path below the root URL.",)
    header = server.dicomweb_authorization_header
    if len(header) > _URL_LENGTH or not header.isascii() or _CONTROL.search(header):
        found += (f"dicomweb_authorization_header: at most {_URL_LENGTH} ASCII characters, no control characters.",)
    return found


def _url_problems(url: str) -> tuple[str, ...]:
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address, parts = False, urlsplit("")
    if not is_address or len(url) > _URL_LENGTH or re.search(r"[\s\x00-\x1f\x7f]", url):
        return ("dicomweb_root_url: it must be an http:// or https:// address.",)
    if parts.username or parts.password or parts.query or parts.fragment:
        return ("dicomweb_root_url: no credentials, '?' or '#'; credentials belong in the authorization header.",)
    return ()


def _tls_problems(server: Server) -> tuple[str, ...]:
    if server.tls is None:
        return ()
    if bool(server.tls.certificate_file) is not bool(server.tls.key_file):
        return ("tls: a client certificate and its key go together.",)
    files = (server.tls.ca_file, server.tls.certificate_file, server.tls.key_file)
    if any(file and (not file.startswith("/") or len(file) > _PATH_LENGTH) for file in files):
        return ("tls: paths of files must be absolute.",)
    return ()


def _budget_problems(server: Server) -> tuple[str, ...]:
    found: tuple[str, ...] = ()
    if server.association_budget < 1:
        found += ("association_budget: it must be positive.",)
    if server.store_associations < 1:
        found += ("store_associations: it must be positive.",)
    return found


def _timeout_problems(server: Server) -> tuple[str, ...]:
    waits = server.timeouts
    if min(waits.connect, waits.negotiation, waits.response, waits.idle) <= timedelta(0):
        return ("timeouts: they must be positive.",)
    return ()
