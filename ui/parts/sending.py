"""The last step of a transfer: say where it goes, have it checked against the source, and send it off."""

from collections.abc import Mapping
from dataclasses import replace

import streamlit as st

from models.domain.errors import AditError, BadRequest, Bug, Refused
from models.domain.requests import SELECTIVE_LIMIT, TransferRequest
from services import jobs, nodes
from services.people import accounts
from services.searching import search
from ui import context, session
from ui.parts import amounts, links
from ui.parts import draft as drafts
from ui.parts.draft import Draft
from ui.parts.escape import escape_markdown
from ui.parts.flash import flash
from ui.parts.plans import show_plan
from ui.parts.refusals import said
from ui.parts.searching import Search, watch
from ui.parts.transfer_form import other_problems, transfer_form

_QUICK_S = 0.6
_PROBLEMS = "transfer-problems"


def check_and_send(draft: Draft, remembered: Mapping[str, object]) -> None:
    """Draw the form, the button that checks, what the check has said, and the button that sends."""
    actor = session.actor()
    destinations = [node for node in nodes.destinations(context.database(), actor) if node.id != draft.source_id]
    if not destinations:
        st.info("No server or folder is open to your groups as a destination. An administrator can change that.")
        return
    if len(draft.chosen) > SELECTIVE_LIMIT and not actor.is_staff:
        count = amounts.counted(len(draft.chosen), "study")
        st.warning(f"A selective transfer moves at most {SELECTIVE_LIMIT} studies, these are {count}.")
    problems: Mapping[str, str] = st.session_state.get(_PROBLEMS, {})
    request = transfer_form(draft, actor, destinations, remembered, problems)
    for sentence in other_problems(problems):
        st.error(escape_markdown(sentence), icon=":material/error:")
    # not by on_click: that would take what stood in the fields a run ago, before somebody typed and clicked at once
    if st.button(
        "Check what would be transferred",
        icon=":material/fact_check:",
        key="check",
        type="secondary" if draft.check and draft.checked == request else "primary",
        disabled=request is None,
    ):
        _check(draft, request)
        st.rerun()
    if request is None:
        st.caption("Choose a destination first.")
    if draft.check:
        _show_check(draft, draft.check, request)


def _check(draft: Draft, request: TransferRequest | None) -> None:
    """Ask the source; what is wrong with the request by itself is said at once."""
    actor = session.actor()
    st.session_state.pop(_PROBLEMS, None)
    draft.check, draft.checked, draft.is_sent = None, request, False
    if request is None:
        return
    try:
        request.check()
    except BadRequest as error:
        _keep(error)
        return
    db, settings = context.database(), context.settings()
    draft.check = Search(
        lambda: [
            search.preview(
                db,
                settings,
                actor,
                request.source_id,
                request.destination_id,
                request.studies,
                request.profile,
                request.keep_identity,
                convert_to_nifti=request.convert_to_nifti,
            )
        ]
    )
    draft.check.settle(_QUICK_S)


def _show_check(draft: Draft, check: Search[search.Preview], request: TransferRequest | None) -> None:
    if request is None or draft.checked != request:
        st.info("You have changed something since the check. Check again before you transfer.", icon=":material/edit:")
        return
    if check.is_running:
        watch(check, lambda _: st.caption(":material/hourglass_top: Asking the source what it has ..."))
        return
    if check.error:
        st.error(said(check.error), icon=":material/error:")
        return
    (preview,) = check.answers()
    show_plan(preview, request.keep_identity)
    if hopeless := [study.wish.study_uid for study in preview.studies if study.problem]:
        st.button(
            f"Take out {amounts.counted(len(hopeless), 'study')} that cannot be moved",
            icon=":material/delete:",
            key="take-out",
            on_click=_take_out,
            args=(draft, hopeless),
        )
    wanted = replace(request, studies=preview.wishes)
    count = amounts.counted(len(wanted.studies), "study")
    is_sent = st.button(
        f"Transfer {count}", type="primary", icon=":material/send:", key="transfer", disabled=bool(preview.problems)
    )
    if is_sent:
        _send(draft, wanted)
        if not draft.job_id:
            st.rerun()
    _go_on(draft)


def _take_out(draft: Draft, study_uids: list[str]) -> None:
    for uid in study_uids:
        draft.remove(uid)


def _send(draft: Draft, request: TransferRequest) -> None:
    """Submit once, however often somebody clicks."""
    if draft.is_sent:
        return
    draft.is_sent = True
    db, actor = context.database(), session.actor()
    try:
        job = jobs.submit(db, context.settings(), actor, request)
    except Bug:
        raise
    except AditError as error:
        draft.is_sent = False
        _keep(error)
        return
    accounts.remember(
        db,
        actor,
        source=request.source_id,
        destination=request.destination_id,
        profile=request.profile or None,
        urgent=request.urgent,
        mail=request.send_finished_mail,
        nifti=request.convert_to_nifti,
    )
    draft.job_id = job.id


def _go_on(draft: Draft) -> None:
    if draft.job_id:
        job_id = draft.job_id
        drafts.discard()
        flash(f"Job {job_id} is accepted.")
        links.go_to_job(job_id)


def _keep(error: AditError) -> None:
    """Keep what is wrong for the fields of the next run."""
    problems = dict(error.problems) if isinstance(error, Refused) else dict[str, str]()
    st.session_state[_PROBLEMS] = problems or {"request": error.message}
