"""A sheet as it was read: cells with the types that the file gives them, empty rows left out, lines kept."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from enum import Enum, StrEnum

from models.domain.errors import BadRequest


class FileKind(StrEnum):
    """The kinds of files that are read; the value is how their names end."""

    XLSX = "xlsx"
    ODS = "ods"
    CSV = "csv"


class Trouble(Enum):
    """What a cell holds instead of a value, as a sentence."""

    NO_RESULT = (
        "The formula in this cell has no stored result. Open the file in a spreadsheet program and save it again."
    )
    FORMULA_ERROR = "The formula in this cell ends in an error, such as #REF! or #N/A. Put the value there."
    NO_NUMBER = "The number or date in this cell cannot be read. Enter it again."
    MERGED = "This cell is part of a merged area. Split the area, so that every cell has a value of its own."


Value = str | float | bool | date | datetime | time | Trouble | None
"""What a cell holds; numbers are always floats, and no text is empty."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row that is not empty. ``line`` is counted from 1, as spreadsheet programs do; ``cells`` may end early."""

    line: int
    cells: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """One sheet. Its first row holds the headings.

    ``delimiter`` and ``encoding`` are those of a CSV file. ``other_sheets`` are visible ones that were not read.
    """

    kind: FileKind
    rows: tuple[Row, ...]
    sheet: str = ""
    other_sheets: tuple[str, ...] = ()
    hidden_lines: frozenset[int] = frozenset()
    hidden_columns: frozenset[int] = frozenset()
    delimiter: str = ","
    encoding: str = "utf-8-sig"

    @property
    def width(self) -> int:
        return max((len(row.cells) for row in self.rows), default=0)


@dataclass(frozen=True, slots=True)
class Area:
    """A merged area; lines from 1, columns from 0, both ends belong to it."""

    first_line: int
    last_line: int
    first_column: int
    last_column: int


@dataclass(slots=True)
class Grid:
    """What a reader has found so far, by line and column."""

    lines: dict[int, dict[int, Value]] = field(default_factory=dict[int, dict[int, Value]])
    areas: list[Area] = field(default_factory=list[Area])
    hidden_lines: set[int] = field(default_factory=set[int])
    hidden_columns: set[int] = field(default_factory=set[int])

    def put(self, line: int, column: int, value: Value) -> None:
        if value is not None and value != "":
            self.lines.setdefault(line, {})[column] = value

    def rows(self, most_cells: int) -> tuple[Row, ...]:
        """The rows that are not empty, in order; merged areas are divided first.

        Raises BadRequest when areas overlap, or values stand so far to the right, that rows would have more than
        ``most_cells`` in all.
        """
        numbers = sorted(self.lines)
        left = most_cells
        for area in self.areas:
            left -= _divide(self.lines, numbers, area)
            if left < 0:
                raise BadRequest("The sheet has too many merged cells. Split them.")
        if sum(max(by_column) + 1 for by_column in self.lines.values()) > most_cells:
            raise BadRequest("The sheet has too many cells, even if most are empty. Copy the rows into a new file.")
        return tuple(Row(line, _cells(self.lines[line])) for line in numbers)


def column_letters(column: int) -> str:
    """How spreadsheet programs call a column, counted from 0: A, B, ... Z, AA."""
    letters = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


def _cells(by_column: Mapping[int, Value]) -> tuple[Value, ...]:
    return tuple(by_column.get(column) for column in range(max(by_column) + 1))


def _divide(lines: dict[int, dict[int, Value]], numbers: list[int], area: Area) -> int:
    """Let a value stand in every row over which its cell reaches, and return how many cells that were.

    What an area over several columns means nobody can tell. Rows that hold nothing but a part of an area stay empty.
    """
    value = lines.get(area.first_line, {}).get(area.first_column)
    if value is None:
        return 0
    reached = numbers[bisect_left(numbers, area.first_line) : bisect_right(numbers, area.last_line)]
    columns = range(area.first_column, area.last_column + 1)
    filling = value if len(columns) == 1 else Trouble.MERGED
    for line in reached:
        lines[line].update(dict.fromkeys(columns, filling))
    return len(reached) * len(columns)
