"""What there is to know about one item."""

from collections import Counter
from collections.abc import Sequence

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
        "To": "" if item.destination_id is None else names.get(item.destination_id, "?"),
        "Patient ID": item.patient_id,
        "Pseudonym": item.pseudonym,
        "Series": series if item.study_uid else "",
        "Lines of the file": ", ".join(map(str, item.lines)),
        "Row ID": item.row_id,
        "Images in the check": "" if item.planned_count is None else f"{item.planned_count:,}",
    }
    show_facts(facts, "item-facts")
    if item.study_uid:
        with st.container(gap=None):
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
    show_advice(item.error_code, actor)


def show_failures(failed: Sequence[Item], actor: Actor) -> None:
    """Say what went wrong with the failed items of a job, the most frequent first, and what can be done about it."""
    by_code = Counter(item.error_code for item in failed)
    for code, count in by_code.most_common():
        messages = Counter(item.message for item in failed if item.error_code == code)
        text = f"{amounts.counted(count, 'item')} failed: {messages.most_common(1)[0][0]}"
        st.error(escape_markdown(text), icon=":material/error:")
        show_advice(code, actor)


def show_advice(error_code: str, actor: Actor) -> None:
    """Say what can be done about an error, to administrators what they can do."""
    if error_code:
        told = advice(error_code)
        lines = [f"**What you can do:** {escape_markdown(told.for_user)}"]
        if actor.is_staff:
            lines.append(f"**As an administrator:** {escape_markdown(told.for_admin)}")
        st.info("\n\n".join([*lines, f"Kind of error: {escape_markdown(error_code)}"]), icon=":material/lightbulb:")
