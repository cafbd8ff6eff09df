"""Who sits at the page. Asked for at the top of every run, callback and fragment, since rights may have changed."""

import streamlit as st

from models.domain.people import Actor
from services.people import sessions
from services.people.sessions import SignedIn
from ui import context, sockets
from ui.identity import ADDRESS_HEADER, cookie_name

_OWNER = "_state_of_user"


def actor() -> Actor:
    """The person in whose name this run asks services for something, with the rights of this moment. Never keep it."""
    return signed_in().actor


def signed_in() -> SignedIn:
    """Account and session of the person at the page, looked up now; ends the run when the session has ended."""
    found = sessions.find(context.database(), context.settings(), _token(), _address(), is_active=False)
    if found is None:
        st.session_state.clear()
        st.error("Your session has ended. Reload the page to sign in again.")
        st.stop()
    _keep_apart(found.user.id)
    return found


def sign_out() -> None:
    """End this browser's session, in all its tabs; for ``st.button(..., on_click=sign_out)``."""
    sessions.sign_out(context.database(), _token())
    st.session_state.clear()
    sockets.recheck()


def _keep_apart(user_id: int) -> None:
    """Never show one person what another left in the state, should a socket ever be taken over."""
    if st.session_state.get(_OWNER, user_id) != user_id:
        st.session_state.clear()
    st.session_state[_OWNER] = user_id


def _token() -> str:
    """The session's token, as the socket's handshake had it: the browser's cookie does not reach us later."""
    return st.context.cookies.get(cookie_name(context.settings()), "")


def _address() -> str:
    """Where the browser is, as the gate has seen it."""
    return st.context.headers.get(ADDRESS_HEADER, "")
