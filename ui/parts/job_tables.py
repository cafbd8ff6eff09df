"""Lists of jobs and of their items, the same on every page."""

from collections.abc import Mapping, Sequence

import streamlit as st

from models.domain.jobs import FINISHED, Item, Job, State
from models.domain.receipts import ReceiptSummary
from ui.parts import status, times
from ui.parts.tables import MOMENT, Column, Look, states_column

_MOST_LINES = 6
_COUNT = 95
"""Pixels of columns that are empty to begin with: a table keeps the widths that it was first drawn with."""
_NUMBER, _KIND = 55, 125
"""Pixels of columns that are the same in every list."""
_MESSAGE, _LONG_MESSAGE = 180, 330
"""Pixels of a column that would take all room there is: what stands behind it would not fit into a laptop's window."""

Counts = Mapping[int, Mapping[State, int]]
"""How many items are in which state, by the job's id."""


def jobs_look(
    counts: Counts, with_owner: bool = False, empty: str = "There are no jobs.", more: Sequence[Column[Job]] = ()
) -> Look[Job]:
    """Jobs with the button that opens them. ``counts`` may be filled after this, as long as it is before drawing.

    ``more`` stands before what may be long: that is what a narrow window cuts.
    """
    columns = [
        Column[Job]("Job", lambda job: job.id, st.column_config.NumberColumn(format="%d", width=_NUMBER)),
        states_column("State", _job_state),
        Column[Job]("Kind", lambda job: status.kind_word(job.kind), st.column_config.TextColumn(width=_KIND)),
        *more,
        Column[Job]("Items", lambda job: _items(job, counts.get(job.id, {}))),
        Column[Job]("Trial", lambda job: job.trial_protocol_id),
        Column[Job]("Created", lambda job: times.moment(job.created_at), st.column_config.TextColumn(width=MOMENT)),
        Column[Job]("Ended", lambda job: times.moment(job.ended_at), st.column_config.TextColumn(width=MOMENT)),
    ]
    if with_owner:
        columns.insert(2, Column[Job]("Owner", lambda job: job.owner))
    return Look(columns, "Jobs", lambda job: job.id, "job", button="Open", empty=empty)


def lines_of(lines: Sequence[int]) -> str:
    """Lines of a file in words, the first few of many: ``2, 3, 7``."""
    shown = ", ".join(map(str, lines[:_MOST_LINES]))
    return f"{shown} and {len(lines) - _MOST_LINES} more" if len(lines) > _MOST_LINES else shown


def questions_look(names: Mapping[int, str], with_patients: bool = True) -> Look[Item]:
    """The items of a job that only asks; ``names`` are those of the servers, told where there are several.

    Without ``with_patients`` it is for somebody who may not know them, nor what a row of the file is called.
    """
    columns = [
        Column[Item]("Item", lambda item: item.position, st.column_config.NumberColumn(format="%d", width=_NUMBER)),
        states_column("State", _item_state),
        Column[Item]("Lines", lambda item: lines_of(item.lines), st.column_config.TextColumn(width="small")),
    ]
    if with_patients:
        columns.append(Column[Item]("Row ID", lambda item: item.row_id))
    if len(names) > 1:
        columns.append(Column[Item]("Server", lambda item: names.get(item.source_id, "?")))
    columns += [
        Column[Item]("Message", lambda item: item.message, st.column_config.TextColumn(width=_LONG_MESSAGE)),
        Column[Item]("Attempts", lambda item: item.attempts, st.column_config.NumberColumn(width="small")),
        Column[Item]("Ended", lambda item: times.moment(item.ended_at), st.column_config.TextColumn(width=MOMENT)),
    ]
    return Look(columns, "Items of the job", lambda item: item.id, "item", button="Open")


def items_look(
    receipts: Mapping[int, ReceiptSummary],
    with_lines: bool = False,
    with_patients: bool = True,
    with_studies: bool = True,
) -> Look[Item]:
    """Items with the button that opens them; ``receipts`` are by the item's id, and may be filled before drawing.

    ``with_patients`` and ``with_studies`` say what its reader may know: what is kept from one has no column.
    """
    columns = [
        Column[Item]("Item", lambda item: item.position, st.column_config.NumberColumn(format="%d", width=_NUMBER)),
        states_column("State", _item_state),
    ]
    if with_lines:
        columns.append(
            Column[Item]("Lines", lambda item: lines_of(item.lines), st.column_config.TextColumn(width="small"))
        )
    if with_lines and with_patients:
        columns.append(Column[Item]("Row ID", lambda item: item.row_id))
    if with_patients:
        columns.append(Column[Item]("Patient ID", lambda item: item.patient_id))
    columns.append(Column[Item]("Pseudonym", lambda item: item.pseudonym))
    if with_studies and not with_lines:
        columns.append(Column[Item]("Series", lambda item: str(len(item.series_uids) or "all")))
    columns += [
        Column[Item]("Stored", lambda item: _stored(receipts.get(item.id)), st.column_config.TextColumn(width=_COUNT)),
        Column[Item]("Message", lambda item: item.message, st.column_config.TextColumn(width=_MESSAGE)),
        Column[Item]("Ended", lambda item: times.moment(item.ended_at), st.column_config.TextColumn(width=MOMENT)),
    ]
    return Look(columns, "Items of the job", lambda item: item.id, "item", button="Open")


def _items(job: Job, counts: Mapping[State, int]) -> str:
    """How many items are in which state, and whether a server holds some of them back: the job's page says which."""
    line = status.counts_line(counts)
    return f"{line} (held back)" if job.message and job.state not in FINISHED else line


def _stored(receipt: ReceiptSummary | None) -> str:
    if receipt is None:
        return ""
    return f"{receipt.stored:,}" if receipt.expected is None else f"{receipt.stored:,} of {receipt.expected:,}"


def _job_state(job: Job) -> State:
    return job.state


def _item_state(item: Item) -> State:
    return item.state
