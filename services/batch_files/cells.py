"""The cells of a table, checked column by column; what rows need as a whole is checked elsewhere."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date

from models.domain.batches import WHOLE_NUMBER, BatchKind, Problem, Weight
from models.domain.errors import BadRequest
from models.domain.refs import is_uid
from models.domain.requests import name_problems
from services.batch_files import columns
from services.batch_files.columns import BY_NAME, Column, Meaning
from services.batch_files.dates import read_dates
from services.batch_files.headings import Headings, matched
from services.batch_files.limits import Limits, check_rows
from services.batch_files.tables import Row, Table, Value
from services.batch_files.values import NotTextError, hint, lines_named, text_of

_FORBIDDEN = re.compile(r"[\\\x00-\x1f\x7f]")
_INVISIBLE = re.compile(r"[\u00ad\u034f\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]")
_WILDCARD = re.compile(r"[*?]")
_MODALITY = re.compile(r"[A-Z0-9_]{1,16}")
_BETWEEN = re.compile(r"[,;/\s]+")
_MOST_MODALITIES = 20
_MOST_NUMBERS = 100


@dataclass(slots=True)
class Cells:
    """What stands in the known columns, by column and line; what is wrong has no value, but counts as given."""

    lines: list[int] = field(default_factory=list[int])
    columns: frozenset[str] = frozenset()
    texts: dict[str, dict[int, str]] = field(default_factory=dict[str, dict[int, str]])
    days: dict[str, dict[int, date]] = field(default_factory=dict[str, dict[int, date]])
    given: dict[int, frozenset[str]] = field(default_factory=dict[int, frozenset[str]])
    problems: list[Problem] = field(default_factory=list[Problem])

    def text(self, name: str, line: int) -> str:
        return self.texts.get(name, {}).get(line, "")

    def day(self, name: str, line: int) -> date | None:
        return self.days.get(name, {}).get(line)

    def has(self, line: int, *names: str) -> bool:
        return self.given[line].issuperset(names)

    def wrong_lines(self) -> set[int]:
        return {problem.row for problem in self.problems if problem.is_error}


def read_cells(table: Table, kind: BatchKind, limits: Limits) -> Cells:
    """Check every cell of the known columns. Rows that are empty in all of them are left out.

    Raises BadRequest when there are no rows, or too many.
    """
    if not table.rows:
        raise BadRequest("The file has no rows.")
    headings = matched(table, kind)
    rows = [row for row in table.rows[1:] if _is_filled(row, headings)]
    check_rows(len(rows), limits)
    cells = Cells([row.line for row in rows], frozenset(headings.places), problems=[*headings.problems])
    if headings.places and not rows:
        raise BadRequest("The file has headings, but no rows below them.")
    cells.problems += _hidden(table, headings, rows)
    _note_given(cells, headings, rows)
    return cells


def _note_given(cells: Cells, headings: Headings, rows: Sequence[Row]) -> None:
    given: dict[int, list[str]] = {row.line: [] for row in rows}
    for name, place in headings.places.items():
        filled = [(row.line, value) for row in rows if (value := _value(row, place)) is not None]
        for line, _ in filled:
            given[line].append(name)
        _read_column(cells, BY_NAME[name], filled)
    cells.given = {line: frozenset(names) for line, names in given.items()}


def split(text: str) -> tuple[str, ...]:
    """The parts of a cell that may hold several, each once."""
    return tuple(dict.fromkeys(part for part in _BETWEEN.split(text) if part))


def _read_column(cells: Cells, column: Column, filled: Sequence[tuple[int, Value]]) -> None:
    if column.meaning is Meaning.DATE:
        dates = read_dates(column.name, filled, needs_century=column.name == columns.BIRTH_DATE)
        cells.days[column.name] = dates.days
        cells.problems += dates.problems
        return
    texts = cells.texts[column.name] = {}
    for line, value in filled:
        try:
            text = text_of(value)
        except NotTextError as error:
            cells.problems.append(Problem(line, column.name, str(error), hint(value)))
            continue
        sentence = _sentence(column, text)
        if sentence:
            cells.problems.append(Problem(line, column.name, sentence, hint(value)))
        else:
            texts[line] = text
    cells.problems += _numbers(column, [line for line, value in filled if isinstance(value, float) and line in texts])


def _is_filled(row: Row, headings: Headings) -> bool:
    return any(_value(row, place) is not None for place in headings.places.values())


def _value(row: Row, place: int) -> Value:
    value = row.cells[place] if place < len(row.cells) else None
    return None if isinstance(value, str) and not value.strip() else value


def _sentence(column: Column, text: str) -> str:
    """What is wrong with a text, empty if nothing is."""
    if len(text) > column.limit:
        return f"At most {column.limit} characters."
    if _FORBIDDEN.search(text):
        return "Backslashes, line breaks and control characters are not allowed."
    if column.meaning is Meaning.IDENTIFIER and _INVISIBLE.search(text):
        return "It holds a character that cannot be seen. Delete what stands here and type it anew."
    if column.name == columns.PSEUDONYM:
        return " ".join(problem.partition(": ")[2].capitalize() for problem in name_problems("", text))
    if not column.allows_wildcards and column.name != columns.QUERY_RESULT and _WILDCARD.search(text):
        return "The wildcards * and ? are not allowed here."
    return _list_sentence(column.name, split(text))


def _list_sentence(name: str, parts: tuple[str, ...]) -> str:
    if name == columns.MODALITY:
        is_good = len(parts) <= _MOST_MODALITIES and all(_MODALITY.fullmatch(part.upper()) for part in parts)
        return (
            "" if is_good else f"Abbreviations such as CT or MR, at most {_MOST_MODALITIES} with commas between them."
        )
    if name == columns.SERIES_NUMBER:
        is_good = len(parts) <= _MOST_NUMBERS and all(WHOLE_NUMBER.fullmatch(part) for part in parts)
        return "" if is_good else f"Whole numbers, at most {_MOST_NUMBERS} with commas between them."
    if name == columns.STUDY_UID:
        return "" if len(parts) == 1 and is_uid(parts[0]) else "This is no DICOM UID: digits and dots, at most 64."
    if name == columns.SERIES_UID:
        return "" if all(map(is_uid, parts)) else "Not all of this are DICOM UIDs: digits and dots, at most 64."
    return ""


def _numbers(column: Column, lines: Sequence[int]) -> Iterator[Problem]:
    """Warn of identifiers that are numbers for the spreadsheet program: zeros before them are lost without a trace."""
    if lines and column.meaning is Meaning.IDENTIFIER:
        sentence = (
            f"Numbers stand in {lines_named(lines)}. If they had zeros at their beginning, these are lost. "
            "Compare them with where they come from, and format the column as text."
        )
        yield Problem(0, column.name, sentence, "numbers", Weight.WARNING)


def _hidden(table: Table, headings: Headings, rows: Sequence[Row]) -> Iterator[Problem]:
    lines = [row.line for row in rows if row.line in table.hidden_lines]
    if lines:
        sentence = f"Hidden rows are read too: {lines_named(lines)}. Delete them if you do not mean them."
        yield Problem(0, "", sentence, weight=Weight.WARNING)
    for name, place in headings.places.items():
        if place in table.hidden_columns:
            sentence = "This column is hidden, and is read too. Delete it if you do not mean it."
            yield Problem(headings.line, name, sentence, weight=Weight.WARNING)
