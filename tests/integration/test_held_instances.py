"""What may show an identity waits for a person; only what was released is fetched and delivered; rules never mix."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import DataElement, dcmread

from deployments.demo import studies
from deployments.demo.studies import StudyFiles
from models.domain.errors import BadRequest, WrongState
from models.domain.jobs import Item, State
from models.domain.people import operator
from models.domain.receipts import REJECTED, Completeness
from models.domain.requests import StudyWish
from services import escrow, jobs, review
from tests.faulty_archive import FaultyArchive
from tests.installation import DIMSE_GET, TESTER, Installation

pytestmark = [
    # the faulty archive is pynetdicom's own acceptor, which forgets to close a socket that its peer has shut
    pytest.mark.filterwarnings("ignore:unclosed <socket.socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

REVIEWER = operator("eve")
LOOKED = "looked at every frame of it"
N, BURNED_IN = 7, (1, 4, 5)


@pytest.fixture
def a_study(tmp_path: Path) -> StudyFiles:
    return studies.write_ct(tmp_path / "ct", patient=1, study=1, instances=(4, 3), rows=32, columns=32)


@pytest.fixture
def an_archive(a_study: StudyFiles) -> Iterator[FaultyArchive]:
    """Holds seven instances, three of which declare that text is burned in."""
    archive = FaultyArchive("ARCHIVE", a_study.files)
    for number in BURNED_IN:
        archive.data_sets[number].BurnedInAnnotation = "YES"
    with archive.running():
        yield archive


@pytest.fixture
def an_installation(tmp_path: Path) -> Installation:
    (tmp_path / "profiles").mkdir()
    return Installation(tmp_path / "adit", profiles_dir=tmp_path / "profiles")


def uids(archive: FaultyArchive, *numbers: int) -> set[str]:
    return {str(archive.data_sets[number].SOPInstanceUID) for number in numbers}


def wish(study: StudyFiles, pseudonym: str = "") -> StudyWish:
    return StudyWish(study.study_uid, study.patient_id, pseudonym=pseudonym)


def delivered(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.dcm"))


@pytest.fixture
def a_held_item(an_installation: Installation, an_archive: FaultyArchive, a_study: StudyFiles, tmp_path: Path) -> Item:
    source = an_installation.server(an_archive, **DIMSE_GET)  # type: ignore[arg-type]
    (item,) = an_installation.transfer(source, an_installation.folder(tmp_path / "out"), wish(a_study))
    return item


def test_held_instances_are_not_delivered_and_the_item_is_no_success(
    an_installation: Installation, an_archive: FaultyArchive, a_held_item: Item, tmp_path: Path
) -> None:
    receipt = an_installation.receipt(a_held_item)
    assert (a_held_item.state, receipt.verdict) == (State.WARNING, Completeness.HELD), a_held_item.message
    assert set(receipt.held) == uids(an_archive, *BURNED_IN)
    assert len(delivered(tmp_path / "out")) == N - 3
    assert a_held_item.message.startswith("Held until a reviewer releases or rejects them: 3 instances. 3 x")
    assert review.waiting(an_installation.db, REVIEWER) == {a_held_item.job_id: 3}
    assert an_installation.leftovers() == [], "no bytes of held instances are kept"


def test_a_release_moves_only_what_was_released_and_a_rejection_nothing(
    an_installation: Installation, an_archive: FaultyArchive, a_held_item: Item, tmp_path: Path
) -> None:
    db, job = an_installation.db, jobs.get(an_installation.db, TESTER, a_held_item.job_id)
    first, second, third = (next(iter(uids(an_archive, number))) for number in BURNED_IN)
    before = {file: file.stat().st_ino for file in delivered(tmp_path / "out")}
    an_archive.asked.clear()
    review.release(db, REVIEWER, a_held_item.id, [first], LOOKED)
    an_installation.run(job)
    (item,) = an_installation.items(job)
    receipt = an_installation.receipt(item)
    assert an_archive.asked == [("IMAGE", 1)]
    assert (item.state, set(receipt.held)) == (State.WARNING, {second, third})
    assert len(delivered(tmp_path / "out")) == N - 2
    assert {file: file.stat().st_ino for file in before} == before, "what was there has not been written again"

    review.reject(db, REVIEWER, item.id, [second], LOOKED)
    review.release(db, REVIEWER, item.id, None, LOOKED)
    an_archive.asked.clear()
    an_installation.run(job)
    (item,) = an_installation.items(job)
    receipt = an_installation.receipt(item)
    assert an_archive.asked == [("IMAGE", 1)]
    assert (receipt.held, receipt.left_out) == ({}, {second: REJECTED})
    assert (item.state, receipt.verdict) == (State.WARNING, Completeness.COMPLETE), "a rejection stays a warning"
    assert len(delivered(tmp_path / "out")) == N - 1
    assert review.waiting(db, REVIEWER) == {}


def test_when_all_is_released_the_item_is_a_success_and_marked_as_reviewed(
    an_installation: Installation, an_archive: FaultyArchive, a_held_item: Item, tmp_path: Path
) -> None:
    job = jobs.get(an_installation.db, TESTER, a_held_item.job_id)
    review.release(an_installation.db, REVIEWER, a_held_item.id, None, LOOKED)
    an_installation.run(job)
    (item,) = an_installation.items(job)
    assert (item.state, an_installation.receipt(item).verdict) == (State.SUCCESS, Completeness.COMPLETE), item.message
    files = delivered(tmp_path / "out")
    assert len(files) == N
    assert {str(dcmread(file).PatientID) for file in files} == {item.pseudonym}


def test_instances_that_the_profile_excludes_are_left_out_and_nobody_is_asked(
    an_installation: Installation, an_archive: FaultyArchive, a_study: StudyFiles, tmp_path: Path
) -> None:
    (tmp_path / "profiles" / "strict.yaml").write_text("extends: research\npixels: {declared_burned_in: reject}\n")
    source = an_installation.server(an_archive, **DIMSE_GET)  # type: ignore[arg-type]
    folder = an_installation.folder(tmp_path / "out")
    (item,) = an_installation.transfer(source, folder, wish(a_study), profile="strict")
    receipt = an_installation.receipt(item)
    assert (set(receipt.left_out), receipt.held) == (uids(an_archive, *BURNED_IN), {})
    assert (item.state, len(delivered(tmp_path / "out"))) == (State.WARNING, N - 3)


def test_a_profile_that_changed_stops_the_job_and_never_mixes_rules(
    an_installation: Installation, an_archive: FaultyArchive, a_study: StudyFiles, tmp_path: Path
) -> None:
    ours = tmp_path / "profiles" / "ours.yaml"
    ours.write_text("extends: research\n")
    source = an_installation.server(an_archive, **DIMSE_GET)  # type: ignore[arg-type]
    folder = an_installation.folder(tmp_path / "out")
    job = an_installation.submit(source, folder, [wish(a_study)], profile="ours")
    ours.write_text("extends: research\noverrides: {StationName: delete}\n")
    an_installation.run(job)
    (item,) = an_installation.items(job)
    assert (item.state, item.error_code, item.attempts) == (State.FAILURE, "ProfileInvalid", 1)
    assert job.policy_digest in item.message
    assert an_archive.asked == [] and delivered(tmp_path / "out") == []
    ours.write_text("# the same rules, said in other words\nextends: research\ntitle: Ours\n")
    jobs.retry(an_installation.db, TESTER, job.id)
    an_installation.run(job)
    (item,) = an_installation.items(job)
    assert item.state is State.WARNING, item.message


def test_studies_of_one_patient_get_one_generated_pseudonym_and_folder(
    an_installation: Installation, a_study: StudyFiles, tmp_path: Path
) -> None:
    other = studies.write_ct(tmp_path / "ct2", patient=1, study=2, instances=(2,), rows=32, columns=32)
    stranger = studies.write_ct(tmp_path / "ct3", patient=2, study=3, instances=(2,), rows=32, columns=32)
    files = [*a_study.files, *other.files, *stranger.files]
    with FaultyArchive("ARCHIVE", files).running() as archive:
        source = an_installation.server(archive, **DIMSE_GET)  # type: ignore[arg-type]
        folder = an_installation.folder(tmp_path / "out")
        nameless = [replace(wish(study), patient_id="") for study in (a_study, other, stranger)]
        items = an_installation.transfer(source, folder, *nameless, trial="T1")
        (later,) = an_installation.transfer(source, folder, wish(other), trial="T1")
    assert {item.state for item in items} == {State.SUCCESS}, [item.message for item in items]
    names = [item.pseudonym for item in items]
    assert names[0] == names[1] == later.pseudonym != names[2]
    assert all(len(name) == 12 for name in names)
    assert {str(dcmread(file).PatientID) for file in delivered(tmp_path / "out")} == set(names)
    assert {path.name for path in (tmp_path / "out").glob("*/*")} == set(names)


def test_a_study_whose_patient_nobody_knows_is_not_given_a_generated_pseudonym(
    an_installation: Installation, an_archive: FaultyArchive, a_study: StudyFiles, tmp_path: Path
) -> None:
    for data_set in an_archive.data_sets:
        data_set.PatientID = ""
        data_set.BurnedInAnnotation = "NO"
    source = an_installation.server(an_archive, **DIMSE_GET)  # type: ignore[arg-type]
    folder = an_installation.folder(tmp_path / "out")
    (item,) = an_installation.transfer(source, folder, StudyWish(a_study.study_uid))
    assert (item.state, item.error_code, item.attempts) == (State.FAILURE, "IdentityConflict", 1)
    assert an_archive.asked == [] and delivered(tmp_path / "out") == []
    (item,) = an_installation.transfer(source, folder, StudyWish(a_study.study_uid, pseudonym="NOBODY-1"))
    assert item.state is State.SUCCESS, item.message
    assert {str(dcmread(file).PatientID) for file in delivered(tmp_path / "out")} == {"NOBODY-1"}


def test_a_forgotten_trial_moves_nothing_any_more(
    an_installation: Installation, an_archive: FaultyArchive, a_study: StudyFiles, tmp_path: Path
) -> None:
    source = an_installation.server(an_archive, **DIMSE_GET)  # type: ignore[arg-type]
    folder = an_installation.folder(tmp_path / "out")
    (item,) = an_installation.transfer(source, folder, wish(a_study, "SUBJ"), trial="T1")
    escrow.forget(an_installation.db, TESTER, "T1", "the trial is closed")
    with pytest.raises(WrongState):
        review.release(an_installation.db, REVIEWER, item.id, None, LOOKED)
    with pytest.raises((WrongState, BadRequest), match="forgotten"):
        an_installation.submit(source, folder, [wish(a_study)], "T1")
    (kept,) = an_installation.items(jobs.get(an_installation.db, TESTER, item.job_id))
    assert (kept.state, kept.pseudonym) == (State.WARNING, "")


@pytest.mark.parametrize(
    ("place", "outcome"), [("Modality", (State.FAILURE, "ResidueFound")), ("SeriesNumber", (State.SUCCESS, ""))]
)
def test_a_folder_name_that_would_tell_the_patient_is_never_made(
    an_installation: Installation,
    an_archive: FaultyArchive,
    a_study: StudyFiles,
    tmp_path: Path,
    place: str,
    outcome: tuple[State, str],
) -> None:
    """What the source lists goes into names of folders, and is not always what it sends. A number that is none does
    not; nor does what is left of a modality, if anything is.
    """
    told = a_study.patient_id
    for data_set in an_archive.data_sets:
        data_set.BurnedInAnnotation = "NO"
        an_archive.swapped[str(data_set.SOPInstanceUID)] = deepcopy(data_set)
        data_set[place] = DataElement(data_set[place].tag, "LO", told)
    source = an_installation.server(an_archive, **DIMSE_GET)  # type: ignore[arg-type]
    (item,) = an_installation.transfer(source, an_installation.folder(tmp_path / "out"), wish(a_study))
    assert (item.state, item.error_code) == outcome, item.message
    assert [path for path in (tmp_path / "out").rglob("*") if told in path.name] == []
    assert bool(delivered(tmp_path / "out")) is (item.state is State.SUCCESS)
    assert told not in item.message
