"""One job: how it stands, what of it has arrived or was found, and what can be done about it."""

from collections.abc import Sequence

import streamlit as st

from models.domain.jobs import FINISHED, Item, Job, JobKind, State
from models.domain.people import Actor
from models.domain.receipts import ReceiptSummary
from services import jobs, nodes
from services.job_access import may_know_patients, may_know_studies
from ui import context, session
from ui.parts import check_outcome, item_facts, job_facts, links, query_results, tables
from ui.parts.facts import show_facts
from ui.parts.job_buttons import show_buttons
from ui.parts.job_tables import items_look, questions_look
from ui.parts.live import live
from ui.parts.refusals import asked

MANY = 500
ANSWERS = frozenset({"NotFound", "Ambiguous", "IdentityConflict"})
"""Errors that are what a row of a file asked for: they stand beside it, and need no advice."""
db, actor, job_id = context.database(), session.actor(), links.asked_id()
job = asked(lambda: jobs.get(db, actor, job_id))

links.back_from(job, actor)
with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
    st.title(f"Job {job.id}", anchor=False, width="content")
    with st.container(horizontal=True, width="content", key="job-buttons"):
        show_buttons(job, jobs.actions(db, actor, job))


def draw() -> None:
    """What changes while the job runs."""
    me = session.actor()
    now = jobs.progress(db, me, job_id)
    totals = jobs.receipt_totals(db, me, job_id)
    job_facts.show_progress(now, totals.stored)
    job_facts.show_held(totals.held, me)
    if now.counts.get(State.FAILURE):
        failed = jobs.items(db, me, job_id, {State.FAILURE}, MANY)
        strange = [item for item in failed if not (job.kind.only_asks and item.error_code in ANSWERS)]
        item_facts.show_failures(strange, me)
    show_facts(facts, "job-facts")
    job_facts.show_project(job)
    total = sum(now.counts.values())
    if job.kind is JobKind.BATCH_QUERY:
        query_results.show_results(now.job, me)
    elif job.kind is JobKind.BATCH_CHECK:
        check_outcome.show_outcome(now.job, me)
    elif job.checked_by_job_id is not None:
        show_check(job.checked_by_job_id, now.job)
    if job.kind.only_asks:
        with st.expander("Items of the job", icon=":material/list_alt:", key="items-box", on_change="rerun") as box:
            if box.open:
                show_questions(total, me)
    else:
        show_items(total, me)


def show_check(check_id: int, now: Job) -> None:
    """Draw the way to the check that a batch transfer was made of, and its file."""
    with st.container(horizontal=True, key="of-check"):
        links.job_button(check_id, f"To its check, job {check_id}", ":material/fact_check:")
        if now.state in FINISHED and may_know_patients(session.actor(), job):
            query_results.file_buttons(job)


def show_items(total: int, me: Actor) -> None:
    """Draw the items of a job that moves something."""
    receipts: dict[int, ReceiptSummary] = {}

    def load(limit: int, offset: int) -> Sequence[Item]:
        found = jobs.items(db, me, job_id, None, limit, offset)
        receipts.update(jobs.receipt_summaries(db, me, job_id, found))
        return found

    look = items_look(
        receipts,
        with_lines=job.checked_by_job_id is not None,
        with_patients=may_know_patients(me, job),
        with_studies=may_know_studies(me, job),
    )
    open_item(tables.paged_table(total, load, look, "items"))


def show_questions(total: int, me: Actor) -> None:
    """Draw the items of a job that only asks."""

    def load(limit: int, offset: int) -> Sequence[Item]:
        return jobs.items(db, me, job_id, None, limit, offset)

    names = nodes.names(db)
    asked_servers = {source: names.get(source, "?") for source, _ in jobs.nodes(db, me, job_id)}
    look = questions_look(asked_servers, with_patients=may_know_patients(me, job))
    open_item(tables.paged_table(total, load, look, "items"))


def open_item(picked: tables.Picked[Item]) -> None:
    """Leave for the item whose button was pressed."""
    if picked.opened:
        links.go_to_item(picked.opened.id)


def is_active() -> bool:
    """Whether the job can still change by itself."""
    return jobs.get(db, session.actor(), job_id).state not in FINISHED


facts = job_facts.facts_of(job, actor)
live(is_active, draw)
job_facts.show_run_link(job, actor)
