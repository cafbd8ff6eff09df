"""States, kinds and verdicts in words and colours, the same on every page."""

from collections.abc import Collection, Mapping
from typing import Literal

import streamlit as st

from models.domain.jobs import JobKind, State
from models.domain.receipts import Completeness

Colour = Literal["red", "orange", "yellow", "blue", "green", "violet", "gray"]

STATES: Mapping[State, tuple[str, Colour]] = {
    State.UNVERIFIED: ("Unverified", "violet"),
    State.PENDING: ("Pending", "gray"),
    State.IN_PROGRESS: ("In progress", "blue"),
    State.CANCELING: ("Canceling", "orange"),
    State.CANCELED: ("Canceled", "gray"),
    State.SUCCESS: ("Success", "green"),
    State.WARNING: ("Warning", "orange"),
    State.FAILURE: ("Failure", "red"),
}
_ICONS: Mapping[State, str] = {
    State.UNVERIFIED: ":material/hourglass_empty:",
    State.PENDING: ":material/schedule:",
    State.IN_PROGRESS: ":material/sync:",
    State.CANCELING: ":material/do_not_disturb_on:",
    State.CANCELED: ":material/block:",
    State.SUCCESS: ":material/check_circle:",
    State.WARNING: ":material/warning:",
    State.FAILURE: ":material/error:",
}
"""Nobody has to tell colours apart to read a state."""
VERDICTS: Mapping[Completeness, tuple[str, Colour]] = {
    Completeness.COMPLETE: ("Complete: everything that was announced is confirmed at the destination.", "green"),
    Completeness.SHORT: ("Short: something that was announced is not known to be at the destination.", "red"),
    Completeness.SURPLUS: ("Surplus: everything arrived, and more than the source had announced.", "orange"),
    Completeness.HELD: ("Held: something waits for a person's review before it is delivered.", "orange"),
    Completeness.UNKNOWN: ("Unknown: nothing is known to be missing, but it cannot be proven.", "orange"),
}


def word(state: State) -> str:
    """The state as people read it."""
    return STATES[state][0]


def kind_word(kind: JobKind) -> str:
    """The kind of job as people read it."""
    return kind.value.replace("_", " ").capitalize()


def pill(state: State) -> None:
    """Draw the state as a coloured badge with an icon."""
    text, colour = STATES[state]
    st.badge(text, icon=_ICONS[state], color=colour)


def counts_line(counts: Mapping[State, int]) -> str:
    """How many are in which state, ``3 success, 1 failure``; nothing for states that none is in."""
    return ", ".join(f"{counts[state]:,} {word(state).lower()}" for state in State if counts.get(state))


def of_words(words: Collection[str]) -> tuple[State, ...]:
    """The states behind words that came from a page or its address; what is no state is dropped."""
    return tuple(state for state in State if word(state) in words)
