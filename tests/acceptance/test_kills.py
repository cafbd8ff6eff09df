"""The running stack survives what operations bring: killed workers, an archive that restarts, a cancellation."""

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.demo import studies
from deployments.demo.studies import StudyFiles
from models.domain.jobs import State
from models.domain.receipts import Completeness
from models.domain.requests import StudyWish
from services import jobs
from tests.counting import counted, each_after
from tests.installation import DIMSE_GET, PATIENT, TESTER
from tests.peers import Peer, free_port, orthanc
from tests.stack import Stack, processes_of, stack

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(1800)]
INSTANCES = (134, 133, 133)
MIDDLE = each_after(2_000_000)
"""Holds every association in the middle of a study, whose instances have some 38 kB each."""
UNCHECKED = {"DicomCheckCalledAet": False}
"""The same archive is added more than once, under titles of its own."""


@pytest.fixture(scope="module")
def a_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack(tmp_path_factory.mktemp("stack"), lease_s=10, retry_wait_s=5, max_attempts=20) as running:
        yield running


@pytest.fixture(scope="module")
def a_study(tmp_path_factory: pytest.TempPathFactory) -> StudyFiles:
    return studies.write_ct(
        tmp_path_factory.mktemp("ct"), patient=1, study=1, instances=INSTANCES, rows=128, columns=128
    )


@pytest.fixture
def a_long_study(tmp_path: Path) -> StudyFiles:
    return studies.write_ct(tmp_path / "long", patient=2, study=2, instances=(150, 150), rows=128, columns=128)


@pytest.fixture
def a_source(tmp_path: Path, a_study: StudyFiles) -> Iterator[Peer]:
    with orthanc(tmp_path / "source", f"S{free_port()}", settings=UNCHECKED) as archive:
        archive.upload(a_study.files)
        yield archive


@pytest.fixture
def a_destination(tmp_path: Path) -> Iterator[Peer]:
    with orthanc(tmp_path / "destination", f"D{free_port()}") as archive:
        yield archive


def digests(files: dict[str, bytes]) -> dict[str, str]:
    return {uid: hashlib.sha256(file).hexdigest() for uid, file in files.items()}


def undisturbed(running: Stack, study: StudyFiles, source: Peer, tmp_path: Path) -> dict[str, str]:
    """What the destination holds after a run that nothing disturbs, under the same trial."""
    with orthanc(tmp_path / "undisturbed", f"U{free_port()}") as archive:
        installation = running.installation
        there = installation.server(source, f"again-{free_port()}", ae_title=f"A{free_port()}", **DIMSE_GET)
        job = installation.submit(there, installation.server(archive, **DIMSE_GET), [wish(study)], "trial")
        running.wait_for_end(job)
        (item,) = installation.items(job)
        assert item.state is State.SUCCESS, item.message
        return digests(archive.files())


def wish(study: StudyFiles) -> StudyWish:
    return StudyWish(study.study_uid, study.patient_id, pseudonym="SUBJ-1")


def test_a_killed_worker_loses_nothing_and_changes_no_byte(
    a_stack: Stack, a_study: StudyFiles, a_source: Peer, a_destination: Peer, tmp_path: Path
) -> None:
    installation = a_stack.installation
    source = installation.server(a_source, **DIMSE_GET)
    with counted(a_destination, MIDDLE) as door:
        target = installation.server(door, **DIMSE_GET)  # type: ignore[arg-type]
        job = installation.submit(source, target, [wish(a_study)], "trial")
        a_stack.wait_until(lambda: a_stack.stored(job) > 30, "the middle of the study")
        a_stack.kill_workers()
        assert a_stack.stored(job) < sum(INSTANCES)
        door.let_go()
        a_stack.wait_for_end(job)
    (item,) = installation.items(job)
    assert (item.state, installation.receipt(item).verdict) == (State.SUCCESS, Completeness.COMPLETE), item.message
    assert item.attempts > 1
    arrived = digests(a_destination.files())
    assert len(arrived) == sum(INSTANCES)
    assert arrived == undisturbed(a_stack, a_study, a_source, tmp_path)
    assert installation.leftovers() == []


def test_a_source_that_is_down_for_a_while_does_not_fail_the_job(
    a_stack: Stack, a_study: StudyFiles, a_destination: Peer, tmp_path: Path
) -> None:
    installation = a_stack.installation
    title, target = f"S{free_port()}", installation.server(a_destination, **DIMSE_GET)
    with (
        orthanc(tmp_path / "source", title, settings=UNCHECKED) as archive,
        counted(archive, MIDDLE) as door,
    ):
        archive.upload(a_study.files)
        source = installation.server(door, **DIMSE_GET)  # type: ignore[arg-type]
        job = installation.submit(source, target, [wish(a_study)], "trial")
        a_stack.wait_until(lambda: a_stack.stored(job) > 30, "the middle of the study")
        archive.process.kill()
        archive.process.wait()
    assert a_stack.stored(job) < sum(INSTANCES)
    a_stack.wait_until(lambda: installation.items(job)[0].attempts > 2, "an attempt in vain")
    with (
        orthanc(tmp_path / "source", title, settings=UNCHECKED) as archive,
        counted(archive, port=door.port),
    ):
        a_stack.wait_for_end(job)
        (item,) = installation.items(job)
        assert (item.state, installation.receipt(item).verdict) == (State.SUCCESS, Completeness.COMPLETE), item.message
        assert digests(a_destination.files()) == undisturbed(a_stack, a_study, archive, tmp_path)


def test_a_canceled_job_stops_without_waiting_for_its_source_and_leaves_nothing_behind(
    a_stack: Stack, a_long_study: StudyFiles, a_source: Peer, tmp_path: Path
) -> None:
    installation = a_stack.installation
    a_source.upload(a_long_study.files)
    folder = tmp_path / "research"
    target = installation.folder(folder, f"folder-{free_port()}")
    with counted(a_source, MIDDLE) as door:
        source = installation.server(door, **DIMSE_GET, timeouts=PATIENT)  # type: ignore[arg-type]
        job = installation.submit(source, target, [wish(a_long_study)], "other trial")
        a_stack.wait_until(lambda: a_stack.stored(job) > 10, "the middle of the study")
        jobs.cancel(installation.db, TESTER, job.id)
        a_stack.wait_for_end(job)
    assert jobs.get(installation.db, TESTER, job.id).state is State.CANCELED
    assert [path for path in folder.rglob("*") if path.is_file()] == []
    assert installation.leftovers() == []


def test_no_identifier_stands_in_prefects_database_or_in_any_log(a_stack: Stack, a_study: StudyFiles) -> None:
    """Runs last in this module, over what the other tests have left."""
    directory = a_stack.installation.settings.data_dir
    values = {value.encode() for value in studies.identifying_values([a_study]) if len(value) >= 4}
    own_database = {"adit.db", "adit.db-wal", "adit.db-shm"}
    searched = 0
    for path in directory.rglob("*"):
        if path.is_file() and path.name not in own_database:
            with contextlib.suppress(FileNotFoundError):  # the stack is at work: files come and go
                content = path.read_bytes()
                searched += 1
                assert not [value for value in values if value in content], path
    prefect = next(path for path in directory.rglob("prefect.db"))
    with sqlite3.connect(prefect) as connection:
        assert connection.execute("select count(*) from flow_run").fetchone()[0] >= 3
    assert searched > 3


def test_the_stack_stops_on_sigterm_without_leaving_a_process(tmp_path: Path) -> None:
    with stack(tmp_path / "stack") as running:
        assert len(list(processes_of(running.installation.settings.data_dir))) >= 4
    assert list(processes_of(tmp_path / "stack")) == []
    assert running.process.returncode == 0
