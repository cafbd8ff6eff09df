"""Fields that choose among people, rights and nodes; each belongs to a form."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import streamlit as st

from models.domain.people import GUARDED, Permission, User
from ui.parts.escape import escape_markdown
from ui.parts.forms import Form

Choice = TypeVar("Choice")

_FEW = 12
"""So many rows need no filter, and no box of their own to scroll in."""
_BOX_PIXELS = 460


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table with ticks: a node that a group may use, or a group that may use a node."""

    id: int
    name: str
    source: bool = False
    destination: bool = False
    can_be_source: bool = True


@dataclass(frozen=True, slots=True)
class Ticks:
    """What is ticked in one line."""

    source: bool = False
    destination: bool = False


def user_label(user: User) -> str:
    """A person as lists show them: ``mmuster - Maria Muster <maria@example.org>``."""
    return f"{user.username} - {user.full_name} <{user.profile.email}>" if user.full_name else user.username


def pick_users(
    form: Form[Any], name: str, label: str, users: Iterable[User], chosen: Iterable[int], **options: Any
) -> frozenset[int]:
    """Choose any number of people, by what stands in their names and addresses."""
    return frozenset(_pick(form, name, label, {user.id: user_label(user) for user in users}, chosen, **options))


def pick_groups(
    form: Form[Any], name: str, label: str, names: Mapping[int, str], chosen: Iterable[int], **options: Any
) -> frozenset[int]:
    """Choose any number of groups."""
    return frozenset(_pick(form, name, label, names, chosen, **options))


def pick_permissions(
    form: Form[Any], name: str, chosen: frozenset[Permission], with_guarded: bool, **options: Any
) -> frozenset[Permission]:
    """Choose permissions, in the words of the admin guide. Guarded ones are offered to superusers only."""
    offered = {right: right.label for right in Permission if with_guarded or right not in GUARDED or right in chosen}
    hint = "Available permissions: type to filter them"
    return frozenset(_pick(form, name, "Chosen permissions", offered, chosen, placeholder=hint, **options))


def _pick(
    form: Form[Any], name: str, label: str, offered: Mapping[Choice, str], chosen: Iterable[Choice], **options: Any
) -> Iterable[Choice]:
    def told(choice: Choice) -> str:
        return offered.get(choice, "?")

    chosen = set(chosen)
    loaded = [choice for choice in offered if choice in chosen]
    fixed: dict[str, Any] = {"options": list(offered), "format_func": told, "filter_mode": "contains"}
    return form.field(st.multiselect, name, label, loaded, **fixed, **options)


def pick_sides(form: Form[Any], name: str, rows: Sequence[Row], what: str, disabled: bool = False) -> dict[int, Ticks]:
    """Tick in a table what may be used as source and as destination; returns what is ticked in every line.

    ``what`` heads the column of names. Lines that a filter hides keep their ticks.
    """
    ticks = form.remembered(name, {row.id: Ticks(row.source, row.destination) for row in rows})
    for row in rows:
        ticks[row.id] = _entered(form, name, row, ticks.get(row.id, Ticks(row.source, row.destination)))
    shown = _filtered(form, name, rows)
    with st.container(border=True, height=_BOX_PIXELS if len(shown) > _FEW else "content", gap="xsmall"):
        _line(f"**{what}**", "**Source**", "**Destination**")
        for row in shown:
            _draw_row(form, name, row, ticks[row.id], disabled)
        if not shown:
            st.caption("No name has this in it.")
    form.spot(name, what)
    return {row.id: ticks[row.id] for row in rows}


def _filtered(form: Form[Any], name: str, rows: Sequence[Row]) -> Sequence[Row]:
    if len(rows) <= _FEW:
        return rows
    wanted = st.text_input("Filter by name", key=form.key(f"{name}-filter"), type="search", live=True)
    return [row for row in rows if (wanted or "").strip().casefold() in row.name.casefold()]


def _entered(form: Form[Any], name: str, row: Row, before: Ticks) -> Ticks:
    """What the browser has just sent, also for a line that is not drawn any more in this run."""
    source = st.session_state.get(_key(form, name, row, "source"), before.source)
    destination = st.session_state.get(_key(form, name, row, "destination"), before.destination)
    return Ticks(bool(source) and row.can_be_source, bool(destination))


def _draw_row(form: Form[Any], name: str, row: Row, ticks: Ticks, disabled: bool) -> None:
    label, source, destination = _columns()
    label.markdown(escape_markdown(row.name))
    with source:
        if row.can_be_source:
            _tick(_key(form, name, row, "source"), f"{row.name} as source", ticks.source, disabled)
        else:
            st.caption("never", help="A folder takes studies. None can be read from it.")
    with destination:
        _tick(_key(form, name, row, "destination"), f"{row.name} as destination", ticks.destination, disabled)


def _tick(key: str, label: str, value: bool, disabled: bool) -> None:
    if key not in st.session_state:
        st.session_state[key] = value
    st.checkbox(escape_markdown(label), key=key, label_visibility="collapsed", on_change="ignore", disabled=disabled)


def _key(form: Form[Any], name: str, row: Row, side: str) -> str:
    return form.key(f"{name}-{row.id}-{side}")


def _line(*cells: str) -> None:
    for column, cell in zip(_columns(), cells, strict=True):
        column.markdown(cell)


def _columns() -> Sequence[Any]:
    return st.columns([4, 1.4, 1.8], vertical_alignment="center", wrap=False)
