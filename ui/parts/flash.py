"""Messages that outlive the rerun which would swallow a toast."""

import streamlit as st

from ui.parts.escape import escape_markdown

_KEY = "_flashes"


def flash(message: str) -> None:
    """Show a message as a toast with the next run; it is plain text."""
    st.session_state.setdefault(_KEY, []).append(message)


def show_flashes() -> None:
    """Show what waits. Called once a run, by the main script."""
    for message in st.session_state.pop(_KEY, []):
        st.toast(escape_markdown(message))
