"""The API tokens of everybody, for administrators: whose they are, how they are used, and revoking them."""

import streamlit as st

from models.domain.tokens import OwnedToken
from services import nodes
from services.people import tokens
from ui import context, session
from ui.parts import tables, times
from ui.parts.confirm import ask, confirm
from ui.parts.listings import choose, heading
from ui.parts.refusals import asked
from ui.parts.tables import Column, Look
from ui.parts.tokens import expiry, limits, revocation, usage

MEANT = "_token-to-revoke"
MOMENT = st.column_config.TextColumn(width=tables.MOMENT)
db = context.database()


def look(names: dict[int, str]) -> Look[OwnedToken]:
    """The list of tokens."""
    return Look[OwnedToken](
        [
            Column("Owner", lambda owned: owned.owner),
            Column("Token", lambda owned: f"{owned.token.beginning}…"),
            Column("Description", lambda owned: owned.token.description, st.column_config.TextColumn(width="medium")),
            Column("Expiry", lambda owned: expiry(owned.token).removeprefix("expires ")),
            Column("Last used", lambda owned: times.moment(owned.token.last_used_at), MOMENT),
            Column("Usage", lambda owned: usage(owned.token)),
            Column("Created", lambda owned: times.moment(owned.token.created_at), MOMENT),
            Column(
                "Limits",
                lambda owned: limits(owned.token, names) or "none",
                st.column_config.TextColumn(width="large"),
            ),
        ],
        alt="API tokens",
        identity=lambda owned: owned.token.id,
        noun="token",
        button="Revoke",
        empty="There is no token.",
    )


def draw_question(owned: OwnedToken) -> None:
    """The question before a token is revoked, if it was asked."""
    confirm(
        key(owned),
        revocation(owned.token, owned.owner),
        lambda: tokens.revoke(db, session.actor(), owned.token.id),
    )


def key(owned: OwnedToken) -> str:
    """The key of the question about a token."""
    return f"revoke-{owned.token.id}"


heading("API tokens")
st.caption("A token does what its owner may do. It ends when it is revoked, and with its owner's account.")
owner = choose("tokens-owner", "Owner", asked(lambda: tokens.owners(db, session.actor())))
total = asked(lambda: tokens.count_of_everybody(db, session.actor(), owner))
opened = tables.paged_table(
    total,
    lambda limit, skip: tokens.of_everybody(db, session.actor(), owner, limit, skip),
    look(nodes.names(db)),
    "tokens",
).opened
if opened:
    st.session_state[MEANT] = opened  # whatever page of the list is shown next
    ask(key(opened))
if isinstance(meant := st.session_state.get(MEANT), OwnedToken):
    draw_question(meant)
