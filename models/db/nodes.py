"""Keeps servers and folders; a server's authorization header is encrypted on its way in."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from models.db.engine import Database, Lock, hold
from models.db.tables import FolderRow, ItemRow, NodeRow, ServerRow
from models.db.vault import Vault
from models.domain.errors import BadRequest, NotFound, Outdated, WrongState
from models.domain.nodes import BudgetRule, Folder, Node, Server, Stop, Timeouts, Tls, Window

_SAME = (
    "ae_title",
    "host",
    "port",
    "patient_root_find_support",
    "patient_root_get_support",
    "patient_root_move_support",
    "study_root_find_support",
    "study_root_get_support",
    "study_root_move_support",
    "store_scp_support",
    "dicomweb_root_url",
    "dicomweb_qido_support",
    "dicomweb_wado_support",
    "dicomweb_stow_support",
    "dicomweb_qido_prefix",
    "dicomweb_wado_prefix",
    "dicomweb_stow_prefix",
    "association_budget",
    "store_associations",
    "uses_pynetdicom",
    "max_search_results",
)
"""Fields that a server and its row have in common, name for name and value for value."""


class NodeStore:
    """Servers and folders by id or name."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def add(self, node: Node) -> Node:
        """The node with its new id; raises BadRequest when its name or AE title is taken."""
        with self._db.transaction() as session:
            _refuse_twins(session, node)
            row = ServerRow() if isinstance(node, Server) else FolderRow()
            _fill(row, node, self._db.vault)
            row.version = 1
            session.add(row)
            session.flush()
            return replace(node, id=row.id, version=1)

    def update(self, node: Node) -> Node:
        """The node as it is now; raises NotFound, BadRequest when its name or AE title is taken, or Outdated."""
        with self._db.transaction() as session:
            hold(session.connection(), Lock.NODES)
            row = _row(session, node.id, is_fresh=True)
            if isinstance(row, ServerRow) is not isinstance(node, Server):
                raise BadRequest("A server cannot become a folder, nor a folder a server.")
            _refuse_twins(session, node)
            if row.version != node.version:
                raise Outdated
            _fill(row, node, self._db.vault)
            row.version += 1
            return replace(node, version=row.version)

    def get(self, node_id: int, with_credentials: bool = True) -> Node:
        """The node with this id; raises NotFound. Without credentials nothing is decrypted."""
        with self._db.reading() as session:
            return _node(_row(session, node_id), self._db.vault if with_credentials else None)

    def find(self, node_id: int) -> Node | None:
        """The node with this id, if there is one."""
        with self._db.reading() as session:
            row = session.get(NodeRow, node_id)
            return None if row is None else _node(row, self._db.vault)

    def with_authorization(self) -> frozenset[int]:
        """The ids of all servers for which an authorization header is kept."""
        wanted = select(ServerRow.id).where(ServerRow.dicomweb_authorization_header != b"")
        with self._db.reading() as session:
            return frozenset(session.scalars(wanted))

    def by_name(self, name: str) -> Node:
        """The node with this name; raises NotFound."""
        with self._db.reading() as session:
            row = session.scalar(select(NodeRow).where(NodeRow.name == name))
            if row is None:
                raise NotFound("There is no node with this name.")
            return _node(row, self._db.vault)

    def by_ae_title(self, ae_title: str) -> Server:
        """The server with this AE title, of which there is one at most; raises NotFound."""
        with self._db.reading() as session:
            row = session.scalar(select(ServerRow).where(ServerRow.ae_title == ae_title.strip()))
            if row is None:
                raise NotFound("There is no server with this AE title.")
            return _server(row, self._db.vault)

    def ae_titles(self) -> frozenset[str]:
        """The AE titles of all servers; nothing is decrypted for them."""
        with self._db.reading() as session:
            return frozenset(session.scalars(select(ServerRow.ae_title)))

    def list(self, with_credentials: bool = True) -> tuple[Node, ...]:
        """All nodes, servers before folders, then by name. Without credentials nothing is decrypted."""
        with self._db.reading() as session:
            rows = session.scalars(select(NodeRow).order_by(NodeRow.kind.desc(), NodeRow.name))
            return tuple(_node(row, self._db.vault if with_credentials else None) for row in rows)

    def delete(self, node_id: int) -> None:
        """Remove a node; raises WrongState when a job names it, since its history would lose its meaning."""
        with self._db.transaction() as session:
            row = _row(session, node_id)
            hold(session.connection(), Lock.NODES)
            if _is_used(session, node_id):
                raise WrongState("The node is used by jobs. Delete those first.")
            session.delete(row)


def _row(session: Session, node_id: int, is_fresh: bool = False) -> NodeRow:
    """The row; ``is_fresh`` reads it again, since the transaction may have read it before it waited for the lock."""
    row = session.get(NodeRow, node_id, populate_existing=is_fresh)
    if row is None:
        raise NotFound("There is no node with this id.")
    return row


def _is_used(session: Session, node_id: int) -> bool:
    uses = or_(ItemRow.source_id == node_id, ItemRow.destination_id == node_id)
    return session.scalar(select(func.count()).select_from(ItemRow).where(uses)) != 0


def _refuse_twins(session: Session, node: Node) -> None:
    hold(session.connection(), Lock.NODES)
    problems: dict[str, str] = {}
    if session.scalar(select(NodeRow.id).where(NodeRow.name == node.name, NodeRow.id != node.id)):
        problems["name"] = "another node has it."
    if isinstance(node, Server) and session.scalar(
        select(ServerRow.id).where(ServerRow.ae_title == node.ae_title, ServerRow.id != node.id)
    ):
        problems["ae_title"] = "another server has it."
    if problems:
        raise BadRequest.of(problems)


def _fill(row: NodeRow, node: Node, vault: Vault) -> None:
    row.name = node.name
    if isinstance(row, ServerRow) and isinstance(node, Server):
        _fill_server(row, node, vault)
    elif isinstance(row, FolderRow) and isinstance(node, Folder):
        if row.path != str(node.path):
            row.measured_bytes, row.measured_at, row.settled_bytes = None, None, 0
        row.path = str(node.path)
        row.quota_gb, row.warn_at_gb, row.warn_at_percent = node.quota_gb, node.warn_at_gb, node.warn_at_percent


def _fill_server(row: ServerRow, server: Server, vault: Vault) -> None:
    for name in _SAME:
        setattr(row, name, getattr(server, name))
    row.windows = [_window_columns(window) for window in server.windows]
    row.budget_rules = [[*_window_columns(rule.hours), rule.budget] for rule in server.budget_rules]
    header = server.dicomweb_authorization_header
    row.dicomweb_authorization_header = vault.encrypt(header.encode()) if header else b""
    tls = server.tls
    row.tls_ca_file = tls.ca_file if tls else None
    row.tls_certificate_file = tls.certificate_file if tls else None
    row.tls_key_file = tls.key_file if tls else None
    row.tls_check_hostname = tls.check_hostname if tls else None
    row.connect_timeout_s = server.timeouts.connect.total_seconds()
    row.negotiation_timeout_s = server.timeouts.negotiation.total_seconds()
    row.response_timeout_s = server.timeouts.response.total_seconds()
    row.idle_timeout_s = server.timeouts.idle.total_seconds()


def _node(row: NodeRow, vault: Vault | None) -> Node:
    if isinstance(row, ServerRow):
        return _server(row, vault)
    assert isinstance(row, FolderRow)
    return Folder(
        name=row.name,
        path=Path(row.path),
        id=row.id,
        quota_gb=row.quota_gb,
        warn_at_gb=row.warn_at_gb,
        warn_at_percent=row.warn_at_percent,
        measured_bytes=row.measured_bytes,
        measured_at=row.measured_at,
        version=row.version,
    )


def _server(row: ServerRow, vault: Vault | None) -> Server:
    header = row.dicomweb_authorization_header
    return Server(
        id=row.id,
        name=row.name,
        **{name: getattr(row, name) for name in _SAME},
        version=row.version,
        dicomweb_authorization_header=vault.decrypt(header).decode() if header and vault else "",
        windows=windows_of(row.windows),
        budget_rules=_rules_of(row.budget_rules),
        stop=stop_of(row.stopped_by, row.stopped_at, row.stop_reason),
        tls=_tls(row),
        timeouts=Timeouts(
            connect=timedelta(seconds=row.connect_timeout_s),
            negotiation=timedelta(seconds=row.negotiation_timeout_s),
            response=timedelta(seconds=row.response_timeout_s),
            idle=timedelta(seconds=row.idle_timeout_s),
        ),
    )


def windows_of(column: Iterable[Sequence[Any]]) -> tuple[Window, ...]:
    """The windows that stand in a column."""
    return tuple(Window(weekday, time.fromisoformat(begin), time.fromisoformat(end)) for weekday, begin, end in column)


def _rules_of(column: Sequence[Sequence[Any]]) -> tuple[BudgetRule, ...]:
    hours = windows_of(entry[:3] for entry in column)
    return tuple(BudgetRule(window, entry[3]) for window, entry in zip(hours, column, strict=True))


def stop_of(by: str, at: datetime | None, reason: str) -> Stop | None:
    """The stop that stands in the columns, if the server is stopped."""
    return None if at is None else Stop(by, at, reason)


def _window_columns(window: Window) -> list[Any]:
    return [window.weekday, f"{window.begin:%H:%M}", f"{window.end:%H:%M}"]


def _tls(row: ServerRow) -> Tls | None:
    if row.tls_ca_file is None:
        return None
    return Tls(
        ca_file=row.tls_ca_file,
        certificate_file=row.tls_certificate_file or "",
        key_file=row.tls_key_file or "",
        check_hostname=row.tls_check_hostname is not False,
    )
