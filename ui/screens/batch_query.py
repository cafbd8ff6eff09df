"""Look up many patients at once: a spreadsheet in, and what the archives have for each of its rows out."""

from collections.abc import Mapping, Sequence
from typing import cast

import streamlit as st

from models.domain.batch_requests import BatchQueryRequest
from models.domain.batches import BatchKind
from models.domain.nodes import NodeName
from models.domain.people import Permission
from models.domain.project import App
from services import nodes, project
from services.batches import queries
from services.batches.uploads import QueryUpload
from services.people import accounts
from ui import context, session
from ui.parts import amounts, batch_draft, batch_sending, batch_upload
from ui.parts.forms import field_problem
from ui.parts.refusals import asked
from ui.parts.transfer_fields import extras

_PREFIX = "query-job-"


def servers_field(
    servers: Sequence[NodeName], remembered: Mapping[str, object], problems: Mapping[str, str]
) -> tuple[int, ...]:
    """Draw the choice of servers, any number of them."""
    last = cast(list[object], remembered.get("query_sources") or [])
    usual = [server for server in servers if server.id in last or len(servers) == 1]
    chosen = st.multiselect(
        "Servers",
        servers,
        default=usual,
        format_func=lambda server: server.name,
        key=f"{_PREFIX}sources",
        placeholder="Choose one or several to ask",
        help="Each row is asked of each of them.",
        persist_state="session",
    )
    field_problem(problems, "sources")
    return tuple(server.id for server in chosen)


db, actor = context.database(), session.actor()

st.title("Batch query", anchor=False)
asked(lambda: project.check_open(db, actor, App.BATCH_QUERY))
st.caption("Look up many patients at once, with a spreadsheet. Nothing is transferred.")
if project.apps(db)[App.BATCH_QUERY].suspended:
    st.info("Batch queries are suspended for now: what you ask for is accepted, and waits.", icon=":material/pause:")

servers = nodes.sources(db, actor)
if not servers:
    st.info("No server is open to your groups as a source. An administrator can change that.", icon=":material/dns:")
    st.stop()

draft = batch_draft.current(BatchKind.QUERY)
batch_sending.go_on(draft)
remembered = accounts.preferences(db, actor)

st.header("1. Hand in the file", anchor=False)
batch_upload.help_with_files(BatchKind.QUERY)
if not batch_upload.hand_in(draft):
    st.stop()
assert isinstance(draft.upload, QueryUpload)

st.header("2. Say what is asked, and why", anchor=False)
left, right = st.columns(2, gap="large")
with left:
    source_ids = servers_field(servers, remembered, draft.problems)
    urgent, mail = extras(Permission.BATCH_QUERY_URGENT in actor.permissions, remembered, _PREFIX)
with right:
    about = batch_sending.project_fields(draft.problems, _PREFIX, with_ethics=False)
batch_upload.show_refused(draft.problems, batch_sending.shown_fields(False, "sources"))

rows = draft.upload.rows
if st.button(
    f"Start the query of {amounts.counted(len(rows), 'row')}", type="primary", icon=":material/send:", key="send"
):
    request = BatchQueryRequest(
        rows,
        source_ids,
        about["project_name"],
        about["project_description"],
        draft.upload.file,
        urgent,
        mail,
    )
    batch_sending.send(
        draft,
        lambda: queries.submit(db, context.settings(), actor, request),
        {"query_sources": list(source_ids), "urgent": urgent, "mail": mail},
    )
