"""One job: how it stands, what of it has arrived, and what can be done about it."""

from collections.abc import Sequence

import streamlit as st

from models.domain.jobs import FINISHED, Item, State
from services import jobs
from ui import context, session
from ui.parts import item_facts, job_facts, links, tables
from ui.parts.facts import show_facts
from ui.parts.job_buttons import show_buttons
from ui.parts.job_tables import items_look
from ui.parts.live import live
from ui.parts.refusals import asked

MANY = 500
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
    receipts = jobs.receipt_summaries(db, me, job_id)
    job_facts.show_progress(now, receipts)
    job_facts.show_held(sum(receipt.held for receipt in receipts.values()), me)
    if now.counts.get(State.FAILURE):
        item_facts.show_failures(jobs.items(db, me, job_id, {State.FAILURE}, MANY), me)
    show_facts(facts, "job-facts")

    def load(limit: int, offset: int) -> Sequence[Item]:
        return jobs.items(db, me, job_id, None, limit, offset)

    picked = tables.paged_table(sum(now.counts.values()), load, items_look(receipts), "items")
    if picked.opened:
        links.go_to_item(picked.opened.id)


def is_active() -> bool:
    """Whether the job can still change by itself."""
    return jobs.get(db, session.actor(), job_id).state not in FINISHED


facts = job_facts.facts_of(job, actor)
live(is_active, draw)
job_facts.show_run_link(job, actor)
