"""What there is to know about one item."""

import streamlit as st

from models.domain.advice import advice
from models.domain.jobs import Item, State
from models.domain.people import Actor
from services import nodes
from ui import context
from ui.parts import amounts, times
from ui.parts.escape import escape_markdown
from ui.parts.facts import show_facts


def show_item(item: Item) -> None:
    """Draw what is to be moved, from where to where and under which name."""
    names = nodes.names(context.database())
    series = amounts.counted(len(item.series_uids), "series", "series") if item.series_uids else "all"
    facts = {
        "From": names.get(item.source_id, "?"),
        "To": names.get(item.destination_id, "?"),
        "Patient ID": item.patient_id,
        "Pseudonym": item.pseudonym,
        "Series": series,
    }
    show_facts(facts, "item-facts")
    st.caption("Study UID")
    st.text(item.study_uid)
    if item.series_uids:
        with st.expander(f"Series that were chosen ({len(item.series_uids)})", key="chosen-series"):
            st.text("\n".join(item.series_uids))


def when(item: Item) -> str:
    """How often it was tried, and when it began and ended last."""
    words = [amounts.counted(item.attempts, "attempt")]
    if item.started_at:
        words.append(f"last started {times.exact(item.started_at)}")
    if item.ended_at:
        words.append(f"ended {times.exact(item.ended_at)}")
    if item.state is State.PENDING and item.not_before_at:
        words.append(f"tried again not before {times.exact(item.not_before_at)}")
    return ", ".join(words)


def show_outcome(item: Item, actor: Actor) -> None:
    """Say what became of the item, and what can be done about it."""
    if item.message:
        st.text(item.message)
    if item.error_code:
        told = advice(item.error_code)
        lines = [f"**What you can do:** {escape_markdown(told.for_user)}"]
        if actor.is_staff:
            lines.append(f"**As an administrator:** {escape_markdown(told.for_admin)}")
        st.info(
            "\n\n".join([*lines, f"Kind of error: {escape_markdown(item.error_code)}"]), icon=":material/lightbulb:"
        )
