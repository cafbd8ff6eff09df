"""People and how far their accounts have come, in words and colours, the same on every page."""

from collections.abc import Mapping

import streamlit as st

from models.domain.people import Standing, User
from ui.parts.status import Colour
from ui.parts.tables import Column

STANDINGS: Mapping[Standing, tuple[str, Colour]] = {
    Standing.AWAITS_APPROVAL: ("Awaits approval", "orange"),
    Standing.ACTIVE: ("Active", "green"),
    Standing.DEACTIVATED: ("Deactivated", "gray"),
    Standing.UNCONFIRMED: ("Not confirmed", "violet"),
}
"""In the order in which an administrator looks for them."""

_FLAGS = {"Superuser": "red", "Staff": "blue"}
_FLAG_PIXELS = 105
"""Tables make room for the first rows, and few people are staff."""


def label(user: User) -> str:
    """A person as lists show them: ``mmuster (Maria Muster)``, with what keeps them out, if anything does."""
    told = f"{user.username} ({user.full_name})" if user.full_name else user.username
    return told if user.standing is Standing.ACTIVE else f"{told}, {STANDINGS[user.standing][0].lower()}"


def address(user: User) -> str:
    """A person as those who write to them look for them: ``mmuster <maria@example.org>``."""
    return f"{user.username} <{user.profile.email}>"


def standing_pill(user: User) -> None:
    """Draw how far the account has come as a coloured badge."""
    word, colour = STANDINGS[user.standing]
    st.badge(word, color=colour)


def standing_column() -> Column[User]:
    """A column with the standing of each account as a coloured word."""
    colours = dict(STANDINGS.values())
    config = st.column_config.MultiselectColumn("Standing", options=list(colours), color=list(colours.values()))
    return Column("Standing", lambda user: [STANDINGS[user.standing][0]], config)


def rights_column() -> Column[User]:
    """A column that says who is staff and who is a superuser."""
    config = st.column_config.MultiselectColumn(
        "Status", options=list(_FLAGS), color=list(_FLAGS.values()), width=_FLAG_PIXELS
    )
    return Column("Status", flags, config)


def flags(user: User) -> list[str]:
    """The power that an account has beyond its groups, in words; superusers are staff anyway."""
    if user.is_superuser:
        return ["Superuser"]
    return ["Staff"] if user.is_staff else []
