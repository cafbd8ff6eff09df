"""Drawers that slide in from the right and are open as long as the address says so: ``?id=7``, or ``?id=new``.

So a link leads into a drawer, a reload keeps it, and a run that something else on the page asked for does not close it.
"""

from collections.abc import Callable

import streamlit as st

from ui.parts.escape import escape_markdown

NEW = "new"
_PARAMETER = "id"


def opened() -> int | None:
    """The id of what is open, 0 for something new, or None; what is no id in the address counts as none."""
    wanted = st.query_params.get(_PARAMETER, "")
    if wanted == NEW:
        return 0
    return int(wanted) if wanted.isdecimal() and wanted.isascii() and 0 < len(wanted) < 19 and int(wanted) else None


def open_drawer(subject: int | str) -> None:
    """Open the drawer about something; draw it with ``show_drawer`` in the same run or the next."""
    st.query_params[_PARAMETER] = str(subject)


def close_drawer() -> None:
    """Close the drawer, whether or not one is open."""
    st.query_params.pop(_PARAMETER, None)


def show_drawer(title: str, draw: Callable[[], None]) -> None:
    """Show a drawer with what ``draw`` draws. That runs on its own: it has to look up the actor itself."""
    st.dialog(escape_markdown(title), width="large", position="right", on_dismiss=close_drawer)(draw)()
