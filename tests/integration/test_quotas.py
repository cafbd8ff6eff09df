"""Quotas in whole transfers, and with processes that are killed while they write."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread

from deployments.demo import studies
from deployments.demo.studies import StudyFiles
from dicom.files.staging import STAGING
from models.db.engine import Database
from models.db.nodes import NodeStore
from models.domain.errors import OverQuota
from models.domain.jobs import State
from models.domain.nodes import Folder
from models.domain.quotas import GB
from models.domain.requests import StudyWish
from services import housekeeping, jobs, nodes, quotas
from tests.databases import MASTER_KEY, clock, database, empty_url
from tests.faulty_archive import FaultyArchive
from tests.installation import DIMSE_GET, TESTER, Installation
from tests.quota_writers import Ledger
from tests.samples import a_request, a_server, some_settings
from tests.waiting import wait_until

__all__ = ["clock", "database", "empty_url"]

pytestmark = [
    # the faulty archive is pynetdicom's own acceptor, which forgets to close a socket that its peer has shut
    pytest.mark.filterwarnings("ignore:unclosed <socket.socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
MB = 10**6
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def a_study(tmp_path: Path) -> StudyFiles:
    """Seven instances of about 33 kB each."""
    return studies.write_ct(tmp_path / "ct", patient=1, study=1, instances=(4, 3), rows=128, columns=128)


@pytest.fixture
def an_archive(a_study: StudyFiles) -> Iterator[FaultyArchive]:
    with FaultyArchive("ARCHIVE", a_study.files).running() as archive:
        yield archive


@pytest.fixture
def an_installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path / "adit")


def wish(study: StudyFiles, expected_bytes: int = 0) -> StudyWish:
    return StudyWish(study.study_uid, study.patient_id, pseudonym="SUBJ", expected_bytes=expected_bytes)


def a_folder(site: Installation, path: Path, quota_bytes: int) -> Folder:
    path.mkdir()
    return nodes.add_folder(site.db, site.settings, TESTER, Folder("research", path, quota_gb=quota_bytes / GB))


def with_quota(site: Installation, folder: Folder, quota_bytes: int) -> None:
    now = nodes.get(site.db, folder.id)
    assert isinstance(now, Folder)
    nodes.update(site.db, site.settings, TESTER, replace(now, quota_gb=quota_bytes / GB))


def bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def parts(site: Installation, folder: Folder) -> tuple[int, int, int]:
    usage = quotas.usage(site.db, TESTER, folder.id)
    return usage.measured_bytes, usage.settled_since_bytes, usage.reserved_bytes


def test_a_study_that_does_not_fit_fails_at_once_and_leaves_nothing_behind(
    an_installation: Installation, an_archive: FaultyArchive, a_study: StudyFiles, tmp_path: Path
) -> None:
    site = an_installation
    source = site.server(an_archive, **DIMSE_GET)  # type: ignore[arg-type]
    folder = a_folder(site, tmp_path / "out", 100_000)
    (item,) = site.transfer(source, folder, wish(a_study))
    assert (item.state, item.error_code, item.attempts) == (State.FAILURE, "OverQuota", 1)
    assert item.message.startswith("Folder research: of its quota of 0.1 MB no more than ")
    assert [path.name for path in folder.path.rglob("*") if path.name != STAGING] == []
    assert parts(site, folder) == (0, 0, 0)
    assert site.leftovers() == []


def test_with_a_larger_quota_a_retry_brings_the_study_and_counts_its_bytes(
    an_installation: Installation, an_archive: FaultyArchive, a_study: StudyFiles, tmp_path: Path
) -> None:
    site = an_installation
    source = site.server(an_archive, **DIMSE_GET)  # type: ignore[arg-type]
    folder = a_folder(site, tmp_path / "out", 100_000)
    job = site.submit(source, folder, [wish(a_study)])
    site.run(job)
    with_quota(site, folder, MB)
    jobs.retry(site.db, TESTER, job.id)
    site.run(job)
    assert [item.state for item in site.items(job)] == [State.SUCCESS]
    assert parts(site, folder) == (0, bytes_in(folder.path), 0)
    quotas.measure(site.db, folder.id)
    assert parts(site, folder) == (bytes_in(folder.path), 0, 0)


def test_a_study_that_is_moved_again_counts_twice_until_the_next_walk(
    an_installation: Installation, an_archive: FaultyArchive, a_study: StudyFiles, tmp_path: Path
) -> None:
    site = an_installation
    source = site.server(an_archive, **DIMSE_GET)  # type: ignore[arg-type]
    folder = a_folder(site, tmp_path / "out", MB)
    job = site.submit(source, folder, [wish(a_study)])
    site.run(job)
    once = bytes_in(folder.path)
    jobs.restart(site.db, TESTER, job.id)
    site.run(job)
    assert [item.state for item in site.items(job)] == [State.SUCCESS]
    assert bytes_in(folder.path) == once
    assert parts(site, folder) == (0, 2 * once, 0)
    quotas.measure(site.db, folder.id)
    assert parts(site, folder) == (once, 0, 0)


def test_a_study_that_is_not_to_be_had_gives_its_room_back(
    an_installation: Installation, an_archive: FaultyArchive, a_study: StudyFiles, tmp_path: Path
) -> None:
    site = an_installation
    source = site.server(an_archive, **DIMSE_GET)  # type: ignore[arg-type]
    folder = a_folder(site, tmp_path / "out", MB)
    missing = replace(wish(a_study, expected_bytes=900_000), study_uid="1.2.3.4")
    with pytest.raises(OverQuota):
        site.submit(source, folder, [missing, wish(a_study, expected_bytes=200_000)])
    (item,) = site.transfer(source, folder, missing)
    assert (item.state, item.error_code) == (State.FAILURE, "NotFound")
    assert parts(site, folder) == (0, 0, 0)


def test_jobs_at_the_same_time_share_a_folder_and_stay_within_its_quota(
    an_installation: Installation, an_archive: FaultyArchive, a_study: StudyFiles, tmp_path: Path
) -> None:
    """Six studies of some 254 kB each for 1 MB: three fit, and a fourth would not."""
    site = an_installation
    others = [studies.write_ct(tmp_path / f"ct{n}", patient=n, study=n, instances=(4, 3), rows=128, columns=128)
              for n in range(2, 7)]  # fmt: skip
    an_archive.data_sets += [dcmread(file) for other in others for file in other.files]
    source = site.server(an_archive, **DIMSE_GET)  # type: ignore[arg-type]
    folder = a_folder(site, tmp_path / "out", MB)
    submitted = [site.submit(source, folder, [wish(study)]) for study in (a_study, *others)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(site.run, submitted))
    items = [item for job in submitted for item in site.items(job)]
    assert {(item.state, item.error_code) for item in items} <= {(State.SUCCESS, ""), (State.FAILURE, "OverQuota")}
    assert State.FAILURE in {item.state for item in items}
    assert bytes_in(folder.path) <= MB
    measured, settled, reserved = parts(site, folder)
    assert (measured + settled >= bytes_in(folder.path), reserved) == (True, 0)


def test_processes_that_are_killed_while_they_write_never_get_past_the_quota(
    database: Database, empty_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "research"
    path.mkdir()
    source = NodeStore(database).add(a_server())
    folder = NodeStore(database).add(Folder("research", path, quota_gb=4 * MB / GB))
    assert isinstance(folder, Folder)
    quotas.measure(database, folder.id)  # else the writers begin with it, and nobody measures what another does
    request = a_request(source.id, folder.id)
    submitted = [jobs.submit(database, some_settings(tmp_path), TESTER, request) for _ in range(8)]
    ledger = Ledger(tmp_path / "ledger")
    command = [sys.executable, "-m", "tests.quota_writers", empty_url, MASTER_KEY, str(folder.id), str(ledger.path)]
    writers = [
        subprocess.Popen([*command, *(str(job.id) for job in submitted[number::4])], cwd=ROOT) for number in range(4)
    ]
    try:
        wait_until(lambda: ledger.now > MB, "a megabyte on the disk")
        os.kill(writers[0].pid, signal.SIGKILL)
        while any(writer.poll() is None for writer in writers):
            quotas.measure(database, folder.id)
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    assert [writer.returncode for writer in writers[1:]] == [0, 0, 0]
    assert MB < ledger.most <= 4 * MB
    assert bytes_in(path) <= ledger.now
    quotas.measure(database, folder.id)
    assert quotas.usage(database, TESTER, folder.id).used_bytes >= bytes_in(path)


def test_the_dispatcher_frees_what_a_dead_worker_had_reserved(
    an_installation: Installation, an_archive: FaultyArchive, a_study: StudyFiles, tmp_path: Path
) -> None:
    site = an_installation
    source = site.server(an_archive, **DIMSE_GET)  # type: ignore[arg-type]
    folder = a_folder(site, tmp_path / "out", MB)
    job = site.submit(source, folder, [wish(a_study, expected_bytes=900_000)])
    jobs.cancel(site.db, TESTER, job.id)
    assert parts(site, folder) == (0, 0, 900_000)
    (known,) = housekeeping.folders(site.db)
    housekeeping.tend_folder(site.db, known, is_due=False)
    assert parts(site, folder) == (0, 0, 0)
