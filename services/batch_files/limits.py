"""How large a batch file may be, before and after it is unpacked."""

from dataclasses import dataclass

from models.domain.batch_requests import QUERY_LIMIT, STAFF_LIMIT, TRANSFER_LIMIT
from models.domain.batches import BatchKind
from models.domain.errors import BadRequest

_MB = 1024 * 1024
_USER_ROWS = {BatchKind.QUERY: QUERY_LIMIT, BatchKind.TRANSFER: TRANSFER_LIMIT}


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may hold; ``rows`` do not count the headings and what is empty.

    ``file_bytes`` and ``rows`` are the rules for people. The others keep hostile files from taking the machine: all
    parts of a file that are read must unpack to at most ``unpacked_bytes``, and everything that is counted while
    reading, the empty cells as well, must stay within ``cells``.
    """

    file_bytes: int
    rows: int
    unpacked_bytes: int
    cells: int
    last_line: int
    columns: int = 256
    cell_characters: int = 32_767
    characters: int = 16_000_000
    entries: int = 2_000
    ratio: int = 250


def limits_of(kind: BatchKind, is_staff: bool) -> Limits:
    """The limits for files of a kind."""
    if is_staff:
        return Limits(50 * _MB, STAFF_LIMIT, 400 * _MB, 8_000_000, 1_048_576, characters=128_000_000)
    return Limits(5 * _MB, _USER_ROWS[kind], 50 * _MB, 500_000, 100_000)


def check_rows(count: int, limits: Limits) -> None:
    """Raise BadRequest when a file has more rows than it may."""
    if count > limits.rows:
        raise BadRequest(f"The file has {count} rows, but {limits.rows} are the most. Divide it into several files.")


def check_length(text: str, total: int, limits: Limits) -> None:
    """Raise BadRequest for a cell, or a sum of all, that is longer than any spreadsheet of rows for us."""
    if len(text) > limits.cell_characters:
        raise BadRequest(f"A cell holds more than {limits.cell_characters} characters.")
    if total > limits.characters:
        raise BadRequest("The sheet holds far more text than a batch file does. Copy the rows into a new file.")
