"""Tables that fetch one page at a time, open rows by what they are and never by where they stand, and can be ticked.

Streamlit tells of clicks and ticks by position. A table's widgets are therefore named after the rows in it: what was
clicked or ticked in other rows, a moment ago or on another page, never counts for those that stand there now.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Generic, TypeVar

import streamlit as st

from models.domain.jobs import State
from ui.parts import amounts
from ui.parts.status import STATES

Row = TypeVar("Row")
_PAGE = 25
_ROW_PIXELS = 35
_STATE_PIXELS = 110
_PAGER_PIXELS = 340
_BUTTON_PIXELS = 66
MOMENT = 132
"""Pixels of a column with a date and a time."""


@dataclass(frozen=True)
class Column(Generic[Row]):
    """One column: what it shows of a row, as text, number or list of words, and how (``st.column_config``)."""

    label: str
    value: Callable[[Row], Any]
    config: Any = None


@dataclass(frozen=True)
class Picked(Generic[Row]):
    """What a person did with a table: the row whose button was pressed just now, and the rows that are ticked."""

    opened: Row | None = None
    ticked: tuple[Row, ...] = ()


@dataclass(frozen=True)
class Look(Generic[Row]):
    """How a table looks and what it can do.

    ``alt`` names it for screen readers. ``identity`` tells rows apart, such as by their id. ``button`` is the label of
    a button in each row; ``ticks`` lets rows be ticked. ``noun`` is what one row is.
    """

    columns: Sequence[Column[Row]]
    alt: str
    identity: Callable[[Row], object]
    noun: str = "row"
    plural: str = ""
    button: str = ""
    ticks: bool = False
    empty: str = "There is nothing here."
    size: int = _PAGE
    tallest: int | None = None


def table(rows: Sequence[Row], look: Look[Row], key: str, ticked: Callable[[Row], bool] | None = None) -> Picked[Row]:
    """Draw rows, and return what was done with them. ``ticked`` says which rows are ticked to begin with."""
    if not rows:
        st.caption(look.empty)
        return Picked()
    name = f"{key}-{mark(look.identity(row) for row in rows)}"
    data: dict[str, list[Any]] = {column.label: [column.value(row) for row in rows] for column in look.columns}
    config: dict[str, Any] = {column.label: column.config for column in look.columns if column.config is not None}
    if look.button:
        data[look.button] = [look.button] * len(rows)
        config[look.button] = st.column_config.ButtonColumn(
            look.button, width=_BUTTON_PIXELS, pinned=True, type="tertiary", key=f"{name}-button"
        )
    positions = _draw(data, config, look, name, [n for n, row in enumerate(rows) if ticked and ticked(row)])
    return Picked(_pressed(rows, f"{name}-button"), tuple(rows[n] for n in positions if n < len(rows)))


def paged_table(total: int, load: Callable[[int, int], Sequence[Row]], look: Look[Row], key: str) -> Picked[Row]:
    """Draw one page of a long list, with a pager that keeps its place in the address, and return what was done.

    ``load`` takes limit and offset. Ticks are those of the page that is shown.
    """
    above = st.container()
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        if total:
            st.caption(amounts.counted(total, look.noun, look.plural))
        page = pager(total, f"{key}-page", look.size)
    rows = load(look.size, (page - 1) * look.size)
    with above:
        return table(rows, look, key)


def pager(total: int, key: str, size: int = _PAGE) -> int:
    """Draw page numbers where there is more than one page, and return the chosen one, counted from 1."""
    pages = max(-(-total // size), 1)
    if st.session_state.get(key, 1) > pages:
        st.session_state[key] = 1
    if pages == 1:
        return 1
    return st.pagination(pages, key=key, width=_PAGER_PIXELS, bind="query-params")


def states_column(label: str, state: Callable[[Row], State]) -> Column[Row]:
    """A column with the state of each row as a coloured word."""
    colours = dict(STATES.values())
    config = st.column_config.MultiselectColumn(
        label, options=list(colours), color=list(colours.values()), width=_STATE_PIXELS
    )
    return Column(label, lambda row: [STATES[state(row)][0]], config)


def mark(identities: Iterable[object]) -> str:
    """A short name for these rows in this order."""
    return sha256(repr([*identities]).encode()).hexdigest()[:16]


def _draw(
    data: Mapping[str, Any], config: Mapping[str, Any], look: Look[Row], name: str, ticked: list[int]
) -> list[int]:
    length = len(next(iter(data.values())))
    height: Any = "content" if look.tallest is None else min(look.tallest, (length + 1) * _ROW_PIXELS + 3)
    fixed: dict[str, Any] = {"hide_index": True, "column_config": config, "height": height, "alt": look.alt}
    if not look.ticks:
        st.dataframe(data, **fixed)
        return []
    event = st.dataframe(
        data,
        **fixed,
        key=name,
        on_select="rerun",
        selection_mode="multi-row",
        selection_default={"selection": {"rows": ticked}},
    )
    return list(event.selection.rows)


def _pressed(rows: Sequence[Row], key: str) -> Row | None:
    click: Any = st.session_state.get(key)
    position = len(rows) if click is None else int(click.row)
    return rows[position] if position < len(rows) else None
