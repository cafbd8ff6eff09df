"""Which flow runs work on a job, which machines leave it to others, and who does what only one may do."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest

from models.db.duties import DutyStore
from models.db.engine import Database
from models.db.holding import HoldingStore
from models.db.jobs import JobStore
from models.db.refusals import RefusalStore
from models.db.runs import RunStore
from models.domain.jobs import Job, JobKind
from models.domain.nodes import Stop
from tests.databases import Clock
from tests.samples import add_job

LEASE = timedelta(seconds=20)
TRANSFERS = [JobKind.SELECTIVE_TRANSFER, JobKind.BATCH_TRANSFER]


@pytest.fixture
def runs(database: Database) -> RunStore:
    return RunStore(database)


@pytest.fixture
def a_job(database: Database) -> Job:
    return add_job(database, studies=5)


def test_a_run_is_known_from_when_it_was_asked_for_until_it_has_ended(runs: RunStore, a_job: Job, clock: Clock) -> None:
    asked_at = clock.now
    for _ in range(2):
        runs.ask(a_job.id, "one")
    assert [(run.flow_run_id, run.asked_at, run.heard_at) for run in runs.of_job(a_job.id)] == [("one", asked_at, None)]
    clock.pass_by(5)
    runs.hear(a_job.id, "one")
    runs.hear(a_job.id, "two")
    assert runs.heard_at("one") == runs.heard_at("two") == clock.now
    runs.ask(a_job.id, "one")
    assert runs.heard_at("one") == clock.now, "asking again says nothing about its life"
    runs.forget("one")
    assert [run.flow_run_id for run in runs.of_job(a_job.id)] == ["two"]


def test_silent_are_runs_that_say_nothing_and_those_that_nobody_has_begun(
    runs: RunStore, a_job: Job, clock: Clock
) -> None:
    runs.ask(a_job.id, "waits")
    runs.hear(a_job.id, "dies")
    runs.hear(a_job.id, "lives")
    assert runs.silent(LEASE) == ()
    clock.pass_by(20)
    runs.hear(a_job.id, "lives")
    assert {run.flow_run_id for run in runs.silent(LEASE)} == {"waits", "dies"}


def test_jobs_with_a_run_at_work_tell_how_many_items_wait(
    database: Database, runs: RunStore, a_job: Job, clock: Clock
) -> None:
    jobs = JobStore(database)
    assert jobs.claim_next(a_job.id, LEASE)
    assert runs.waiting(TRANSFERS) == {}, "nobody has begun"
    runs.ask(a_job.id, "asked for")
    assert runs.waiting(TRANSFERS) == {}
    runs.hear(a_job.id, "at work")
    assert runs.waiting(TRANSFERS) == {a_job.id: 4}
    assert runs.waiting([JobKind.BATCH_QUERY]) == {}
    source = jobs.items(a_job.id)[0].source_id
    HoldingStore(database).stop(source, Stop("eve", clock.now, ""))
    assert runs.waiting(TRANSFERS) == {}, "the server holds them back"
    HoldingStore(database).stop(source, None)
    jobs.cancel(a_job.id)
    assert runs.waiting(TRANSFERS) == {}


def test_a_refusal_counts_for_a_while_and_can_be_taken_back(database: Database, a_job: Job, clock: Clock) -> None:
    refusals = RefusalStore(database)
    refusals.refuse(a_job.id, "b", "an old reason")
    refusals.refuse(a_job.id, "b", "no folder")
    refusals.refuse(a_job.id, "a", "no receiver")
    assert refusals.of_job(a_job.id, LEASE) == {"a": "no receiver", "b": "no folder"}
    refusals.withdraw(a_job.id, "a")
    assert refusals.of_job(a_job.id, LEASE) == {"b": "no folder"}
    clock.pass_by(21)
    assert refusals.of_job(a_job.id, LEASE) == {}


def test_old_refusals_are_removed(database: Database, a_job: Job, clock: Clock) -> None:
    refusals = RefusalStore(database)
    refusals.refuse(a_job.id, "a", "no receiver")
    clock.pass_by(1)
    refusals.refuse(a_job.id, "b", "no folder")
    refusals.remove_old(clock())
    assert refusals.of_job(a_job.id, LEASE) == {"b": "no folder"}


def test_runs_and_refusals_go_with_their_job(database: Database, runs: RunStore, a_job: Job) -> None:
    runs.hear(a_job.id, "one")
    RefusalStore(database).refuse(a_job.id, "b", "no folder")
    JobStore(database).delete(a_job.id)
    assert runs.of_job(a_job.id) == ()
    assert RefusalStore(database).of_job(a_job.id, LEASE) == {}
    runs.hear(a_job.id, "one")
    assert runs.of_job(a_job.id) == (), "a run that lives on says so in vain"


def test_one_holder_has_a_duty_until_it_gives_it_back_or_dies(database: Database, clock: Clock) -> None:
    duties = DutyStore(database)
    assert duties.take("dispatch", "a", LEASE)
    assert not duties.take("dispatch", "b", LEASE)
    assert duties.take("other", "b", LEASE)
    clock.pass_by(19)
    assert duties.take("dispatch", "a", LEASE)
    clock.pass_by(19)
    assert not duties.take("dispatch", "b", LEASE)
    clock.pass_by(1)
    assert duties.take("dispatch", "b", LEASE)
    assert not duties.take("dispatch", "a", LEASE)
    duties.give_back("dispatch", "a")
    assert not duties.take("dispatch", "a", LEASE), "it was not a's to give back"
    duties.give_back("dispatch", "b")
    assert duties.take("dispatch", "a", LEASE)


def test_one_of_many_who_come_at_the_same_time_gets_the_duty(database: Database) -> None:
    together = Barrier(4)

    def take(holder: str) -> bool:
        together.wait()
        return DutyStore(database).take("dispatch", holder, LEASE)

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(take, "abcd")) == 1
