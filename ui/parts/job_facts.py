"""What there is to know about one job."""

from collections.abc import Mapping

import streamlit as st

from models.domain.jobs import FINISHED, Job, JobProgress, State
from models.domain.people import Actor, Permission
from models.domain.project import App
from models.domain.receipts import ReceiptSummary
from services import jobs, nodes, project
from ui import context
from ui.parts import amounts, status, times


def facts_of(job: Job, actor: Actor) -> Mapping[str, str]:
    """What was asked for, by whom and when."""
    db = context.database()
    names = nodes.names(db)
    ways = [
        names.get(source, "?") + ("" if target is None else f" to {names.get(target, '?')}")
        for source, target in jobs.nodes(db, actor, job.id)
    ]
    return {
        "Kind": status.kind_word(job.kind),
        "Owner": job.owner,
        "From, to": ", ".join(sorted(ways)),
        "Trial": " | ".join(filter(None, [job.trial_protocol_id, job.trial_protocol_name])),
        "De-identification": "none: the identity is kept" if job.keep_identity else job.profile,
        "Created": times.moment(job.created_at),
        "Mail when it has ended": "yes" if job.send_finished_mail else "",
    }


def show_run_link(job: Job, actor: Actor) -> None:
    """Draw the way to the flow run, for staff."""
    if actor.is_staff and job.flow_run_id:
        st.link_button(
            "Flow run in Prefect",
            jobs.flow_run_url(context.settings(), job),
            icon=":material/open_in_new:",
            key="flow-run",
            type="tertiary",
            help="Prefect's page asks for a password of its own: the one in ADIT_PREFECT_AUTH, or in the file "
            "prefect.auth of the data directory. It may be reached only from the machine that ADIT runs on.",
        )


def show_progress(now: JobProgress, receipts: Mapping[int, ReceiptSummary]) -> None:
    """Draw how far the job has come."""
    job = now.job
    with st.container(horizontal=True, vertical_alignment="center", key="job-state"):
        status.pill(job.state)
        if job.urgent:
            st.badge("Urgent", icon=":material/bolt:", color="orange")
        st.caption(_when(job))
    if job.message:
        st.text(job.message)
    _say_why_it_waits(job)
    total = sum(now.counts.values())
    ended = sum(count for state, count in now.counts.items() if state in FINISHED)
    stored = sum(receipt.stored for receipt in receipts.values())
    words = f"{ended} of {amounts.counted(total, 'item')} ended, {amounts.counted(stored, 'image')} stored"
    st.progress(ended / total if total else 1.0, text=f"{words}: {status.counts_line(now.counts) or 'no items'}")


def _when(job: Job) -> str:
    if job.ended_at and job.started_at:
        took = amounts.span(job.ended_at - job.started_at)
        return f"started {times.moment(job.started_at)}, ended {times.moment(job.ended_at)}, took {took}"
    if job.ended_at:
        return f"ended {times.moment(job.ended_at)}"
    return f"started {times.moment(job.started_at)}" if job.started_at else "not started yet"


def _say_why_it_waits(job: Job) -> None:
    settings = project.apps(context.database())[App.of(job.kind)]
    if job.state is State.UNVERIFIED:
        st.info("An administrator has to verify this job before it begins.", icon=":material/hourglass_empty:")
    elif job.state not in FINISHED and settings.suspended:
        st.info("Jobs of this kind are suspended for now. It goes on by itself later.", icon=":material/pause:")


def show_held(held: int, actor: Actor) -> None:
    """Say that instances wait for a review, and lead there who may do it."""
    if not held:
        return
    are = "image may show who the patient is, and is" if held == 1 else "images may show who the patient is, and are"
    st.warning(f"{held:,} {are} held until a reviewer releases or rejects what is held.", icon=":material/visibility:")
    if Permission.REVIEW_HELD in actor.permissions:
        st.page_link("screens/reviews.py", label="To the reviews", icon=":material/visibility:")
