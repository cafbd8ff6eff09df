"""What there is to know about one job."""

from collections.abc import Mapping

import streamlit as st

from models.domain.jobs import FINISHED, Job, JobKind, JobProgress, State
from models.domain.pace import Pace
from models.domain.people import Actor, Permission
from models.domain.project import App
from services import jobs, nodes, profiles, project
from ui import context
from ui.parts import amounts, status, times
from ui.parts.escape import escape_markdown


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
        "Servers" if job.kind is JobKind.BATCH_QUERY else "From, to": ", ".join(sorted(ways)),
        "Project": job.project_name,
        "Ethics committee approval": job.ethics_application_id,
        "Trial": " | ".join(filter(None, [job.trial_protocol_id, job.trial_protocol_name])),
        "De-identification": _rules(job),
        "Files": "NIfTI" if job.convert_to_nifti else "",
        "Created": times.moment(job.created_at),
        "Mail when it has ended": "yes" if job.send_finished_mail else "",
        "Patient data removed": times.moment(job.emptied_at) if job.emptied_at else "",
    }


def _rules(job: Job) -> str:
    """By what the data is treated, as the form called it; by the profile's bare name where that is gone."""
    if job.keep_identity:
        return "none: the identity is kept"
    titles = {choice.name: choice.title for choice in profiles.choices(context.settings())}
    return titles.get(job.profile, job.profile)


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


def show_project(job: Job) -> None:
    """Draw what the data of a batch is for, in the words of its owner."""
    if job.project_description:
        with st.container(gap=None, key="project-description"):
            st.caption("Project description")
            st.text(job.project_description)


def show_progress(now: JobProgress, stored: int) -> None:
    """Draw how far the job has come, and when it ends if it goes on like that."""
    job = now.job
    with st.container(horizontal=True, vertical_alignment="center", key="job-state"):
        status.pill(job.state)
        if job.urgent:
            st.badge("Urgent", icon=":material/bolt:", color="orange")
        st.caption(_when(job))
    _show_message(job)
    _say_why_it_waits(job)
    total = sum(now.counts.values())
    ended = sum(count for state, count in now.counts.items() if state in FINISHED)
    words = f"{ended:,} of {amounts.counted(total, 'item')} ended"
    if not job.kind.only_asks:
        words += f", {amounts.counted(stored, 'image')} stored"
    st.progress(ended / total if total else 1.0, text=f"{words}: {status.counts_line(now.counts) or 'no items'}")
    if now.pace is not None and not job.message:  # what is held back has no end that could be told
        st.caption(f":material/schedule: {_pace(now.pace)}")


def _pace(pace: Pace) -> str:
    a_minute = pace.items_per_minute
    speed = f"{a_minute:,.0f}" if a_minute >= 10 else f"{a_minute:.1f}"
    return f"About {speed} items a minute. If it goes on like this, it ends about {times.moment(pace.ends_at)}."


def _when(job: Job) -> str:
    if job.ended_at and job.started_at:
        took = amounts.span(job.ended_at - job.started_at)
        return f"started {times.moment(job.started_at)}, ended {times.moment(job.ended_at)}, took {took}"
    if job.ended_at:
        return f"ended {times.moment(job.ended_at)}"
    return f"started {times.moment(job.started_at)}" if job.started_at else "not started yet"


def _show_message(job: Job) -> None:
    """Draw what has become of the job or, before that, which server holds it back and until when."""
    if job.message and job.state in FINISHED:
        st.text(job.message)
    elif job.message:
        st.info(f"Held back: {escape_markdown(job.message)} It goes on by itself.", icon=":material/schedule:")


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
