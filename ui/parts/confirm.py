"""Questions before something that cannot be taken back; where much is at stake, a word has to be typed.

A question stays open until it is answered, whatever else redraws the page. ``ask`` opens it, usually as ``on_click`` of
a button, and ``confirm`` draws it; call ``confirm`` in every run.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import streamlit as st

from ui.parts.escape import escape_markdown
from ui.parts.flash import flash
from ui.parts.refusals import tried

_STATE = "_question"
_NO, _YES, _WORD = "confirm-no", "confirm-yes", "confirm-word"


@dataclass(slots=True)
class _Asked:
    key: str
    is_drawn: bool = False
    is_busy: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. ``word`` has to be typed before ``yes`` can be clicked; ``done`` is said afterwards."""

    title: str
    text: str
    yes: str
    done: str = ""
    word: str = ""


def ask(key: str) -> None:
    """Open a question."""
    st.session_state[_STATE] = _Asked(key)


def confirm(key: str, question: Question, act: Callable[[], Any]) -> None:
    """Draw a question in a dialog if it was asked, and do what it is about once somebody says yes.

    An error of ours is told in the dialog, which stays open.
    """
    asked = _open_question(key)
    if asked:
        asked.is_drawn = True
        dialog = st.dialog(escape_markdown(question.title), on_dismiss=_forget)
        dialog(lambda: _draw(asked, question, act))()


def typed(key: str, word: str) -> bool:
    """Ask for a word in place, as in a drawer, which cannot open a dialog; whether it has been typed."""
    entered = st.text_input(f"Type **{escape_markdown(word)}** to confirm", key=key, live=True, autocomplete="off")
    return (entered or "").strip() == word


def _open_question(key: str) -> _Asked | None:
    asked = st.session_state.get(_STATE)
    if not isinstance(asked, _Asked) or asked.key != key:
        return None
    if asked.is_drawn and _NO not in st.session_state:
        _forget()
        return None
    return asked


def _draw(asked: _Asked, question: Question, act: Callable[[], Any]) -> None:
    st.markdown(escape_markdown(question.text))
    is_ready = typed(_WORD, question.word) if question.word else True
    with st.container(horizontal=True):
        is_yes = st.button(question.yes, type="primary", key=_YES, disabled=not is_ready)
        is_no = st.button("No, go back", key=_NO)
    if is_no:
        _forget()
        st.rerun()
    if is_yes and is_ready and not asked.is_busy and _is_done(asked, act):
        if question.done:
            flash(question.done)
        _forget()
        st.rerun()


def _is_done(asked: _Asked, act: Callable[[], Any]) -> bool:
    asked.is_busy = True
    try:
        return tried(act)
    finally:
        asked.is_busy = False


def _forget() -> None:
    st.session_state.pop(_STATE, None)
