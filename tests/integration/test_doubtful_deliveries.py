"""A source that does not deliver what it lists never leads to a success, and a second attempt fetches only the rest."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread

from deployments.demo import studies
from deployments.demo.studies import StudyFiles
from models.domain.jobs import State
from models.domain.receipts import Completeness
from models.domain.requests import StudyWish
from tests.faulty_archive import FaultyArchive
from tests.installation import DIMSE_GET, Installation

pytestmark = [
    # the faulty archive is pynetdicom's own acceptor, which forgets to close a socket that its peer has shut
    pytest.mark.filterwarnings("ignore:unclosed <socket.socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

N = 7


@pytest.fixture
def a_study(tmp_path: Path) -> StudyFiles:
    return studies.write_ct(tmp_path / "ct", patient=1, study=1, instances=(4, 3), rows=32, columns=32)


@pytest.fixture
def an_archive(a_study: StudyFiles) -> Iterator[FaultyArchive]:
    with FaultyArchive("LIAR", a_study.files).running() as archive:
        yield archive


@pytest.fixture
def an_installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path / "adit")


def wish(study: StudyFiles) -> StudyWish:
    return StudyWish(study.study_uid, study.patient_id, pseudonym="SUBJ")


def dicom_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.dcm"))


def sop_uids(files: list[Path]) -> set[str]:
    return {str(dcmread(file, stop_before_pixels=True).SOPInstanceUID) for file in files}


def test_short_delivery_is_never_a_success_and_the_receipt_lists_what_is_missing(
    an_installation: Installation, an_archive: FaultyArchive, a_study: StudyFiles, tmp_path: Path
) -> None:
    an_archive.deliveries += [3, *[0] * 50]
    source = an_installation.server(an_archive, **DIMSE_GET)  # type: ignore[arg-type]
    folder = an_installation.folder(tmp_path / "out")
    (item,) = an_installation.transfer(source, folder, wish(a_study))
    receipt = an_installation.receipt(item)
    assert (item.state, item.error_code) == (State.FAILURE, "Incomplete")
    assert receipt.verdict is Completeness.SHORT
    assert receipt.undelivered == sop_uids(a_study.files[3:])
    assert receipt.missing == sop_uids(a_study.files), "nothing of half a study is at a folder"
    assert item.attempts == an_installation.settings.max_attempts
    assert dicom_files(tmp_path / "out") == [], "half a study is visible"
    assert an_installation.leftovers() == []


def test_a_second_attempt_asks_only_for_what_is_missing(
    an_installation: Installation, an_archive: FaultyArchive, a_study: StudyFiles, tmp_path: Path
) -> None:
    an_archive.deliveries += [5]
    source = an_installation.server(an_archive, **DIMSE_GET)  # type: ignore[arg-type]
    folder = an_installation.folder(tmp_path / "out")
    (item,) = an_installation.transfer(source, folder, wish(a_study))
    assert (item.state, item.attempts) == (State.SUCCESS, 2), item.message
    assert an_archive.asked == [("STUDY", 0), ("IMAGE", 2)]
    assert len(dicom_files(tmp_path / "out")) == N


def test_an_unlikely_class_within_a_series_is_named_in_the_second_attempt(
    an_installation: Installation, an_archive: FaultyArchive, a_study: StudyFiles, tmp_path: Path
) -> None:
    """The first attempt looks at one instance of each series only: to look at all costs archives a file each."""
    an_archive.data_sets[3].SOPClassUID = "1.2.840.10008.5.1.4.1.1.481.2"
    source = an_installation.server(an_archive, **DIMSE_GET)  # type: ignore[arg-type]
    folder = an_installation.folder(tmp_path / "out")
    (item,) = an_installation.transfer(source, folder, wish(a_study))
    assert (item.state, item.attempts) == (State.SUCCESS, 2), item.message
    assert len(dicom_files(tmp_path / "out")) == N


def test_unannounced_instances_are_reported(
    an_installation: Installation, an_archive: FaultyArchive, a_study: StudyFiles, tmp_path: Path
) -> None:
    other = studies.write_ct(tmp_path / "other", patient=1, study=9, instances=(1,), rows=32, columns=32)
    an_archive.surplus = other.files
    source = an_installation.server(an_archive, **DIMSE_GET)  # type: ignore[arg-type]
    folder = an_installation.folder(tmp_path / "out")
    (item,) = an_installation.transfer(source, folder, wish(a_study))
    receipt = an_installation.receipt(item)
    assert item.state is State.WARNING
    assert receipt.verdict is Completeness.SURPLUS
    assert receipt.surplus == sop_uids(other.files)


def test_a_source_that_lists_no_instances_and_sends_nothing_is_a_failure(
    an_installation: Installation, an_archive: FaultyArchive, a_study: StudyFiles, tmp_path: Path
) -> None:
    an_archive.lists_instances = False
    an_archive.deliveries += [0] * 50
    source = an_installation.server(an_archive, **DIMSE_GET)  # type: ignore[arg-type]
    (item,) = an_installation.transfer(source, an_installation.folder(tmp_path / "out"), wish(a_study))
    assert (item.state, item.error_code) == (State.FAILURE, "Incomplete")
    assert an_installation.receipt(item).verdict is Completeness.SHORT


def test_a_source_that_cannot_list_its_instances_is_never_called_complete(
    an_installation: Installation, an_archive: FaultyArchive, a_study: StudyFiles, tmp_path: Path
) -> None:
    an_archive.lists_instances = False
    source = an_installation.server(an_archive, **DIMSE_GET)  # type: ignore[arg-type]
    (item,) = an_installation.transfer(source, an_installation.folder(tmp_path / "out"), wish(a_study))
    assert item.state is State.WARNING, item.message
    assert an_installation.receipt(item).verdict is Completeness.UNKNOWN
    assert len(dicom_files(tmp_path / "out")) == N


def test_half_a_study_of_a_source_that_only_counts_is_never_visible(
    an_installation: Installation, an_archive: FaultyArchive, a_study: StudyFiles, tmp_path: Path
) -> None:
    an_archive.lists_instances, an_archive.counts_instances = False, True
    an_archive.deliveries += [3] * 50
    source = an_installation.server(an_archive, **DIMSE_GET)  # type: ignore[arg-type]
    (item,) = an_installation.transfer(source, an_installation.folder(tmp_path / "out"), wish(a_study))
    assert (item.state, item.error_code) == (State.FAILURE, "Incomplete")
    assert dicom_files(tmp_path / "out") == []


def test_what_was_not_listed_at_first_is_moved_once_it_is(
    an_installation: Installation, an_archive: FaultyArchive, a_study: StudyFiles, tmp_path: Path
) -> None:
    an_archive.hidden = {str(an_archive.data_sets[0].SOPInstanceUID)}
    an_archive.deliveries += [3]
    source = an_installation.server(an_archive, **DIMSE_GET)  # type: ignore[arg-type]
    (item,) = an_installation.transfer(source, an_installation.folder(tmp_path / "out"), wish(a_study))
    assert (item.state, item.attempts) == (State.SUCCESS, 2), item.message
    assert len(dicom_files(tmp_path / "out")) == N


def test_one_bad_series_does_not_hold_up_the_others(
    an_installation: Installation, an_archive: FaultyArchive, a_study: StudyFiles, tmp_path: Path
) -> None:
    series = list(dict.fromkeys(str(data_set.SeriesInstanceUID) for data_set in an_archive.data_sets))
    an_archive.refused_series = series[0]
    source = an_installation.server(an_archive, **DIMSE_GET)  # type: ignore[arg-type]
    chosen = StudyWish(a_study.study_uid, series_uids=tuple(series), pseudonym="SUBJ")
    (item,) = an_installation.transfer(source, an_installation.folder(tmp_path / "out"), chosen)
    receipt = an_installation.receipt(item)
    assert item.state is State.FAILURE
    assert receipt.stored == {str(d.SOPInstanceUID) for d in an_archive.data_sets if d.SeriesInstanceUID == series[1]}
    assert dicom_files(tmp_path / "out") == []
