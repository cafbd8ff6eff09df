"""Writes an .xlsx workbook of one sheet in which every text is text: no formula, no link, and no number by chance."""

import io
import math
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import xlsxwriter

from services.formula_guard import is_dangerous, plain

Written = str | int | float | bool | date | datetime | None

_ALWAYS = datetime(2000, 1, 1)
"""When every workbook was made: the same rows give the same bytes."""
_OPTIONS = {"in_memory": True}
"""Without it, XlsxWriter puts patients into temporary files."""
_LONGEST = 32_767
_TEXT = {"num_format": "@"}
_FORMATS: dict[str, dict[str, Any]] = {
    "text": _TEXT,
    "guarded": {**_TEXT, "quote_prefix": True},  # stays text when somebody edits it
    "heading": {**_TEXT, "quote_prefix": True, "bold": True, "text_wrap": True, "valign": "top"},
    "day": {"num_format": "yyyy-mm-dd"},
    "moment": {"num_format": "yyyy-mm-dd hh:mm:ss"},
}


def workbook(headings: Sequence[str], rows: Sequence[Sequence[Written]], widths: Sequence[int]) -> bytes:
    """A workbook with one sheet; ``widths`` are those of the columns, in characters.

    Days before March 1900 cannot be written: programs disagree about which number means them.
    """
    data = io.BytesIO()
    with xlsxwriter.Workbook(data, _OPTIONS) as book:
        book.set_properties({"created": _ALWAYS})
        sheet = _Sheet(book)
        for place, text in enumerate(headings):
            sheet.write_text(0, place, text, "heading")
        for line, row in enumerate(rows, start=1):
            for place, value in enumerate(row):
                sheet.write(line, place, value)
        sheet.fit(widths)
    return data.getvalue()


class _Sheet:
    """The sheet of a workbook, with a format for each kind of cell."""

    def __init__(self, book: Any) -> None:
        self._sheet = book.add_worksheet("Batch")
        self._formats = {name: book.add_format(options) for name, options in _FORMATS.items()}

    def fit(self, widths: Sequence[int]) -> None:
        """Keep the headings in sight, and give the columns their widths."""
        self._sheet.freeze_panes(1, 0)
        for place, width in enumerate(widths):
            self._sheet.set_column(place, place, width)

    def write(self, line: int, place: int, value: Written) -> None:
        """Write a value as a cell of its kind; empty ones not at all."""
        match value:
            case None | "":
                return
            case str():
                self.write_text(line, place, value, "guarded" if is_dangerous(value) else "text")
            case bool():
                self._sheet.write_boolean(line, place, value)
            case datetime():
                self._sheet.write_datetime(line, place, value.replace(tzinfo=None), self._formats["moment"])
            case date():
                self._sheet.write_datetime(line, place, value, self._formats["day"])
            case _ if math.isfinite(value):
                self._sheet.write_number(line, place, value)
            case _:
                self.write_text(line, place, str(value), "text")

    def write_text(self, line: int, place: int, text: str, kind: str) -> None:
        """Write a text; what looks guarded gets one more apostrophe, since reading takes one away."""
        text = f"'{text}" if plain(text) != text else text
        self._sheet.write_string(line, place, text[:_LONGEST], self._formats[kind])
