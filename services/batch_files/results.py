"""Writes what a batch query has found so that it can be used as a batch transfer file without editing."""

from collections.abc import Iterable, Sequence
from datetime import date

from models.domain.batches import QueryResultLine
from services.batch_files.columns import (
    ACCESSION_NUMBER,
    FOUND,
    PATIENT_ID,
    PATIENT_NAME,
    PSEUDONYM,
    QUERY_RESULT,
    RESULTS,
    ROW_ID,
    SERIES_DESCRIPTION,
    SERIES_NUMBER,
    SERIES_UID,
    STUDY_DATE,
    STUDY_DESCRIPTION,
    STUDY_UID,
)
from services.batch_files.tables import FileKind
from services.batch_files.writing import Cell, Download, write

_OPTIONAL = {
    PSEUDONYM: "pseudonym",
    SERIES_UID: "series_uid",
    SERIES_DESCRIPTION: "series_uid",
    SERIES_NUMBER: "series_uid",
    "Source": "source",
    ROW_ID: "row_id",
}
"""Columns that are there only if some line has what they are for."""


def export(lines: Iterable[QueryResultLine], kind: FileKind, name: str) -> Download:
    """A file with a row for each study or series found, and for each row of the query that found nothing.

    The latter say why in the column ``QueryResult``; a batch transfer skips them.
    """
    found = list(lines)
    headings = [heading for heading in RESULTS if _is_needed(heading, found)]
    rows = map(_values, found)
    return write(name, kind, headings, ([row[heading] for heading in headings] for row in rows))


def person_name(name: str) -> str:
    """A name as people write it, if it has two parts: ``Last^First`` becomes ``Last, First``."""
    parts = name.rstrip("^").split("^")
    is_simple = len(parts) == 2 and all(part.strip() and "," not in part for part in parts)
    return ", ".join(parts) if is_simple else name


def _is_needed(heading: str, lines: Sequence[QueryResultLine]) -> bool:
    return heading not in _OPTIONAL or any(getattr(line, _OPTIONAL[heading]) for line in lines)


def _values(line: QueryResultLine) -> dict[str, Cell]:
    """All that a line can say, by column."""
    return {
        PSEUDONYM: line.pseudonym,
        PATIENT_ID: line.patient_id,
        PATIENT_NAME: person_name(line.patient_name),
        "BirthDate": _day(line.birth_date),
        "ModalitiesInStudy": ", ".join(line.modalities),
        STUDY_DATE: _day(line.study_date),
        "StudyTime": _time(line.study_time),
        STUDY_DESCRIPTION: line.study_description,
        "NumberOfStudyRelatedInstances": line.instance_count,
        ACCESSION_NUMBER: line.accession_number,
        STUDY_UID: line.study_uid,
        SERIES_UID: line.series_uid,
        SERIES_DESCRIPTION: line.series_description,
        SERIES_NUMBER: line.series_number,
        "Source": line.source,
        ROW_ID: line.row_id,
        "Line": line.line,
        QUERY_RESULT: line.outcome or FOUND,
    }


def _day(text: str) -> Cell:
    """A date of DICOM as a date; what is none stays as the archive has it."""
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:])) if len(text) == 8 and text.isdecimal() else text
    except ValueError:
        return text


def _time(text: str) -> str:
    digits = text.partition(".")[0]
    return f"{digits[:2]}:{digits[2:4]}:{digits[4:6]}" if len(digits) == 6 and digits.isdigit() else text
