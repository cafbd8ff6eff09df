"""DICOM servers: addresses, protocols, limits, windows and rights, whether they answer, and stopping them."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from models.domain.errors import NotFound
from models.domain.nodes import Server
from models.domain.people import NodeRight
from services import nodes
from services.people import groups
from ui import context, session
from ui.parts import connection_test, drawers, node_access, server_form, server_state, tables, window_rows
from ui.parts.forms import Form
from ui.parts.listings import heading, removal, search
from ui.parts.refusals import asked
from ui.parts.tables import Column, Look

Loaded = tuple[Server, Mapping[int, NodeRight], bool]
"""A server, what groups may do with it, and whether it has an authorization header."""

db, settings = context.database(), context.settings()
PROTOCOLS = {
    "FIND": ("patient_root_find_support", "study_root_find_support"),
    "GET": ("patient_root_get_support", "study_root_get_support"),
    "MOVE": ("patient_root_move_support", "study_root_move_support"),
    "STORE": ("store_scp_support",),
    "QIDO": ("dicomweb_qido_support",),
    "WADO": ("dicomweb_wado_support",),
    "STOW": ("dicomweb_stow_support",),
}


def protocols(server: Server) -> list[str]:
    """What a server supports, in short."""
    return [word for word, names in PROTOCOLS.items() if any(getattr(server, name) for name in names)]


LOOK = Look[Server](
    [
        Column("Name", lambda server: server.name),
        Column("State", server_state.words),
        Column("AE title", lambda server: server.ae_title),
        Column("Host", lambda server: server.host),
        Column("Port", lambda server: server.port, st.column_config.NumberColumn(format="%d", width="small")),
        Column("Protocols", protocols, st.column_config.MultiselectColumn(options=list(PROTOCOLS), color="auto")),
        Column("Budget", lambda server: window_rows.budget_words(server.association_budget, server.budget_rules)),
        Column("Windows", lambda server: window_rows.words(server.windows) or "any time"),
    ],
    alt="DICOM servers",
    identity=lambda server: server.id,
    noun="DICOM server",
    button="Edit",
    empty="No DICOM server matches. Add the first with its AE title, host and port, and test the connection.",
)


def load() -> Loaded:
    """The server that the drawer is about; an empty one for something new."""
    actor, server_id = session.actor(), drawers.subject_id()
    if not server_id:
        return Server("", "", "", 0), {}, False
    server = nodes.shown(db, actor, server_id)
    if not isinstance(server, Server):
        raise NotFound("There is no such server.")
    return server, groups.access(db, actor, server_id), server_id in nodes.with_authorization(db, actor)


def edit() -> None:
    """The drawer with all that a server is."""
    actor = session.actor()
    form: Form[Loaded] = Form("server", drawers.subject_id(), lambda: asked(load), drawers.close_drawer)
    server, given, has_header = form.subject
    if server.id:
        server_state.show(form, server)
    entered = server_form.fields(form, server, has_header)
    rights = node_access.pick(db, actor, form, server, given)
    with form.buttons():
        is_saved = form.save_button()
        is_tested = form.button("test", "Test connection", icon=":material/network_check:")
        if server.id:
            draw_removals(form, server, has_header)
    if is_tested:
        connection_test.begin(form, entered)
    connection_test.show(form)
    if is_saved:
        form.save(
            lambda: node_access.save(db, settings, actor, entered, rights), f"The server {entered.name} was saved."
        )


def draw_removals(form: Form[Any], server: Server, has_header: bool) -> None:
    """What takes something away: the authorization header, or the server."""
    actor = session.actor()
    if has_header and form.button("clear", "Remove authorization header"):
        form.save(lambda: nodes.clear_authorization(db, actor, server.id), "The authorization header was removed.")
    lost = "Groups lose it as source and destination. A server that jobs have used cannot be deleted."
    done = f"The server {server.name} was deleted."
    removal(form, "Delete server", server.name, lost, lambda: nodes.delete(db, actor, server.id), done)


heading("DICOM servers", "Add DICOM server")
wanted = search("servers-q", hint="Name, AE title or host").casefold()
found = [
    node
    for node in asked(lambda: nodes.listed(db, session.actor()))
    if isinstance(node, Server) and wanted in f"{node.name} {node.ae_title} {node.host}".casefold()
]
if opened := tables.paged_table(len(found), lambda limit, skip: found[skip : skip + limit], LOOK, "servers").opened:
    drawers.open_drawer(opened.id)
if drawers.is_open():
    drawers.show_drawer("Edit DICOM server" if drawers.subject_id() else "Add DICOM server", edit)
