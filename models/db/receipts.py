"""Keeps the receipts: sets of SOP Instance UIDs packed into one compressed text, beside it the verdict and counts."""

import json
import zlib
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models.db.engine import Database, in_parts
from models.db.leases import check_lease
from models.db.tables import ItemRow, ReceiptRow
from models.db.totals import count_delivery
from models.domain.errors import Bug, WrongState
from models.domain.jobs import Lease, State
from models.domain.receipts import Completeness, Receipt, ReceiptSummary, ReceiptTotals

_EXPECTED, _RECEIVED, _STORED, _CONFIRMED = 1, 2, 4, 8
_FORMAT = 1
_NEWER = frozenset({"held", "files"})
"""Fields that receipts of earlier versions lack."""
_SUMMARY = (
    ReceiptRow.item_id,
    ReceiptRow.verdict,
    ReceiptRow.expected_count,
    ReceiptRow.received_count,
    ReceiptRow.stored_count,
    ReceiptRow.confirmed_count,
    ReceiptRow.left_out_count,
    ReceiptRow.held_count,
    ReceiptRow.refused_count,
    ReceiptRow.missing_count,
    ReceiptRow.saved_at,
)
"""The item's id and the fields of ReceiptSummary, in their order."""


class ReceiptStore:
    """The receipt of each item."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def save(self, lease: Lease, receipt: Receipt) -> None:
        """Replace the item's receipt, and count what is new in it as delivered.

        Raises LeaseLost when another worker has taken the item over.
        """
        content = packed(receipt)
        with self._db.transaction() as session:
            check_lease(session, lease)
            instances, size_bytes = _stored(session.get(ReceiptRow, lease.item_id))
            self._put(session, lease.item_id, content, receipt)
            count_delivery(session, lease.item_id, len(receipt.stored) - instances, receipt.size_bytes - size_bytes)

    def amend(self, item_id: int, receipt: Receipt) -> None:
        """Replace the receipt of an item that nobody works on; raises WrongState when a worker has it."""
        with self._db.transaction() as session:
            state = session.scalar(select(ItemRow.state).where(ItemRow.id == item_id).with_for_update())
            if state is State.IN_PROGRESS:
                raise WrongState("A worker has this item; wait until its attempt has ended.")
            self._put(session, item_id, packed(receipt), receipt)

    def with_held(self) -> Mapping[int, int]:
        """How many instances wait for a review, by the job's id, for jobs that have any."""
        counts = (
            select(ItemRow.job_id, func.sum(ReceiptRow.held_count))
            .join(ItemRow, ItemRow.id == ReceiptRow.item_id)
            .where(ReceiptRow.held_count > 0)
            .group_by(ItemRow.job_id)
            .order_by(ItemRow.job_id)
        )
        with self._db.reading() as session:
            return {job_id: int(count) for job_id, count in session.execute(counts)}

    def load(self, item_id: int) -> Receipt:
        """The item's receipt; an empty one when none was saved."""
        with self._db.reading() as session:
            content = session.scalar(select(ReceiptRow.content).where(ReceiptRow.item_id == item_id))
        return Receipt() if content is None else unpacked(content)

    def of_items(self, item_ids: Collection[int]) -> dict[int, Receipt]:
        """The receipts of those of these items that have one, by the item's id."""
        columns = select(ReceiptRow.item_id, ReceiptRow.content)
        with self._db.reading() as session:
            return {
                item_id: unpacked(content)
                for some in in_parts(item_ids)
                for item_id, content in session.execute(columns.where(ReceiptRow.item_id.in_(some)))
            }

    def held_of_job(self, job_id: int) -> dict[int, Mapping[str, str]]:
        """Why which instances are held, by the item's id, for the items of a job that have any."""
        wanted = (
            select(ReceiptRow.item_id, ReceiptRow.content)
            .join(ItemRow, ItemRow.id == ReceiptRow.item_id)
            .where(ItemRow.job_id == job_id, ReceiptRow.held_count > 0)
        )
        with self._db.reading() as session:
            return {item_id: unpacked(content).held for item_id, content in session.execute(wanted)}

    def summaries(self, item_ids: Collection[int]) -> dict[int, ReceiptSummary]:
        """The counts of the receipts of items that have one, by the item's id, without unpacking them."""
        wanted = select(*_SUMMARY).where(ReceiptRow.item_id.in_(item_ids))
        with self._db.reading() as session:
            return {row[0]: ReceiptSummary(*row[1:]) for row in session.execute(wanted)}

    def summaries_of_job(self, job_id: int) -> dict[int, ReceiptSummary]:
        """The same for all items of a job."""
        wanted = select(*_SUMMARY).join(ItemRow, ItemRow.id == ReceiptRow.item_id).where(ItemRow.job_id == job_id)
        with self._db.reading() as session:
            return {row[0]: ReceiptSummary(*row[1:]) for row in session.execute(wanted)}

    def totals(self, job_id: int) -> ReceiptTotals:
        """How many instances of a job are where, by one question, however many items it has."""
        wanted = (
            select(func.sum(ReceiptRow.stored_count), func.sum(ReceiptRow.held_count))
            .join(ItemRow, ItemRow.id == ReceiptRow.item_id)
            .where(ItemRow.job_id == job_id)
        )
        with self._db.reading() as session:
            stored, held = session.execute(wanted).one()
        return ReceiptTotals(int(stored or 0), int(held or 0))

    def verdict(self, item_id: int) -> Completeness:
        """The verdict of the saved receipt, without unpacking it; unknown when none was saved."""
        with self._db.reading() as session:
            verdict = session.scalar(select(ReceiptRow.verdict).where(ReceiptRow.item_id == item_id))
        return verdict or Completeness.UNKNOWN

    def _put(self, session: Session, item_id: int, content: bytes, receipt: Receipt) -> None:
        row = session.get(ReceiptRow, item_id) or ReceiptRow(item_id=item_id)
        row.content = content
        _count(row, receipt)
        row.saved_at = self._db.clock()
        session.add(row)


def packed(receipt: Receipt) -> bytes:
    """The receipt as compressed JSON. Each UID is written once, with one number for the sets it is in."""
    expected = receipt.expected or set[str]()
    uids = sorted(expected | receipt.received | receipt.stored | receipt.confirmed)
    marks = [
        _EXPECTED * (uid in expected)
        + _RECEIVED * (uid in receipt.received)
        + _STORED * (uid in receipt.stored)
        + _CONFIRMED * (uid in receipt.confirmed)
        for uid in uids
    ]
    document: dict[str, Any] = {"format": _FORMAT, "uids": uids, "marks": marks, **_plain_fields(receipt)}
    return zlib.compress(json.dumps(document, separators=(",", ":")).encode(), level=1)


def unpacked(content: bytes) -> Receipt:
    """The receipt from what ``packed`` made; raises Bug when it is not that."""
    try:
        document: dict[str, Any] = json.loads(zlib.decompress(content))
        marks: Mapping[str, int] = dict(zip(document["uids"], document["marks"], strict=True))
        plain = {name: document[name] for name in _plain_fields(Receipt()) if name in document or name not in _NEWER}
        lists_instances: bool = plain.pop("lists_instances")
    except (zlib.error, ValueError, KeyError) as exc:
        raise Bug("A stored receipt cannot be read.") from exc
    return Receipt(
        expected=_marked(marks, _EXPECTED) if lists_instances else None,
        received=_marked(marks, _RECEIVED),
        stored=_marked(marks, _STORED),
        confirmed=_marked(marks, _CONFIRMED),
        **plain,
    )


def _plain_fields(receipt: Receipt) -> dict[str, Any]:
    """What is not a set of UIDs; ``lists_instances`` tells an empty expectation from an unknown one."""
    return {
        "lists_instances": receipt.expected is not None,
        "announced_count": receipt.announced_count,
        "left_out": receipt.left_out,
        "held": receipt.held,
        "stored_with_warning": receipt.stored_with_warning,
        "refused": receipt.refused,
        "digests": receipt.digests,
        "files": receipt.files,
        "is_confirmable": receipt.is_confirmable,
        "size_bytes": receipt.size_bytes,
        "left_out_series": receipt.left_out_series,
    }


def _marked(marks: Mapping[str, int], mark: int) -> set[str]:
    return {uid for uid, value in marks.items() if value & mark}


def _stored(row: ReceiptRow | None) -> tuple[int, int]:
    """How many instances and bytes were stored by what the receipt says so far."""
    if row is None:
        return 0, 0
    return row.stored_count, unpacked(row.content).size_bytes if row.size_bytes is None else row.size_bytes


def _count(row: ReceiptRow, receipt: Receipt) -> None:
    row.verdict = receipt.verdict
    row.expected_count = None if receipt.expected is None else len(receipt.expected)
    row.received_count = len(receipt.received)
    row.stored_count = len(receipt.stored)
    row.confirmed_count = len(receipt.confirmed)
    row.left_out_count = len(receipt.left_out)
    row.held_count = len(receipt.held)
    row.refused_count = len(receipt.refused)
    row.missing_count = len(receipt.missing)
    row.size_bytes = receipt.size_bytes
