"""Questions as they are kept: a row of a batch query, or the rows of one study of a batch transfer."""

from pydantic import TypeAdapter, ValidationError

from models.domain.batches import BatchQueryRow, BatchTransferItem
from models.domain.errors import Bug

_QUERIES = TypeAdapter(BatchQueryRow)
_TRANSFERS = TypeAdapter(BatchTransferItem)
_UNREADABLE = "A stored question cannot be read."


def packed_query(row: BatchQueryRow) -> bytes:
    """The row, to be kept."""
    return _QUERIES.dump_json(row)


def packed_transfer(item: BatchTransferItem) -> bytes:
    """The rows of one study, to be kept."""
    return _TRANSFERS.dump_json(item)


def query_row(content: bytes) -> BatchQueryRow:
    """The row of a batch query that was kept; raises Bug when it is not that."""
    try:
        return _QUERIES.validate_json(content)
    except ValidationError:
        raise Bug(_UNREADABLE) from None  # its text would quote the row


def transfer_item(content: bytes) -> BatchTransferItem:
    """The rows of one study that were kept; raises Bug when it is not that."""
    try:
        return _TRANSFERS.validate_json(content)
    except ValidationError:
        raise Bug(_UNREADABLE) from None
