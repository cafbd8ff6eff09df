"""The job overview: how many jobs of each kind are in which state, each number a way to those jobs."""

from collections.abc import Mapping

import streamlit as st

from models.domain.jobs import JobKind, State
from ui.parts import status

KIND, STATE = "overview-kind", "overview-state"
"""Keys of the filters that the numbers set."""

_WORDS: Mapping[State, str] = {
    State.UNVERIFIED: "Unverified",
    State.PENDING: "Pending",
    State.IN_PROGRESS: "In Progress",
    State.CANCELING: "Canceling",
    State.SUCCESS: "Completed",
    State.WARNING: "Warnings",
    State.FAILURE: "Failed",
    State.CANCELED: "Cancelled",
}
"""States as the admin guide calls them."""
_BUTTON_PIXELS = 101


def draw(counts: Mapping[JobKind, Mapping[State, int]]) -> None:
    """Draw a line for each kind; a number that is clicked filters the list of jobs."""
    for kind in JobKind:
        of_kind = counts.get(kind, {})
        with st.container(border=True, key=f"overview-{kind.value}", gap="xsmall"):
            total = sum(of_kind.values())
            st.markdown(f"**{status.kind_word(kind)}** ({total:,} in all)")
            with st.container(horizontal=True, gap="xsmall"):
                for state, word in _WORDS.items():
                    _draw_number(kind, state, word, of_kind.get(state, 0))


def _draw_number(kind: JobKind, state: State, word: str, count: int) -> None:
    is_chosen = st.button(
        f"**{count:,}**  \n{word}",
        key=f"count-{kind.value}-{state.value}",
        disabled=not count,
        width=_BUTTON_PIXELS,
        help=f"Show these jobs. Their pages call this state {status.word(state)}.",
        on_click=_show_only,
        args=(kind, state),
    )
    if is_chosen:
        st.rerun()


def _show_only(kind: JobKind, state: State) -> None:
    st.session_state[KIND] = status.kind_word(kind)
    st.session_state[STATE] = [status.word(state)]
