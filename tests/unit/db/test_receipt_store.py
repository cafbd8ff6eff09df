"""Receipts come back exactly as they were saved."""

import json
import zlib
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.receipts import ReceiptStore, packed, unpacked
from models.domain.errors import Bug, WrongState
from models.domain.jobs import Lease, State
from models.domain.receipts import Completeness, Receipt
from tests.samples import add_job

UIDS = st.sets(st.sampled_from([f"1.2.{n}" for n in range(12)]))
REASONS = st.dictionaries(st.sampled_from([f"1.2.{n}" for n in range(12)]), st.text(max_size=5))
RECEIPTS = st.builds(
    Receipt,
    expected=st.none() | UIDS,
    announced_count=st.none() | st.integers(0, 20),
    received=UIDS,
    left_out=REASONS,
    held=REASONS,
    stored=UIDS,
    stored_with_warning=REASONS,
    refused=REASONS,
    confirmed=UIDS,
    digests=REASONS,
    is_confirmable=st.booleans(),
    size_bytes=st.integers(0, 2**50),
    left_out_series=REASONS,
)


@given(RECEIPTS)
def test_packing_loses_nothing(receipt: Receipt) -> None:
    again = unpacked(packed(receipt))
    assert again == receipt
    assert again.verdict is receipt.verdict


def test_an_empty_expectation_is_not_an_unknown_one() -> None:
    assert unpacked(packed(Receipt(expected=set()))).expected == set()
    assert unpacked(packed(Receipt(expected=None))).expected is None


def test_a_damaged_receipt_is_not_taken_for_an_empty_one() -> None:
    for content in (b"", b"damaged", packed(Receipt())[:-3]):
        with pytest.raises(Bug):
            unpacked(content)


def test_a_receipt_of_an_earlier_version_is_still_read() -> None:
    receipt = Receipt(expected={"1.2"}, left_out={"1.2": "why"})
    document = json.loads(zlib.decompress(packed(receipt)))
    del document["held"]
    assert unpacked(zlib.compress(json.dumps(document).encode())) == receipt


def a_lease(database: Database) -> Lease:
    claim = JobStore(database).claim_next(add_job(database).id, timedelta(seconds=20))
    assert claim is not None
    return claim[1]


def test_an_item_without_receipt_has_an_empty_one_of_unknown_verdict(database: Database) -> None:
    store = ReceiptStore(database)
    lease = a_lease(database)
    assert store.load(lease.item_id) == Receipt()
    assert store.verdict(lease.item_id) is Completeness.UNKNOWN


def test_the_last_saved_receipt_counts(database: Database) -> None:
    store = ReceiptStore(database)
    lease = a_lease(database)
    uids = {f"1.2.826.0.1.{n}" for n in range(2000)}
    store.save(lease, Receipt(expected=uids))
    assert store.verdict(lease.item_id) is Completeness.SHORT
    whole = Receipt(expected=uids, received=uids, stored=uids, confirmed=uids)
    store.save(lease, whole)
    assert store.load(lease.item_id) == whole
    assert store.verdict(lease.item_id) is Completeness.COMPLETE


def test_a_receipt_is_amended_only_while_nobody_works_on_the_item(database: Database) -> None:
    store, lease = ReceiptStore(database), a_lease(database)
    store.save(lease, Receipt(held={"1.2": "why"}))
    with pytest.raises(WrongState):
        store.amend(lease.item_id, Receipt())
    JobStore(database).end_attempt(lease, State.WARNING, "held")
    store.amend(lease.item_id, Receipt(left_out={"1.2": "why"}))
    assert store.load(lease.item_id).left_out == {"1.2": "why"}


def test_jobs_with_held_instances_are_found_without_unpacking(database: Database) -> None:
    store, lease = ReceiptStore(database), a_lease(database)
    assert store.with_held() == {}
    store.save(lease, Receipt(held={"1.2": "why", "1.3": "why"}))
    assert store.with_held() == {JobStore(database).item(lease.item_id).job_id: 2}
