"""What a service refused, said on the page instead of what was asked for."""

from collections.abc import Callable
from typing import TypeVar

import streamlit as st

from models.domain.errors import AditError, Bug
from ui.parts.escape import escape_markdown
from ui.parts.flash import flash

Answer = TypeVar("Answer")


def said(error: AditError) -> str:
    """An error's message as Markdown that shows it as it is, with a capital letter at its beginning."""
    return escape_markdown(error.message[:1].upper() + error.message[1:])


def asked(question: Callable[[], Answer]) -> Answer:
    """Return the answer of a service; where it refuses, say why and end the run."""
    try:
        return question()
    except Bug:
        raise
    except AditError as error:
        st.error(said(error), icon=":material/error:")
        st.stop()


def tried(act: Callable[[], object]) -> bool:
    """Do something, and say why where a service refuses it; returns whether it was done."""
    try:
        act()
    except Bug:
        raise
    except AditError as error:
        st.error(said(error), icon=":material/error:")
        return False
    return True


def flash_outcome(act: Callable[[], object], done: str) -> None:
    """Do something in a callback, and say with the next run that it is done, or why a service refused it."""
    try:
        act()
    except Bug:
        raise
    except AditError as error:
        flash(error.message)
    else:
        flash(done)
