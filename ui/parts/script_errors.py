"""What a person sees of an error that a page did not expect."""

import streamlit as st

from models.domain.errors import AditError, Bug
from services import faults
from ui.parts.escape import escape_markdown


def show(error: Exception) -> bool:
    """Say what went wrong: a refusal in its own words, anything else by a reference. For ``st.App``."""
    if isinstance(error, AditError) and not isinstance(error, Bug):
        text = error.message
    else:
        text = faults.apology(faults.record(error))
    st.error(escape_markdown(text), icon=":material/error:")
    return True
