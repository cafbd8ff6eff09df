"""Pairs of a name and a value, side by side as far as there is room."""

from collections.abc import Mapping

import streamlit as st

_PIXELS = 160


def show_facts(facts: Mapping[str, str], key: str) -> None:
    """Draw names above values; what has no value is left out. Values are plain text."""
    with st.container(horizontal=True, gap="medium", key=key):
        for name, value in facts.items():
            if value:
                with st.container(width=_PIXELS, gap=None):
                    st.caption(name)
                    st.text(value)
