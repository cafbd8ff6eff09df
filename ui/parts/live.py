"""Parts of a page that are drawn again by themselves, as long as something in them may still change."""

from collections.abc import Callable

import streamlit as st

from ui import session

_EVERY_S = 2.0


def live(is_active: Callable[[], bool], draw: Callable[[], object]) -> None:
    """Draw every two seconds while it is active, and the whole page once when that is over, since buttons change."""
    begins_active = is_active()

    @st.fragment(run_every=_EVERY_S if begins_active else None)
    def part() -> None:
        session.actor()
        draw()
        if begins_active and not is_active():
            st.rerun()

    part()
