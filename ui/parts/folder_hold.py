"""Whether items wait for a folder that can take nothing, and the button that has it tried again."""

from typing import Any

import streamlit as st

from models.domain.holding import FolderHold
from models.domain.nodes import Folder
from services import folder_holds
from ui import context, session
from ui.parts.escape import escape_markdown
from ui.parts.forms import Form


def words(hold: FolderHold | None) -> str:
    """What is in the way of a folder's items, in short."""
    return "" if hold is None else f"items wait: {hold.code}"


def show(form: Form[Any], folder: Folder) -> None:
    """Draw why items wait for a saved folder, with the button that has one of them try it at once."""
    db = context.database()
    hold = folder_holds.of_folder(db, folder.id)
    if hold is None:
        return
    told = f"{folder_holds.words(db, hold)} Seen on {hold.machine}."
    st.warning(escape_markdown(told), icon=":material/schedule:")
    if form.button("try", "Try again now", icon=":material/play_circle:"):
        form.save(
            lambda: folder_holds.try_now(db, session.actor(), folder.id),
            f"An item tries the folder {folder.name} now.",
            st.container(),
        )
