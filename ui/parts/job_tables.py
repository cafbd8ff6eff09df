"""Lists of jobs and of their items, the same on every page."""

from collections.abc import Mapping

import streamlit as st

from models.domain.jobs import Item, Job, State
from models.domain.receipts import ReceiptSummary
from ui.parts import status, times
from ui.parts.tables import Column, Look, states_column

_MOMENT, _COUNT = 140, 95
"""Pixels of columns that are empty to begin with: a table keeps the widths that it was first drawn with."""

Counts = Mapping[int, Mapping[State, int]]
"""How many items are in which state, by the job's id."""


def jobs_look(counts: Counts, with_owner: bool = False, empty: str = "There are no jobs.") -> Look[Job]:
    """Jobs with the button that opens them. ``counts`` may be filled after this, as long as it is before drawing."""
    columns = [
        Column[Job]("Job", lambda job: job.id, st.column_config.NumberColumn(format="%d", width="small")),
        states_column("State", _job_state),
        Column[Job]("Kind", lambda job: status.kind_word(job.kind)),
        Column[Job]("Items", lambda job: status.counts_line(counts.get(job.id, {}))),
        Column[Job]("Trial", lambda job: job.trial_protocol_id),
        Column[Job]("Created", lambda job: times.moment(job.created_at)),
        Column[Job]("Ended", lambda job: times.moment(job.ended_at), st.column_config.TextColumn(width=_MOMENT)),
    ]
    if with_owner:
        columns.insert(2, Column[Job]("Owner", lambda job: job.owner))
    return Look(columns, "Jobs", lambda job: job.id, "job", button="Open", empty=empty)


def items_look(receipts: Mapping[int, ReceiptSummary]) -> Look[Item]:
    """Items with the button that opens them; ``receipts`` are by the item's id."""
    columns = [
        Column[Item]("Item", lambda item: item.position, st.column_config.NumberColumn(format="%d", width="small")),
        states_column("State", _item_state),
        Column[Item]("Patient ID", lambda item: item.patient_id),
        Column[Item]("Pseudonym", lambda item: item.pseudonym),
        Column[Item]("Series", lambda item: str(len(item.series_uids) or "all")),
        Column[Item]("Stored", lambda item: _stored(receipts.get(item.id)), st.column_config.TextColumn(width=_COUNT)),
        Column[Item]("Message", lambda item: item.message, st.column_config.TextColumn(width="medium")),
        Column[Item]("Attempts", lambda item: item.attempts, st.column_config.NumberColumn(width="small")),
        Column[Item]("Ended", lambda item: times.moment(item.ended_at), st.column_config.TextColumn(width=_MOMENT)),
    ]
    return Look(columns, "Items of the job", lambda item: item.id, "item", button="Open")


def _stored(receipt: ReceiptSummary | None) -> str:
    if receipt is None:
        return ""
    return f"{receipt.stored:,}" if receipt.expected is None else f"{receipt.stored:,} of {receipt.expected:,}"


def _job_state(job: Job) -> State:
    return job.state


def _item_state(item: Item) -> State:
    return item.state
