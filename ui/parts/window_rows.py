"""Rows in which the weekly transfer windows of a server are entered: days, from, until."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import time
from typing import Any

import streamlit as st

from models.domain.nodes import Window
from models.domain.windows import WEEKDAYS
from ui import context
from ui.parts.forms import Form

_ROWS, _LOADED = "window-rows", "window-rows-loaded"
_EVENING, _MORNING = time(20), time(6)


@dataclass(frozen=True, slots=True)
class _Row:
    """The days on which the same hours are open."""

    days: tuple[int, ...]
    begin: time
    end: time


def rows(form: Form[Any], windows: Iterable[Window]) -> tuple[Window, ...]:
    """Draw a row for all days with the same hours, and return the windows as entered."""
    known = _known(form, tuple(windows))
    st.caption(
        f"Transfers may use the server at these times, in the time zone {context.settings().time_zone}. Without a row "
        "they may at any time. A window that ends at or before its begin goes on into the next day; 00:00 to 00:00 is "
        "the whole day."
    )
    entered = [_row(form, number, row) for number, row in list(known.items())]
    form.spot("windows", "Transfer windows")
    st.button("Add a window", icon=":material/add:", key=form.key("window-add"), on_click=_add, args=(known,))
    return tuple(Window(day, row.begin, row.end) for row in entered for day in row.days)


def _known(form: Form[Any], windows: tuple[Window, ...]) -> dict[int, _Row]:
    """The rows by their numbers, which are never given again. What somebody else has saved replaces all of them."""
    known: dict[int, _Row] = form.remembered(_ROWS, dict(enumerate(_grouped(windows))))
    if form.remembered(_LOADED, windows) != windows:
        begin = max(known, default=-1) + 1
        known = dict(enumerate(_grouped(windows), start=begin))
        form.remember(_ROWS, known)
        form.remember(_LOADED, windows)
        st.warning("Somebody else has changed these. What you entered here is gone.", icon=":material/group:")
    return known


def words(windows: Iterable[Window]) -> str:
    """The windows in short: ``Mon Tue 20:00-06:00, Sat all day``."""
    return ", ".join(f"{_days(row.days)} {_hours(row)}" for row in _grouped(windows))


def _row(form: Form[Any], number: int, row: _Row) -> _Row:
    days, begin, end, remove = st.columns([7.9, 2, 2, 1.6], vertical_alignment="bottom")
    with days:
        chosen: Iterable[int] = form.field(
            st.pills,
            f"window-{number}-days",
            "Days",
            list(row.days),
            options=range(len(WEEKDAYS)),
            selection_mode="multi",
            format_func=_name,
        )
    with begin:
        since = form.field(st.time_input, f"window-{number}-begin", "From", row.begin)
    with end:
        until = form.field(st.time_input, f"window-{number}-end", "Until", row.end)
    key, hint = form.key(f"window-{number}-remove"), f"Remove window {number + 1}"
    remove.button("Remove", key=key, help=hint, on_click=_remove, args=(form, number), type="tertiary")
    return _Row(tuple(chosen), since, until)


def _add(known: dict[int, _Row]) -> None:
    known[max(known, default=-1) + 1] = _Row((0, 1, 2, 3, 4), _EVENING, _MORNING)


def _remove(form: Form[Any], number: int) -> None:
    form.remembered(_ROWS, {}).pop(number, None)


def _grouped(windows: Iterable[Window]) -> list[_Row]:
    days: dict[tuple[time, time], list[int]] = {}
    for window in windows:
        days.setdefault((window.begin, window.end), []).append(window.weekday)
    return [_Row(tuple(sorted(of_hours)), begin, end) for (begin, end), of_hours in days.items()]


def _name(day: int) -> str:
    return WEEKDAYS[day]


def _days(days: tuple[int, ...]) -> str:
    runs: Mapping[tuple[int, ...], str] = {tuple(range(7)): "every day", tuple(range(5)): "Mon-Fri", (5, 6): "Sat-Sun"}
    return runs.get(days) or " ".join(WEEKDAYS[day] for day in days)


def _hours(row: _Row) -> str:
    return "all day" if row.begin == row.end else f"{row.begin:%H:%M}-{row.end:%H:%M}"
