"""What the lists of administrators have in common: a heading with the button that adds, a search, and removal."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import streamlit as st

from ui.parts import confirm, drawers
from ui.parts.escape import escape_markdown
from ui.parts.forms import Form

Choice = TypeVar("Choice")


def heading(title: str, add: str = "") -> None:
    """Draw the title of a list, and on the right the button that opens a drawer for something new."""
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.title(title, anchor=False, width="content")
        if add:
            icon = ":material/add:"
            st.button(add, type="primary", icon=icon, key="add", on_click=drawers.open_drawer, args=(drawers.NEW,))


def search(key: str, label: str = "Search", hint: str = "") -> str:
    """Draw a field that searches while one types, and return its text. It stays out of the address: that is logged."""
    entered = st.text_input(
        label,
        type="search",
        key=key,
        live="300ms",
        persist_state="session",
        placeholder=hint or None,
        autocomplete="off",
    )
    return (entered or "").strip()


def choose(key: str, label: str, choices: Mapping[Choice, str], every: str = "All") -> Choice | None:
    """Draw a filter, and return what is chosen; None for all. The address keeps it."""
    words = {word: choice for choice, word in choices.items()}
    entered = st.selectbox(label, [every, *words], key=key, bind="query-params")
    return words.get(entered or every)


def removal(form: Form[Any], label: str, word: str, consequence: str, act: Callable[[], Any], done: str) -> None:
    """Draw what removes the subject of a form after its name was typed; ``consequence`` says what is lost."""
    with st.popover(label, icon=":material/delete:", key=form.key("remove-menu")):
        st.markdown(escape_markdown(consequence))
        is_ready = confirm.typed(form.key("remove-word"), word)
        if st.button(label, key=form.key("remove"), disabled=not is_ready) and is_ready:
            form.save(act, done, st.container())
