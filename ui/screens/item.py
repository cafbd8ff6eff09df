"""One item of a job: what was asked for, what became of it and why, and the receipt that proves it, or the answers."""

import streamlit as st

from models.domain.jobs import FINISHED, JobKind, State
from services import jobs
from services.batches import results
from services.job_access import may_know_patients, may_know_studies
from ui import context, session
from ui.parts import item_facts, links, query_results, status
from ui.parts.item_buttons import show_buttons
from ui.parts.live import live
from ui.parts.receipts import show_receipt
from ui.parts.refusals import asked

db, item_id = context.database(), links.asked_id()
item = asked(lambda: jobs.item(db, session.actor(), item_id))
job = asked(lambda: jobs.get(db, session.actor(), item.job_id))

links.job_link(job.id, f"Job {job.id}", icon=":material/arrow_back:")
with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
    st.title(f"Item {item.position} of job {job.id}", anchor=False, width="content")
    with st.container(horizontal=True, width="content", key="item-buttons"):
        show_buttons(item, jobs.item_actions(db, session.actor(), item))


def draw() -> None:
    """What changes while the item is worked on."""
    me = session.actor()
    now = jobs.item(db, me, item_id)
    with st.container(horizontal=True, vertical_alignment="center", key="item-state"):
        status.pill(now.state)
        st.caption(item_facts.when(now))
    item_facts.show_outcome(now, me)
    item_facts.show_item(now)
    if job.kind.only_asks:
        show_answers()
        return
    st.header("Receipt", anchor=False)
    if not may_know_studies(me, job):
        st.caption("It lists the images of the source. Only who submitted the job, and staff, may see it.")
        return
    receipt = jobs.receipt(db, me, item_id)
    if not now.attempts and not receipt.received:
        st.caption("There is none before the first attempt.")
        return
    show_receipt(receipt)
    with st.container(horizontal=True):
        for ending in ("json", "csv"):
            st.link_button(
                f"Download as {ending.upper()}",
                f"/files/receipts/{item_id}.{ending}",
                icon=":material/download:",
                key=f"download-{ending}",
            )


def show_answers() -> None:
    """Draw what a row of a batch query has found."""
    me = session.actor()
    if job.kind is JobKind.BATCH_QUERY and may_know_patients(me, job):
        st.header("Results", anchor=False)
        query_results.show_table(job, me, results.count(db, me, job.id, item_id), item_id)


def is_active() -> bool:
    """Whether the item can still change by itself: it has not ended, and its job is not at rest."""
    me = session.actor()
    now = jobs.item(db, me, item_id)
    return now.state not in FINISHED and jobs.get(db, me, now.job_id).state is not State.UNVERIFIED


live(is_active, draw)
