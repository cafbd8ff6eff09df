"""Servers hold work back while they are stopped or outside their windows, and nothing of it is lost or counted."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from models.db.engine import Database
from models.db.holding import HoldingStore
from models.db.jobs import JobStore
from models.db.nodes import NodeStore
from models.db.questions import Question, QuestionStore
from models.db.scopes import ScopeStore
from models.domain.errors import NotFound, OutsideWindow, ServerStopped
from models.domain.jobs import Item, Job, JobKind, Lease, State
from models.domain.nodes import Node, Server, Stop, Window
from models.domain.requests import JobHead
from tests.databases import Clock
from tests.samples import a_folder, a_request, a_server

LEASE = timedelta(seconds=20)
NIGHTS = tuple(Window(day, time(20), time(6)) for day in range(7))
EVENING = datetime(2026, 3, 2, 20, tzinfo=UTC)


@pytest.fixture
def jobs(database: Database) -> JobStore:
    return JobStore(database)


def kept(database: Database, name: str, **fields: object) -> Server:
    added = NodeStore(database).add(a_server(name, **fields))
    assert isinstance(added, Server)
    return added


def add_job(database: Database, source: Node, destination: Node | None = None, studies: int = 1) -> Job:
    target = destination or NodeStore(database).add(a_folder(f"to {source.name}", f"/srv/{source.name}"))
    return JobStore(database).add("ada", a_request(source.id, target.id, studies), ScopeStore(database).new())


def claimed(jobs: JobStore, job: Job) -> tuple[Item, Lease]:
    return jobs.claim_next(job.id, LEASE) or pytest.fail("nothing was due")


def stop(database: Database, node: Node, reason: str = "") -> None:
    HoldingStore(database).stop(node.id, Stop("eve", database.clock(), reason))


def test_a_job_waits_outside_the_windows_of_its_source_and_is_due_when_it_opens(
    database: Database, jobs: JobStore, clock: Clock
) -> None:
    job, other = add_job(database, kept(database, "NIGHT", windows=NIGHTS)), add_job(database, kept(database, "DAY"))
    clock.now = EVENING - timedelta(seconds=1)
    assert jobs.claim_next(job.id, LEASE) is None
    assert jobs.due_jobs() == (other.id,)
    assert jobs.due_sources(job.id) == {}
    assert jobs.get(job.id).state is State.PENDING
    clock.now = EVENING
    assert jobs.due_jobs() == (job.id, other.id)
    assert claimed(jobs, job)[0].attempts == 1


def test_a_job_waits_for_its_destination_too(database: Database, jobs: JobStore, clock: Clock) -> None:
    job = add_job(database, kept(database, "DAY"), kept(database, "NIGHT", windows=NIGHTS))
    clock.now = EVENING - timedelta(hours=1)
    assert jobs.claim_next(job.id, LEASE) is None
    clock.now = EVENING
    claimed(jobs, job)


def test_items_of_other_servers_go_on(database: Database, jobs: JobStore) -> None:
    stopped, other = kept(database, "STOPPED"), kept(database, "OTHER")
    asked = [Question(stopped.id, b"1"), Question(other.id, b"2"), Question(stopped.id, b"3")]
    store = QuestionStore(database)
    job = store.add("ada", JobHead(JobKind.BATCH_QUERY), store.sealed(asked))
    stop(database, stopped)
    assert jobs.due_sources(job.id) == {other.id: 1}
    assert jobs.due_jobs() == (job.id,)
    assert claimed(jobs, job)[0].source_id == other.id
    assert jobs.claim_next(job.id, LEASE) is None


def test_a_stopped_server_holds_back_until_it_is_let_go_on(database: Database, jobs: JobStore) -> None:
    server = kept(database, "PACS", windows=NIGHTS)
    job = add_job(database, server)
    database.clock = lambda: EVENING
    stop(database, server, "It swaps its disks")
    assert jobs.claim_next(job.id, LEASE) is None
    assert NodeStore(database).get(server.id) == replace(server, stop=Stop("eve", EVENING, "It swaps its disks"))
    before = HoldingStore(database).stop(server.id, None)
    assert before == Stop("eve", EVENING, "It swaps its disks")
    assert NodeStore(database).get(server.id) == server
    claimed(jobs, job)


def test_reasons_say_why_and_until_when(database: Database, clock: Clock) -> None:
    database.zone = ZoneInfo("Europe/Berlin")
    closed, stopped, _ = (
        kept(database, "CLOSED", windows=NIGHTS),
        kept(database, "STOPPED", windows=NIGHTS),
        kept(database, "OPEN"),
    )
    clock.now = EVENING - timedelta(hours=2)
    stop(database, stopped, "It swaps its disks")
    reasons = HoldingStore(database).reasons()
    assert reasons.keys() == {closed.id, stopped.id}
    assert isinstance(reasons[closed.id], OutsideWindow)
    assert reasons[closed.id].message == "CLOSED is outside its transfer windows until Mon 2026-03-02 20:00."
    assert reasons[closed.id].until == EVENING - timedelta(hours=1), "it is meant in the zone of the settings"
    assert isinstance(reasons[stopped.id], ServerStopped)
    told = "An administrator has stopped STOPPED on Mon 2026-03-02 19:00: It swaps its disks."
    assert (reasons[stopped.id].message, reasons[stopped.id].until) == (told, None)
    assert HoldingStore(database).reasons([closed.id, None]).keys() == {closed.id}
    clock.now = EVENING
    assert HoldingStore(database).reasons().keys() == {stopped.id}


def test_what_holds_jobs_back_is_told_for_those_with_items_that_wait(database: Database, jobs: JobStore) -> None:
    stopped = kept(database, "STOPPED")
    waiting, other, ended = (
        add_job(database, stopped, studies=2),
        add_job(database, kept(database, "OPEN")),
        add_job(database, kept(database, "SOURCE"), stopped),
    )
    _, lease = claimed(jobs, ended)
    jobs.end_attempt(lease, State.SUCCESS, "done")
    stop(database, stopped)
    found = HoldingStore(database).of_jobs([waiting.id, other.id, ended.id])
    assert {job_id: len(reasons) for job_id, reasons in found.items()} == {waiting.id: 1}


def test_an_attempt_that_is_not_counted_leaves_the_item_as_it_was(database: Database, jobs: JobStore) -> None:
    job = add_job(database, kept(database, "PACS"))
    item, lease = claimed(jobs, job)
    jobs.end_attempt(lease, State.PENDING, "held back", "OutsideWindow", is_counted=False)
    after = jobs.item(item.id)
    assert (after.state, after.attempts, after.message, after.not_before_at) == (State.PENDING, 0, "held back", None)
    assert jobs.get(job.id).state is State.IN_PROGRESS
    assert claimed(jobs, job)[0].attempts == 1


def test_a_held_back_item_of_a_job_that_is_canceled_is_canceled(database: Database, jobs: JobStore) -> None:
    job = add_job(database, kept(database, "PACS"))
    item, lease = claimed(jobs, job)
    jobs.cancel(job.id)
    jobs.end_attempt(lease, State.PENDING, "held back", "OutsideWindow", is_counted=False)
    assert jobs.item(item.id).state is State.CANCELED
    assert jobs.get(job.id).state is State.CANCELED


def test_settings_of_a_stopped_server_can_be_changed_and_it_stays_stopped(database: Database) -> None:
    server = kept(database, "PACS")
    stop(database, server)
    NodeStore(database).update(server)
    assert HoldingStore(database).reasons().keys() == {server.id}


def test_only_servers_can_be_stopped(database: Database) -> None:
    folder = NodeStore(database).add(a_folder())
    for node_id in (folder.id, 4711):
        with pytest.raises(NotFound):
            HoldingStore(database).stop(node_id, Stop("eve", database.clock()))
