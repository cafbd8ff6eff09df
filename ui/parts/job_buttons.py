"""What can be done to a job now, as buttons; what cannot be taken back is asked first."""

from collections.abc import Mapping, Set
from functools import partial

import streamlit as st

from models.domain.jobs import Job, JobAction
from services import jobs
from ui import context, session
from ui.parts import confirm, links
from ui.parts.confirm import Question
from ui.parts.flash import flash
from ui.parts.refusals import flash_outcome

_LABELS: Mapping[JobAction, tuple[str, str]] = {
    JobAction.VERIFY: ("Verify", ":material/verified:"),
    JobAction.HURRY: ("Make urgent", ":material/bolt:"),
    JobAction.RETRY: ("Retry failed items", ":material/replay:"),
    JobAction.RESUME: ("Resume", ":material/play_arrow:"),
    JobAction.RESTART: ("Restart", ":material/restart_alt:"),
    JobAction.CANCEL: ("Cancel", ":material/close:"),
    JobAction.DELETE: ("Delete", ":material/delete:"),
}
_DONE: Mapping[JobAction, str] = {
    JobAction.VERIFY: "The job is verified and begins soon.",
    JobAction.RETRY: "The failed items wait for another attempt.",
    JobAction.RESUME: "The canceled items wait again.",
    JobAction.RESTART: "The job begins again from the start.",
    JobAction.CANCEL: "The job is being canceled.",
    JobAction.DELETE: "The job is deleted.",
}
_ASKED: Mapping[JobAction, tuple[str, str]] = {
    JobAction.RESTART: (
        "Restart",
        "Every item is done again from the start, also those that succeeded. Receipts and reviews of this job are "
        "deleted. What is at the destination already stays there.",
    ),
    JobAction.CANCEL: (
        "Cancel the job",
        "What waits is not begun, and what runs is stopped. What is at the destination already stays there.",
    ),
    JobAction.DELETE: (
        "Delete",
        "The job is removed with its items and all that it has found. Nothing of it has been transferred.",
    ),
}
_FIRST = JobAction.VERIFY, JobAction.RETRY, JobAction.RESUME
"""The one of these that can be done is what most people come for."""


def show_buttons(job: Job, allowed: Set[JobAction]) -> None:
    """Draw a button for each action that is allowed."""
    main = next((action for action in _FIRST if action in allowed), None)
    for action, (label, icon) in _LABELS.items():
        if action not in allowed:
            continue
        key = f"job-{action.value}"
        if action is JobAction.HURRY and job.urgent:
            label, icon = "Not urgent any more", ":material/low_priority:"
        act = confirm.ask if action in _ASKED else _act
        arguments = (key,) if action in _ASKED else (job, action)
        kind = "primary" if action is main else "secondary"
        st.button(label, icon=icon, key=key, type=kind, on_click=act, args=arguments)
        if action in _ASKED:
            yes, text = _ASKED[action]
            question = Question(f"{label} job {job.id}?", text, yes, _DONE[action])
            confirm.confirm(key, question, partial(_confirmed, job, action))


def _confirmed(job: Job, action: JobAction) -> None:
    _change(job, action)
    if action is JobAction.DELETE:
        flash(_DONE[action])
        links.go_to_jobs()


def _act(job: Job, action: JobAction) -> None:
    done = _DONE.get(action, "The job is not urgent any more." if job.urgent else "The job is urgent now.")
    flash_outcome(partial(_change, job, action), done)


def _change(job: Job, action: JobAction) -> None:
    db, actor = context.database(), session.actor()
    match action:
        case JobAction.VERIFY:
            jobs.verify(db, actor, job.id)
        case JobAction.HURRY:
            jobs.hurry(db, actor, job.id, not job.urgent)
        case JobAction.RETRY:
            jobs.retry(db, actor, job.id)
        case JobAction.RESUME:
            jobs.resume(db, actor, job.id)
        case JobAction.RESTART:
            jobs.restart(db, actor, job.id)
        case JobAction.CANCEL:
            jobs.cancel(db, actor, job.id)
        case JobAction.DELETE:
            jobs.delete(db, actor, job.id)
