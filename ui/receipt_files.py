"""A receipt as a file: JSON with every set of UIDs, or CSV with a line for each instance."""

import csv
import io
from collections.abc import Iterator
from typing import Any

from models.domain.jobs import Item
from models.domain.receipts import Receipt
from services.formula_guard import guarded

_COLUMNS = (
    "sop_instance_uid",
    "expected",
    "received",
    "stored",
    "confirmed",
    "left_out_because",
    "held_because",
    "refused_with_status",
    "stored_with_warning",
    "sha256",
)


def document(item: Item, receipt: Receipt) -> dict[str, Any]:
    """The whole receipt as JSON has it; UIDs are those of the source. No patient is named."""
    return {
        "format": "adit-receipt-1",
        "job": item.job_id,
        "item": item.position,
        "state": item.state.value,
        "study_uid": item.study_uid,
        "series_uids": list(item.series_uids),
        "verdict": receipt.verdict.value,
        "announced_count": receipt.announced_count,
        "size_bytes": receipt.size_bytes,
        "destination_confirms": receipt.is_confirmable,
        "expected": None if receipt.expected is None else sorted(receipt.expected),
        "received": sorted(receipt.received),
        "stored": sorted(receipt.stored),
        "confirmed": sorted(receipt.confirmed),
        "missing": sorted(receipt.missing),
        "surplus": sorted(receipt.surplus),
        "left_out": receipt.left_out,
        "left_out_series": receipt.left_out_series,
        "held": receipt.held,
        "refused": receipt.refused,
        "stored_with_warning": receipt.stored_with_warning,
        "sha256": receipt.digests,
        "files": receipt.files,
    }


def lines(receipt: Receipt) -> Iterator[str]:
    """Yield the lines of a CSV file, one for each instance of which anything is known."""
    yield _line(_COLUMNS)
    sets = (receipt.expected or set[str](), receipt.received, receipt.stored, receipt.confirmed)
    reasons = (receipt.left_out, receipt.held, receipt.refused, receipt.stored_with_warning, receipt.digests)
    for uid in sorted(set[str]().union(*sets, *reasons)):
        yield _line((uid, *("yes" if uid in each else "no" for each in sets), *(_cell(each, uid) for each in reasons)))


def _cell(reasons: dict[str, str], uid: str) -> str:
    return guarded(reasons.get(uid, ""))


def _line(cells: tuple[str, ...]) -> str:
    row = io.StringIO()
    csv.writer(row).writerow(cells)
    return row.getvalue()
