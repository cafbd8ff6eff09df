"""Tests whether a server or a folder can be used as it is configured, and says what to do where it cannot.

Nothing of a patient is read, moved or stored. What the other side does wrong is a finding, never an exception.
"""

from dataclasses import replace
from datetime import timedelta

from models.db.engine import Database
from models.db.nodes import NodeStore
from models.domain.audit import AuditAction
from models.domain.errors import BadRequest, NotPermitted, PeerBusy
from models.domain.nodes import Folder, Node, Server, Timeouts
from models.domain.people import Actor
from models.settings import Settings
from services import audit, nodes
from services.checks import dimse_checks, folder_checks, web_checks
from services.checks.findings import Finding as Finding
from services.node_rules import folder_problems, server_problems, web_place
from services.searching.visits import Visit

_PATIENCE = Timeouts(*(timedelta(seconds=s) for s in (5, 10, 15, 15)))
"""A test waits no longer than this, whatever the server's own time-outs are."""
_BUDGET_PATIENCE = timedelta(seconds=10)


def test(db: Database, settings: Settings, actor: Actor, node: int | Node) -> tuple[Finding, ...]:
    """One finding for each thing that was tried, of a node that is kept (by its id, or as edited) or a new one (id 0).

    Of a server only what is switched on is tried, within the server's association budget and with short time-outs; a
    server that is not kept yet has no budget. An edited server without an authorization header is tried with the one
    that is kept. Raises NotPermitted for others than staff, NotFound, or BadRequest for fields that cannot be as they
    are.
    """
    _check_is_staff(db, actor)
    kept = _kept(db, node if isinstance(node, int) else node.id)
    wanted = _wanted(node, kept)
    if isinstance(wanted, Folder):
        findings = folder_checks.findings(db, settings, wanted)
    else:
        findings = _of_server(db, settings, wanted, kept if isinstance(kept, Server) else replace(wanted, id=0))
    audit.record(db, actor, AuditAction.TEST_NODE, _words(wanted, kept, findings))
    return findings


def _check_is_staff(db: Database, actor: Actor) -> None:
    if not actor.is_staff:
        audit.record(db, actor, AuditAction.TEST_NODE, "node", NotPermitted.__name__)
        raise NotPermitted("Only staff may test nodes.")


def _kept(db: Database, node_id: int) -> Node | None:
    return NodeStore(db).get(node_id) if node_id else None


def _wanted(node: int | Node, kept: Node | None) -> Node:
    if isinstance(node, int):
        if kept is None:
            raise BadRequest.of({"node": "there is none with this id."})
        return kept
    problems = server_problems(node) if isinstance(node, Server) else folder_problems(node)
    if problems:
        raise BadRequest.of(problems)
    return nodes.with_kept_authorization(node, kept) if kept is not None else node


def _words(node: Node, kept: Node | None, findings: tuple[Finding, ...]) -> str:
    """What the trail says: where somebody had us connect to, and how it went."""
    good = sum(finding.is_ok for finding in findings)
    told = f"{good} of {len(findings)} checks passed"
    if node == kept:
        return f"{'server' if isinstance(node, Server) else 'folder'} {node.name}: {told}"
    if isinstance(node, Folder):
        return f"folder at {node.path}, as entered: {told}"
    scheme, host, port = web_place(node)
    web = f" and {scheme}://{host}:{port}" if node.dicomweb_root_url else ""
    return f"server at {node.host}:{node.port}{web}, as entered: {told}"


def _of_server(db: Database, settings: Settings, server: Server, kept: Server) -> tuple[Finding, ...]:
    hurried = replace(server, timeouts=_shortened(server.timeouts))
    try:
        with Visit(db, kept, _BUDGET_PATIENCE, is_test=True):
            return (*dimse_checks.findings(settings, hurried), *web_checks.findings(hurried))
    except PeerBusy as busy:
        text = f"Nothing could be tried. {busy.message} Transfers being at work shows that it can be reached."
        return (Finding("Association budget", False, text),)


def _shortened(waits: Timeouts) -> Timeouts:
    return Timeouts(
        connect=min(waits.connect, _PATIENCE.connect),
        negotiation=min(waits.negotiation, _PATIENCE.negotiation),
        response=min(waits.response, _PATIENCE.response),
        idle=min(waits.idle, _PATIENCE.idle),
    )
