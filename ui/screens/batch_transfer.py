"""Move the studies of many patients at once: a spreadsheet in, a check against the source first, then the transfer."""

import streamlit as st

from models.domain.batch_requests import BatchTransferRequest
from models.domain.batches import BatchKind
from models.domain.people import Permission
from models.domain.project import App
from services import jobs, nodes, project
from services.batches import checks, uploads
from services.batches.uploads import TransferUpload
from services.people import accounts
from ui import context, session
from ui.parts import amounts, batch_draft, batch_sending, batch_upload, links
from ui.parts.batch_fields import names_fields, source_field
from ui.parts.refusals import asked
from ui.parts.transfer_fields import destination_field, extras, nifti_field, trial_fields

_PREFIX = "batch-"
_BESIDE = (
    "source",
    "destination",
    "profile",
    "trial_protocol_id",
    "trial_protocol_name",
    "generate_pseudonyms",
    "convert_to_nifti",
)

db, actor = context.database(), session.actor()

st.title("Batch transfer", anchor=False)
asked(lambda: project.check_open(db, actor, App.BATCH_TRANSFER))
st.caption(
    "Transfer the studies of many patients at once, with a spreadsheet. First it is only checked what the source has; "
    "you see the outcome before anything is moved."
)
if project.apps(db)[App.BATCH_TRANSFER].suspended:
    st.info("Batch transfers are suspended for now: what you ask for is accepted, and waits.", icon=":material/pause:")

sources, destinations = nodes.sources(db, actor), nodes.destinations(db, actor)
if not sources or not destinations:
    st.info(
        f"No {'server is open to your groups as a source' if not sources else 'destination is open to your groups'}. "
        "An administrator can change that.",
        icon=":material/dns:",
    )
    st.stop()

draft = batch_draft.current(BatchKind.TRANSFER)
batch_sending.go_on(draft)
remembered = accounts.preferences(db, actor)

query_id, source_id = links.asked_number("query"), links.asked_number("source")
origin = f"{query_id}-{source_id}"
if query_id and draft.origin != origin:
    query = asked(lambda: jobs.get(db, actor, query_id))
    found = asked(lambda: uploads.of_query(db, actor, query_id, source_id or None))
    draft.take_rows(found, origin)
    if query_source := next((node for node in sources if node.id == source_id), None):
        st.session_state[f"{_PREFIX}source"] = query_source
    batch_sending.preset(
        _PREFIX,
        project_name=query.project_name,
        project_description=query.project_description,
    )

st.header("1. Hand in the file", anchor=False)
if query_id and draft.origin == origin:
    st.info(f"These are the results of batch query {query_id}.", icon=":material/manage_search:")
batch_upload.help_with_files(BatchKind.TRANSFER)
if not batch_upload.hand_in(draft):
    st.stop()
assert isinstance(draft.upload, TransferUpload)
rows = draft.upload.rows

st.header("2. Say where it goes, and why", anchor=False)
left, right = st.columns(2, gap="large")
with left:
    source = source_field(sources, remembered, draft.problems, _PREFIX)
    others = [node for node in destinations if source is None or node.id != source.id]
    destination = destination_field(others, remembered, draft.problems, _PREFIX)
    converts = nifti_field(destination, remembered, draft.problems, _PREFIX)
    names = names_fields(
        rows, Permission.BATCH_UNPSEUDONYMIZED in actor.permissions, remembered, draft.problems, _PREFIX
    )
with right:
    about = batch_sending.project_fields(draft.problems, _PREFIX, with_ethics=True)
    trial_id, trial_name = trial_fields(draft.problems, _PREFIX)
    urgent, mail = extras(Permission.BATCH_URGENT in actor.permissions, remembered, _PREFIX)
batch_upload.show_refused(draft.problems, batch_sending.shown_fields(True, *_BESIDE))

is_asked = st.button(
    f"Check {amounts.counted(len(rows), 'row')} against the source",
    type="primary",
    icon=":material/fact_check:",
    key="send",
    disabled=source is None or destination is None,
)
if source is None or destination is None:
    st.caption("Choose a source and a destination first.")
st.caption("Nothing is moved by this. It says of each row whether it was found, and how much there is.")
if is_asked and source is not None and destination is not None:
    request = BatchTransferRequest(
        rows,
        source.id,
        destination.id,
        about["project_name"],
        about["project_description"],
        about["ethics_application_id"],
        draft.upload.file,
        trial_id,
        trial_name,
        names.profile,
        names.keep_identity,
        names.generate,
        urgent,
        mail,
        converts,
    )
    batch_sending.send(
        draft,
        lambda: checks.submit(db, context.settings(), actor, request),
        {
            "source": source.id,
            "destination": destination.id,
            "profile": names.profile or None,
            "urgent": urgent,
            "mail": mail,
            "nifti": converts,
        },
    )
