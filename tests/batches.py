"""Rows and requests of batch files for tests; all of it invented."""

from collections.abc import Sequence

from models.domain.batch_requests import BatchQueryRequest, BatchTransferRequest
from models.domain.batches import BatchQueryRow, BatchTransferRow

PROJECT = {"project_name": "Lung study", "project_description": "Nodules over time."}


def a_query(sources: Sequence[int], *rows: BatchQueryRow, **fields: object) -> BatchQueryRequest:
    return BatchQueryRequest(rows, tuple(sources), **(PROJECT | fields))  # type: ignore[arg-type]


def a_transfer(source: int, destination: int, *rows: BatchTransferRow, **fields: object) -> BatchTransferRequest:
    values = PROJECT | {"ethics_application_id": "S-1/2026"} | fields
    return BatchTransferRequest(rows, source, destination, **values)  # type: ignore[arg-type]


def query_rows(count: int) -> tuple[BatchQueryRow, ...]:
    """Rows for the patients P1, P2 ... on the lines 2, 3 ..."""
    return tuple(
        BatchQueryRow(number + 1, f"R{number}", f"P{number}", modalities=("CT",)) for number in range(1, count + 1)
    )


def transfer_rows(count: int) -> tuple[BatchTransferRow, ...]:
    """Rows for the studies 1.2.1, 1.2.2 ... of the patients P1, P2 ... on the lines 2, 3 ..."""
    return tuple(
        BatchTransferRow(number + 1, f"R{number}", f"P{number}", f"1.2.{number}", pseudonym=f"ANON{number}")
        for number in range(1, count + 1)
    )
