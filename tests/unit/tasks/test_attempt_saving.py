"""What an attempt knows is saved in the end, whatever the database refuses on the way."""

from datetime import timedelta
from typing import Any

import pytest

from models.db.engine import Database
from models.db.receipts import ReceiptStore
from models.domain.errors import PeerBusy
from models.domain.jobs import Item, Lease
from models.domain.receipts import Receipt
from services import work
from services.streams import Stream
from tasks.attempt import Attempt
from tests.databases import clock, db
from tests.samples import add_job

__all__ = ["clock", "db"]


@pytest.fixture
def an_attempt(db: Database) -> Attempt:
    """An attempt whose receipt has changed."""
    item, lease = work.claim_next(db, add_job(db).id, timedelta(minutes=1)) or pytest.fail("nothing was due")
    attempt = attempt_of(db, item, lease)
    attempt.receipt.stored.add("1.2.3")
    attempt.touch()
    return attempt


def attempt_of(db: Database, item: Item, lease: Lease) -> Attempt:
    nothing: dict[str, Any] = dict.fromkeys(("settings", "job", "source", "destination", "local", "policy"))
    streams = {"retrieved": Stream(1), "pseudonymized": Stream(1)}
    return Attempt(db=db, item=item, lease=lease, receipt=Receipt(), **streams, **nothing)


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


def test_what_is_saved_is_not_saved_again(an_attempt: Attempt, monkeypatch: pytest.MonkeyPatch) -> None:
    with an_attempt.ending():
        an_attempt.save_changes()
    monkeypatch.setattr(ReceiptStore, "save", _is_busy)
    an_attempt.save_changes()


def _is_busy(*_: object) -> None:
    raise PeerBusy("The database is busy.")
