"""What can be done to one item now, as buttons."""

from collections.abc import Set

import streamlit as st

from models.domain.jobs import Item, ItemAction
from services import jobs
from ui import context, session
from ui.parts import confirm, links
from ui.parts.confirm import Question
from ui.parts.flash import flash

_CANCEL, _RESET, _DELETE = "item-cancel", "item-reset", "item-delete"


def show_buttons(item: Item, allowed: Set[ItemAction]) -> None:
    """Draw a button for each action that is allowed; all ask first."""
    if ItemAction.CANCEL in allowed:
        st.button("Cancel", icon=":material/close:", key=_CANCEL, on_click=confirm.ask, args=(_CANCEL,))
        text = (
            "It is not begun, and the other items of its job go on. What is at the destination already stays there. "
            "It can be resumed with its job, or done again."
        )
        question = Question(f"Cancel item {item.position}?", text, "Cancel the item", "The item is canceled.")
        confirm.confirm(_CANCEL, question, lambda: jobs.cancel_item(context.database(), session.actor(), item.id))
    if ItemAction.RESET in allowed:
        st.button("Do it again", icon=":material/restart_alt:", key=_RESET, on_click=confirm.ask, args=(_RESET,))
        text = (
            "It is done again from the start. Its receipt and its reviews are deleted. What is at the destination "
            "already stays there."
        )
        question = Question(f"Do item {item.position} again?", text, "Do it again", "The item waits for an attempt.")
        confirm.confirm(_RESET, question, lambda: jobs.reset_item(context.database(), session.actor(), item.id))
    if ItemAction.DELETE in allowed:
        st.button("Delete", icon=":material/delete:", key=_DELETE, on_click=confirm.ask, args=(_DELETE,))
        question = Question(
            f"Delete item {item.position}?", "It is removed from its job, as if nobody had asked.", "Delete"
        )
        confirm.confirm(_DELETE, question, lambda: _delete(item))


def _delete(item: Item) -> None:
    jobs.delete_item(context.database(), session.actor(), item.id)
    flash("The item is deleted.")
    links.go_to_job(item.job_id)
