"""What a batch query has found, on the page of its job: a table page by page, and files to take away."""

from collections.abc import Mapping, Sequence

import streamlit as st

from models.domain.answers import ResultRow
from models.domain.jobs import FINISHED, Job, State
from models.domain.people import Actor, Permission
from services import jobs, nodes
from services.batches import results, verdicts
from services.job_access import may_know_patients
from ui import context
from ui.parts import links, studies, tables
from ui.parts.escape import escape_markdown
from ui.parts.job_tables import lines_of
from ui.parts.tables import Column, Look, states_column

_HIDDEN = "What was found names patients. Only who submitted the job may see it."


def show_results(job: Job, actor: Actor) -> None:
    """Draw the files, the way to a transfer, and the results as far as they are there."""
    st.header("Results", anchor=False)
    if not may_know_patients(actor, job):
        st.caption(_HIDDEN)
        return
    total = results.count(context.database(), actor, job.id)
    if job.state in FINISHED:
        with st.container(horizontal=True, key="result-files"):
            if total and Permission.ADD_BATCH_TRANSFER in actor.permissions:
                _ways_to_transfer(job, actor)
            _files(job)
    show_table(job, actor, total)


def show_table(job: Job, actor: Actor, total: int, item_id: int | None = None) -> None:
    """Draw the results of a job, or of one item of it."""
    db = context.database()
    names = _servers(job, actor)

    def load(limit: int, offset: int) -> Sequence[ResultRow]:
        return results.page(db, actor, job.id, limit, offset, item_id)

    waits = "Nothing has come in yet." if job.state not in FINISHED else "Nothing was found."
    picked = tables.paged_table(total, load, _look(names, item_id is None, waits), "results")
    if picked.opened:
        links.go_to_item(picked.opened.item_id)


def file_buttons(job: Job) -> None:
    """Draw the way to the file that was handed in, with a verdict behind each row, if there is one."""
    if verdicts.has_file(context.database(), job):
        st.link_button(
            "Your file with a verdict for each row",
            f"/files/jobs/{job.id}/verdicts",
            icon=":material/rule:",
            key="verdict-file",
        )


def _files(job: Job) -> None:
    for ending in ("xlsx", "csv"):
        st.link_button(
            f"Results (.{ending})",
            f"/files/jobs/{job.id}/results.{ending}",
            icon=":material/download:",
            key=f"results-{ending}",
        )
    file_buttons(job)


def _ways_to_transfer(job: Job, actor: Actor) -> None:
    """One way for each server that was asked: a transfer has one source."""
    servers = _servers(job, actor)
    for source_id, name in servers.items():
        label = "Transfer these" if len(servers) == 1 else f"Transfer what {escape_markdown(name)} has"
        if st.button(label, key=f"transfer-{source_id}", icon=":material/send:", type="primary"):
            links.go_to_batch_transfer(job.id, source_id)


def _servers(job: Job, actor: Actor) -> Mapping[int, str]:
    db = context.database()
    names = nodes.names(db)
    asked = sorted({source for source, _ in jobs.nodes(db, actor, job.id)}, key=lambda source: names.get(source, ""))
    return {source: names.get(source, "?") for source in asked}


def _look(names: Mapping[int, str], with_button: bool, empty: str) -> Look[ResultRow]:
    medium = st.column_config.TextColumn(width="medium")
    moment = st.column_config.TextColumn(width=tables.MOMENT)
    columns = [
        Column[ResultRow]("Line", lambda row: lines_of(row.lines), st.column_config.TextColumn(width="small")),
        Column[ResultRow]("Row ID", lambda row: row.row_id),
        Column[ResultRow]("Server", lambda row: names.get(row.source_id, "?")),
        states_column("State", _state),
        Column[ResultRow]("Patient ID", lambda row: row.answer.study.patient_id if row.answer else ""),
        Column[ResultRow](
            "Patient name", lambda row: studies.person(row.answer.study.patient_name if row.answer else "")
        ),
        Column[ResultRow]("Birth date", lambda row: studies.day(row.answer.study.birth_date if row.answer else "")),
        Column[ResultRow](
            "Study date", lambda row: studies.day_and_time(row.answer.study) if row.answer else "", moment
        ),
        Column[ResultRow]("Modality", _modality),
        Column[ResultRow]("Description", _description, medium),
        Column[ResultRow]("Images", _images, st.column_config.NumberColumn(width="small")),
        Column[ResultRow]("Pseudonym", lambda row: row.pseudonym),
        Column[ResultRow]("Message", lambda row: row.message, medium),
    ]
    if len(names) < 2:
        columns = [column for column in columns if column.label != "Server"]
    button = "Open" if with_button else ""
    return Look(columns, "Results of the query", _identity, "result", button=button, empty=empty)


def _identity(row: ResultRow) -> object:
    if row.answer is None:
        return row.item_id
    return row.item_id, row.answer.study.study_uid, row.answer.series.series_uid if row.answer.series else ""


def _state(row: ResultRow) -> State:
    return row.state


def _modality(row: ResultRow) -> str:
    if row.answer is None:
        return ""
    return row.answer.series.modality if row.answer.series else ", ".join(row.answer.study.modalities)


def _description(row: ResultRow) -> str:
    if row.answer is None:
        return ""
    series = row.answer.series
    return (
        f"{row.answer.study.study_description}: {studies.series_title(series)}"
        if series
        else row.answer.study.study_description
    )


def _images(row: ResultRow) -> int | None:
    return row.answer.instance_count if row.answer else None
