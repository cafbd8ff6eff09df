"""Ways from page to page. What a page is about stands in its address."""

from typing import NoReturn

import streamlit as st

from models.domain.jobs import Job
from models.domain.people import Actor

_JOBS, _JOB, _ITEM = "screens/jobs.py", "screens/job.py", "screens/item.py"
_BATCH_TRANSFER = "screens/batch_transfer.py"
_OVERVIEW, _TOKENS = "screens/job_overview.py", "screens/tokens.py"


def go_to_jobs() -> NoReturn:
    """Leave for the list of jobs."""
    st.switch_page(_JOBS)


def go_to_job(job_id: int) -> NoReturn:
    """Leave for the page of a job."""
    st.switch_page(_JOB, query_params={"id": str(job_id)})


def go_to_item(item_id: int) -> NoReturn:
    """Leave for the page of an item."""
    st.switch_page(_ITEM, query_params={"id": str(item_id)})


def go_to_tokens() -> NoReturn:
    """Leave for one's API tokens."""
    st.switch_page(_TOKENS)


def go_to_batch_transfer(query_id: int, source_id: int) -> NoReturn:
    """Leave for a new batch transfer of what a query has found at one of its servers."""
    st.switch_page(_BATCH_TRANSFER, query_params={"query": str(query_id), "source": str(source_id)})


def batch_transfer_link(label: str, icon: str | None = None) -> None:
    """Draw a link to a new batch transfer."""
    st.page_link(_BATCH_TRANSFER, label=label, icon=icon)


def back_from(job: Job, actor: Actor) -> None:
    """Draw the way back to the list in which people look for the job."""
    is_guest = actor.is_staff and job.owner != actor.name
    page, label = (_OVERVIEW, "Job Overview") if is_guest else (_JOBS, "My jobs")
    st.page_link(page, label=label, icon=":material/arrow_back:")


def job_link(job_id: int, label: str = "", icon: str | None = None) -> None:
    """Draw a link to the page of a job."""
    st.page_link(_JOB, label=label or f"Job {job_id}", icon=icon, query_params={"id": str(job_id)})


def job_button(job_id: int, label: str, icon: str) -> None:
    """Draw a button that leads from one job's page to another's; a link would be marked as the page at hand."""
    if st.button(label, key=f"to-job-{job_id}", icon=icon):
        go_to_job(job_id)


def asked_id() -> int:
    """The id in the address of this page; 0, which nothing has, when there is no such number."""
    return asked_number("id")


def asked_number(name: str) -> int:
    """A number in the address of this page; 0 when there is none."""
    text = st.query_params.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else 0
