"""Fields that choose among people, rights and nodes; each belongs to a form."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import streamlit as st

from models.domain.people import GUARDED, WITHOUT_EFFECT, Permission, User
from ui.parts import people
from ui.parts.escape import escape_markdown
from ui.parts.forms import Form

Choice = TypeVar("Choice")

_FEW = 12
"""So many rows need no filter, and no box of their own to scroll in."""
_BOX_PIXELS = 460
_SIDE_PIXELS = {"source": 80, "destination": 100}
"""Columns of Streamlit are never narrower than 120 pixels: on a phone, the last of them would be cut."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table with ticks: a node that a group may use, or a group that may use a node."""

    id: int
    name: str
    source: bool = False
    destination: bool = False
    can_be_source: bool = True
    is_fixed: bool = False


@dataclass(frozen=True, slots=True)
class Ticks:
    """What is ticked in one line."""

    source: bool = False
    destination: bool = False


def pick_users(
    form: Form[Any],
    name: str,
    label: str,
    users: Iterable[User],
    chosen: Iterable[int],
    told: Callable[[User], str] = people.label,
    **options: Any,
) -> frozenset[int]:
    """Choose any number of people, by what stands in their labels."""
    return frozenset(_pick(form, name, label, {user.id: told(user) for user in users}, chosen, **options))


def pick_groups(
    form: Form[Any], name: str, label: str, names: Mapping[int, str], chosen: Iterable[int], **options: Any
) -> frozenset[int]:
    """Choose any number of groups."""
    return frozenset(_pick(form, name, label, names, chosen, **options))


def pick_permissions(
    form: Form[Any], name: str, chosen: frozenset[Permission], with_guarded: bool, **options: Any
) -> frozenset[Permission]:
    """Choose permissions, in the words of the admin guide. Guarded ones are offered to superusers only.

    What is chosen already can be seen and taken away, whatever it is.
    """
    hidden = WITHOUT_EFFECT if with_guarded else WITHOUT_EFFECT | GUARDED
    offered = {right: right.label for right in Permission if right not in hidden or right in chosen}
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


def pick_sides(form: Form[Any], name: str, rows: Sequence[Row], what: str) -> dict[int, Ticks]:
    """Tick in a table what may be used as source and as destination; returns what is ticked in every line.

    ``what`` heads the column of names. Lines that a filter hides keep their ticks. Where no line can be a source, there
    is no column for it.
    """
    ticks = _kept(form, name, rows)
    sides = ["source", "destination"] if any(row.can_be_source for row in rows) else ["destination"]
    shown = _filtered(form, name, rows)
    with st.container(border=True, height=_BOX_PIXELS if len(shown) > _FEW else "content", gap="xsmall"):
        for column, head in zip(_columns(sides), [what, *map(str.capitalize, sides)], strict=True):
            column.markdown(f"**{head}**")
        for row in shown:
            _draw_row(form, name, row, ticks[row.id], sides)
        if not shown:
            st.caption("No name has this in it.")
    form.spot(name, what)
    return ticks


def _filtered(form: Form[Any], name: str, rows: Sequence[Row]) -> Sequence[Row]:
    if len(rows) <= _FEW:
        return rows
    wanted = st.text_input("Filter by name", key=form.key(f"{name}-filter"), type="search", live=True)
    return [row for row in rows if (wanted or "").strip().casefold() in row.name.casefold()]


def _kept(form: Form[Any], name: str, rows: Sequence[Row]) -> dict[int, Ticks]:
    """What is ticked in every line. One that nobody has touched here follows what somebody else has saved."""
    known: dict[int, tuple[Ticks, Ticks]] = form.remembered(name, {})
    for row in rows:
        loaded = Ticks(row.source, row.destination)
        first, before = known.get(row.id, (loaded, loaded))
        now = _entered(form, name, row, before)
        if first != loaded and now == first:
            now = loaded
            for side in ("source", "destination"):
                st.session_state[_key(form, name, row, side)] = getattr(loaded, side)
        known[row.id] = loaded, now
    return {row.id: known[row.id][1] for row in rows}


def _entered(form: Form[Any], name: str, row: Row, before: Ticks) -> Ticks:
    """What the browser has just sent, also for a line that is not drawn any more in this run."""
    source = st.session_state.get(_key(form, name, row, "source"), before.source)
    destination = st.session_state.get(_key(form, name, row, "destination"), before.destination)
    return Ticks(bool(source) and row.can_be_source, bool(destination))


def _draw_row(form: Form[Any], name: str, row: Row, ticks: Ticks, sides: Sequence[str]) -> None:
    label, *columns = _columns(sides)
    label.markdown(escape_markdown(row.name))
    for column, side in zip(columns, sides, strict=True):
        if side == "source" and not row.can_be_source:
            column.caption("never", help="A folder takes studies. None can be read from it.")
            continue
        key = _key(form, name, row, side)
        if key not in st.session_state:
            st.session_state[key] = getattr(ticks, side)
        words = escape_markdown(f"{row.name} as {side}")
        column.checkbox(words, key=key, label_visibility="collapsed", on_change="ignore", disabled=row.is_fixed)


def _key(form: Form[Any], name: str, row: Row, side: str) -> str:
    return form.key(f"{name}-{row.id}-{side}")


def _columns(sides: Sequence[str]) -> Sequence[Any]:
    with st.container(horizontal=True, vertical_alignment="center", wrap=False, gap="small"):
        return [st.container(), *(st.container(width=_SIDE_PIXELS[side]) for side in sides)]
