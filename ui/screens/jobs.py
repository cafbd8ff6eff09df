"""The jobs one has asked for, and with the right to it those of the members of one's groups."""

from collections.abc import Mapping, Sequence

import streamlit as st

from models.domain.jobs import FINISHED, Job, State
from services import jobs
from ui import context, session
from ui.parts import links, tables
from ui.parts.job_filters import filters
from ui.parts.job_tables import jobs_look
from ui.parts.live import live

ACTIVE = frozenset(State) - FINISHED

st.title("My jobs", anchor=False)
wanted = filters(session.actor())


def draw() -> None:
    """The page of the list that is chosen."""
    db, actor = context.database(), session.actor()

    counts: dict[int, Mapping[State, int]] = {}

    def load(limit: int, offset: int) -> Sequence[Job]:
        found = jobs.list(db, actor, limit, offset, **wanted)
        counts.update(jobs.counts(db, actor, [job.id for job in found]))
        return found

    total = jobs.count(db, actor, **wanted)
    empty = "There is no such job." if total or wanted.get("states") or wanted.get("text") else "There are no jobs yet."
    picked = tables.paged_table(total, load, jobs_look(counts, wanted.get("of_groups", False), empty), "jobs")
    if picked.opened:
        links.go_to_job(picked.opened.id)


def is_active() -> bool:
    """Whether a job that is meant can still change by itself."""
    states = ACTIVE.intersection(wanted.get("states") or ACTIVE)
    return bool(states) and jobs.count(context.database(), session.actor(), **{**wanted, "states": states}) > 0


live(is_active, draw)
