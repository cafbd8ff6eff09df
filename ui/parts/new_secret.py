"""The one view in which the secret of a webhook is shown, right after it was made.

It stays in the state of the tab as long as that view is open: until its reader is done, or goes anywhere else.
"""

import streamlit as st

from services.webhooks.administration import NewSecret

PAGE = "webhooks"
"""The only page that may show a secret, by its path."""

_FRESH = "_new-webhook-secret"


def keep(made: NewSecret) -> None:
    """Let the next run show a secret."""
    st.session_state[_FRESH] = made


def show() -> None:
    """Draw the secret that was just made, if one was."""
    fresh = st.session_state.get(_FRESH)
    if not isinstance(fresh, NewSecret):
        return
    with st.container(border=True, key="new-secret"):
        st.header("The secret of your webhook", anchor=False)
        st.warning(
            "This secret will only be visible once, so copy it now and store it in a safe place. "
            "If you lose it, make a new one.",
            icon=":material/visibility_off:",
        )
        st.code(fresh.secret, language=None, wrap_lines=True)
        st.caption("By it the other program checks that requests come from here. The documentation shows how.")
        st.button("I have stored it", key="secret-done", type="primary", on_click=forget)


def forget_unless_at(path: str) -> None:
    """Forget a secret as soon as another page is open; called once a run, by the main script."""
    if path != PAGE:
        forget()


def forget() -> None:
    """Forget the secret: from now on nobody can see it."""
    st.session_state.pop(_FRESH, None)
