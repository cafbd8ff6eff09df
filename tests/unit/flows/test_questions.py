"""Several servers are asked at the same time, and none of them waits for another."""

import threading
from collections.abc import Iterator
from concurrent.futures import wait
from functools import partial
from pathlib import Path

import pytest

from flows import questions
from flows.questions import ask_through
from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.nodes import NodeStore
from models.db.questions import QuestionStore
from models.domain.errors import Unreachable
from models.domain.jobs import Job, State
from models.domain.people import operator
from models.settings import Settings
from services.batches import queries
from tasks import ask as asks
from tasks.ask import ask_bundle
from tasks.bundle import Bundle
from tests.batches import a_query, query_rows
from tests.databases import Clock, sqlite_database
from tests.memory_archive import MemoryArchive, played
from tests.samples import a_server, some_settings

SIZE = 5
ROWS = 2 * SIZE + 1
PATIENCE_S = 120


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "_LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(questions, "Bundle", partial(Bundle, size=SIZE))
    monkeypatch.setattr(asks, "_AGAIN_AFTER_S", 0.0)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return some_settings(tmp_path)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    found = sqlite_database(tmp_path, Clock())
    yield found
    found.close()


@pytest.fixture
def archives() -> Iterator[dict[str, MemoryArchive]]:
    both = {"ONE": MemoryArchive(), "TWO": MemoryArchive()}
    for number in range(1, ROWS + 1):
        both["ONE"].add(f"P{number}", f"1.2.{number}")
        both["TWO"].add(f"P{number}", f"1.3.{number}")
    with played(**both):
        yield both


@pytest.fixture
def a_job(db: Database, settings: Settings) -> Job:
    sources = [NodeStore(db).add(a_server(name)).id for name in ("ONE", "TWO")]
    return queries.submit(db, settings, operator("root"), a_query(sources, *query_rows(ROWS)))


def answered(db: Database, job: Job, name: str) -> int:
    source_id = NodeStore(db).by_name(name).id
    ended = JobStore(db).items(job.id, [State.SUCCESS])
    return sum(item.source_id == source_id for item in ended)


def test_a_server_that_never_answers_holds_up_no_question_to_another(
    db: Database, settings: Settings, a_job: Job, archives: dict[str, MemoryArchive]
) -> None:
    released = threading.Event()
    archives["TWO"].on_question = lambda _: released.wait()  # type: ignore[assignment,return-value]
    thread = threading.Thread(target=ask_through, args=(db, settings, a_job.id, ask_bundle))
    thread.start()
    try:
        ticks = threading.Event()
        for _ in range(PATIENCE_S * 20):
            if answered(db, a_job, "ONE") == ROWS:
                break
            ticks.wait(0.05)
        assert (answered(db, a_job, "ONE"), answered(db, a_job, "TWO")) == (ROWS, 0)
        assert archives["TWO"].asked, "it has been asked, and has not answered"
    finally:
        released.set()
        thread.join()
    assert JobStore(db).get(a_job.id).state is State.SUCCESS
    assert QuestionStore(db).count_results(a_job.id) == 2 * ROWS


def test_what_becomes_due_while_another_server_is_slow_is_asked_meanwhile(
    db: Database, settings: Settings, a_job: Job, archives: dict[str, MemoryArchive]
) -> None:
    archives["ONE"].faults = [Unreachable() for _ in range(2 * ROWS)]
    clock, rest = db.clock, threading.Event()
    assert isinstance(clock, Clock)
    archives["TWO"].on_question = lambda _: rest.wait()  # type: ignore[assignment,return-value]
    thread = threading.Thread(target=ask_through, args=(db, settings, a_job.id, ask_bundle))
    thread.start()
    try:
        ticks = threading.Event()
        for _ in range(PATIENCE_S * 20):
            if not archives["ONE"].faults:
                clock.pass_by(settings.retry_wait.total_seconds())
            if answered(db, a_job, "ONE") == ROWS:
                break
            ticks.wait(0.05)
        assert (answered(db, a_job, "ONE"), answered(db, a_job, "TWO")) == (ROWS, 0)
    finally:
        rest.set()
        thread.join()


def test_a_fault_is_raised_when_the_other_servers_were_asked(
    db: Database, settings: Settings, a_job: Job, archives: dict[str, MemoryArchive]
) -> None:
    broken = NodeStore(db).by_name("TWO").id

    def run(bundle: Bundle) -> None:
        if bundle.source_id == broken:
            raise Unreachable("The database does not answer.")
        ask_bundle(bundle)

    with pytest.raises(Unreachable):
        ask_through(db, settings, a_job.id, run)
    assert (answered(db, a_job, "ONE"), answered(db, a_job, "TWO")) == (ROWS, 0)


def test_an_end_from_outside_breaks_off_what_is_asked_and_leaves_it_to_another_run(
    db: Database, settings: Settings, a_job: Job, archives: dict[str, MemoryArchive], monkeypatch: pytest.MonkeyPatch
) -> None:
    for archive in archives.values():
        archive.on_question = lambda _, of=archive: of.aborted.wait()  # type: ignore[misc]

    def end_when_both_are_asked(*_: object) -> None:
        while not all(archive.asked for archive in archives.values()):
            wait([], timeout=0.01)
        raise SystemExit

    monkeypatch.setattr(questions, "wait", end_when_both_are_asked)
    with pytest.raises(SystemExit):
        ask_through(db, settings, a_job.id, ask_bundle)
    assert all(archive.aborted.is_set() and archive.open_now == 0 for archive in archives.values())
    assert {item.state for item in JobStore(db).items(a_job.id)} == {State.PENDING, State.IN_PROGRESS}
