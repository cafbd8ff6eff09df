"""Trials: who may use each of them, and so learn which pseudonyms its patients have; for staff."""

import streamlit as st

from models.domain.people import Standing
from models.domain.trials import Trial, TrialUser
from services import trials
from services.people import accounts
from ui import context, session
from ui.parts import drawers, people, tables, times
from ui.parts.amounts import counted
from ui.parts.flash import flash
from ui.parts.forms import Form
from ui.parts.listings import heading, search
from ui.parts.refusals import asked, tried
from ui.parts.tables import Column, Look

db = context.database()
_EVERYBODY = 100_000
_SMALL, _LARGE = (st.column_config.TextColumn(width=width) for width in ("small", "large"))
_MOMENT = st.column_config.TextColumn(width=tables.MOMENT)


def names(trial: Trial) -> str:
    """Who uses a trial, in one line."""
    return "(forgotten)" if trial.is_forgotten else ", ".join(user.username for user in trial.users) or "(nobody)"


_TRIALS = Look[Trial](
    [
        Column("Protocol ID", lambda trial: trial.protocol_id, st.column_config.TextColumn(width="medium")),
        Column("Jobs", lambda trial: trial.job_count, st.column_config.NumberColumn(width="small")),
        Column("Users", names, _LARGE),
        Column("Begun", lambda trial: times.moment(trial.made_at), _MOMENT),
    ],
    alt="Trials",
    identity=lambda trial: trial.id,
    noun="trial",
    button="Open",
    empty="There is no trial that matches. A trial begins with the first transfer that names it.",
)
_USERS = Look[TrialUser](
    [
        Column("Username", lambda user: user.username),
        Column("Since", lambda user: times.moment(user.since_at), _MOMENT),
        Column("Let in by", lambda user: user.by, _SMALL),
    ],
    alt="Users of the trial",
    identity=lambda user: user.username,
    noun="user",
    button="Take out",
    empty="Nobody uses this trial; only staff may.",
    size=10,
)


def edit() -> None:
    """The drawer with the users of one trial."""
    trial_id = drawers.subject_id()
    trial = asked(lambda: trials.get(db, session.actor(), trial_id))
    st.caption(f"{counted(trial.job_count, 'job')}. Begun {times.moment(trial.made_at)}.")
    if trial.is_forgotten:
        st.info("This trial was forgotten: no job can name it any more.")
        return
    drawers.section("Users")
    st.caption(
        "Who shares a group with one of these users may use the trial, too, and is entered here when they do; also "
        "somebody who was taken out. Staff may use every trial."
    )
    draw_users(trial)
    drawers.section("Let somebody in")
    draw_entry(trial)


def draw_users(trial: Trial) -> None:
    """Who uses the trial, each with the button that takes them out."""
    meant = tables.paged_table(
        len(trial.users), lambda limit, skip: trial.users[skip : skip + limit], _USERS, "trial-users"
    ).opened
    if meant and tried(lambda: trials.remove(db, session.actor(), trial.id, meant.username)):
        flash(f"{meant.username} was taken out of the trial {trial.protocol_id}.")
        st.rerun()


def draw_entry(trial: Trial) -> None:
    """The field and the button that let one more person in."""
    form: Form[Trial] = Form("trial", (trial.id, trial.users), lambda: trial)
    known = {user.username for user in trial.users}
    active = accounts.list(db, session.actor(), standing=Standing.ACTIVE, limit=_EVERYBODY)
    offered = {user.username: people.label(user) for user in active if user.username not in known}
    username = form.field(
        st.selectbox,
        "username",
        "User",
        None,
        options=list(offered),
        format_func=offered.__getitem__,
        index=None,
        placeholder="Type to find a user",
    )
    with form.buttons():
        is_saved = form.save_button("Let in")
    if is_saved:
        actor = session.actor()
        done = f"{username} may use the trial {trial.protocol_id}."
        form.save(lambda: trials.allow(db, actor, trial.id, username or ""), done)


heading("Trials")
st.caption(
    "Within a trial a patient has the same pseudonym in every job. So a trial belongs to those who use it: whoever "
    "named it first, those who share a group with a user, and those whom you let in here."
)
wanted = search("trials-q", hint="Protocol ID or user").casefold()
every = asked(lambda: trials.list(db, session.actor()))
found = [
    trial
    for trial in every
    if wanted in trial.protocol_id.casefold() or any(wanted in user.username.casefold() for user in trial.users)
]
if opened := tables.paged_table(len(found), lambda limit, skip: found[skip : skip + limit], _TRIALS, "trials").opened:
    drawers.open_drawer(opened.id)
if drawers.subject_id():
    title = next((trial.protocol_id for trial in every if trial.id == drawers.subject_id()), "")
    drawers.show_drawer(f"Trial {title}".strip(), edit)
