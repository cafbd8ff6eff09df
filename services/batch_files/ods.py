"""Reads one sheet of an .ods file (OpenDocument 1.3 part 3, section 9), element by element."""

import re
from datetime import time

from models.domain.errors import BadRequest
from services.batch_files.limits import Limits, check_length
from services.batch_files.parts import DAMAGED, Attributes, Parts, Reader
from services.batch_files.serials import finite, moment
from services.batch_files.tables import Area, Grid, Trouble, Value
from services.formula_guard import plain

_NUMBERS = ("float", "percentage", "currency")
_CELLS = ("table-cell", "covered-table-cell")
_BLANKS = {"tab": "\t", "line-break": "\n"}
_DURATION = re.compile(r"PT(\d{1,2})H(\d{1,2})M(\d{1,2})(?:[.,]\d+)?S")
_MOST_BLANKS = 1000


class OdsSheet(Reader):
    """The sheet with a name, or the first that is visible; ``shown`` are the names of all visible ones."""

    def __init__(self, limits: Limits, wanted: str = "") -> None:
        self.grid = Grid()
        self.name = ""
        self.shown: list[str] = []
        self._limits, self._wanted = limits, wanted
        self._hidden_styles: set[str] = set()
        self._style = ""
        self._is_inside = self._is_found = False
        self._tables = self._line = self._column = self._seen = self._length = 0
        self._row: dict[int, Value] = {}
        self._row_repeat = 1
        self._cell: Attributes | None = None
        self._below = 0
        self._in_paragraph = False
        self._paragraphs: list[list[str]] = []

    def begin(self, name: str, attributes: Attributes) -> None:
        if self._cell is not None:
            self._begin_in_cell(name, attributes)
        elif name == "style":
            self._style = attributes.get("style:name", "")
        elif name == "table-properties" and attributes.get("table:display") == "false":
            self._hidden_styles.add(self._style)
        elif name == "table":
            self._begin_table(attributes)
        elif self._is_inside and self._tables == 1:
            self._begin_in_table(name, attributes)

    def text(self, text: str) -> None:
        if self._in_paragraph:
            self._paragraphs[-1].append(text)

    def end(self, name: str) -> None:
        if self._cell is not None and self._below:
            self._below -= 1
            self._in_paragraph = self._in_paragraph and self._below > 0
        elif self._cell is not None:
            self._end_cell(self._cell)
        elif name == "table":
            self._tables -= 1
            self._is_inside = self._is_inside and self._tables > 0
        elif name == "table-row" and self._is_inside:
            self._end_row()

    def _begin_table(self, attributes: Attributes) -> None:
        self._tables += 1
        if self._tables > 1:
            return
        name = attributes.get("table:name", "")
        is_hidden = attributes.get("table:style-name", "") in self._hidden_styles
        if not is_hidden:
            self.shown.append(name)
        is_wanted = name == self._wanted if self._wanted else not is_hidden
        if is_wanted and not self._is_found:
            self.name, self._is_found, self._is_inside = name, True, True

    def _begin_in_table(self, name: str, attributes: Attributes) -> None:
        if name in _CELLS:
            self._count(1)
            self._cell, self._below, self._paragraphs = attributes, 0, []
        elif name == "table-row":
            self._count(1)
            self._row, self._column = {}, 0
            self._row_repeat = _repeat(attributes, "table:number-rows-repeated")
            if attributes.get("table:visibility", "visible") != "visible":
                self._hide_lines()
        elif name == "table-column":
            self._begin_column(attributes)

    def _begin_in_cell(self, name: str, attributes: Attributes) -> None:
        self._below += 1
        if name == "p" and self._below == 1:
            self._in_paragraph = True
            self._paragraphs.append([])
        elif self._in_paragraph and name == "s":
            count = min(_repeat(attributes, "text:c"), _MOST_BLANKS)
            self._paragraphs[-1].append(" " * count)
        elif self._in_paragraph:
            self._paragraphs[-1].append(_BLANKS.get(name, ""))

    def _begin_column(self, attributes: Attributes) -> None:
        repeat = _repeat(attributes, "table:number-columns-repeated")
        if attributes.get("table:visibility", "visible") != "visible":
            last = min(self._column + repeat, self._limits.columns)
            self.grid.hidden_columns |= set(range(self._column, last))
        self._column += repeat

    def _hide_lines(self) -> None:
        last = min(self._line + self._row_repeat, self._limits.last_line)
        self._count(last - self._line)
        self.grid.hidden_lines.update(range(self._line + 1, last + 1))

    def _end_cell(self, attributes: Attributes) -> None:
        self._cell = None
        value = self._value(attributes)
        repeat = _repeat(attributes, "table:number-columns-repeated")
        if value is not None and value != "":
            if self._column + repeat > self._limits.columns:
                raise BadRequest(f"The sheet has more than {self._limits.columns} columns.")
            self._row |= dict.fromkeys(range(self._column, self._column + repeat), value)
            self._note_area(attributes)
        self._column += repeat

    def _end_row(self) -> None:
        first, self._line = self._line + 1, self._line + self._row_repeat
        if not self._row:
            return
        if self._line > self._limits.last_line:
            raise BadRequest(f"The sheet has values below line {self._limits.last_line}.")
        self._count(self._row_repeat * len(self._row))
        texts = [value for value in self._row.values() if isinstance(value, str)]
        self._length += sum(map(len, texts)) * self._row_repeat
        check_length(max(texts, key=len, default=""), self._length, self._limits)
        for line in range(first, self._line + 1):
            self.grid.lines[line] = dict(self._row)

    def _note_area(self, attributes: Attributes) -> None:
        lines = _repeat(attributes, "table:number-rows-spanned")
        columns = _repeat(attributes, "table:number-columns-spanned")
        if lines > 1 or columns > 1:
            right = min(self._column + columns, self._limits.columns) - 1
            self.grid.areas.append(Area(self._line + 1, self._line + lines, self._column, right))

    def _value(self, attributes: Attributes) -> Value:
        kind = attributes.get("office:value-type", "")
        text = "\n".join("".join(each) for each in self._paragraphs)
        if attributes.get("calcext:value-type") == "error":
            return Trouble.FORMULA_ERROR
        if kind in _NUMBERS:
            number = finite(attributes.get("office:value", ""))
            return Trouble.NO_NUMBER if number is None else number
        if kind == "date":
            return moment(attributes.get("office:date-value", ""))
        if kind == "time":
            return _time(attributes.get("office:time-value", ""))
        if kind == "boolean":
            return attributes.get("office:boolean-value", "") == "true"
        if not kind and not text and "table:formula" in attributes:
            return Trouble.NO_RESULT
        return plain(attributes.get("office:string-value", text))

    def _count(self, more: int) -> None:
        self._seen += more
        if self._seen > self._limits.cells:
            raise BadRequest("The sheet has too many cells. Copy the rows into a new file.")


def read_ods(parts: Parts, limits: Limits, wanted: str = "") -> OdsSheet:
    """Read one sheet; raises BadRequest for what is no such file, is encrypted or holds too much."""
    if b"encryption-data" in parts.read("META-INF/manifest.xml", 1_000_000):
        raise BadRequest("The file is protected by a password. Save it without one.")
    sheet = OdsSheet(limits, wanted)
    parts.parse("content.xml", sheet)
    if not sheet.shown and not wanted:
        raise BadRequest(DAMAGED)
    return sheet


def _repeat(attributes: Attributes, name: str) -> int:
    text = attributes.get(name, "1")
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise BadRequest(DAMAGED)
    return max(1, int(text))


def _time(text: str) -> Value:
    found = _DURATION.fullmatch(text)
    try:
        return time(int(found[1]), int(found[2]), int(found[3])) if found else Trouble.NO_NUMBER
    except ValueError:
        return Trouble.NO_NUMBER
