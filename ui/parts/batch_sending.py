"""The last step of a batch: what it is for, and handing it over, once however often somebody clicks."""

from collections.abc import Callable, Mapping, Sequence

import streamlit as st

from models.domain.batch_requests import PROJECT_LIMITS
from models.domain.errors import AditError, Bug
from models.domain.jobs import Job
from services.people import accounts
from ui import context, session
from ui.parts import batch_draft, links
from ui.parts.batch_draft import BatchDraft
from ui.parts.flash import flash
from ui.parts.forms import field_problem


def project_fields(problems: Mapping[str, str], prefix: str, with_ethics: bool) -> Mapping[str, str]:
    """Draw the fields about the project, and return what they hold by their names in the request."""
    held = {
        "project_name": _line("Project name", "project_name", problems, prefix),
        "project_description": _text("Project description", "project_description", problems, prefix),
    }
    if with_ethics:
        label = "Ethics committee approval"
        hint = "The number of the application, or of the decision. It is kept with the job."
        held["ethics_application_id"] = _line(label, "ethics_application_id", problems, prefix, hint)
    return held


def send(draft: BatchDraft, submit: Callable[[], Job], remembered: Mapping[str, object]) -> None:
    """Submit, remember the choices for the next time, and leave for the job; where it is refused, say why."""
    if not draft.is_sent:
        draft.is_sent = True
        draft.problems = {}
        try:
            job = submit()
        except Bug:
            raise
        except AditError as error:
            draft.is_sent = False
            draft.refuse(error)
            st.rerun()
        accounts.remember(context.database(), session.actor(), **remembered)
        draft.job_id = job.id
    go_on(draft)


def go_on(draft: BatchDraft) -> None:
    """Leave for the job if there is one already; a second click ends here."""
    if draft.job_id:
        batch_draft.discard(draft.kind)
        flash(f"Job {draft.job_id} is accepted.")
        links.go_to_job(draft.job_id)


def preset(prefix: str, **values: object) -> None:
    """Fill fields that nobody has filled yet."""
    for name, value in values.items():
        key = f"{prefix}{name}"
        if value and not st.session_state.get(key):
            st.session_state[key] = value


def _line(label: str, name: str, problems: Mapping[str, str], prefix: str, hint: str = "") -> str:
    limit = PROJECT_LIMITS[name]
    entered = st.text_input(
        label,
        key=f"{prefix}{name}",
        max_chars=limit,
        help=hint or None,
        autocomplete="off",
        persist_state="session",
    )
    field_problem(problems, name)
    return entered or ""


def _text(label: str, name: str, problems: Mapping[str, str], prefix: str) -> str:
    limit = PROJECT_LIMITS[name]
    hint = "What the data is for. It is kept with the job; don't name patients here."
    entered = st.text_area(
        label, key=f"{prefix}{name}", max_chars=limit, height=110, help=hint, persist_state="session"
    )
    field_problem(problems, name)
    return entered or ""


def shown_fields(with_ethics: bool, *more: str) -> Sequence[str]:
    """The fields of a form whose problems are told beside them."""
    return [name for name in PROJECT_LIMITS if with_ethics or name != "ethics_application_id"] + [*more]
