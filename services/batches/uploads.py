"""A batch file that somebody hands in, read with the limits of who does: its rows, and every problem at once.

Nothing is kept. Pages, API and command line come through here, so that all say the same of a file.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from models.db.engine import Database
from models.domain.batch_requests import BatchFile
from models.domain.batches import (
    BatchKind,
    BatchQueryRow,
    BatchTransferRow,
    CheckedQuery,
    CheckedTransfer,
    Problem,
)
from models.domain.errors import BadRequest
from models.domain.people import Actor
from services.batch_files import annotating
from services.batch_files.checking import check_query, check_transfer
from services.batch_files.limits import Limits, limits_of
from services.batch_files.reading import read_table
from services.batch_files.tables import Table
from services.batch_files.writing import Download
from services.batches import results

Checked = TypeVar("Checked", CheckedQuery, CheckedTransfer)


@dataclass(frozen=True, slots=True)
class _Upload:
    """What was read. ``file`` names the sheet that it was read from; ``sheets`` are all that could be."""

    file: BatchFile
    problems: tuple[Problem, ...]
    table: Table = field(repr=False)

    @property
    def is_good(self) -> bool:
        """Whether it can be handed in as it is; warnings do not keep it from that."""
        return not any(problem.is_error for problem in self.problems)

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.is_error)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if not problem.is_error)

    @property
    def sheets(self) -> tuple[str, ...]:
        """The sheets that may be chosen, the one that was read first; empty for CSV."""
        return (self.table.sheet, *self.table.other_sheets) if self.table.sheet else ()

    def annotated(self) -> Download:
        """The file with what is wrong behind each row; its name tells nothing of the one that was handed in."""
        return annotating.annotated(self.table, self.problems)


@dataclass(frozen=True, slots=True)
class QueryUpload(_Upload):
    """A batch query file; ``rows`` are those without an error."""

    rows: tuple[BatchQueryRow, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class TransferUpload(_Upload):
    """A batch transfer file; ``rows`` are those without an error, ``skipped_lines`` those that a query did not find."""

    rows: tuple[BatchTransferRow, ...] = field(default=(), repr=False)
    skipped_lines: tuple[int, ...] = ()


def largest_bytes(actor: Actor) -> int:
    """How large a file of theirs may be."""
    return limits_of(BatchKind.QUERY, actor.is_staff).file_bytes


def read_query(actor: Actor, file: BatchFile) -> QueryUpload:
    """The rows of a batch query file, and all that is wrong with them.

    Raises BadRequest for what is no spreadsheet, has no sheet of the wished name or is too large to be looked at.
    """
    limits = limits_of(BatchKind.QUERY, actor.is_staff)
    table, read = _read(file, limits, check_query, CheckedQuery)
    return QueryUpload(_of_sheet(file, table), read.problems, table, read.rows)


def read_transfer(actor: Actor, file: BatchFile) -> TransferUpload:
    """The rows of a batch transfer file, and all that is wrong with them and between them.

    The export of a batch query is such a file. Raises BadRequest as ``read_query`` does.
    """
    limits = limits_of(BatchKind.TRANSFER, actor.is_staff)
    table, read = _read(file, limits, check_transfer, CheckedTransfer)
    return TransferUpload(_of_sheet(file, table), read.problems, table, read.rows, read.skipped_lines)


def of_query(db: Database, actor: Actor, job_id: int, source_id: int | None = None) -> TransferUpload:
    """What a batch query has found, of one server or all, as the batch transfer file that its export is.

    It counts as a download of that. Raises as ``services.batches.results.export`` does.
    """
    made = results.export(db, actor, job_id, "xlsx", source_id)
    return read_transfer(actor, BatchFile(made.name, made.data))


def _read(
    file: BatchFile,
    limits: Limits,
    check: Callable[[Table, Limits], Checked],
    failed: Callable[[tuple[()], tuple[Problem, ...]], Checked],
) -> tuple[Table, Checked]:
    """What a sheet without rows, or with too many, is refused for, is a problem of the file: another may be chosen."""
    table = read_table(file.content, limits, file.sheet)
    try:
        return table, check(table, limits)
    except BadRequest as error:
        return table, failed((), (Problem(0, "", error.message),))


def _of_sheet(file: BatchFile, table: Table) -> BatchFile:
    return BatchFile(file.name, file.content, table.sheet)
