"""A folder that can take nothing holds its items back: the source is left alone, and all goes on when there is room."""

import subprocess
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from deployments.demo import studies
from deployments.demo.studies import StudyFiles
from models.db.alarms import AlarmStore
from models.db.engine import utc_now
from models.db.folder_holds import FolderHoldStore
from models.db.jobs import JobStore
from models.domain.jobs import Job, State
from models.domain.nodes import Folder, Server
from models.domain.requests import StudyWish
from services import folder_holds, jobs, work
from services.alarms import watching
from tests.databases import Clock
from tests.faulty_archive import FaultyArchive
from tests.installation import DIMSE_GET, TESTER, Installation

pytestmark = [
    # the faulty archive is pynetdicom's own acceptor, which forgets to close a socket that its peer has shut
    pytest.mark.filterwarnings("ignore:unclosed <socket.socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

STUDIES = 3
LONG = timedelta(hours=1)


@pytest.fixture
def some_studies(tmp_path: Path) -> list[StudyFiles]:
    """Each has some 130 KB in four instances."""
    return [
        studies.write_ct(tmp_path / f"ct{number}", patient=number, study=number, instances=(4,), rows=128, columns=128)
        for number in range(1, STUDIES + 1)
    ]


@pytest.fixture
def an_archive(some_studies: list[StudyFiles]) -> Iterator[FaultyArchive]:
    with FaultyArchive("ARCHIVE", [file for study in some_studies for file in study.files]).running() as archive:
        yield archive


@pytest.fixture
def site(tmp_path: Path) -> Installation:
    found = Installation(tmp_path / "adit", items_at_a_time=1, admin_email="admins@clinic.example")
    found.db.clock = clock = Clock()
    clock.now = utc_now()
    return found


@pytest.fixture
def a_source(site: Installation, an_archive: FaultyArchive) -> Server:
    return site.server(an_archive, **DIMSE_GET)  # type: ignore[arg-type]


@pytest.fixture
def a_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk that has room for two instances and half of a third."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", disk], check=False).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


def mount_again(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", disk], check=True)


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def submitted(site: Installation, source: Server, folder: Folder, some: list[StudyFiles]) -> Job:
    wanted = [StudyWish(study.study_uid, study.patient_id, pseudonym=f"S-{study.patient_id[-2:]}") for study in some]
    return site.submit(source, folder, wanted)


def dispatched(site: Installation, job: Job) -> None:
    """What the dispatcher does, without Prefect: it has a run started for what is due."""
    folder_holds.appoint(site.db)
    if job.id in JobStore(site.db).due_jobs():
        site.run(job)


def pass_by(site: Installation, time: timedelta) -> None:
    clock = site.db.clock
    assert isinstance(clock, Clock)
    clock.now += time


def standing(site: Installation, job: Job) -> list[tuple[State, str, int]]:
    return [(item.state, item.error_code, item.attempts) for item in site.items(job)]


HELD = [(State.PENDING, "FolderFull", 0)] * STUDIES


def test_a_full_folder_costs_the_source_one_study_and_no_item_an_attempt(
    site: Installation, an_archive: FaultyArchive, a_source: Server, some_studies: list[StudyFiles], a_disk: Path
) -> None:
    job = submitted(site, a_source, site.folder(a_disk), some_studies)
    dispatched(site, job)
    assert standing(site, job) == HELD
    assert len(an_archive.asked) == 1, "the other items have not been fetched"
    assert files_in(a_disk) == [], "what does not fit is no load for others who use the disk"
    assert site.leftovers() == []
    told = jobs.get(site.db, TESTER, job.id).message
    assert "The disk of the folder research has no room left, since" in told
    assert str(a_disk) not in told + "".join(item.message for item in site.items(job))

    asked = len(an_archive.finds)
    dispatched(site, job)
    for _ in range(3):
        pass_by(site, LONG)
        dispatched(site, job)
        assert standing(site, job) == HELD
    assert len(an_archive.finds) == asked, "the disk is looked at, and the source is asked for nothing in vain"


def test_it_goes_on_by_itself_when_there_is_room(
    site: Installation, an_archive: FaultyArchive, a_source: Server, some_studies: list[StudyFiles], a_disk: Path
) -> None:
    job = submitted(site, a_source, site.folder(a_disk), some_studies)
    dispatched(site, job)
    mount_again(a_disk, "size=4m")
    dispatched(site, job)
    assert standing(site, job) == HELD, "it is tried at its time"
    pass_by(site, LONG)
    dispatched(site, job)
    assert standing(site, job) == [(State.SUCCESS, "", 1)] * STUDIES
    assert len(files_in(a_disk)) == sum(len(study.files) for study in some_studies)
    assert FolderHoldStore(site.db).list() == ()


def test_administrators_hear_of_it_and_have_it_tried_at_once(
    site: Installation, a_source: Server, some_studies: list[StudyFiles], a_disk: Path
) -> None:
    folder = site.folder(a_disk)
    job = submitted(site, a_source, folder, some_studies)
    dispatched(site, job)
    watching.look_at_folders(site.db, site.settings)
    (alarm,) = AlarmStore(site.db).list()
    assert alarm.title == "The disk of folder research is full"
    assert str(a_disk) in alarm.text, "whoever mends it has to know where it is"
    mount_again(a_disk, "size=4m")
    folder_holds.try_now(site.db, TESTER, folder.id)
    dispatched(site, job)
    assert standing(site, job) == [(State.SUCCESS, "", 1)] * STUDIES
    watching.look_at_folders(site.db, site.settings)
    assert AlarmStore(site.db).list() == ()


def test_a_folder_that_becomes_read_only_holds_its_items_back_too(
    site: Installation, an_archive: FaultyArchive, a_source: Server, some_studies: list[StudyFiles], a_disk: Path
) -> None:
    folder = site.folder(a_disk)
    mount_again(a_disk, "size=4m,ro")
    job = submitted(site, a_source, folder, some_studies)
    dispatched(site, job)
    assert standing(site, job) == [(State.PENDING, "FolderGone", 0)] * STUDIES
    assert an_archive.finds == [], "the source is not even asked"
    assert "The folder research cannot be written (EROFS), since" in site.items(job)[0].message
    mount_again(a_disk, "size=4m,rw")
    folder_holds.try_now(site.db, TESTER, folder.id)
    dispatched(site, job)
    assert standing(site, job) == [(State.SUCCESS, "", 1)] * STUDIES


class Killed(BaseException):
    """The process is gone at this point."""


@contextmanager
def killed(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, is_done: bool) -> Generator[None]:
    """Have the process die where it does something, before or after that is done."""
    real: Callable[..., object] = getattr(owner, name)

    def die(*args: object, **kwargs: object) -> None:
        if is_done:
            real(*args, **kwargs)
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(owner, name, die)
        yield


@pytest.mark.parametrize("is_done", [False, True])
@pytest.mark.parametrize(
    ("owner", "name"), [(work, "hold_back"), (FolderHoldStore, "hold"), (folder_holds, "has_worked")]
)
def test_a_worker_that_is_killed_at_any_point_changes_nothing_in_the_end(
    site: Installation,
    a_source: Server,
    some_studies: list[StudyFiles],
    a_disk: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: object,
    name: str,
    is_done: bool,
) -> None:
    job = submitted(site, a_source, site.folder(a_disk), some_studies)
    if name != "has_worked":
        with killed(monkeypatch, owner, name, is_done):
            dispatched(site, job)
    pass_by(site, LONG)
    dispatched(site, job)
    assert [(state, code) for state, code, _ in standing(site, job)] == [(State.PENDING, "FolderFull")] * STUDIES
    assert files_in(a_disk) == []
    mount_again(a_disk, "size=4m")
    pass_by(site, LONG)
    if name == "has_worked":
        with killed(monkeypatch, owner, name, is_done):
            dispatched(site, job)
    for _ in range(STUDIES):
        pass_by(site, LONG)
        dispatched(site, job)
    assert [state for state, _, _ in standing(site, job)] == [State.SUCCESS] * STUDIES
    assert FolderHoldStore(site.db).list() == ()
