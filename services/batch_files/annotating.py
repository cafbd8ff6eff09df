"""Gives people their file back: the same rows and columns, and what is to be said about each row behind them."""

from collections.abc import Iterable, Mapping, Sequence

from models.domain.batches import Problem, of_lines
from services.batch_files.columns import PROBLEMS, VERDICT
from services.batch_files.headings import is_own
from services.batch_files.tables import Row, Table, Value
from services.batch_files.writing import Cell, Download, write


def annotated(
    table: Table, problems: Iterable[Problem], verdicts: Mapping[int, str] | None = None, name: str = "batch_file"
) -> Download:
    """A copy of the file with a column ``Problems``, and one ``Verdict`` if there are verdicts by line.

    A CSV file keeps its delimiter and encoding; .ods becomes .xlsx. Values stay as they are, layout and formulas do
    not. Columns that an earlier copy had added are replaced. What concerns the whole file stands at the headings.
    """
    said = {line: " ".join(map(_sentence, each)) for line, each in of_lines(problems).items()}
    first = table.rows[0] if table.rows else Row(1, ())
    places = [place for place in range(table.width) if not (place < len(first.cells) and is_own(first.cells[place]))]
    added = [PROBLEMS] if verdicts is None else [PROBLEMS, VERDICT]
    heading = [*_cells(first, places), *added]
    rows = list(_rows(table, places, said, verdicts))
    of_file = " ".join(filter(None, (said.get(0, ""), said.get(first.line, ""))))
    if of_file:
        heading[len(places)] = f"{PROBLEMS}: {of_file}"
    above: list[list[Cell]] = [[] for _ in range(first.line - 1)]
    head, *rest = [*above, heading, *rows]
    return write(f"{name}_checked", table.kind, head, rest, table.delimiter, table.encoding)


def _rows(
    table: Table, places: Sequence[int], said: Mapping[int, str], verdicts: Mapping[int, str] | None
) -> Iterable[list[Cell]]:
    """Yield every row at the line where it was, with empty ones between."""
    line = table.rows[0].line if table.rows else 1
    for row in table.rows[1:]:
        yield from ([] for _ in range(row.line - line - 1))
        line = row.line
        cells = [*_cells(row, places), said.get(line, "")]
        yield cells if verdicts is None else [*cells, verdicts.get(line, "")]


def _cells(row: Row, places: Sequence[int]) -> list[Value]:
    return [row.cells[place] if place < len(row.cells) else None for place in places]


def _sentence(problem: Problem) -> str:
    return f"{problem.column}: {problem.sentence}" if problem.column else problem.sentence
