"""Reads one sheet of an .xlsx workbook (ECMA-376 part 1, section 18.3), element by element; why, tells ADR 8."""

import re

from models.domain.errors import BadRequest
from services.batch_files.limits import Limits, check_length
from services.batch_files.parts import DAMAGED, TRUE, Attributes, Parts
from services.batch_files.serials import date_of, finite, moment, time_of
from services.batch_files.tables import Area, Grid, Trouble, Value, column_letters
from services.batch_files.workbooks import RichText, Workbook, unescaped
from services.formula_guard import plain

_REFERENCE = re.compile(r"([A-Z]{1,3})([1-9][0-9]{0,6})")
_MOST_AREAS = 20_000


def read_sheet(parts: Parts, workbook: Workbook, part: str, limits: Limits) -> Grid:
    """Read all cells of one sheet; raises BadRequest where there is too much, or what no workbook holds."""
    if part not in parts:
        raise BadRequest(DAMAGED)
    reader = _Sheet(workbook, limits)
    parts.parse(part, reader)
    return reader.grid


class _Sheet(RichText):
    def __init__(self, workbook: Workbook, limits: Limits) -> None:
        super().__init__()
        self.grid = Grid()
        self._workbook = workbook
        self._limits = limits
        self._columns: dict[str, int] = {column_letters(column): column for column in range(limits.columns)}
        self._line = self._column = self._seen = self._length = 0
        self._type = self._style = ""
        self._has_formula = self._is_value = self._is_cell = False
        self._stored: list[str] = []

    def begin(self, name: str, attributes: Attributes) -> None:
        if name == "c":
            self._begin_cell(attributes)
        elif name == "v":
            self._is_value = self._is_cell
        elif name == "f":
            self._has_formula = True
        elif name == "row":
            self._begin_row(attributes)
        elif name == "mergeCell":
            self._merge(attributes.get("ref", ""))
        elif name == "col":
            self._hide(attributes)
        else:
            super().begin(name, attributes)

    def text(self, text: str) -> None:
        if self._is_value:
            self._stored.append(text)
        else:
            super().text(text)

    def end(self, name: str) -> None:
        if name == "v":
            self._is_value = False
        elif name == "c":
            self._is_cell = False
            self._keep()
        else:
            super().end(name)

    def _begin_row(self, attributes: Attributes) -> None:
        self._column = -1
        self._line = _whole(attributes["r"]) if "r" in attributes else self._line + 1
        self._count()
        if attributes.get("hidden", "") in TRUE:
            self.grid.hidden_lines.add(self._line)

    def _begin_cell(self, attributes: Attributes) -> None:
        self._count()
        reference = attributes.get("r", "")
        self._column += 1
        if reference:
            letters = reference.rstrip("0123456789")
            self._line = _whole(reference[len(letters) :])
            self._column = self._columns.get(letters, self._limits.columns)
        self._type, self._style = attributes.get("t", "n"), attributes.get("s", "")
        self._has_formula, self._is_cell = False, True
        self._stored.clear()
        self.pieces.clear()

    def _count(self) -> None:
        self._seen += 1
        if self._seen > self._limits.cells:
            raise BadRequest("The sheet has too many cells, even if most are empty. Copy the rows into a new file.")

    def _keep(self) -> None:
        value = self._value("".join(self._stored))
        if value is None or value == "":
            return
        if self._column >= self._limits.columns:
            raise BadRequest(f"The sheet has more than {self._limits.columns} columns.")
        if not 0 < self._line <= self._limits.last_line:
            raise BadRequest(f"The sheet has values below line {self._limits.last_line}.")
        if isinstance(value, str):
            self._length += len(value)
            check_length(value, self._length, self._limits)
            value = plain(value)
        self.grid.put(self._line, self._column, value)

    def _value(self, stored: str) -> Value:
        if self._type == "inlineStr":
            return self.taken()
        if self._has_formula and not stored and self._type != "str":
            return Trouble.NO_RESULT
        if self._type == "str":
            return unescaped(stored)
        stored = stored.strip()
        if not stored:
            return None
        if self._type == "s":
            return self._shared(stored)
        if self._type == "b":
            return stored in TRUE
        if self._type == "e":
            return Trouble.FORMULA_ERROR
        if self._type == "d":
            return moment(stored)
        return self._number(stored)

    def _shared(self, stored: str) -> str:
        number = _whole(stored)
        if number >= len(self._workbook.texts):
            raise BadRequest(DAMAGED)
        return self._workbook.texts[number]

    def _number(self, stored: str) -> Value:
        number = finite(stored)
        if number is None:
            return Trouble.NO_NUMBER
        kind = self._kind()
        if kind == "number":
            return number
        return date_of(number, self._workbook.has_1904_dates) if kind == "date" else time_of(number)

    def _kind(self) -> str:
        style = self._style
        formats = self._workbook.formats
        return formats[int(style)] if style.isascii() and style.isdigit() and int(style) < len(formats) else "number"

    def _merge(self, reference: str) -> None:
        first, colon, last = reference.partition(":")
        corners = (_REFERENCE.fullmatch(first), _REFERENCE.fullmatch(last if colon else first))
        if not (corners[0] and corners[1]) or len(self.grid.areas) >= _MOST_AREAS:
            raise BadRequest(DAMAGED)
        left, right = (self._columns.get(corner[1], self._limits.columns - 1) for corner in corners if corner)
        self.grid.areas.append(Area(int(corners[0][2]), int(corners[1][2]), left, right))

    def _hide(self, attributes: Attributes) -> None:
        if attributes.get("hidden", "") in TRUE:
            first, last = _whole(attributes.get("min", "1")), _whole(attributes.get("max", "1"))
            self.grid.hidden_columns |= set(range(first - 1, min(last, self._limits.columns)))


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise BadRequest(DAMAGED)
    return int(text)
