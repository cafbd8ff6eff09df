"""What people type to find studies: checked for shape, and put into the form in which archives are asked."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime

from models.domain.errors import BadRequest
from models.domain.refs import StudyQuery, is_uid

KEYS = (
    "study_uid",
    "patient_id",
    "patient_name",
    "birth_date",
    "accession_number",
    "study_date",
    "study_time",
    "study_description",
    "modalities",
)
_LIMITS = {"patient_id": 64, "patient_name": 324, "accession_number": 32, "study_description": 64}
_DATES = ("birth_date", "study_date")
_FORBIDDEN = re.compile(r"[\\\x00-\x1f\x7f]")
_DATE = re.compile(r"\d{8}")
_TIME = re.compile(r"(?:[01]\d|2[0-3])(?:[0-5]\d(?:[0-5]\d(?:\.\d{1,6})?)?)?")
_MODALITY = re.compile(r"[A-Z0-9_]{1,16}")
_MOST_MODALITIES = 20
_OF_PATTERNS = re.compile(r"[*?^=]")


def checked(query: StudyQuery) -> StudyQuery:
    """The query as archives are asked; raises BadRequest naming every key that cannot be as it is.

    Spaces at the ends are dropped, modalities become upper case and stand once, and names are read as people write
    them. An empty query asks for everything.
    """
    wanted = replace(
        query,
        **{name: str(getattr(query, name)).strip() for name in KEYS if name != "modalities"},
        modalities=tuple(dict.fromkeys(text for each in query.modalities if (text := each.strip().upper()))),
    )
    problems = dict(_problems(wanted))
    if problems:
        raise BadRequest.of(problems)
    return replace(wanted, patient_name=name_pattern(wanted.patient_name))


def name_pattern(name: str) -> str:
    """The pattern for a name as people write it: ``Doe, John`` finds all whose parts begin so (``Doe*^John*``).

    What has a wildcard or a DICOM delimiter and no comma is a pattern already and stays as it is.
    """
    parts = [part.strip() for part in name.split(",")]
    if len(parts) == 1 and _OF_PATTERNS.search(name):
        return name.strip()
    while parts and not parts[-1]:
        parts.pop()
    return "^".join(part if part.endswith("*") else f"{part}*" for part in parts)


def named_keys(query: StudyQuery) -> tuple[str, ...]:
    """The names of the keys that a query has values for."""
    return tuple(name for name in KEYS if getattr(query, name))


def is_date_span(text: str) -> bool:
    """Whether a text is empty, a date YYYYMMDD, or a range of dates of which one end may be open."""
    return _is_span(text, _is_date)


def is_time_span(text: str) -> bool:
    """Whether a text is empty, a time HH, HHMM, HHMMSS or HHMMSS.FFFFFF, or a range of them."""
    return _is_span(text, _is_time)


def _problems(query: StudyQuery) -> Iterator[tuple[str, str]]:
    for name, limit in _LIMITS.items():
        text: str = getattr(query, name)
        if len(text) > limit:
            yield name, f"at most {limit} characters."
        elif _FORBIDDEN.search(text):
            yield name, "no backslashes and no control characters."
    if query.study_uid and not is_uid(query.study_uid):
        yield "study_uid", "this is no DICOM UID."
    for name in _DATES:
        if not is_date_span(getattr(query, name)):
            yield name, "a date like 20240131, or a range of them like 20240101-20240131."
    if not is_time_span(query.study_time):
        yield "study_time", "a time like 0830, or a range of them like 0830-1200."
    if len(query.modalities) > _MOST_MODALITIES:
        yield "modalities", f"at most {_MOST_MODALITIES}."
    elif not all(_MODALITY.fullmatch(text) for text in query.modalities):
        yield "modalities", "abbreviations such as CT or MR, of at most 16 letters and digits."


def _is_span(text: str, is_moment: Callable[[str], bool]) -> bool:
    """Whether a text is empty, one moment, or a range of which one end may be open; the ends are in order."""
    first, dash, last = text.partition("-")
    if not dash:
        return not text or is_moment(text)
    ends = [end for end in (first, last) if end]
    return bool(ends) and all(is_moment(end) for end in ends) and ends == sorted(ends)


def _is_date(text: str) -> bool:
    if not _DATE.fullmatch(text):
        return False
    try:
        datetime.strptime(text, "%Y%m%d")
    except ValueError:
        return False
    return True


def _is_time(text: str) -> bool:
    return _TIME.fullmatch(text) is not None
