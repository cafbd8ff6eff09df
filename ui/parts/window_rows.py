"""Rows in which times of the week are entered: transfer windows of a server, and its budgets by the hour."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import time
from typing import Any

import streamlit as st

from models.domain.nodes import BudgetRule, Window
from models.domain.windows import WEEKDAYS
from ui import context
from ui.parts.forms import Form

_EVENING, _MORNING = time(20), time(6)
_WIDTHS, _WIDTHS_WITH_BUDGET = (7.9, 2, 2, 1.6), (5.5, 1.25, 1.25, 1.05, 1)
"""The seven days stay in one line."""


@dataclass(frozen=True, slots=True)
class _Row:
    """The days on which the same hours have the same meaning; ``budget`` is None for a window."""

    days: tuple[int, ...]
    begin: time
    end: time
    budget: int | None = None


@dataclass(frozen=True, slots=True)
class _Kind:
    """What rows are about. Keys of fields begin with ``noun``; ``fresh`` is what a row has that was just added."""

    noun: str
    field: str
    label: str
    fresh: _Row


_WINDOWS = _Kind("window", "windows", "Transfer windows", _Row((0, 1, 2, 3, 4), _EVENING, _MORNING))
_BUDGETS = _Kind("budget", "budget_rules", "Budget by hour", _Row((0, 1, 2, 3, 4), _EVENING, _MORNING, 16))


def rows(form: Form[Any], windows: Iterable[Window]) -> tuple[Window, ...]:
    """Draw a row for all days with the same hours, and return the windows as entered."""
    st.caption(
        f"Transfers may use the server at these times, in the time zone {context.settings().time_zone}. Without a row "
        "they may at any time. A window that ends at or before its begin goes on into the next day; 00:00 to 00:00 is "
        "the whole day."
    )
    entered = _entered(form, _WINDOWS, _grouped((window, None) for window in windows))
    return tuple(Window(day, row.begin, row.end) for row in entered for day in row.days)


def budgets(form: Form[Any], rules: Iterable[BudgetRule]) -> tuple[BudgetRule, ...]:
    """The same for budgets by the hour."""
    st.caption(
        "At these times another association budget counts than the one above, such as a larger one at night. Where "
        "several rows count, the smallest budget does."
    )
    entered = _entered(form, _BUDGETS, _grouped((rule.hours, rule.budget) for rule in rules))
    return tuple(BudgetRule(Window(day, row.begin, row.end), row.budget or 0) for row in entered for day in row.days)


def words(windows: Iterable[Window]) -> str:
    """The windows in short: ``Mon Tue 20:00-06:00, Sat all day``."""
    return ", ".join(_words(row) for row in _grouped((window, None) for window in windows))


def budget_words(usual: int, rules: Iterable[BudgetRule]) -> str:
    """The budgets in short: ``8; Mon-Fri 20:00-06:00 16``."""
    others = [f"{_words(row)} {row.budget}" for row in _grouped((rule.hours, rule.budget) for rule in rules)]
    return "; ".join([str(usual), *others])


def _entered(form: Form[Any], kind: _Kind, loaded: Sequence[_Row]) -> list[_Row]:
    known = _known(form, kind, loaded)
    entered = [_row(form, kind, number, row) for number, row in list(known.items())]
    form.spot(kind.field, kind.label)
    key = form.key(f"{kind.noun}-add")
    st.button(f"Add a {kind.noun}", icon=":material/add:", key=key, on_click=_add, args=(known, kind.fresh))
    return entered


def _known(form: Form[Any], kind: _Kind, loaded: Sequence[_Row]) -> dict[int, _Row]:
    """The rows by their numbers, which are never given again. What somebody else has saved replaces all of them."""
    rows_here, as_loaded = _rows_name(kind), f"{kind.noun}-rows-loaded"
    known: dict[int, _Row] = form.remembered(rows_here, dict(enumerate(loaded)))
    if form.remembered(as_loaded, loaded) != loaded:
        begin = max(known, default=-1) + 1
        known = dict(enumerate(loaded, start=begin))
        form.remember(rows_here, known)
        form.remember(as_loaded, loaded)
        st.warning("Somebody else has changed these. What you entered here is gone.", icon=":material/group:")
    return known


def _row(form: Form[Any], kind: _Kind, number: int, row: _Row) -> _Row:
    widths = _WIDTHS if row.budget is None else _WIDTHS_WITH_BUDGET
    days, begin, end, *others = st.columns(widths, vertical_alignment="bottom", gap="xsmall")
    name = f"{kind.noun}-{number}"
    with days:
        chosen: Iterable[int] = form.field(
            st.pills,
            f"{name}-days",
            "Days",
            list(row.days),
            options=range(len(WEEKDAYS)),
            selection_mode="multi",
            format_func=_name,
        )
    with begin:
        since = form.field(st.time_input, f"{name}-begin", "From", row.begin)
    with end:
        until = form.field(st.time_input, f"{name}-end", "Until", row.end)
    budget = row.budget
    if budget is not None:
        with others[0]:
            budget = form.whole(f"{name}-budget", "Budget", budget) or 0
    key, hint = form.key(f"{name}-remove"), f"Remove {kind.noun} {number + 1}"
    others[-1].button("Remove", key=key, help=hint, on_click=_remove, args=(form, kind, number), type="tertiary")
    return _Row(tuple(chosen), since, until, budget)


def _add(known: dict[int, _Row], fresh: _Row) -> None:
    known[max(known, default=-1) + 1] = fresh


def _remove(form: Form[Any], kind: _Kind, number: int) -> None:
    form.remembered(_rows_name(kind), {}).pop(number, None)


def _rows_name(kind: _Kind) -> str:
    return f"{kind.noun}-rows"


def _grouped(windows: Iterable[tuple[Window, int | None]]) -> list[_Row]:
    days: dict[tuple[time, time, int | None], list[int]] = {}
    for window, budget in windows:
        days.setdefault((window.begin, window.end, budget), []).append(window.weekday)
    return [_Row(tuple(sorted(of_hours)), begin, end, budget) for (begin, end, budget), of_hours in days.items()]


def _name(day: int) -> str:
    return WEEKDAYS[day]


def _words(row: _Row) -> str:
    return f"{_days(row.days)} {_hours(row)}"


def _days(days: tuple[int, ...]) -> str:
    runs: Mapping[tuple[int, ...], str] = {tuple(range(7)): "every day", tuple(range(5)): "Mon-Fri", (5, 6): "Sat-Sun"}
    return runs.get(days) or " ".join(WEEKDAYS[day] for day in days)


def _hours(row: _Row) -> str:
    return "all day" if row.begin == row.end else f"{row.begin:%H:%M}-{row.end:%H:%M}"
