"""Writes tables for spreadsheet programs: text is text, so that zeros at its beginning stay and no formula runs."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import Cell as SheetCell
from openpyxl.styles import Alignment, Font
from openpyxl.worksheet._write_only import WriteOnlyWorksheet

from services.batch_files.tables import FileKind, Trouble, Value, column_letters
from services.formula_guard import guarded, is_dangerous, plain

Cell = str | int | float | bool | date | datetime | time | Trouble | None

_MEDIA_TYPES = {
    FileKind.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    FileKind.CSV: "text/csv",
}
_FIRST_DAY = date(1900, 3, 1)
"""Before it, spreadsheet programs disagree about which day a number means."""
_LONGEST = 32_767
_UNWRITABLE = re.compile(r"_(?=x[0-9A-Fa-f]{4}_)|[\x00-\x08\x0b-\x1f\ufffe\uffff]")
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


def xlsx_bytes(headings: Sequence[Cell], rows: Iterable[Sequence[Cell]], sheet: str = "Batch") -> bytes:
    """An .xlsx file; every text is a cell of text, which Excel keeps as text when somebody edits it."""
    found = list(rows)
    book = Workbook(write_only=True)
    page = book.create_sheet(sheet)
    page.freeze_panes = "A2"
    for place, width in enumerate(_column_widths(headings, found)):
        page.column_dimensions[column_letters(place)].width = width
    pens = _Pens(page)
    page.append(pens.headings(headings))
    for row in found:
        page.append(pens.cells(row))
    data = io.BytesIO()
    book.save(data)
    return data.getvalue()


class _Pens:
    """Writes cells. There is one cell for each style, written again and again: openpyxl puts it down at once."""

    def __init__(self, page: WriteOnlyWorksheet) -> None:
        self._page = page
        self._text = self._pen("@")
        self._guarded = self._pen("@")
        self._guarded.quotePrefix = True
        self._day = self._pen("yyyy-mm-dd")
        self._moment = self._pen("yyyy-mm-dd hh:mm:ss")
        self._bold = self._pen("@")
        self._bold.font = Font(bold=True)
        self._bold.alignment = Alignment(wrap_text=True, vertical="top")

    def headings(self, row: Sequence[Cell]) -> Iterator[SheetCell]:
        """The cells of the headings, each to be written before the next is asked for."""
        for value in row:
            yield _written(self._bold, _text(value))

    def cells(self, row: Sequence[Cell]) -> Iterator[SheetCell | float | None]:
        """The cells of a row, each to be written before the next is asked for."""
        for value in row:
            yield self._cell(value)

    def _cell(self, value: Cell) -> SheetCell | float | None:
        if value is None or value == "":
            return None
        if isinstance(value, (bool, int, float)):
            return value
        if isinstance(value, date) and _calendar_day(value) >= _FIRST_DAY:
            pen = self._moment if isinstance(value, datetime) else self._day
            pen.value = value
            return pen
        text = _text(value)
        return _written(self._guarded if is_dangerous(text) else self._text, text)

    def _pen(self, number_format: str) -> SheetCell:
        made = WriteOnlyCell(self._page)
        made.number_format = number_format
        return made


def _written(pen: SheetCell, text: str) -> SheetCell:
    """A cell of text, whatever it begins with.

    A text that looks guarded gets one more apostrophe, since reading takes one away.
    """
    text = f"'{text}" if plain(text) != text else text
    pen.value = _UNWRITABLE.sub(_escaped, text)[:_LONGEST]
    pen.data_type = "s"
    return pen


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


def _escaped(found: re.Match[str]) -> str:
    return f"_x{ord(found[0]):04X}_"


def _column_widths(headings: Sequence[Cell], rows: Sequence[Sequence[Cell]]) -> list[int]:
    """About as wide as the longest of the first values."""
    widths = [len(_text(heading)) for heading in headings]
    for row in rows[:_MEASURED_ROWS]:
        for place, cell in enumerate(row[: len(widths)]):
            widths[place] = max(widths[place], len(_text(cell)))
    return [min(max(width + 2, _WIDTHS[0]), _WIDTHS[1]) for width in widths]
