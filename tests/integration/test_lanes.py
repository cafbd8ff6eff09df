"""Several items of a job at a time, between real archives: budgets, failing rows, cancellation, killed workers."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from deployments.demo import studies
from deployments.demo.studies import StudyFiles
from models.db.slots import SlotStore
from models.domain.jobs import Job, State
from models.domain.receipts import Completeness
from models.domain.requests import StudyWish
from services import jobs
from tests.counting import counted, each_after
from tests.installation import DIMSE_GET, PATIENT, TESTER, Installation, wishes
from tests.peers import UNCHECKED, Peer, free_port, orthanc
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(1200)
REPOSITORY = Path(__file__).parents[2]
STUDIES, LARGE = 8, 3
HALF, QUARTER = each_after(600_000), each_after(300_000)
"""Hold every association in the middle of a large study, of some 2 MB, also where two associations share it."""
MORTAL = {"lease_s": 10, "max_attempts": 20}
"""Of workers one of which is killed: its items are soon free, and whoever stands still for a while may try again."""


def made(directory: Path, number: int, instances: int) -> StudyFiles:
    return studies.write_ct(directory / str(number), number, number, instances=(instances,), rows=64, columns=64)


@pytest.fixture(scope="module")
def a_corpus(tmp_path_factory: pytest.TempPathFactory) -> list[StudyFiles]:
    """Small studies, and behind them large ones."""
    directory = tmp_path_factory.mktemp("corpus")
    small = [made(directory, n, 3) for n in range(1, STUDIES + 1)]
    return small + [made(directory, n, 150) for n in range(STUDIES + 1, STUDIES + 1 + LARGE)]


def states(installation: Installation, job: Job) -> Counter[State]:
    return Counter(item.state for item in installation.items(job))


def in_flight(installation: Installation, job: Job) -> int:
    """How many items are at work of which something is at the destination and something is not."""
    at_work = [item for item in installation.items(job) if item.state is State.IN_PROGRESS]
    return sum(bool(installation.receipt(item).stored) for item in at_work)


def in_a_thread(installation: Installation, job: Job) -> threading.Thread:
    worker = threading.Thread(target=installation.run, args=(job,), daemon=True)
    worker.start()
    return worker


def test_lanes_never_hold_more_associations_than_each_server_bears(
    tmp_path: Path, a_source: Peer, a_destination: Peer, a_corpus: list[StudyFiles]
) -> None:
    installation = Installation(tmp_path / "adit", items_at_a_time=5)
    with counted(a_source, each_after(10_000)) as out, counted(a_destination) as back:
        source = installation.server(out, **DIMSE_GET, association_budget=3)  # type: ignore[arg-type]
        target = installation.server(back, **DIMSE_GET, association_budget=3, store_associations=2)  # type: ignore[arg-type]
        job = installation.submit(source, target, wishes(a_corpus[:STUDIES]))
        worker = in_a_thread(installation, job)
        wait_until(lambda: out.held > 1, "items at work at the same time")
        out.let_go()
        worker.join()
    assert states(installation, job) == {State.SUCCESS: STUDIES}
    assert max(out.most, back.most) <= 3, (out, back)
    assert out.total >= 2 * STUDIES
    assert len(a_destination.sop_uids()) == 3 * STUDIES


def test_a_budget_of_one_association_lets_all_lanes_through_one_after_the_other(
    tmp_path: Path, a_source: Peer, a_destination: Peer, a_corpus: list[StudyFiles]
) -> None:
    installation = Installation(tmp_path / "adit", items_at_a_time=4)
    with counted(a_source) as out, counted(a_destination) as back:
        source = installation.server(out, **DIMSE_GET, association_budget=1)  # type: ignore[arg-type]
        target = installation.server(back, **DIMSE_GET, association_budget=1)  # type: ignore[arg-type]
        job = installation.submit(source, target, wishes(a_corpus[:STUDIES]))
        installation.run(job)
    assert states(installation, job) == {State.SUCCESS: STUDIES}
    assert (out.most, back.most) == (1, 1)


def test_failing_rows_stop_none_of_the_others(
    tmp_path: Path, a_source: Peer, a_destination: Peer, a_corpus: list[StudyFiles]
) -> None:
    installation = Installation(tmp_path / "adit", items_at_a_time=3)
    source, target = (installation.server(peer, **DIMSE_GET) for peer in (a_source, a_destination))
    unknown = [StudyWish(f"1.2.3.{n}", f"PATID99{n}", pseudonym=f"GONE-{n}") for n in range(3)]
    mixed = wishes(a_corpus[:STUDIES])
    for n, wish in enumerate(unknown):
        mixed.insert(3 * n, wish)
    job = installation.submit(source, target, mixed)
    installation.run(job)
    items = installation.items(job)
    assert states(installation, job) == {State.SUCCESS: STUDIES, State.FAILURE: 3}
    assert {item.error_code for item in items if item.state is State.FAILURE} == {"NotFound"}
    assert jobs.get(installation.db, TESTER, job.id).message == "Of 11 items 8 succeeded, 3 failed."


def test_canceling_ends_everything_that_is_at_work_without_waiting_for_the_source(
    tmp_path: Path, a_source: Peer, a_corpus: list[StudyFiles]
) -> None:
    installation = Installation(tmp_path / "adit", items_at_a_time=LARGE)
    folder = tmp_path / "research"
    with counted(a_source, HALF) as out:
        source = installation.server(out, **DIMSE_GET, timeouts=PATIENT)  # type: ignore[arg-type]
        job = installation.submit(source, installation.folder(folder), wishes(a_corpus[-LARGE:] + a_corpus[:STUDIES]))
        worker = in_a_thread(installation, job)
        wait_until(lambda: in_flight(installation, job) == LARGE, "the middle of the large studies")
        jobs.cancel(installation.db, TESTER, job.id)
        worker.join()
    assert jobs.get(installation.db, TESTER, job.id).state is State.CANCELED
    assert states(installation, job) == {State.CANCELED: STUDIES + LARGE}
    assert list(folder.rglob("*.dcm")) == []
    assert installation.leftovers() == []


def test_three_workers_of_which_one_is_killed_never_hold_more_associations_than_a_server_bears(
    tmp_path: Path, a_source: Peer, a_destination: Peer, a_corpus: list[StudyFiles]
) -> None:
    """Counted at the archives. What the killed worker had is not given to others before its connections are closed."""
    installation = Installation(tmp_path / "adit", items_at_a_time=3, **MORTAL)
    with counted(a_source) as out, counted(a_destination, QUARTER) as back:
        source = installation.server(out, **DIMSE_GET, association_budget=4)  # type: ignore[arg-type]
        target = installation.server(back, **DIMSE_GET, association_budget=4, store_associations=2)  # type: ignore[arg-type]
        job = installation.submit(source, target, wishes(a_corpus[-LARGE:] + a_corpus[:STUDIES]))
        slots = SlotStore(installation.db)
        assert slots.try_acquire("the test", {source.id: 4}, {source.id: 4}, timedelta(hours=1))
        workers = [a_worker(installation, job) for _ in range(3)]
        wait_until(lambda: states(installation, job)[State.IN_PROGRESS] == 9, "all, waiting for their turn")
        slots.release("the test")
        wait_until(lambda: in_flight(installation, job) >= 1, "the middle of a study")
        wait_until(lambda: max(out.now, back.now) > 2, "workers at work at the same time")
        workers[0].send_signal(signal.SIGKILL)
        workers[0].wait()
        back.let_go()
        for worker in workers[1:]:
            assert worker.wait(240) == 0
        wait_until(lambda: has_succeeded(installation, job, STUDIES + LARGE), "the end of the job")
    assert max(out.most, back.most) <= 4, (out, back)
    assert {installation.receipt(item).verdict for item in installation.items(job)} == {Completeness.COMPLETE}
    assert len(a_destination.sop_uids()) == 3 * STUDIES + 150 * LARGE


def has_succeeded(installation: Installation, job: Job, count: int) -> bool:
    """Whether all items have, after one more run."""
    installation.run(job)
    return states(installation, job) == {State.SUCCESS: count}


def digests(archive: Peer) -> dict[str, str]:
    return {uid: hashlib.sha256(file).hexdigest() for uid, file in archive.files().items()}


def test_a_killed_worker_with_several_items_in_flight_changes_no_byte(
    tmp_path: Path, a_source: Peer, a_destination: Peer, a_corpus: list[StudyFiles]
) -> None:
    installation = Installation(tmp_path / "adit", items_at_a_time=LARGE, **MORTAL)
    source, asked = installation.server(a_source, **DIMSE_GET), wishes(a_corpus[-LARGE:])
    with counted(a_destination, QUARTER) as back:
        target = installation.server(back, **DIMSE_GET)  # type: ignore[arg-type]
        job = installation.submit(source, target, asked, "trial")
        worker = a_worker(installation, job)
        wait_until(lambda: in_flight(installation, job) >= 2, "the middle of several studies")
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        assert in_flight(installation, job) >= 2
        back.let_go()
        wait_until(lambda: has_succeeded(installation, job, LARGE), "the end of the job")
    assert {installation.receipt(item).verdict for item in installation.items(job)} == {Completeness.COMPLETE}
    with orthanc(tmp_path / "undisturbed", f"U{free_port()}", settings=UNCHECKED) as archive:
        again = installation.submit(source, installation.server(archive, **DIMSE_GET), asked, "trial")
        installation.run(again)
        assert digests(a_destination) == digests(archive)


def a_worker(installation: Installation, job: Job) -> "subprocess.Popen[bytes]":
    """A process that works on the job as a flow would, to be killed."""
    options = installation.settings
    variables = {
        "ADIT_DATA_DIR": str(options.data_dir),
        "ADIT_MASTER_KEY": options.master_key.get_secret_value(),
        "ADIT_SPOOL_RESERVE_MB": str(options.spool_reserve_mb),
        "ADIT_ITEMS_AT_A_TIME": str(options.items_at_a_time),
        "ADIT_LEASE_S": str(options.lease_s),
        "ADIT_MAX_ATTEMPTS": str(options.max_attempts),
        "PYTHONPATH": str(REPOSITORY),
    }
    command = [sys.executable, "-m", "tests.benchmarks.run_job", "plain", str(job.id)]
    return subprocess.Popen(command, cwd=options.data_dir, env={**os.environ, **variables}, stdout=subprocess.DEVNULL)
