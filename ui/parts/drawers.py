"""Drawers that slide in from the right and are open as long as the address says so: ``?id=7``, or ``?id=new``.

So a link leads into a drawer, a reload keeps it, and a run that something else on the page asked for does not close it.
"""

from collections.abc import Callable

import streamlit as st

from ui.parts.escape import escape_markdown

NEW = "new"
_PARAMETER = "id"
_DIGITS = 18
_WIDTH = 760


def is_open() -> bool:
    """Whether the address asks for a drawer; what is no id in it asks for none."""
    wanted = st.query_params.get(_PARAMETER, "")
    return wanted == NEW or (wanted.isascii() and wanted.isdecimal() and len(wanted) <= _DIGITS)


def subject_id() -> int:
    """The id of what the drawer is about; 0 for something new, and when none is open."""
    wanted = st.query_params.get(_PARAMETER, "")
    return int(wanted) if is_open() and wanted != NEW else 0


def open_drawer(subject: int | str) -> None:
    """Open the drawer about something; draw it with ``show_drawer`` in the same run or the next."""
    st.query_params[_PARAMETER] = str(subject)


def close_drawer() -> None:
    """Close the drawer, whether or not one is open."""
    st.query_params.pop(_PARAMETER, None)


def show_drawer(title: str, draw: Callable[[], None]) -> None:
    """Show a drawer with what ``draw`` draws. That runs on its own: it has to look up the actor itself."""
    st.dialog(escape_markdown(title), width=_WIDTH, position="right", on_dismiss=close_drawer)(draw)()


def section(title: str) -> None:
    """Draw a heading in a drawer."""
    st.header(title, anchor=False)
