"""Project settings: maintenance mode, the announcement, and applications that are locked or suspended."""

import streamlit as st

from models.domain.jobs import JobKind, State
from models.domain.project import App, AppState
from services import jobs, project
from ui import context, session, sockets
from ui.parts.amounts import counted
from ui.parts.flash import flash
from ui.parts.forms import Form
from ui.parts.listings import heading
from ui.parts.refusals import asked, tried

db = context.database()
EXAMPLE = "<strong>Scheduled Maintenance:</strong> ADIT will be offline on <strong>Friday from 20:00</strong>."
NAMES = {
    App.SELECTIVE_TRANSFER: "Selective transfer",
    App.BATCH_QUERY: "Batch query",
    App.BATCH_TRANSFER: "Batch transfer",
    App.DICOM_EXPLORER: "DICOM explorer",
    App.DICOM_WEB: "DICOMweb",
}
"""What can be locked; the applications that this version does not have are left out."""
JOB_APPS = {App.of(kind) for kind in JobKind}


def draw_project() -> None:
    """The form with what is set for everybody."""
    form = Form("project", "project", lambda: project.get(db))
    known = form.subject
    hint = "Only administrators get in, and nothing new begins. What is at work goes on to its end."
    maintenance = form.tick("maintenance", "Maintenance mode", known.maintenance, help=hint)
    draw_activity()
    left, right = st.columns(2)
    with left:
        hint = "HTML formatting is supported. Scripts, styles, forms and images are taken out."
        announcement = form.long_text(
            "announcement",
            "Announcement",
            known.announcement,
            height=220,
            max_chars=project.ANNOUNCEMENT_LENGTH,
            help=hint,
            placeholder=EXAMPLE,
            on_change="rerun",
        )
    with right:
        st.markdown(":small[Preview]")
        with st.container(border=True, height=220, key="announcement-preview"):
            draw_preview(project.cleaned(announcement))
    with form.buttons():
        is_saved = form.save_button()
    if is_saved:
        form.save(lambda: save(announcement, maintenance, known.version), "The settings were saved.")


def save(announcement: str, maintenance: bool, version: int) -> None:
    """Save what was entered; maintenance shuts everybody else out at once."""
    project.update(db, session.actor(), announcement, maintenance, version)
    sockets.recheck()


def draw_preview(html: str) -> None:
    """The announcement as everybody who is signed in will see it on the home page."""
    if html:
        st.html(html)
    else:
        st.caption("No announcement. What you enter is shown here when you leave the field, and to all when you save.")


def draw_activity() -> None:
    """Say whether anything runs, since an update has to wait for that."""
    active = {State.PENDING, State.IN_PROGRESS, State.CANCELING}
    running = asked(lambda: jobs.count(db, session.actor(), everybody=True, states=active))
    if running:
        told = f"{counted(running, 'job')} {'is' if running == 1 else 'are'} waiting or running."
        st.markdown(f":small[:orange[:material/sync: {told}]]")
    else:
        st.markdown(":small[:green[:material/check_circle: No job is waiting or running.]]")


def draw_apps() -> None:
    """A line with two switches for each application."""
    is_fixed = not session.actor().is_superuser
    st.header("Applications", anchor=False)
    st.caption(
        "A locked application takes nothing new, except from superusers. Searching ends when every application that "
        "searches is locked. The jobs of a suspended one wait until it goes on; items at work go on to their end."
        + (" Only superusers may change this." if is_fixed else "")
    )
    with st.container(border=True, gap="xsmall"):
        for state in project.apps(db).values():
            if state.app not in NAMES:
                continue
            name, locked, suspended = st.columns([3, 2, 2], vertical_alignment="center", wrap=False)
            name.markdown(NAMES[state.app])
            with locked:
                draw_switch(state, "Locked", state.locked, is_fixed)
            with suspended:
                if state.app in JOB_APPS:
                    draw_switch(state, "Suspended", state.suspended, is_fixed)


def draw_switch(state: AppState, word: str, value: bool, is_fixed: bool) -> None:
    """A switch that takes effect at once; it is another one as soon as somebody has changed the state."""
    key = f"app-{state.app.value}-{word.lower()}"
    st.toggle(
        word,
        value,
        key=f"{key}-{state.locked}-{state.suspended}",
        on_change=switch,
        args=(state, word),
        disabled=is_fixed,
    )


def switch(state: AppState, word: str) -> None:
    """Turn around what a switch stands for."""
    if project.apps(db)[state.app] != state:
        flash(f"{NAMES[state.app]} was changed by somebody else; nothing was done.")
        return
    locked = state.locked is not (word == "Locked")
    suspended = state.suspended is not (word == "Suspended")
    if tried(lambda: project.set_app(db, session.actor(), AppState(state.app, locked, suspended))):
        flash(f"{NAMES[state.app]} was changed.")


heading("Project settings")
draw_project()
draw_apps()
