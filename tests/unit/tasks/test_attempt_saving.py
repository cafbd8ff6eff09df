"""What an attempt knows is saved in the end, and what it may not know any more stops it before it shows anything."""

from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from models.db.engine import Database
from models.db.folder_holds import FolderHoldStore
from models.db.jobs import JobStore
from models.db.receipts import ReceiptStore
from models.domain.errors import AditError, Canceled, FolderFull, LeaseLost, PeerBusy, ServerStopped
from models.domain.jobs import Item, Lease
from models.domain.people import operator
from models.domain.receipts import Receipt
from services import holding, work
from services.streams import Stream
from tasks.attempt import Attempt
from tests.databases import Clock, clock, db
from tests.samples import add_job

__all__ = ["clock", "db"]

LEASE = timedelta(minutes=1)
SETTINGS = SimpleNamespace(lease_for=LEASE)


@pytest.fixture
def an_attempt(db: Database) -> Attempt:
    """An attempt whose receipt has changed."""
    item, lease = work.claim_next(db, add_job(db).id, LEASE) or pytest.fail("nothing was due")
    attempt = attempt_of(db, item, lease)
    attempt.receipt.stored.add("1.2.3")
    attempt.touch()
    return attempt


def attempt_of(db: Database, item: Item, lease: Lease) -> Attempt:
    nothing: dict[str, Any] = dict.fromkeys(("job", "source", "destination", "local", "policy"))
    others: dict[str, Any] = {"retrieved": Stream(1), "pseudonymized": Stream(1), "settings": SETTINGS}
    return Attempt(db=db, item=item, lease=lease, receipt=Receipt(), **others, **nothing)


def test_a_receipt_that_the_database_refuses_is_saved_the_next_time(
    an_attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(PeerBusy):
        patch.setattr(ReceiptStore, "save", _is_busy)
        an_attempt.save_changes()
    an_attempt.save_changes()
    assert work.load_receipt(an_attempt.db, an_attempt.item_id).stored == {"1.2.3"}


@pytest.mark.parametrize("save", [Attempt.save_changes, Attempt.save_receipt])
def test_a_receipt_whose_transaction_is_rolled_back_is_saved_the_next_time(an_attempt: Attempt, save: Any) -> None:
    with pytest.raises(PeerBusy), an_attempt.ending():
        save(an_attempt)
        _is_busy()
    assert not work.load_receipt(an_attempt.db, an_attempt.item_id).stored
    an_attempt.save_changes()
    assert work.load_receipt(an_attempt.db, an_attempt.item_id).stored == {"1.2.3"}


def test_what_changes_while_the_receipt_is_saved_is_saved_the_next_time(
    an_attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = ReceiptStore.save

    def save_slowly(store: ReceiptStore, lease: Lease, receipt: Receipt) -> None:
        with an_attempt.record:
            an_attempt.receipt.stored.add("1.2.4")
            an_attempt.touch()
        save(store, lease, receipt)

    with monkeypatch.context() as patch:
        patch.setattr(ReceiptStore, "save", save_slowly)
        an_attempt.save_changes()
    assert work.load_receipt(an_attempt.db, an_attempt.item_id).stored == {"1.2.3"}
    an_attempt.save_changes()
    assert work.load_receipt(an_attempt.db, an_attempt.item_id).stored == {"1.2.3", "1.2.4"}


def test_what_is_saved_is_not_saved_again(an_attempt: Attempt, monkeypatch: pytest.MonkeyPatch) -> None:
    with an_attempt.ending():
        an_attempt.save_changes()
    monkeypatch.setattr(ReceiptStore, "save", _is_busy)
    an_attempt.save_changes()


def _cancel(attempt: Attempt) -> None:
    JobStore(attempt.db).cancel(attempt.item.job_id)


def _stop_the_source(attempt: Attempt) -> None:
    holding.stop(attempt.db, operator("root"), attempt.item.source_id, "It swaps its disks.")


def _lose(attempt: Attempt) -> None:
    attempt.lease = Lease(attempt.item_id, "that of another worker")


@pytest.mark.parametrize(
    ("happens", "error"), [(_cancel, Canceled), (_stop_the_source, ServerStopped), (_lose, LeaseLost)]
)
def test_what_no_beat_has_noticed_yet_is_noticed_at_once(
    an_attempt: Attempt, happens: Callable[[Attempt], None], error: type[AditError]
) -> None:
    an_attempt.check_now()
    happens(an_attempt)
    an_attempt.check()
    with pytest.raises(error):
        an_attempt.check_now()


def test_a_folder_that_others_find_full_stops_nobody_who_is_at_work_there(an_attempt: Attempt) -> None:
    folder_id = an_attempt.item.target_id
    FolderHoldStore(an_attempt.db).hold(folder_id, an_attempt.item_id + 1, FolderFull(), "adit1", 0)
    assert set(holding.reasons(an_attempt.db)) == {folder_id}
    an_attempt.check_now()


def test_an_attempt_that_goes_on_has_the_item_for_a_whole_lease(an_attempt: Attempt, clock: Clock) -> None:
    clock.pass_by(50)
    an_attempt.check_now()
    clock.pass_by(50)
    assert work.claim_next(an_attempt.db, an_attempt.item.job_id, LEASE) is None


def _is_busy(*_: object) -> None:
    raise PeerBusy("The database is busy.")
