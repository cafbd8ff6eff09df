"""Scheduled work: what the installation does by itself, when, how it went, and doing it now."""

from collections.abc import Sequence

import streamlit as st

from models.domain.chores import ChoreOutcome, ChoreRun
from services import deployment_plan
from services.chores import overview
from services.chores.overview import ChoreShown
from ui import context, session
from ui.parts import tables, times
from ui.parts.escape import escape_markdown
from ui.parts.flash import flash
from ui.parts.listings import heading
from ui.parts.refusals import asked, tried
from ui.parts.tables import Column, Look

db, settings = context.database(), context.settings()
EVERY_S = 5.0
DONE, FAILED, AT_WORK, NOT_YET = "Done", "Failed", "At work", "Not yet"
COLOURS = {DONE: "green", FAILED: "red", AT_WORK: "blue", NOT_YET: "gray"}
WORD = st.column_config.MultiselectColumn(options=list(COLOURS), color=list(COLOURS.values()), width="small")
WIDE = st.column_config.TextColumn(width="large")
MOMENT = st.column_config.TextColumn(width=tables.MOMENT)
TITLE, WHEN = 105, 165
"""Pixels of columns: a table passes over the longest of many words when it measures them."""


def result(chore: ChoreShown) -> str:
    """How a chore stands, in a word."""
    if chore.is_at_work:
        return AT_WORK
    return NOT_YET if chore.last is None else outcome(chore.last)


def outcome(run: ChoreRun) -> str:
    """How a run has ended, in a word."""
    return DONE if run.outcome is ChoreOutcome.SUCCESS else FAILED


LOOK = Look[ChoreShown](
    [
        Column("Name", lambda chore: chore.title, st.column_config.TextColumn(width=TITLE)),
        Column("When", lambda chore: when(chore), st.column_config.TextColumn(width=WHEN)),
        Column("Result", lambda chore: [result(chore)], WORD),
        Column("Last run", lambda chore: times.moment(chore.last.started_at if chore.last else None), MOMENT),
        Column("Next", lambda chore: times.moment(chore.next_at), MOMENT),
        Column("What it did", lambda chore: chore.last.message if chore.last else "", WIDE),
        Column("What it is for", lambda chore: chore.purpose, WIDE),
    ],
    alt="Scheduled work",
    identity=lambda chore: chore.name,
    noun="chore",
    button="Run now",
)
RUNS = Look[ChoreRun](
    [
        Column("Begun", lambda run: times.exact(run.started_at)),
        Column("Ended", lambda run: times.exact(run.ended_at)),
        Column("Result", lambda run: [outcome(run) if run.ended_at else AT_WORK], WORD),
        Column("What it did", lambda run: run.message, WIDE),
    ],
    alt="Last runs",
    identity=lambda run: run.id,
    noun="run",
    empty="It has not run yet.",
)


def when(chore: ChoreShown) -> str:
    """When it is done, as people say it."""
    if chore.schedule is None:
        return "unknown" if deployment_plan.complaint(settings) else "only when asked for"
    return chore.when or "switched off"


@st.fragment(run_every=EVERY_S)
def follow(drawn: object) -> None:
    """Draw the page anew when something has begun or ended since."""
    if asked(lambda: overview.newest(db, session.actor())) != drawn:
        st.rerun()


def draw_troubles(chores: Sequence[ChoreShown]) -> None:
    """What needs somebody, above everything else; said once of all chores that have the same."""
    titles: dict[str, list[str]] = {}
    for chore in chores:
        if chore.trouble:
            titles.setdefault(chore.trouble, []).append(chore.title)
    for trouble, some in titles.items():
        words = trouble if len(some) == len(chores) else f"{', '.join(some)}: {trouble}"
        st.error(escape_markdown(words), icon=":material/error:")


def run_now(chore: ChoreShown) -> None:
    """Have a chore done, and say so."""
    if tried(lambda: overview.run_now(db, settings, session.actor(), chore.name)):
        flash(f"{chore.title} begins as soon as a worker takes it up.")
        st.rerun()


heading("Scheduled work")
st.caption("What this installation does by itself. The times stand in prefect.yaml; Prefect starts what is due.")
newest = asked(lambda: overview.newest(db, session.actor()))
chores = asked(lambda: overview.listed(db, settings, session.actor()))
draw_troubles(chores)
pressed = tables.table(chores, LOOK, "chores").opened
if pressed:
    run_now(pressed)
st.header("Last runs", anchor=False)
names = {chore.title: chore.name for chore in chores}
title = st.selectbox("Of", list(names), key="chore", bind="query-params", width=320)
tables.table(asked(lambda: overview.history(db, session.actor(), names[title])), RUNS, "chore-runs")
follow(newest)
