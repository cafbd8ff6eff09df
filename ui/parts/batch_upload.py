"""The first step of a batch: hand a file in, and see every problem of every row at once."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import streamlit as st

from models.domain.batches import BatchKind, BatchQueryRow, BatchTransferRow, Problem
from services.batch_files.columns import COLUMNS, QUERY_RESULT
from services.batch_files.limits import limits_of
from ui import session
from ui.parts import amounts, tables
from ui.parts.batch_draft import BatchDraft, content_of
from ui.parts.escape import escape_markdown
from ui.parts.tables import Column, Look

_ENDINGS = ["xlsx", "ods", "csv", "txt", "tsv"]
_MB = 1024 * 1024
_FILE = "whole file"
_OF_LINE = re.compile(r"Line (\d+): (\w+)")
_PROBLEMS_A_PAGE = 15
_NEEDS = {
    BatchKind.QUERY: "Each row needs a PatientID, or a PatientName with a PatientBirthDate; and an AccessionNumber, "
    "or a Modality.",
    BatchKind.TRANSFER: "Each row needs a StudyInstanceUID with a PatientID; or an AccessionNumber; or a PatientID "
    "with a StudyDate and a Modality. The results of a batch query are such a file.",
}


def hand_in(draft: BatchDraft) -> bool:
    """Draw the field for a file, or the file and what is wrong with it; returns whether it is good to go on with."""
    if draft.upload is None:
        _ask(draft)
        return False
    upload = draft.upload
    with st.container(border=True, key="batch-file"):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            count = amounts.counted(len(upload.rows), "row")
            told = f"**{escape_markdown(upload.file.name)}**: {count}{' without an error' if upload.errors else ''}"
            st.markdown(f":material/table: {told}", width="content")
            st.button("Choose another file", icon=":material/upload_file:", key="another-file", on_click=draft.drop)
        if len(upload.sheets) > 1:
            _choose_sheet(draft, upload.sheets)
        _show_problems(draft)
        if upload.rows:
            with st.expander("What was read", icon=":material/visibility:", key="rows-read", on_change="rerun") as box:
                if box.open:
                    _show_rows(upload.rows)
    return upload.is_good


def help_with_files(kind: BatchKind) -> None:
    """Draw what a file looks like, with an empty one and a filled one to take away."""
    with st.container(horizontal=True, vertical_alignment="center", key="file-samples"):
        with st.popover("What the file looks like", icon=":material/help:", key="file-help"):
            st.markdown(f"{_NEEDS[kind]} Other columns may be there, and are not read.")
            st.markdown("\n".join(_column_lines(kind)))
            st.caption("Dates are best written 2023-12-31. Format columns of IDs as text, so that zeros stay.")
        for what in ("template", "sample"):
            for ending in ("xlsx", "csv"):
                st.link_button(
                    f"{what.capitalize()} (.{ending})",
                    f"/files/batch/{kind.value}_{what}.{ending}",
                    icon=":material/download:",
                    key=f"{what}-{ending}",
                    type="tertiary",
                )


def show_refused(problems: Mapping[str, str], fields: Sequence[str]) -> None:
    """Say what a service found wrong that has no field on the page: rows by line and column, all else in sentences."""
    of_lines = [
        Problem(int(found[1]), found[2], sentence)
        for name, sentence in problems.items()
        if (found := _OF_LINE.fullmatch(name))
    ]
    for name, sentence in problems.items():
        if name not in fields and not _OF_LINE.fullmatch(name):
            words = sentence if name in {"request", "rows"} else f"{name.replace('_', ' ')}: {sentence}"
            st.error(escape_markdown(words[:1].upper() + words[1:]), icon=":material/error:")
    if of_lines:
        st.error(
            f"{amounts.counted(len(of_lines), 'problem')} in the rows. Correct the file, and hand it in again.",
            icon=":material/error:",
        )
        _table(of_lines, "refused-problems")


def _ask(draft: BatchDraft) -> None:
    if draft.refusal:
        st.error(escape_markdown(draft.refusal), icon=":material/error:")
    limits = limits_of(draft.kind, session.actor().is_staff)
    given = st.file_uploader(
        f"A spreadsheet: .xlsx, .ods or .csv, with at most {limits.rows:,} rows",
        type=_ENDINGS,
        key=f"{draft.kind.value}-file-{draft.round}",
        max_upload_size=limits.file_bytes // _MB,
    )
    if given is not None:
        with st.spinner("Reading the file"):
            draft.take(content_of(given))
        st.rerun()


def _choose_sheet(draft: BatchDraft, sheets: Sequence[str]) -> None:
    """The choice keeps the order of the file's sheets as it was first read: the one that is read stands first."""
    read = sheets[0]
    chosen = st.selectbox("Sheet", sorted(sheets), index=sorted(sheets).index(read), key=f"sheet-{draft.round}")
    if chosen and chosen != read:
        draft.choose_sheet(chosen)
        st.rerun()


def _show_problems(draft: BatchDraft) -> None:
    upload = draft.upload
    if upload is None or not upload.problems:
        return
    errors, warnings = len(upload.errors), len(upload.warnings)
    if errors:
        warned = f" There {_are(warnings, 'warning')}, too." if warnings else ""
        st.error(
            f"There {_are(errors, 'problem')}. Nothing is done before the file has none. Correct it, and hand it in "
            f"again.{warned}",
            icon=":material/error:",
        )
    else:
        them = "it" if warnings == 1 else "them"
        st.warning(f"There {_are(warnings, 'warning')}. Look at {them} before you go on.", icon=":material/warning:")
    _table([*upload.errors, *upload.warnings], "file-problems")
    st.download_button(
        "Download the file with the problems marked",
        lambda: upload.annotated().data,
        _annotated_name(upload.sheets),
        icon=":material/download:",
        key="annotated",
        on_click="ignore",
    )


def _are(count: int, noun: str) -> str:
    return f"{'is' if count == 1 else 'are'} {amounts.counted(count, noun)}"


def _annotated_name(sheets: Sequence[str]) -> str:
    """As ``annotated`` calls it, which is not made before somebody wants it; only CSV has no sheets."""
    return f"batch_file_checked.{'xlsx' if sheets else 'csv'}"


def _table(problems: Sequence[Problem], key: str) -> None:
    def load(limit: int, offset: int) -> Sequence[Problem]:
        return problems[offset : offset + limit]

    colours = {"Error": "red", "Warning": "orange"}
    kinds = st.column_config.MultiselectColumn("Kind", options=list(colours), color=list(colours.values()), width=90)
    columns = [
        Column[Problem]("Line", lambda problem: str(problem.row or _FILE), st.column_config.TextColumn(width=85)),
        Column[Problem]("Column", lambda problem: problem.column or "row as a whole"),
        Column[Problem]("What is wrong", lambda problem: problem.sentence, st.column_config.TextColumn(width="large")),
        Column[Problem]("Kind", lambda problem: ["Error" if problem.is_error else "Warning"], kinds),
        Column[Problem]("What stands there", lambda problem: problem.value_hint),
    ]
    look = Look(columns, "Problems of the file", lambda problem: problem, "problem", size=_PROBLEMS_A_PAGE)
    tables.paged_table(len(problems), load, look, key)


@dataclass(frozen=True, slots=True)
class _Shown:
    """A column of what was read; it is shown where any row has something in it."""

    label: str
    name: str

    def text(self, row: Any) -> str:
        value: Any = getattr(row, self.name, "")
        return str(value or "") if not isinstance(value, tuple) else ", ".join(cast(tuple[str, ...], value))


_SHOWN = tuple(
    _Shown(*pair)
    for pair in (
        ("Line", "line"),
        ("Row ID", "row_id"),
        ("Patient ID", "patient_id"),
        ("Patient name", "patient_name"),
        ("Birth date", "birth_date"),
        ("Accession number", "accession_number"),
        ("Study date", "study_date"),
        ("From", "from_date"),
        ("Until", "until_date"),
        ("Modality", "modalities"),
        ("Study description", "study_description"),
        ("Series description", "series_description"),
        ("Series number", "series_numbers"),
        ("Study UID", "study_uid"),
        ("Series UIDs", "series_uids"),
        ("Pseudonym", "pseudonym"),
    )
)


def _show_rows(rows: Sequence[BatchQueryRow] | Sequence[BatchTransferRow]) -> None:
    def load(limit: int, offset: int) -> Sequence[Any]:
        return rows[offset : offset + limit]

    shown = [column for column in _SHOWN if any(column.text(row) for row in rows)]
    look = Look[Any]([Column[Any](each.label, each.text) for each in shown], "Rows of the file", lambda row: row)
    tables.paged_table(len(rows), load, look, "rows-read-page")


def _column_lines(kind: BatchKind) -> list[str]:
    columns = [column for column in COLUMNS[kind] if column.name != QUERY_RESULT]
    return [
        f"- **{column.name}**: {escape_markdown(column.explanation)}"
        + (f" Such as `{column.example}`." if column.example else "")
        for column in columns
    ]
