"""The form with all keys by which studies are found."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import streamlit as st

from models.domain.refs import StudyQuery
from ui.parts import studies
from ui.parts.forms import field_problem

MODALITIES = ("CR", "CT", "DX", "ES", "IO", "MG", "MR", "NM", "OT", "PT", "RF", "RTDOSE", "RTSTRUCT", "SR", "US", "XA")
"""Those that are offered; others can be typed."""
_EARLIEST = date(1900, 1, 1)
_WILDCARDS = "\\* stands for any characters, ? for one."
_FIELDS = (
    "patient_id",
    "patient_name",
    "birth_date",
    "accession_number",
    "study_since",
    "study_until",
    "modalities",
    "study_description",
    "study_uid",
)


def query_form(problems: Mapping[str, str]) -> StudyQuery | None:
    """Draw the form with what is wrong beside its fields, and return the query when a search is asked for just now."""
    with st.form("study-query", enter_to_submit=True):
        query = _fields(problems)
        with st.container(horizontal=True):
            asked = st.form_submit_button("Search", type="primary", icon=":material/search:", key="search")
            st.form_submit_button("Clear", on_click=_clear, key="clear-query")
    return query if asked else None


def other_problems(problems: Mapping[str, str]) -> tuple[str, ...]:
    """What is wrong that has no field here."""
    return tuple(problem for name, problem in problems.items() if name not in {*_FIELDS, "study_date"})


def _fields(problems: Mapping[str, str]) -> StudyQuery:
    patient, name, born = st.columns([2, 3, 2])
    with patient:
        patient_id = _text("patient_id", "Patient ID", problems, _WILDCARDS)
    with name:
        help_text = f"Family name, or family name, given name: Doe, John. The beginnings are enough. {_WILDCARDS}"
        patient_name = _text("patient_name", "Patient name", problems, help_text)
    with born:
        birth_date = _day("birth_date", "Birth date", problems)
    accession, since, until, modality = st.columns([2, 1.5, 1.5, 2])
    with accession:
        accession_number = _text("accession_number", "Accession number", problems, _WILDCARDS)
    with since:
        study_since = _day("study_since", "Study date from", problems, "study_date")
    with until:
        study_until = _day("study_until", "Study date until", problems)
    with modality:
        modalities = _modalities(problems)
    described, uid = st.columns(2)
    with described:
        description = _text("study_description", "Study description", problems, _WILDCARDS)
    with uid:
        study_uid = _text("study_uid", "Study UID", problems)
    return StudyQuery(
        study_uid=study_uid,
        patient_id=patient_id,
        patient_name=patient_name,
        birth_date=studies.date_range(birth_date, birth_date),
        accession_number=accession_number,
        study_date=studies.date_range(study_since, study_until),
        study_description=description,
        modalities=modalities,
    )


def _text(name: str, label: str, problems: Mapping[str, str], help_text: str | None = None) -> str:
    with st.container(gap=None):
        value = st.text_input(label, key=_key(name), help=help_text, autocomplete="off", persist_state="session")
        field_problem(problems, name)
    return (value or "").strip()


def _day(name: str, label: str, problems: Mapping[str, str], field: str = "") -> date | None:
    with st.container(gap=None):
        value: Any = st.date_input(
            label,
            value=None,
            min_value=_EARLIEST,
            max_value="today",
            format="YYYY-MM-DD",
            key=_key(name),
            persist_state="session",
        )
        field_problem(problems, field or name)
    return value if isinstance(value, date) else None


def _modalities(problems: Mapping[str, str]) -> tuple[str, ...]:
    with st.container(gap=None):
        values = st.multiselect(
            "Modality",
            MODALITIES,
            key=_key("modalities"),
            placeholder="Any",
            accept_new_options=True,
            persist_state="session",
        )
        field_problem(problems, "modalities")
    return tuple(value.strip().upper() for value in values if value.strip())


def _clear() -> None:
    for name in _FIELDS:
        st.session_state[_key(name)] = [] if name == "modalities" else None if _is_day(name) else ""


def _is_day(name: str) -> bool:
    return name in {"birth_date", "study_since", "study_until"}


def _key(name: str) -> str:
    return f"query-{name.replace('_', '-')}"
