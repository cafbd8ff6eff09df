"""Servers that close or are stopped while items are at work, between real archives: nothing is lost, and it goes on."""

import hashlib
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from pathlib import Path

import pytest

from deployments.demo import studies
from deployments.demo.studies import StudyFiles
from models.db.jobs import JobStore
from models.domain.jobs import Item, Job, State
from models.domain.nodes import Server, Window
from models.domain.receipts import Completeness
from services import holding, jobs
from tests.counting import counted, each_after
from tests.databases import Clock
from tests.installation import DIMSE_GET, PATIENT, TESTER, Installation, wishes
from tests.peers import UNCHECKED, Peer, orthanc
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(1200)
STUDIES, INSTANCES = 3, 60
HALF = each_after(250_000)
"""Holds every association to the source in the middle of its study, which has some 800 kB."""
NIGHTS = tuple(Window(day, time_of_day(20), time_of_day(6)) for day in range(7))
MORNING, EVENING = datetime(2026, 3, 2, 6, tzinfo=UTC), datetime(2026, 3, 2, 20, tzinfo=UTC)


@pytest.fixture(scope="module")
def a_corpus(tmp_path_factory: pytest.TempPathFactory) -> list[StudyFiles]:
    directory = tmp_path_factory.mktemp("corpus")
    return [
        studies.write_ct(directory / str(n), n, n, instances=(INSTANCES,), rows=64, columns=64)
        for n in range(1, STUDIES + 1)
    ]


def under_way(installation: Installation, job: Job) -> list[Item]:
    """The items of which something is stored and something is not."""
    items = installation.items(job)
    return [item for item in items if 0 < len(installation.receipt(item).stored) < INSTANCES]


def states(installation: Installation, job: Job) -> Counter[State]:
    return Counter(item.state for item in installation.items(job))


def bytes_in(folder: Path) -> Counter[str]:
    """How often each content stands in the visible files of a folder."""
    files = [path for path in folder.rglob("*.dcm") if not any(part.startswith(".") for part in path.parts)]
    return Counter(hashlib.sha256(file.read_bytes()).hexdigest() for file in files)


def bytes_at(archive: Peer) -> dict[str, str]:
    return {uid: hashlib.sha256(file).hexdigest() for uid, file in archive.files().items()}


@pytest.mark.parametrize("to", ["archive", "folder"])
def test_a_window_closes_mid_job_and_the_job_ends_with_the_same_bytes_when_it_opens(
    tmp_path: Path, a_source: Peer, a_destination: Peer, a_corpus: list[StudyFiles], to: str
) -> None:
    installation = Installation(tmp_path / "adit", items_at_a_time=STUDIES, time_zone="UTC")
    installation.db.clock = clock = Clock()
    clock.now = MORNING - timedelta(seconds=1)
    folder, undisturbed = tmp_path / "research", tmp_path / "undisturbed"
    with counted(a_source, HALF) as out:
        source = installation.server(out, **DIMSE_GET, windows=NIGHTS, timeouts=PATIENT)  # type: ignore[arg-type]
        target = installation.server(a_destination, **DIMSE_GET) if to == "archive" else installation.folder(folder)
        job = installation.submit(source, target, wishes(a_corpus), "trial")
        worker = threading.Thread(target=installation.run, args=(job,), daemon=True)
        worker.start()
        wait_until(lambda: len(under_way(installation, job)) == STUDIES, "the middle of all studies")
        clock.now = MORNING
        worker.join()
        out.let_go()
        check_the_rest_follows(installation, job, source, clock)
        if to == "folder":
            again = installation.submit(
                source, installation.folder(undisturbed, "undisturbed"), wishes(a_corpus), "trial"
            )
            installation.run(again)
            assert bytes_in(folder) == bytes_in(undisturbed)
            assert bytes_in(folder).total() == STUDIES * INSTANCES
            return
        with orthanc(tmp_path / "second", "SECOND", settings=UNCHECKED) as second:
            again = installation.submit(source, installation.server(second, **DIMSE_GET), wishes(a_corpus), "trial")
            installation.run(again)
            assert bytes_at(a_destination) == bytes_at(second)


def check_the_rest_follows(installation: Installation, job: Job, source: Server, clock: Clock) -> None:
    """That what was held at the end of the window waits for the next one, and is completed in it."""
    held = under_way(installation, job)
    assert len(held) == STUDIES
    assert all((item.state, item.attempts) == (State.PENDING, 0) for item in held)
    assert {item.message for item in held} == {
        "SOURCE is outside its transfer windows until Mon 2026-03-02 20:00.",
    }
    kept = {item.id: set(installation.receipt(item).stored) for item in held}
    assert jobs.get(installation.db, TESTER, job.id).state is State.IN_PROGRESS
    assert JobStore(installation.db).due_jobs() == ()
    before = installation.items(job)
    installation.run(job)
    assert installation.items(job) == before
    clock.now = EVENING
    assert JobStore(installation.db).due_jobs() == (job.id,)
    installation.run(job)
    items = installation.items(job)
    assert states(installation, job) == {State.SUCCESS: STUDIES}
    assert {item.attempts for item in items} == {1}
    assert {installation.receipt(item).verdict for item in items} == {Completeness.COMPLETE}
    assert all(kept[item.id] <= installation.receipt(item).stored for item in items if item.id in kept)
    assert installation.leftovers() == []


def test_a_server_that_is_stopped_is_left_without_waiting_for_its_answer_and_the_rest_follows(
    tmp_path: Path, a_source: Peer, a_corpus: list[StudyFiles]
) -> None:
    installation = Installation(tmp_path / "adit", items_at_a_time=STUDIES)
    folder = tmp_path / "research"
    with counted(a_source, HALF) as out:
        source = installation.server(out, **DIMSE_GET, timeouts=PATIENT)  # type: ignore[arg-type]
        job = installation.submit(source, installation.folder(folder), wishes(a_corpus))
        worker = threading.Thread(target=installation.run, args=(job,), daemon=True)
        worker.start()
        wait_until(lambda: len(under_way(installation, job)) == STUDIES, "the middle of all studies")
        holding.stop(installation.db, TESTER, source.id, "It swaps its disks.")
        wait_until(lambda: out.now == 0, "the end of all associations")
        worker.join()
        assert states(installation, job) == {State.PENDING: STUDIES}
        out.let_go()
        total = out.total
        installation.run(job)
        assert out.total == total
        holding.let_go_on(installation.db, TESTER, source.id)
        assert JobStore(installation.db).due_jobs() == (job.id,)
        installation.run(job)
    assert states(installation, job) == {State.SUCCESS: STUDIES}
    assert bytes_in(folder).total() == STUDIES * INSTANCES
    assert installation.leftovers() == []
