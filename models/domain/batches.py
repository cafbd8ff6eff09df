"""The rows of batch files, typed, and what is wrong with them. How a file is read stands in ``services.batch_files``.

Sentences and hints never quote what stands in a cell: that may be a patient.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum


class BatchKind(StrEnum):
    """What the rows of a file ask for."""

    QUERY = "query"
    TRANSFER = "transfer"


class Weight(StrEnum):
    """Whether a problem keeps the file from being accepted, or is only to be looked at."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong in one place of a batch file.

    ``row`` is the line as a spreadsheet program counts it, 0 where the whole file or column is meant. ``column`` is our
    name of the column, ``column C`` for one without a name of ours, or empty where the whole row is meant.
    ``value_hint`` says what kind of thing stands there, as in ``a number``.
    """

    row: int
    column: str
    sentence: str
    value_hint: str = ""
    weight: Weight = Weight.ERROR

    @property
    def is_error(self) -> bool:
        return self.weight is Weight.ERROR


WHOLE_NUMBER = re.compile(r"[+-]?\d{1,11}")
"""How a series number is written (IS, PS3.5 table 6.2-1)."""


@dataclass(frozen=True, slots=True)
class BatchQueryRow:
    """One row of a batch query. Empty means any; names are as DICOM has them, ``Last^First``."""

    line: int
    row_id: str = ""
    patient_id: str = ""
    patient_name: str = ""
    birth_date: date | None = None
    accession_number: str = ""
    from_date: date | None = None
    until_date: date | None = None
    modalities: tuple[str, ...] = ()
    study_description: str = ""
    series_description: str = ""
    series_numbers: tuple[str, ...] = ()
    pseudonym: str = ""

    @property
    def asks_for_series(self) -> bool:
        return bool(self.series_description or self.series_numbers)


@dataclass(frozen=True, slots=True)
class BatchTransferRow:
    """One row of a batch transfer.

    Either ``study_uid`` is given, or what finds the study: an accession number, or patient, date and modalities. In a
    row with a ``study_uid`` the others are empty. Without ``series_uids`` the whole study is meant.
    """

    line: int
    row_id: str = ""
    patient_id: str = ""
    study_uid: str = ""
    series_uids: tuple[str, ...] = ()
    pseudonym: str = ""
    accession_number: str = ""
    study_date: date | None = None
    modalities: tuple[str, ...] = ()

    @property
    def study_key(self) -> tuple[object, ...]:
        """What is the same for rows that mean the same study, as far as the rows tell."""
        if self.study_uid:
            return (self.study_uid,)
        if self.accession_number:
            return ("", self.accession_number, self.patient_id)
        return ("", "", self.patient_id, self.study_date, frozenset(self.modalities))


@dataclass(frozen=True, slots=True)
class BatchTransferItem:
    """All rows of one study as one unit of work, in the order of the file; no ``series_uids`` mean the whole study."""

    lines: tuple[int, ...]
    row_ids: tuple[str, ...]
    patient_id: str
    study_uid: str
    series_uids: tuple[str, ...] = ()
    pseudonym: str = ""
    accession_number: str = ""
    study_date: date | None = None
    modalities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckedQuery:
    """The rows of a batch query that have no error, and every problem of all rows."""

    rows: tuple[BatchQueryRow, ...]
    problems: tuple[Problem, ...]

    @property
    def is_good(self) -> bool:
        return not any(problem.is_error for problem in self.problems)


@dataclass(frozen=True, slots=True)
class CheckedTransfer:
    """The rows of a batch transfer that have no error of their own, and every problem of all rows and between them.

    ``skipped_lines`` are those of an exported query that found nothing: they are no rows to transfer.
    """

    rows: tuple[BatchTransferRow, ...]
    problems: tuple[Problem, ...]
    skipped_lines: tuple[int, ...] = ()

    @property
    def is_good(self) -> bool:
        return not any(problem.is_error for problem in self.problems)


@dataclass(frozen=True, slots=True)
class QueryResultLine:
    """One line of the results of a batch query: a study or series found, or a row that found none.

    Dates are empty or as DICOM has them (YYYYMMDD), times too, names as well (``Last^First``). ``outcome`` is empty for
    what was found, else a sentence that tells why nothing was.
    """

    line: int
    row_id: str = ""
    outcome: str = ""
    patient_id: str = ""
    patient_name: str = ""
    birth_date: str = ""
    accession_number: str = ""
    study_date: str = ""
    study_time: str = ""
    study_description: str = ""
    modalities: tuple[str, ...] = ()
    instance_count: int | None = None
    study_uid: str = ""
    series_uid: str = ""
    series_description: str = ""
    series_number: str = ""
    pseudonym: str = ""
    source: str = ""


def grouped(rows: Iterable[BatchTransferRow]) -> tuple[BatchTransferItem, ...]:
    """All rows of one study as one item, in the order in which the studies first appear.

    If one of its rows names no series, the whole study is meant; else the series that the rows name, each once. It may
    be called again when rows without a StudyInstanceUID have got one.
    """
    by_study: dict[tuple[object, ...], list[BatchTransferRow]] = {}
    for row in rows:
        by_study.setdefault(row.study_key, []).append(row)
    return tuple(_item(each) for each in by_study.values())


def of_lines(problems: Iterable[Problem]) -> Mapping[int, tuple[Problem, ...]]:
    """The problems by line, those of the whole file under 0."""
    found: dict[int, list[Problem]] = {}
    for problem in problems:
        found.setdefault(problem.row, []).append(problem)
    return {line: tuple(each) for line, each in sorted(found.items())}


def _item(rows: list[BatchTransferRow]) -> BatchTransferItem:
    first = rows[0]
    is_whole = any(not row.series_uids for row in rows)
    return BatchTransferItem(
        lines=tuple(row.line for row in rows),
        row_ids=tuple(row.row_id for row in rows),
        patient_id=next((row.patient_id for row in rows if row.patient_id), ""),
        study_uid=first.study_uid,
        series_uids=() if is_whole else tuple(dict.fromkeys(uid for row in rows for uid in row.series_uids)),
        pseudonym=next((row.pseudonym for row in rows if row.pseudonym), ""),
        accession_number=first.accession_number,
        study_date=first.study_date,
        modalities=first.modalities,
    )
