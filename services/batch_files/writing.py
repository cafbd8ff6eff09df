"""Writes tables for spreadsheet programs: text is text, so that zeros at its beginning stay and no formula runs."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time

from services.batch_files.tables import FileKind, Trouble, Value
from services.batch_files.workbook_writing import Written, workbook
from services.formula_guard import guarded

Cell = str | int | float | bool | date | datetime | time | Trouble | None

_MEDIA_TYPES = {
    FileKind.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    FileKind.CSV: "text/csv",
}
_FIRST_DAY = date(1900, 3, 1)
"""Before it, spreadsheet programs disagree about which day a number means."""
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_WIDTHS = (8, 60)
_MEASURED_ROWS = 200


@dataclass(frozen=True, slots=True)
class Download:
    """A file for somebody to take away. Its name names no patient."""

    name: str
    media_type: str
    data: bytes


def write(
    name: str,
    kind: FileKind,
    headings: Sequence[Cell],
    rows: Iterable[Sequence[Cell]],
    delimiter: str = ",",
    encoding: str = "utf-8-sig",
) -> Download:
    """A file with headings and rows, .xlsx or .csv; ``name`` is without an ending."""
    if kind is FileKind.CSV:
        data = csv_bytes(headings, rows, delimiter, encoding)
    else:
        kind, data = FileKind.XLSX, xlsx_bytes(headings, rows)
    return Download(f"{name}.{kind.value}", _MEDIA_TYPES[kind], data)


def csv_bytes(headings: Sequence[Cell], rows: Iterable[Sequence[Cell]], delimiter: str, encoding: str) -> bytes:
    """A CSV file; cells that a program would take for formulas are guarded, and reading takes the guard away."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\r\n")
    for row in (headings, *rows):
        writer.writerow([guarded(_text(cell)) for cell in row])
    return text.getvalue().encode(encoding, errors="replace")


def xlsx_bytes(headings: Sequence[Cell], rows: Iterable[Sequence[Cell]]) -> bytes:
    """An .xlsx file; every text is a cell of text, which Excel keeps as text when somebody edits it."""
    names = list(map(_text, headings))
    found = [[_written(cell) for cell in row] for row in rows]
    return workbook(names, found, _column_widths(names, found))


def _written(value: Cell) -> Written:
    """What .xlsx files have a kind of cell for stays as it is; the rest becomes text."""
    if isinstance(value, date):
        return value if _calendar_day(value) >= _FIRST_DAY else _text(value)
    return _text(value) if isinstance(value, (time, Trouble)) else value


def _text(value: Value | int) -> str:
    if value is None:
        return ""
    if isinstance(value, Trouble):
        return "#VALUE!"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, (date, time)):
        return value.isoformat(*([" "] if isinstance(value, datetime) else []))
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) < 1e15 else repr(value)
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", str(value))


def _calendar_day(value: date) -> date:
    return value.date() if isinstance(value, datetime) else value


def _column_widths(headings: Sequence[str], rows: Sequence[Sequence[Cell]]) -> list[int]:
    """About as wide as the longest of the first values."""
    widths = list(map(len, headings))
    for row in rows[:_MEASURED_ROWS]:
        for place, cell in enumerate(row[: len(widths)]):
            widths[place] = max(widths[place], len(_text(cell)))
    return [min(max(width + 2, _WIDTHS[0]), _WIDTHS[1]) for width in widths]
