"""One's own API tokens: generating them, seeing how they are used, revoking them."""

import streamlit as st

from models.domain.tokens import Token
from services import nodes
from services.people import tokens
from ui import context, session
from ui.parts import new_token, tables, times
from ui.parts.confirm import ask, confirm
from ui.parts.escape import escape_markdown
from ui.parts.listings import heading
from ui.parts.refusals import asked
from ui.parts.tokens import expiry, has_expired, limits, revocation, usage

AT_ONCE = 10
db = context.database()


def draw(token: Token, names: dict[int, str]) -> None:
    """One token with its button."""
    key = f"revoke-{token.id}"
    with st.container(
        border=True, horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", key=f"own-{key}"
    ):
        st.markdown(words(token, names))
        st.button("Revoke", key=key, type="tertiary", icon=":material/delete:", on_click=ask, args=(key,))
    confirm(key, revocation(token), lambda: tokens.revoke(db, session.actor(), token.id))


def words(token: Token, names: dict[int, str]) -> str:
    """What there is to say of a token, as Markdown: how to recognize it, what it can do, what was done with it."""
    badge = " :gray-badge[expired]" if has_expired(token) else ""
    head = f"**{escape_markdown(token.beginning)}…**{badge} {escape_markdown(token.description)}"
    last = f"last used {times.moment(token.last_used_at)}, " if token.last_used_at else ""
    told = f"Created {times.moment(token.created_at)}, {expiry(token)}; {last}{usage(token)}."
    limited = limits(token, names)
    lines = [head, f":small[{escape_markdown(told)}]"]
    if limited:
        lines.append(f":small[{escape_markdown(f'Limited: it {limited}.')}]")
    return "  \n".join(lines)


heading("Manage API Token")
st.caption("With a token a script can do what you may do here, as long as your account is active.")
new_token.draw()
st.header("Your tokens", anchor=False)
found = asked(lambda: tokens.list(db, session.actor()))
place = st.container()
page = tables.pager(len(found), "tokens-page", AT_ONCE)
with place:
    names = nodes.names(db)
    for each in found[(page - 1) * AT_ONCE : page * AT_ONCE]:
        draw(each, names)
    if not found:
        st.caption("You have none yet.")
