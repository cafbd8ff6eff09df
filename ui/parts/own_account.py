"""What people see and change of their own account."""

from collections import defaultdict

import streamlit as st

from models.domain.mails import JobMails
from models.domain.people import Actor, Permission, Profile, User, WebSession
from services.people import accounts, sessions
from services.post import notifications
from ui import context, session, sockets
from ui.parts import amounts, tables, times
from ui.parts.confirm import Question, ask, confirm
from ui.parts.escape import escape_markdown
from ui.parts.forms import Form
from ui.parts.refusals import flash_outcome

_OTHERS = "end-others"
_CHOICE = "job-mails"
_MAILS = {
    JobMails.AS_ASKED: "About jobs for which I ask when I submit them",
    JobMails.ALWAYS: "About every job",
    JobMails.TROUBLE: "Only about jobs with trouble: failed items, or warnings",
    JobMails.NEVER: "None",
}
_AT_ONCE = 5
_BROWSERS = ("Edg", "OPR", "Firefox", "Chrome", "Safari")
_BROWSER_NAMES = {"Edg": "Edge", "OPR": "Opera"}
_SYSTEMS = ("Android", "iPhone", "iPad", "Windows", "Mac OS X", "Linux")


def edit_profile(user: User) -> None:
    """The fields that people may change themselves; name of the account and dates for reading."""
    form = Form("profile", user.id, lambda: accounts.me(context.database(), session.actor()))
    known = form.subject.profile
    st.text_input("Username", user.username, disabled=True, key="own-username")
    first, last = st.columns(2)
    with first:
        first_name = form.text("first_name", "First name", known.first_name, max_chars=100)
    with last:
        last_name = form.text("last_name", "Last name", known.last_name, max_chars=100)
    st.text_input(
        "Mail address", known.email, disabled=True, key="own-email", help="An administrator can change it for you."
    )
    phone, department = st.columns(2)
    with phone:
        number = form.text("phone_number", "Phone number", known.phone_number, max_chars=64)
    with department:
        place = form.text("department", "Department", known.department, max_chars=128)
    profile, version = Profile(known.email, first_name, last_name, number, place), form.subject.version
    if form.save_button():
        form.save(lambda: _save(profile, version), "Your profile is saved.")
    last_login = times.moment(user.last_login_at)
    st.caption(f"Member since {times.moment(user.joined_at)}, signed in last {last_login}.")


def show_rights(actor: Actor) -> None:
    """What the person may do, in the words of the admin guide, by application."""
    if actor.is_superuser:
        st.write("You are a superuser: you have every right. Servers and folders still need a group.")
        return
    if actor.is_staff:
        st.write("You are an administrator.")
    by_subject: dict[str, list[str]] = defaultdict(list)
    for permission in Permission:
        if permission in actor.permissions:
            app, _, can = permission.label.split(" | ")
            by_subject[app.replace("_", " ").capitalize()].append(can)
    for app, rights in by_subject.items():
        st.markdown(f"**{escape_markdown(app)}**: {escape_markdown(', '.join(rights))}")
    if not by_subject:
        st.write("No group gives you any right yet.")


def choose_mails(actor: Actor) -> None:
    """About which of their jobs the person gets mails; the choice counts as soon as it is made."""
    known = notifications.chosen(context.database(), actor)
    st.radio(
        "Send a mail when a job has ended",
        list(_MAILS),
        index=list(_MAILS).index(known),
        format_func=_MAILS.__getitem__,
        key=_CHOICE,
        label_visibility="collapsed",
        on_change=_choose_mails,
    )


def show_sessions(own_id: int) -> None:
    """The browsers in which the person is signed in, each with a button to end it, and one for all others."""
    found = sorted(sessions.list(context.database(), session.actor()), key=lambda each: each.id != own_id)
    place = st.container()
    page = tables.pager(len(found), "sessions-page", _AT_ONCE)
    with place:
        for each in found[(page - 1) * _AT_ONCE : page * _AT_ONCE]:
            _session(each, is_this=each.id == own_id)
    if len(found) > 1:
        st.button("Sign out everywhere else", icon=":material/logout:", key=_OTHERS, on_click=ask, args=(_OTHERS,))
        words = amounts.counted(len(found) - 1, "other session")
        question = Question(
            "Sign out everywhere else?",
            f"This ends {words} of yours. This browser stays signed in.",
            "Sign out",
            "You are signed out everywhere else.",
        )
        confirm(_OTHERS, question, lambda: _end_others(own_id))


def browser(agent: str) -> str:
    """What a browser calls itself, in two words: which one, on which system."""
    name = next((browser for browser in _BROWSERS if browser in agent), "")
    system = next((system for system in _SYSTEMS if system in agent), "")
    words = [_BROWSER_NAMES.get(name, name) or "Unknown browser", system.replace("Mac OS X", "macOS")]
    return " on ".join(filter(None, words))


def _session(each: WebSession, is_this: bool) -> None:
    with st.container(
        border=True,
        horizontal=True,
        horizontal_alignment="distribute",
        vertical_alignment="center",
        key=f"seen-{each.id}",
    ):
        here = " :green-badge[this browser]" if is_this else ""
        since = f"signed in {times.moment(each.created_at)}, last seen {times.moment(each.seen_at)}"
        st.markdown(f"**{escape_markdown(browser(each.agent))}**{here} {escape_markdown(f'{each.address}, {since}')}")
        if not is_this:
            st.button("End", key=f"end-{each.id}", type="tertiary", on_click=_end, args=(each.id,))


def _choose_mails() -> None:
    choice, actor = JobMails(st.session_state[_CHOICE]), session.actor()
    flash_outcome(lambda: notifications.choose(context.database(), actor, choice), "Your choice is saved.")


def _save(profile: Profile, version: int) -> None:
    accounts.change_profile(context.database(), session.actor(), profile, version)


def _end(session_id: int) -> None:
    actor = session.actor()
    flash_outcome(lambda: sessions.end(context.database(), actor, session_id), "The session is ended.")
    sockets.recheck(actor.user_id)


def _end_others(own_id: int) -> None:
    actor = session.actor()
    sessions.end_others(context.database(), actor, own_id)
    sockets.recheck(actor.user_id)
