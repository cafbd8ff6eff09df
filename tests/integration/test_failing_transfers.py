"""Full disks, unwritable folders and corrupt instances: one clear message, the right retry, nothing half-done."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from deployments.demo import studies
from deployments.demo.studies import StudyFiles
from models.domain.jobs import State
from models.domain.requests import StudyWish
from tests.faulty_archive import FaultyArchive
from tests.installation import DIMSE_GET, Installation

pytestmark = [
    # the faulty archive is pynetdicom's own acceptor, which forgets to close a socket that its peer has shut
    pytest.mark.filterwarnings("ignore:unclosed <socket.socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def a_study(tmp_path: Path) -> StudyFiles:
    return studies.write_ct(tmp_path / "ct", patient=1, study=1, instances=(4, 3), rows=128, columns=128)


@pytest.fixture
def an_archive(a_study: StudyFiles) -> Iterator[FaultyArchive]:
    with FaultyArchive("ARCHIVE", a_study.files).running() as archive:
        yield archive


@pytest.fixture
def an_installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path / "adit")


@contextmanager
def mounted(disk: Path) -> Iterator[None]:
    """A tiny disk at a directory, for as long as the context lasts."""
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", disk], check=False).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        yield
    finally:
        subprocess.run(["umount", disk], check=True)


def wish(study: StudyFiles) -> StudyWish:
    return StudyWish(study.study_uid, study.patient_id, pseudonym="SUBJ")


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_full_scratch_folder_fails_the_item_and_leaves_nothing_behind(
    an_installation: Installation, tmp_path: Path
) -> None:
    large = studies.write_ct(tmp_path / "large", instances=(1,), rows=2200, columns=2200)
    with FaultyArchive("ARCHIVE", large.files).running() as archive:
        source = an_installation.server(archive, **DIMSE_GET)  # type: ignore[arg-type]
        folder = an_installation.folder(tmp_path / "out")
        with mounted(an_installation.spool.scratch):
            (item,) = an_installation.transfer(source, folder, wish(large))
            assert an_installation.leftovers() == []
        assert (item.state, item.error_code) == (State.FAILURE, "NoSpace")
        assert "scratch folder" in item.message
        assert files_in(tmp_path / "out") == []
        (item,) = an_installation.transfer(source, folder, wish(large))
    assert item.state is State.SUCCESS, item.message


def test_a_folder_that_is_none_costs_the_source_nothing(
    an_installation: Installation, an_archive: FaultyArchive, a_study: StudyFiles, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    source = an_installation.server(an_archive, **DIMSE_GET)  # type: ignore[arg-type]
    folder = an_installation.folder(tmp_path / "file" / "below")
    (item,) = an_installation.transfer(source, folder, wish(a_study))
    assert (item.state, item.error_code, item.attempts) == (State.PENDING, "FolderGone", 0)
    assert str(tmp_path) not in item.message
    assert not an_archive.finds
    assert an_installation.leftovers() == []


@pytest.mark.parametrize("fault", ["broken sequence", "no series"])
def test_a_corrupt_instance_stops_its_item_and_shows_nothing(
    an_installation: Installation, an_archive: FaultyArchive, a_study: StudyFiles, tmp_path: Path, fault: str
) -> None:
    broken = an_archive.data_sets[3]
    if fault == "broken sequence":
        tag = Tag(0x0008, 0x1115)
        broken._dict[tag] = RawDataElement(tag, "SQ", 14, b"not a sequence", 0, False, True)
    else:
        del broken.SeriesInstanceUID
        broken.add_new(0x0020000E, "UI", "")
    other = studies.write_sr(tmp_path / "sr", patient=4, study=4)
    an_archive.data_sets += [dcmread(file) for file in other.files]
    source = an_installation.server(an_archive, **DIMSE_GET)  # type: ignore[arg-type]
    out = tmp_path / "out"
    items = an_installation.transfer(
        source, an_installation.folder(out), wish(a_study), StudyWish(other.study_uid, pseudonym="S2")
    )
    assert [item.state for item in items] == [State.FAILURE, State.SUCCESS], [item.message for item in items]
    assert len(files_in(out)) == len(other.files)
    assert not [value for value in studies.identifying_values([a_study]) if value in items[0].message]
    assert an_installation.leftovers() == []


@pytest.mark.parametrize("pseudonym", ["SUBJ", ""])
@pytest.mark.parametrize("element", ["PatientID", "StudyInstanceUID"])
def test_an_instance_of_somebody_else_under_an_announced_uid_is_never_delivered(
    an_installation: Installation,
    an_archive: FaultyArchive,
    a_study: StudyFiles,
    tmp_path: Path,
    element: str,
    pseudonym: str,
) -> None:
    swapped = deepcopy(an_archive.data_sets[3])
    swapped[element].value = "2.25.999" if element == "StudyInstanceUID" else "SOMEBODY-ELSE"
    an_archive.swapped[str(swapped.SOPInstanceUID)] = swapped
    source = an_installation.server(an_archive, **DIMSE_GET)  # type: ignore[arg-type]
    out = tmp_path / "out"
    wanted = StudyWish(a_study.study_uid, a_study.patient_id, pseudonym=pseudonym)
    folder = an_installation.folder(out)
    (item,) = an_installation.transfer(source, folder, wanted, keep_identity=not pseudonym)
    assert (item.state, item.error_code, item.attempts) == (State.FAILURE, "IdentityConflict", 1), item.message
    assert files_in(out) == []
    assert an_installation.leftovers() == []
