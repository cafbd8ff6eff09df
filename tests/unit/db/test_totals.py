"""Counters of attempts and deliveries never go back, whatever becomes of jobs; signs of life tell who is there."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.nodes import NodeStore
from models.db.receipts import ReceiptStore
from models.db.signs import SignStore
from models.db.tables import ReceiptRow
from models.db.totals import AttemptTotal, DeliveryTotal, Route, TotalStore
from models.domain.jobs import JobKind, Lease, State
from models.domain.nodes import Server
from models.domain.receipts import Receipt
from tests.databases import Clock
from tests.samples import add_job

LEASE = timedelta(seconds=20)
ROUTE = Route(JobKind.BATCH_TRANSFER, "PACS", "research")


def claimed(database: Database, job_id: int) -> Lease:
    found = JobStore(database).claim_next(job_id, LEASE)
    assert found is not None
    return found[1]


def test_each_end_of_an_attempt_is_counted_with_its_time(database: Database, clock: Clock) -> None:
    job, store = add_job(database, studies=2), JobStore(database)
    lease = claimed(database, job.id)
    clock.pass_by(3)
    store.end_attempt(lease, State.PENDING, "later", "Unreachable")
    lease = claimed(database, job.id)
    clock.pass_by(4)
    store.end_attempt(lease, State.SUCCESS, "done")
    lease = claimed(database, job.id)
    clock.pass_by(5)
    store.end_attempt(lease, State.SUCCESS, "done")
    assert set(TotalStore(database).attempts()) == {
        AttemptTotal(ROUTE, State.PENDING, "Unreachable", 1, 3.0),
        AttemptTotal(ROUTE, State.SUCCESS, "", 2, 9.0),
    }


def test_a_worker_that_died_in_the_last_attempt_is_a_failure_of_its_own(database: Database, clock: Clock) -> None:
    job = add_job(database)
    claimed(database, job.id)
    clock.pass_by(30)
    assert JobStore(database).fail_abandoned(job.id, 1) == 1
    (total,) = TotalStore(database).attempts()
    assert (total.state, total.error_code, total.attempts) == (State.FAILURE, "LeaseLost", 1)


def test_what_is_rolled_back_is_not_counted(database: Database) -> None:
    lease = claimed(database, add_job(database).id)
    with pytest.raises(ZeroDivisionError), database.transaction():
        JobStore(database).end_attempt(lease, State.SUCCESS, "done")
        raise ZeroDivisionError
    assert TotalStore(database).attempts() == ()


def test_an_instance_is_delivered_once_however_often_its_receipt_is_saved(database: Database) -> None:
    lease = claimed(database, add_job(database).id)
    receipts = ReceiptStore(database)
    receipts.save(lease, Receipt(stored={"1"}, size_bytes=10))
    receipts.save(lease, Receipt(stored={"1"}, size_bytes=10))
    receipts.save(lease, Receipt(stored={"1", "2", "3"}, size_bytes=70))
    assert TotalStore(database).deliveries() == (DeliveryTotal(ROUTE, 3, 70),)


def test_counters_stay_when_an_item_begins_anew_or_its_node_is_renamed(database: Database) -> None:
    job = add_job(database)
    lease = claimed(database, job.id)
    ReceiptStore(database).save(lease, Receipt(stored={"1"}, size_bytes=10))
    JobStore(database).end_attempt(lease, State.SUCCESS, "done")
    JobStore(database).restart(job.id)
    server = NodeStore(database).by_name("PACS")
    assert isinstance(server, Server)
    NodeStore(database).update(replace(server, name="ARCHIVE"))
    lease = claimed(database, job.id)
    ReceiptStore(database).save(lease, Receipt(stored={"1"}, size_bytes=10))
    renamed = Route(JobKind.BATCH_TRANSFER, "ARCHIVE", "research")
    assert set(TotalStore(database).deliveries()) == {DeliveryTotal(ROUTE, 1, 10), DeliveryTotal(renamed, 1, 10)}
    assert len(TotalStore(database).attempts()) == 1


def test_a_receipt_of_an_earlier_version_is_not_counted_again(database: Database) -> None:
    """It has its size in the content only."""
    lease = claimed(database, add_job(database).id)
    ReceiptStore(database).save(lease, Receipt(stored={"1"}, size_bytes=10))
    with database.transaction() as session:
        session.execute(update(ReceiptRow).values(size_bytes=None))
    ReceiptStore(database).save(lease, Receipt(stored={"1", "2"}, size_bytes=15))
    assert TotalStore(database).deliveries() == (DeliveryTotal(ROUTE, 2, 15),)


def test_a_program_is_heard_of_until_it_ends_as_it_should(database: Database, clock: Clock) -> None:
    signs, begin = SignStore(database), clock.now
    signs.give("dispatcher", "host-a", "1.0", begin)
    signs.give("receiver", "host-a", "1.0", begin)
    clock.pass_by(10)
    signs.give("dispatcher", "host-a", "1.0", begin)
    heard = {sign.program: sign.seen_at for sign in signs.list()}
    assert heard == {"dispatcher": clock.now, "receiver": begin}
    signs.withdraw("receiver", "host-a", begin - timedelta(seconds=1))
    assert len(signs.list()) == 2, "a program that was replaced takes away nothing of its successor's"
    signs.withdraw("receiver", "host-a", begin)
    assert [sign.program for sign in signs.list()] == ["dispatcher"]


def test_who_has_been_silent_for_a_week_is_forgotten(database: Database, clock: Clock) -> None:
    signs = SignStore(database)
    signs.give("receiver", "an-old-host", "1.0", clock.now)
    clock.pass_by(8 * 86400)
    signs.give("receiver", "a-new-host", "1.1", clock.now)
    assert [sign.machine for sign in signs.list()] == ["a-new-host"]


def test_workers_that_end_at_once_are_all_counted_and_none_waits_in_a_circle(database: Database) -> None:
    jobs = [add_job(database, studies=5).id for _ in range(4)]

    def work(job_id: int) -> None:
        store, receipts = JobStore(database), ReceiptStore(database)
        while (claim := store.claim_next(job_id, LEASE)) is not None:
            with database.transaction():  # as an attempt ends: the receipt first, then the item and its job
                receipts.save(claim[1], Receipt(stored={"1", "2"}, size_bytes=10))
                store.end_attempt(claim[1], State.SUCCESS, "done")

    with ThreadPoolExecutor(8) as threads:
        for end in [threads.submit(work, job_id) for job_id in jobs * 2]:
            end.result()
    assert [total.attempts for total in TotalStore(database).attempts()] == [20]
    assert TotalStore(database).deliveries() == (DeliveryTotal(ROUTE, 40, 200),)
