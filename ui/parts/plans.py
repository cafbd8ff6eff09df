"""What a check has found: what would be moved of each study, what would be left out and why, and whether it fits."""

import streamlit as st

from models.domain.previews import Preview, PreviewedStudy
from models.domain.quotas import readable
from ui.parts import studies, tables
from ui.parts.escape import escape_markdown

_Row = tuple[int, PreviewedStudy]


def show_plan(preview: Preview, keeps_identity: bool) -> None:
    """Draw totals, problems, the studies, and what is left out."""
    _totals(preview)
    for problem in preview.problems:
        st.error(escape_markdown(problem), icon=":material/error:")
    tables.table([*enumerate(preview.studies, start=1)], _look(keeps_identity), "plan")
    _notes(preview)


def _totals(preview: Preview) -> None:
    with st.container(horizontal=True, key="plan-totals"):
        st.metric("Studies", len(preview.studies), border=True, width="content")
        st.metric("Images", _count(preview.instance_count), border=True, width="content")
        st.metric("About", readable(preview.size_bytes), border=True, width="content")
        if preview.usage and preview.usage.left_bytes is not None:
            st.metric("Room in the folder", readable(preview.usage.left_bytes), border=True, width="content")


def _notes(preview: Preview) -> None:
    """Series that are left out, and those of which some images may be held: everybody should know before."""
    lines = [
        f"{studies.title(study.study)}: {studies.series_title(left.series)}. {left.reason}"
        for study in preview.studies
        if study.study
        for left in study.left_out
    ]
    lines += [
        f"{studies.title(study.study)}: {studies.series_title(series.series)}. {series.note}"
        for study in preview.studies
        if study.study
        for series in study.series
        if series.note
    ]
    if lines:
        with st.container(border=True, key="plan-notes"):
            st.markdown("**Worth knowing before**")
            st.markdown("\n".join(f"- {escape_markdown(line)}" for line in lines))


def _look(keeps_identity: bool) -> tables.Look[_Row]:
    unnamed = "identity is kept" if keeps_identity else "generated"
    columns = [
        tables.Column[_Row]("No.", lambda row: row[0], st.column_config.NumberColumn(width="small")),
        tables.Column[_Row]("Study", lambda row: _title(row[1]), st.column_config.TextColumn(width="large")),
        tables.Column[_Row]("Pseudonym", lambda row: row[1].wish.pseudonym or unnamed),
        tables.Column[_Row]("Series", lambda row: len(row[1].series)),
        tables.Column[_Row]("Left out", lambda row: len(row[1].left_out)),
        tables.Column[_Row]("Images", lambda row: _count(row[1].instance_count)),
        tables.Column[_Row]("About", lambda row: readable(row[1].size_bytes)),
    ]
    return tables.Look(columns, "Plan of the transfer", lambda row: row[1].wish.study_uid, "study")


def _title(study: PreviewedStudy) -> str:
    return studies.title(study.study) if study.study else study.wish.study_uid


def _count(number: int | None) -> str:
    return "not known" if number is None else f"{number:,}"
