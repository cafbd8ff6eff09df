"""Lists of jobs and of their items, the same on every page."""

from collections.abc import Mapping

import streamlit as st

from models.domain.jobs import Item, Job, State
from ui.parts import status, times
from ui.parts.tables import Column, Look, states_column


def jobs_look(with_owner: bool = False, empty: str = "There are no jobs.") -> Look[Job]:
    """Jobs with the button that opens them."""
    columns = [
        Column[Job]("Job", lambda job: job.id, st.column_config.NumberColumn(format="%d", width="small")),
        states_column("State", _job_state),
        Column[Job]("Kind", lambda job: status.kind_word(job.kind)),
        Column[Job]("Trial", lambda job: job.trial_protocol_id),
        Column[Job]("Created", lambda job: times.moment(job.created_at)),
        Column[Job]("Ended", lambda job: times.moment(job.ended_at)),
        Column[Job]("Message", lambda job: job.message, st.column_config.TextColumn(width="large")),
    ]
    if with_owner:
        columns.insert(2, Column[Job]("Owner", lambda job: job.owner))
    return Look(columns, "Jobs", lambda job: job.id, "job", button="Open", empty=empty)


def items_look(nodes: Mapping[int, str], shows_identity: bool) -> Look[Item]:
    """Items with the button that opens them."""
    name = "Patient ID" if shows_identity else "Pseudonym"
    columns = [
        Column[Item]("Item", lambda item: item.position, st.column_config.NumberColumn(format="%d", width="small")),
        states_column("State", _item_state),
        Column[Item](name, lambda item: item.patient_id if shows_identity else item.pseudonym),
        Column[Item]("Attempts", lambda item: item.attempts, st.column_config.NumberColumn(width="small")),
        Column[Item]("Ended", lambda item: times.moment(item.ended_at)),
        Column[Item]("Message", lambda item: item.message, st.column_config.TextColumn(width="large")),
    ]
    return Look(columns, "Items of the job", lambda item: item.id, "item", button="Open")


def _job_state(job: Job) -> State:
    return job.state


def _item_state(item: Item) -> State:
    return item.state
