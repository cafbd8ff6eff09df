"""Turns a table into typed rows and names every problem of every row, and between rows, at once."""

import re
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date

from models.domain.batches import (
    BatchKind,
    BatchQueryRow,
    BatchTransferRow,
    CheckedQuery,
    CheckedTransfer,
    Problem,
    Weight,
)
from services.batch_files import columns as c
from services.batch_files.cells import Cells, read_cells, split
from services.batch_files.conflicts import pseudonym_problems, study_problems
from services.batch_files.headings import NEEDED, needs_in_words
from services.batch_files.limits import Limits
from services.batch_files.tables import Table

_COMMA = re.compile(r"\s*,\s*")


def check_query(table: Table, limits: Limits) -> CheckedQuery:
    """The rows of a batch query. Raises BadRequest where there are none at all, or too many."""
    cells = read_cells(table, BatchKind.QUERY, limits)
    rows = [_query_row(cells, line) for line in cells.lines]
    cells.problems += _query_problems(cells, rows)
    wrong = cells.wrong_lines()
    good = [row for row in rows if row.line not in wrong]
    problems = [*cells.problems, *_repeated(good), *map(_as_warning, pseudonym_problems(rows))]
    return CheckedQuery(tuple(good), _sorted(problems))


def check_transfer(table: Table, limits: Limits) -> CheckedTransfer:
    """The rows of a batch transfer, as they are or to be resolved by a query.

    Rows that the export of a batch query marks as not found are skipped. Raises BadRequest where there are no rows at
    all, or too many.
    """
    cells = read_cells(table, BatchKind.TRANSFER, limits)
    skipped = tuple(line for line in cells.lines if _is_skipped(cells, line))
    _leave_out(cells, set(skipped))
    rows = [_transfer_row(cells, line) for line in cells.lines]
    cells.problems += _transfer_problems(cells)
    wrong = cells.wrong_lines()
    good = tuple(row for row in rows if row.line not in wrong)
    problems = [*cells.problems, *_skipped(skipped), *pseudonym_problems(rows), *study_problems(rows)]
    return CheckedTransfer(good, _sorted(problems), skipped)


def dicom_name(name: str) -> str:
    """A name as DICOM has it: ``Last, First`` becomes ``Last^First``."""
    return _COMMA.sub("^", name).strip("^") if "," in name else name


def _query_row(cells: Cells, line: int) -> BatchQueryRow:
    day = cells.day(c.STUDY_DATE, line)
    return BatchQueryRow(
        line,
        row_id=cells.text(c.ROW_ID, line),
        patient_id=cells.text(c.PATIENT_ID, line),
        patient_name=dicom_name(cells.text(c.PATIENT_NAME, line)),
        birth_date=cells.day(c.BIRTH_DATE, line),
        accession_number=cells.text(c.ACCESSION_NUMBER, line),
        from_date=cells.day(c.FROM, line) or day,
        until_date=cells.day(c.UNTIL, line) or day,
        modalities=_modalities(cells, line),
        study_description=cells.text(c.STUDY_DESCRIPTION, line),
        series_description=cells.text(c.SERIES_DESCRIPTION, line),
        series_numbers=split(cells.text(c.SERIES_NUMBER, line)),
        pseudonym=cells.text(c.PSEUDONYM, line),
    )


def _transfer_row(cells: Cells, line: int) -> BatchTransferRow:
    row = BatchTransferRow(
        line,
        row_id=cells.text(c.ROW_ID, line),
        patient_id=cells.text(c.PATIENT_ID, line),
        study_uid=cells.text(c.STUDY_UID, line),
        series_uids=split(cells.text(c.SERIES_UID, line)),
        pseudonym=cells.text(c.PSEUDONYM, line),
    )
    if cells.has(line, c.STUDY_UID):
        return row
    return replace(
        row,
        accession_number=cells.text(c.ACCESSION_NUMBER, line),
        study_date=cells.day(c.STUDY_DATE, line),
        modalities=_modalities(cells, line),
    )


def _modalities(cells: Cells, line: int) -> tuple[str, ...]:
    return split(cells.text(c.MODALITY, line).upper())


def _query_problems(cells: Cells, rows: Iterable[BatchQueryRow]) -> Iterator[Problem]:
    for row in rows:
        for need in NEEDED[BatchKind.QUERY]:
            if not _is_met(cells, row.line, need):
                yield Problem(row.line, "", f"Give {needs_in_words(need)}.")
        if row.from_date and row.until_date and row.from_date > row.until_date:
            yield Problem(row.line, c.UNTIL, "The last day is before the first one.", "a date")
        if cells.has(row.line, c.STUDY_DATE) and cells.given[row.line] & {c.FROM, c.UNTIL}:
            yield Problem(row.line, c.STUDY_DATE, "Give a day, or From and Until, but not both.", "a date")
        if row.birth_date and row.birth_date > date.today():
            yield Problem(row.line, c.BIRTH_DATE, "This day has not come yet.", "a date")


def _transfer_problems(cells: Cells) -> Iterator[Problem]:
    (need,) = NEEDED[BatchKind.TRANSFER]
    for line in cells.lines:
        has_study = cells.has(line, c.STUDY_UID)
        if has_study and not cells.has(line, c.PATIENT_ID) and c.PATIENT_ID in cells.columns:
            yield Problem(line, c.PATIENT_ID, "It is needed: the study must belong to this patient.", "nothing")
        elif cells.has(line, c.SERIES_UID) and not has_study:
            yield Problem(line, c.STUDY_UID, "It is needed where a SeriesInstanceUID is given.", "nothing")
        elif not _is_met(cells, line, need):
            yield Problem(line, "", f"Give {needs_in_words(need)}.")


def _is_met(cells: Cells, line: int, need: Sequence[Sequence[str]]) -> bool:
    """Whether a row gives one of several sets of columns; that a column is missing is said once, not for every row."""
    can_be_met = any(cells.columns.issuperset(names) for names in need)
    return not can_be_met or any(cells.has(line, *names) for names in need)


def _is_skipped(cells: Cells, line: int) -> bool:
    has_result = cells.has(line, c.QUERY_RESULT) and not cells.has(line, c.STUDY_UID)
    return has_result and cells.text(c.QUERY_RESULT, line).casefold() != c.FOUND


def _leave_out(cells: Cells, lines: set[int]) -> None:
    """Forget rows that are skipped, and what is wrong with columns that a StudyInstanceUID makes unnecessary."""
    unread = {c.ACCESSION_NUMBER, c.STUDY_DATE, c.MODALITY}
    cells.lines = [line for line in cells.lines if line not in lines]
    cells.problems = [
        problem
        for problem in cells.problems
        if problem.row not in lines
        and not (problem.column in unread and c.STUDY_UID in cells.given.get(problem.row, ()))
        and problem.column != c.QUERY_RESULT
    ]


def _skipped(lines: tuple[int, ...]) -> Iterator[Problem]:
    for line in lines:
        sentence = "Skipped: the batch query found nothing for this row."
        yield Problem(line, c.QUERY_RESULT, sentence, weight=Weight.WARNING)


def _repeated(rows: Iterable[BatchQueryRow]) -> Iterator[Problem]:
    first: dict[Hashable, int] = {}
    for row in rows:
        line = first.setdefault(replace(row, line=0, row_id=""), row.line)
        if line != row.line:
            yield Problem(row.line, "", f"It asks for the same as line {line}.", weight=Weight.WARNING)


def _as_warning(problem: Problem) -> Problem:
    return replace(problem, weight=Weight.WARNING)


def _sorted(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    return tuple(sorted(dict.fromkeys(problems), key=lambda problem: problem.row))
