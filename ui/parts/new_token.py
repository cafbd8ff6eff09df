"""The form that makes an API token, and the one view in which its secret is shown.

The secret stays in the state of the tab as long as that view is open: until its reader is done, or goes anywhere else.
"""

from datetime import date, datetime, time, timedelta
from typing import Any

import streamlit as st

from models.domain.people import Actor, Permission
from models.domain.tokens import Operation, TokenWish
from services import nodes
from services.people import tokens
from services.people.tokens import NewToken
from ui import context, session
from ui.parts.escape import escape_markdown
from ui.parts.forms import Form
from ui.parts.tokens import OPERATIONS, expiry, limits

PAGE = "tokens"
"""The only page that may show a secret, by its path."""

_FRESH = "_new-token"
_SPANS = {"1 day": 1, "7 days": 7, "30 days": 30, "90 days": 90}
_DATE, _NEVER = "Until a date", "Never"
_USUAL = "30 days"


def draw() -> None:
    """Draw the secret that was just made, or else the form that makes one."""
    fresh = st.session_state.get(_FRESH)
    if isinstance(fresh, NewToken):
        _show(fresh)
    elif Permission.ADD_TOKEN in session.actor().permissions:
        _draw_form()
    else:
        st.info("You may not generate API tokens. Ask an administrator for the right.")


def forget_unless_at(path: str) -> None:
    """Forget a secret as soon as another page is open; called once a run, by the main script."""
    if path != PAGE:
        forget()


def forget() -> None:
    """Forget the secret: from now on nobody can see it."""
    st.session_state.pop(_FRESH, None)


def _show(fresh: NewToken) -> None:
    names = nodes.names(context.database())
    with st.container(border=True, key="new-token"):
        st.header("Your new token", anchor=False)
        st.warning(
            "This token will only be visible once, so copy it now and store it in a safe place. "
            "If you lose it, revoke it and generate a new one.",
            icon=":material/visibility_off:",
        )
        st.code(fresh.secret, language=None, wrap_lines=True)
        told = "; it ".join(filter(None, (expiry(fresh.token), limits(fresh.token, names))))
        how = "To copy it, point at it and use the button at its right. "
        header = 'Scripts send it in the header "Authorization: Token …".'
        st.caption(escape_markdown(f"{how}{header} It {told}."))
        st.button("I have stored it", key="token-done", type="primary", on_click=forget)


def _draw_form() -> None:
    actor = session.actor()
    form = Form("token", "new", lambda: None)
    left, right = st.columns(2)
    with left:
        hint = "What it is for, so that you recognize it later. Never name a patient."
        longest = tokens.DESCRIPTION_LENGTH
        description = form.text(
            "description", "Description (optional)", "", max_chars=longest, help=hint, autocomplete="off"
        )
    with right:
        expires_at = _expiry_field(form, actor)
    left, right = st.columns(2)
    with left:
        operations = _operations_field(form, actor)
    with right:
        limit = _nodes_field(form, actor)
    with form.buttons():
        is_asked = form.save_button("Generate Token")
    if is_asked:
        wish = TokenWish(description, expires_at, operations, limit)
        form.save(lambda: _generate(wish), "The token was generated.")


def _generate(wish: TokenWish) -> None:
    st.session_state[_FRESH] = tokens.add(context.database(), session.actor(), wish)


def _expiry_field(form: Form[Any], actor: Actor) -> datetime | None:
    """When the token ends; None for never. A day that is chosen belongs to its life as a whole."""
    offered = [*_SPANS, _DATE]
    if Permission.ADD_LASTING_TOKEN in actor.permissions:
        offered.append(_NEVER)
    chosen = form.field(
        st.selectbox, "expires_at", "Expiry Time", _USUAL, options=offered, on_change="rerun", filter_mode=None
    )
    if chosen == _NEVER:
        return None
    now = context.database().clock()
    if chosen != _DATE:
        return now + timedelta(days=_SPANS[chosen])
    zone = context.time_zone()
    usual = now.astimezone(zone).date() + timedelta(days=30)
    last = form.field(st.date_input, "until", "Until", usual, format="YYYY-MM-DD")
    return datetime.combine(last if isinstance(last, date) else usual, time(23, 59, 59), zone)


def _operations_field(form: Form[Any], actor: Actor) -> frozenset[Operation] | None:
    offered = [each for each in Operation if each is not Operation.ADMINISTER or actor.is_staff]
    chosen = form.field(
        st.multiselect,
        "operations",
        "Limit to operations (optional)",
        [],
        options=offered,
        format_func=OPERATIONS.__getitem__,
        placeholder="Everything you may do",
        help="Choose something, and the token can do nothing else.",
    )
    return frozenset(map(Operation, chosen)) or None


def _nodes_field(form: Form[Any], actor: Actor) -> frozenset[int] | None:
    mine = actor.access.sources | actor.access.destinations
    known = sorted(nodes.names(context.database()).items(), key=lambda pair: pair[1].casefold())
    names = {node_id: name for node_id, name in known if node_id in mine}

    def told(node_id: int) -> str:
        return names.get(node_id, "?")

    chosen = form.field(
        st.multiselect,
        "nodes",
        "Limit to servers and folders (optional)",
        [],
        options=list(names),
        format_func=told,
        filter_mode="contains",
        placeholder="All that you may use" if names else "You may use none yet",
        disabled=not names,
        help="Jobs that name any other do not exist for the token, and it never administers.",
    )
    return frozenset(chosen) or None
