"""Whether jobs may use a server now, and the buttons by which staff stops it and lets it go on."""

from typing import Any

import streamlit as st

from models.domain.nodes import Server
from services import holding
from ui import context, session
from ui.parts import times
from ui.parts.escape import escape_markdown
from ui.parts.forms import Form


def words(server: Server) -> str:
    """How the server stands, in short."""
    return holding.state_words(context.database(), server)


def show(form: Form[Any], server: Server) -> None:
    """Draw how a saved server stands, with the button that changes it."""
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        if server.stop is None:
            _show_running(form, server)
        else:
            _show_stopped(form, server)


def _show_running(form: Form[Any], server: Server) -> None:
    budget = holding.state(context.database(), server).budget
    st.markdown(f"Now **{escape_markdown(words(server))}**, association budget **{budget}**.", width="content")
    with st.popover("Stop now", icon=":material/stop_circle:", key=form.key("stop-menu")):
        st.markdown(
            "Within seconds, nothing but connection tests uses the server any more. Jobs that need it wait and lose "
            "nothing; searches and programs are refused. What was changed in this form is not saved."
        )
        reason = st.text_input(
            "Reason", key=form.key("stop-reason"), help="People whose jobs wait read it.", autocomplete="off"
        )
        if st.button("Stop the server now", key=form.key("stop"), type="primary"):
            form.save(
                lambda: holding.stop(context.database(), session.actor(), server.id, reason or ""),
                f"The server {server.name} was stopped.",
                st.container(),
            )


def _show_stopped(form: Form[Any], server: Server) -> None:
    stop = server.stop
    assert stop is not None
    why = f": {stop.reason}" if stop.reason else ""
    text = f"Stopped by {stop.by}, {times.moment(stop.at)}{why}"
    st.markdown(f":material/stop_circle: {escape_markdown(text)}", width="content")
    with st.popover("Let go on", icon=":material/play_circle:", key=form.key("go-on-menu")):
        st.markdown("Jobs that wait for the server begin within seconds. What was changed in this form is not saved.")
        if st.button("Let the server go on", key=form.key("go-on"), type="primary"):
            form.save(
                lambda: holding.let_go_on(context.database(), session.actor(), server.id),
                f"The server {server.name} goes on.",
                st.container(),
            )
