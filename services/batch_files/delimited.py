"""Reads CSV files as people have them: any encoding of everyday life, any of four delimiters."""

import codecs
import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from models.domain.errors import BadRequest
from services.batch_files.limits import Limits, check_length
from services.batch_files.tables import Grid
from services.formula_guard import plain

DELIMITERS = (";", ",", "\t", "|")
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""In this order: the mark of UTF-16 is the beginning of that of UTF-32."""
_NO_TEXT = re.compile(r"[\x00\x01-\x08\x0e-\x1a\x1c-\x1f]")
_NAMED_DELIMITER = re.compile(r"\ufeff?sep=(.)\r?\n?", re.IGNORECASE)
_AS_TEXT = re.compile(r'="([^"]*)"')
"""How a CSV file tells Excel that something is text and no number."""
_SEEN_ROWS, _SEEN_CHARACTERS = 50, 100_000


@dataclass(frozen=True, slots=True)
class Text:
    """A CSV file, decoded; ``body`` begins with the first row."""

    body: str
    encoding: str
    delimiter: str


def open_text(data: bytes) -> Text:
    """Decode a file and find its delimiter; raises BadRequest for what is no text."""
    encoding = _encoding(data)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        # without its cause, which holds the whole file
        raise BadRequest(f"The file is not the {encoding.upper()} text that it says it is. Save it again.") from None
    if _NO_TEXT.search(text):
        raise BadRequest("This is no .xlsx, .ods or .csv file.")
    named = _NAMED_DELIMITER.match(text)
    if named and (named[1] in DELIMITERS):
        return Text(text[named.end() :], encoding, named[1])
    return Text(text, encoding, _delimiter(text))


def read_text(text: Text, limits: Limits) -> Grid:
    """Read all rows; a line break within quotation marks is part of a cell. Raises BadRequest."""
    grid, seen, length = Grid(), 0, 0
    for line, cells in enumerate(_rows(text, limits), start=1):
        seen += len(cells) + 1
        if len(cells) > limits.columns and any(cells[limits.columns :]):
            raise BadRequest(f"Line {line} has more than {limits.columns} columns.")
        if seen > limits.cells:
            raise BadRequest("The file has too many cells, even if most are empty.")
        for column, cell in enumerate(cells):
            if cell:
                length += len(cell)
                check_length(cell, length, limits)
                grid.put(line, column, _value(cell))
    return grid


def _rows(text: Text, limits: Limits) -> Iterator[list[str]]:
    """Yield the rows; the strict reader tells where quotation marks do not match, the tolerant one swallows rows."""
    csv.field_size_limit(max(limits.cell_characters * 4, csv.field_size_limit()))
    rows = csv.reader(io.StringIO(text.body, newline=""), delimiter=text.delimiter, strict=True)
    try:
        yield from rows
    except csv.Error as error:
        raise BadRequest(f"The quotation marks around line {rows.line_num} do not match.") from error


def _value(cell: str) -> str:
    as_text = _AS_TEXT.fullmatch(cell)
    return as_text[1] if as_text else plain(cell)


def _encoding(data: bytes) -> str:
    marked = next((encoding for mark, encoding in _MARKS.items() if data.startswith(mark)), "")
    return marked or _wide_encoding(data) or _narrow_encoding(data)


def _wide_encoding(data: bytes) -> str:
    """UTF-16 without a mark: every other byte of what is mostly ASCII is zero."""
    sample = data[:2000]
    if len(data) % 2 or sample.count(0) * 3 < len(sample):
        return ""
    return "utf-16-le" if sample[1::2].count(0) > sample[::2].count(0) else "utf-16-be"


def _narrow_encoding(data: bytes) -> str:
    for encoding in ("utf-8", "cp1252"):
        try:
            data.decode(encoding)
        except UnicodeDecodeError:
            continue
        return encoding
    return "latin-1"


def _delimiter(text: str) -> str:
    """The delimiter with which the most rows are as long as the first one, which must have at least two cells."""
    scores = {delimiter: _score(text[:_SEEN_CHARACTERS], delimiter) for delimiter in DELIMITERS}
    best = max(DELIMITERS, key=lambda delimiter: scores[delimiter])
    return best if scores[best] > (0.0, 0) else ","


def _score(text: str, delimiter: str) -> tuple[float, int]:
    try:
        rows = [
            row for row in islice(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), _SEEN_ROWS) if row
        ]
    except csv.Error:
        return (0.0, 0)
    width = len(rows[0]) if rows else 0
    if width < 2:
        return (0.0, 0)
    return (sum(len(row) == width for row in rows) / len(rows), width)
