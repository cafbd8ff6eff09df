"""Asking many questions: whatever dies, fails, is canceled or lost in the meantime."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.nodes import NodeStore
from models.db.project import ProjectStore
from models.db.questions import QuestionStore
from models.db.slots import SlotStore
from models.domain.errors import Bug, PeerBusy, Unreachable, Unsupported
from models.domain.jobs import Job, Lease, State
from models.domain.nodes import BudgetRule, Window
from models.domain.people import operator
from models.domain.project import App, AppState
from models.settings import Settings
from services import holding, jobs, work
from services.batches import checks, queries
from tasks import ask as asks
from tasks import bundle as bundles
from tasks.ask import ask_bundle
from tasks.bundle import Bundle
from tests.batches import a_query, a_transfer, query_rows, transfer_rows
from tests.databases import Clock, clock, database, empty_url
from tests.memory_archive import MemoryArchive, played
from tests.samples import a_folder, a_server, some_settings

__all__ = ["clock", "database", "empty_url"]

ROOT = operator("root")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "BEAT_S", 0.02)
    monkeypatch.setattr(asks, "_AGAIN_AFTER_S", 0.0)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return some_settings(tmp_path)


@pytest.fixture
def archives() -> Iterator[dict[str, MemoryArchive]]:
    both = {"ONE": MemoryArchive(), "TWO": MemoryArchive()}
    for number in range(1, 31):
        both["ONE"].add(f"P{number}", f"1.2.{number}")
        both["TWO"].add(f"P{number}", f"1.3.{number}")
    with played(**both):
        yield both


def a_job(db: Database, settings: Settings, rows: int, *names: str, **fields: object) -> Job:
    sources = [NodeStore(db).add(a_server(name, **fields)).id for name in names or ["ONE"]]
    return queries.submit(db, settings, ROOT, a_query(sources, *query_rows(rows)))


def run(db: Database, settings: Settings, job: Job, size: int = bundles.SIZE) -> int:
    """Ask server after server, bundle after bundle, and return how many bundles there were."""
    count = 0
    while due := JobStore(db).due_sources(job.id):
        begun = [Bundle(db, settings, JobStore(db).get(job.id), source_id, size) for source_id in due]
        for bundle in begun:
            ask_bundle(bundle)
            count += 1
        if not any(bundle.asked for bundle in begun):
            break
    return count


def found(db: Database, job: Job) -> list[tuple[int, str]]:
    """The line and the study of each answer."""
    return [(item.lines[0], answer.study.study_uid) for item, _, answer in QuestionStore(db).results(job.id) if answer]


def test_every_row_is_asked_of_every_server_once(
    database: Database, settings: Settings, archives: dict[str, MemoryArchive]
) -> None:
    job = a_job(database, settings, 30, "ONE", "TWO")
    assert run(database, settings, job, size=25) == 4
    expected = [(n + 1, f"1.{place}.{n}") for n in range(1, 31) for place in (2, 3)]
    assert found(database, job) == expected
    assert JobStore(database).get(job.id).state is State.SUCCESS
    assert [len(archive.asked) for archive in archives.values()] == [60, 60]
    assert all(SlotStore(database).taken(node.id) == 0 for node in NodeStore(database).list())


def test_connections_stay_open_and_leave_half_of_the_budget(
    database: Database, settings: Settings, archives: dict[str, MemoryArchive]
) -> None:
    job = a_job(database, settings, 30, association_budget=6)
    run(database, settings, job)
    assert 1 <= archives["ONE"].most_open <= 3
    assert archives["ONE"].open_now == 0


def test_a_place_in_the_budget_is_waited_for_while_the_lease_lives(
    database: Database, settings: Settings, archives: dict[str, MemoryArchive], clock: Clock
) -> None:
    job = a_job(database, settings, 2, association_budget=1)
    (node,) = NodeStore(database).list()
    hour = timedelta(hours=1)
    assert SlotStore(database).try_acquire("transfer", {node.id: 1}, {node.id: 1}, hour)
    thread = threading.Thread(target=run, args=(database, settings, job))
    thread.start()
    while not JobStore(database).at_work():
        time.sleep(0.01)
    clock.pass_by(settings.lease_s - 1)
    for _ in range(2):
        before = JobStore(database).last_activity_at(job.id)
        while JobStore(database).last_activity_at(job.id) == before:
            clock.pass_by(0.001)
            time.sleep(0.01)
    assert archives["ONE"].asked == []
    SlotStore(database).release("transfer")
    thread.join(30)
    assert JobStore(database).get(job.id).state is State.SUCCESS


def test_what_a_dead_worker_had_is_asked_again_and_answered_once(
    database: Database, settings: Settings, archives: dict[str, MemoryArchive], clock: Clock
) -> None:
    job = a_job(database, settings, 10)
    for _ in range(3):
        assert JobStore(database).claim_next(job.id, settings.lease_for)
    run(database, settings, job)
    assert len(found(database, job)) == 7
    assert JobStore(database).get(job.id).state is State.IN_PROGRESS
    assert run(database, settings, job) == 0, "their leases live"
    clock.pass_by(settings.lease_s)
    run(database, settings, job)
    assert sorted(found(database, job)) == [(n + 1, f"1.2.{n}") for n in range(1, 11)]
    assert JobStore(database).get(job.id).state is State.SUCCESS


def test_a_row_that_is_reset_or_a_job_that_is_restarted_has_no_answer_twice(
    database: Database, settings: Settings, archives: dict[str, MemoryArchive]
) -> None:
    job = a_job(database, settings, 3)
    run(database, settings, job)
    item = JobStore(database).items(job.id)[1]
    jobs.reset_item(database, ROOT, item.id)
    assert len(found(database, job)) == 2, "what was found before is gone at once"
    run(database, settings, job)
    jobs.restart(database, ROOT, job.id)
    assert found(database, job) == []
    run(database, settings, job)
    assert found(database, job) == [(2, "1.2.1"), (3, "1.2.2"), (4, "1.2.3")]


def test_a_server_that_is_down_holds_up_nobody_and_is_asked_again_later(
    database: Database, settings: Settings, archives: dict[str, MemoryArchive], clock: Clock
) -> None:
    job = a_job(database, settings, 3, "ONE", "TWO")
    archives["TWO"].faults = [Unreachable() for _ in range(6)]
    run(database, settings, job)
    assert [study for _, study in found(database, job)] == ["1.2.1", "1.2.2", "1.2.3"]
    waiting = JobStore(database).items(job.id, [State.PENDING])
    assert [(item.error_code, item.attempts) for item in waiting] == [("Unreachable", 1)] * 3
    clock.pass_by(settings.retry_wait.total_seconds())
    run(database, settings, job)
    assert len(found(database, job)) == 6
    assert JobStore(database).get(job.id).state is State.SUCCESS


def test_a_fault_of_a_moment_costs_no_attempt(
    database: Database, settings: Settings, archives: dict[str, MemoryArchive]
) -> None:
    job = a_job(database, settings, 1)
    archives["ONE"].faults = [Unreachable()]
    run(database, settings, job)
    (item,) = JobStore(database).items(job.id)
    assert (item.state, item.attempts) == (State.SUCCESS, 1)


def test_one_row_that_fails_stops_no_other(
    database: Database, settings: Settings, archives: dict[str, MemoryArchive]
) -> None:
    archives["ONE"].studies = [study for study in archives["ONE"].studies if study.patient_id != "P2"]
    job = a_job(database, settings, 3)
    run(database, settings, job)
    states = [item.state for item in JobStore(database).items(job.id)]
    assert states == [State.SUCCESS, State.FAILURE, State.SUCCESS]
    assert JobStore(database).get(job.id).state is State.FAILURE


@pytest.mark.parametrize("error", [PeerBusy(), Unsupported()])
def test_only_what_may_help_at_once_is_tried_at_once(
    database: Database, settings: Settings, archives: dict[str, MemoryArchive], error: Exception
) -> None:
    job = a_job(database, settings, 1)
    archives["ONE"].faults = [error]  # type: ignore[list-item]
    run(database, settings, job)
    (item,) = JobStore(database).items(job.id)
    assert item.state is (State.PENDING if isinstance(error, PeerBusy) else State.FAILURE)
    assert len(archives["ONE"].asked) == 1


def test_a_fault_of_ours_is_recorded_without_its_text(
    database: Database, settings: Settings, archives: dict[str, MemoryArchive]
) -> None:
    job = a_job(database, settings, 2)

    def fail(question: object) -> None:
        raise ValueError(f"cannot read {question}")

    archives["ONE"].on_question = fail
    run(database, settings, job)
    for item in JobStore(database).items(job.id):
        assert (item.state, item.error_code) == (State.FAILURE, "Bug")
        assert "P1" not in item.message and "ValueError" in item.message


def test_an_answer_that_the_database_refuses_fails_its_row_only(
    database: Database, settings: Settings, archives: dict[str, MemoryArchive], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = a_job(database, settings, 3)
    end = work.end_question

    def refuse_second(db: Database, lease: Lease, *outcome: Any) -> None:
        if JobStore(db).item(lease.item_id).position == 2:
            raise Bug("The database refused a statement (DataError, 22003).")
        end(db, lease, *outcome)

    monkeypatch.setattr(work, "end_question", refuse_second)
    run(database, settings, job)
    items = JobStore(database).items(job.id)
    assert [item.state for item in items] == [State.SUCCESS, State.FAILURE, State.SUCCESS]
    assert items[1].error_code == "Bug"


def test_a_canceled_job_ends_within_moments(
    database: Database, settings: Settings, archives: dict[str, MemoryArchive]
) -> None:
    job = a_job(database, settings, 30, association_budget=2)
    canceled = threading.Event()

    def cancel(_: object) -> None:
        if len(archives["ONE"].asked) == 5:
            JobStore(database).cancel(job.id)
            canceled.set()
        if canceled.is_set():
            threading.Event().wait(0.2)

    archives["ONE"].on_question = cancel
    run(database, settings, job)
    assert JobStore(database).get(job.id).state is State.CANCELED
    assert len(archives["ONE"].asked) <= 6
    archives["ONE"].on_question = lambda _: None
    jobs.resume(database, ROOT, job.id)
    run(database, settings, job)
    assert sorted(found(database, job)) == [(n + 1, f"1.2.{n}") for n in range(1, 31)]


def test_who_has_lost_a_lease_writes_nothing(
    database: Database, settings: Settings, archives: dict[str, MemoryArchive], clock: Clock
) -> None:
    """Another worker has taken the row over in the meantime, and its answers stand."""
    job = a_job(database, settings, 1)
    (item,) = JobStore(database).items(job.id)
    taken = []

    def take_over(_: object) -> None:
        if not taken:
            taken.append(True)
            with database.transaction() as session:
                session.execute(text("UPDATE items SET lease_token = 'other'"))
            threading.Event().wait(0.3)

    archives["ONE"].on_question = take_over
    run(database, settings, job)
    assert found(database, job) == []
    assert JobStore(database).item(item.id).state is State.IN_PROGRESS


def test_who_has_lost_the_place_in_the_budget_takes_up_nothing_more(
    database: Database, settings: Settings, archives: dict[str, MemoryArchive], clock: Clock
) -> None:
    job = a_job(database, settings, 5, association_budget=2)

    def lose_the_place(_: object) -> None:
        if len(archives["ONE"].asked) == 1:
            with database.transaction() as session:
                session.execute(text("UPDATE association_slots SET count = 0"))
            threading.Event().wait(0.3)

    archives["ONE"].on_question = lose_the_place
    bundle = Bundle(database, settings, job, NodeStore(database).by_name("ONE").id)
    ask_bundle(bundle)
    assert bundle.asked == 1
    assert [item.attempts for item in JobStore(database).items(job.id)] == [1, 0, 0, 0, 0]
    clock.pass_by(settings.lease_s)
    run(database, settings, job)
    assert len(found(database, job)) == 5


def held_back_by_window(db: Database, clock: Clock) -> None:
    clock.now = datetime(2026, 3, 2, 6, tzinfo=UTC)


def held_back_by_staff(db: Database, _clock: Clock) -> None:
    holding.stop(db, ROOT, NodeStore(db).list()[0].id)


@pytest.mark.parametrize("hold_back", [held_back_by_window, held_back_by_staff])
def test_a_server_that_is_held_back_is_left_within_moments_and_asked_the_rest_later(
    database: Database,
    settings: Settings,
    archives: dict[str, MemoryArchive],
    clock: Clock,
    hold_back: Callable[[Database, Clock], None],
) -> None:
    clock.now = datetime(2026, 3, 2, 5, 59, 59, tzinfo=UTC)
    nights = tuple(Window(day, time_of_day(20), time_of_day(6)) for day in range(7))
    job = a_job(database, settings, 30, association_budget=2, windows=nights)

    def close(_: object) -> None:
        if len(archives["ONE"].asked) == 5:
            hold_back(database, clock)
            assert archives["ONE"].aborted.wait(30), "nobody has broken the connection"

    archives["ONE"].on_question = close
    run(database, settings, job)
    assert len(archives["ONE"].asked) == 5
    items = JobStore(database).items(job.id)
    assert {item.state for item in items} == {State.SUCCESS, State.PENDING}
    assert all(item.attempts == (1 if item.state is State.SUCCESS else 0) for item in items)
    assert JobStore(database).get(job.id).state is State.IN_PROGRESS
    assert JobStore(database).due_jobs() == ()
    assert run(database, settings, job) == 0, "a run would end at once"
    (server,) = NodeStore(database).list()
    assert SlotStore(database).taken(server.id) == 0
    archives["ONE"].on_question = lambda _: None
    holding.let_go_on(database, ROOT, server.id)
    clock.now = datetime(2026, 3, 2, 20, tzinfo=UTC)
    assert JobStore(database).due_jobs() == (job.id,)
    run(database, settings, job)
    assert found(database, job) == [(n + 1, f"1.2.{n}") for n in range(1, 31)]
    assert {item.attempts for item in JobStore(database).items(job.id)} == {1}


def test_a_server_that_is_stopped_holds_up_no_question_to_another(
    database: Database, settings: Settings, archives: dict[str, MemoryArchive]
) -> None:
    job = a_job(database, settings, 5, "ONE", "TWO")
    holding.stop(database, ROOT, NodeStore(database).by_name("ONE").id)
    run(database, settings, job)
    assert [len(archive.asked) for archive in archives.values()] == [0, 10]
    states = {item.state for item in JobStore(database).items(job.id)}
    assert states == {State.SUCCESS, State.PENDING}


def test_threads_above_a_budget_that_has_sunk_give_their_places_back_after_the_question_at_hand(
    database: Database, settings: Settings, archives: dict[str, MemoryArchive], clock: Clock
) -> None:
    clock.now = datetime(2026, 3, 2, 5, 59, 59, tzinfo=UTC)
    night = tuple(BudgetRule(Window(day, time_of_day(20), time_of_day(6)), 8) for day in range(7))
    job = a_job(database, settings, 30, association_budget=1, budget_rules=night)
    together, begun = threading.Barrier(4, timeout=30), threading.Event()
    open_by_day: list[int] = []

    def look(_: object) -> None:
        if not begun.is_set():
            together.wait()  # four are at work at night
            clock.now = datetime(2026, 3, 2, 6, tzinfo=UTC)
            begun.set()
        elif len(archives["ONE"].asked) > 8:
            open_by_day.append(archives["ONE"].open_now)

    archives["ONE"].on_question = look
    run(database, settings, job)
    assert archives["ONE"].most_open == 4
    assert open_by_day and set(open_by_day) == {1}
    assert len(found(database, job)) == 30


def test_a_check_waits_while_its_application_is_suspended(
    database: Database, settings: Settings, archives: dict[str, MemoryArchive]
) -> None:
    source = NodeStore(database).add(a_server("ONE"))
    folder = NodeStore(database).add(a_folder())
    job = checks.submit(database, settings, ROOT, a_transfer(source.id, folder.id, *transfer_rows(2)))
    assert JobStore(database).due_jobs() == (job.id,)
    ProjectStore(database).set_app(AppState(App.BATCH_TRANSFER, suspended=True))
    assert JobStore(database).due_jobs() == ()
    assert run(database, settings, job) == 1
    assert archives["ONE"].asked == []
    ProjectStore(database).set_app(AppState(App.BATCH_TRANSFER))
    run(database, settings, job)
    assert JobStore(database).get(job.id).state is State.SUCCESS


def test_the_task_run_is_named_by_ids_and_keeps_nothing() -> None:
    assert asks.ask.task_run_name == "ask-job-{bundle.job_id}"
    assert asks.ask.persist_result is False
    assert asks.ask.log_prints is False


def test_a_row_that_kills_its_worker_again_and_again_fails_in_the_end(
    database: Database, settings: Settings, archives: dict[str, MemoryArchive], clock: Clock
) -> None:
    job = a_job(database, settings, 2)
    for _ in range(settings.max_attempts):
        claim = JobStore(database).claim_next(job.id, settings.lease_for)
        assert claim is not None and claim[0].position == 1
        clock.pass_by(settings.lease_s)
    run(database, settings, job)
    states = [(item.state, item.error_code) for item in JobStore(database).items(job.id)]
    assert states == [(State.FAILURE, "LeaseLost"), (State.SUCCESS, "")]
