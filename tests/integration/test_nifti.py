"""Jobs that deliver NIfTI: whole or not at all, always the same bytes, nothing of a patient, nothing left behind."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from pydicom import dcmread
from sqlalchemy import update

from deployments.demo import studies
from deployments.demo.studies import StudyFiles
from dicom.files import nifti
from models.db.tables import ItemRow, JobRow
from models.domain.jobs import Item, Job, State
from models.domain.nodes import Folder, Server
from models.domain.people import operator
from models.domain.receipts import Completeness
from models.domain.requests import StudyWish
from services import jobs, quotas, review
from tests.databases import MASTER_KEY
from tests.faulty_archive import FaultyArchive
from tests.installation import DIMSE_GET, TESTER, Installation
from tests.peers import UNCHECKED, orthanc
from tests.waiting import wait_until

pytestmark = [
    # the faulty archive is pynetdicom's own acceptor, which forgets to close a socket that its peer has shut
    pytest.mark.filterwarnings("ignore:unclosed <socket.socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

REAL = shutil.which(nifti.PROGRAM)
WORKER = """
import sys
from pathlib import Path
from dicom.files import nifti
from flows.items import work_through
from flows.steps import as_function
from models.db.engine import open_database
from models.settings import Settings

nifti.PROGRAM = sys.argv[3]
settings = Settings(_env_file=None, data_dir=Path(sys.argv[1]), master_key=sys.argv[4], spool_reserve_mb=1)
work_through(open_database(settings), settings, int(sys.argv[2]), as_function)
"""


@dataclass
class Site:
    """An archive, and folders that get NIfTI of it."""

    installation: Installation
    source: Server
    root: Path
    ct: StudyFiles
    sr: StudyFiles

    def folder(self, name: str) -> Folder:
        return self.installation.folder(self.root / name, name)

    def convert(self, folder: Folder, study: StudyFiles, **fields: object) -> Item:
        wish = StudyWish(study.study_uid, study.patient_id, pseudonym="" if "keep_identity" in fields else "SUBJ-01")
        (item,) = self.installation.transfer(self.source, folder, wish, convert_to_nifti=True, **fields)
        return item

    def submit(self, folder: Folder, **fields: object) -> Job:
        wish = StudyWish(self.ct.study_uid, self.ct.patient_id, pseudonym="SUBJ-01")
        return self.installation.submit(self.source, folder, [wish], convert_to_nifti=True, **fields)


@pytest.fixture
def a_site(tmp_path: Path) -> Iterator[Site]:
    ct = studies.write_ct(tmp_path / "ct", patient=1, study=1, instances=(4, 3), rows=32, columns=32)
    sr = studies.write_sr(tmp_path / "sr", patient=4, study=4)
    installation = Installation(tmp_path / "adit")
    with orthanc(tmp_path / "archive", "PACS", settings=UNCHECKED) as archive:
        archive.upload([*ct.files, *sr.files])
        yield Site(installation, installation.server(archive, **DIMSE_GET), tmp_path, ct, sr)


@pytest.fixture
def a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands in for dcm2niix where a test has said how it ``behaves``."""
    program = tmp_path / "program"
    monkeypatch.setattr(nifti, "PROGRAM", str(program))
    return program


def behaves(program: Path, script: str) -> None:
    """``$out`` and ``$in`` are the directories; ``convert`` does what dcm2niix does."""
    program.write_text(f'#!/bin/sh\nconvert() {{ {REAL} "$@"; }}\nout="${{10}}"; in="${{11}}"\n{script}\n')
    program.chmod(0o700)


def files_of(folder: Folder) -> dict[str, bytes]:
    """The files in a folder by their paths within the jobs' folders."""
    found = [path for path in folder.path.rglob("*") if path.is_file()]
    return {str(Path(*path.relative_to(folder.path).parts[1:])): path.read_bytes() for path in found}


def identifiers(study: StudyFiles) -> set[bytes]:
    header = dcmread(study.files[0], stop_before_pixels=True)
    names = str(header.PatientName).replace("^", " ").split()
    return {word.encode() for word in (*names, header.PatientID, header.StudyInstanceUID, header.PatientBirthDate)}


def test_a_folder_gets_the_volumes_of_each_series_and_no_instance(a_site: Site) -> None:
    folder = a_site.folder("out")
    item = a_site.convert(folder, a_site.ct)
    receipt = a_site.installation.receipt(item)
    assert (item.state, receipt.verdict) == (State.SUCCESS, Completeness.COMPLETE), item.message
    assert item.message == "7 instances converted to 4 NIfTI files, transferred and confirmed."
    assert len(receipt.expected or ()) == len(receipt.confirmed) == 7
    found = files_of(folder)
    assert {Path(name).name for name in found} == set(receipt.files)
    assert sorted("".join(Path(name).suffixes) for name in found) == [".json", ".json", ".nii.gz", ".nii.gz"]
    assert {Path(name).parts[0] for name in found} == {"SUBJ-01"}
    assert sorted(Path(name).name[:5] for name in found) == ["1-CT-", "1-CT-", "2-CT-", "2-CT-"]
    texts = [text for path in folder.path.rglob("*.*") if path.is_file() for text, _ in nifti.texts_of(path)]
    assert "CT" in texts
    assert not [word for word in identifiers(a_site.ct) if word in "\n".join([*texts, *found]).encode()]
    assert a_site.installation.leftovers() == []
    assert list(a_site.installation.spool.workspaces.iterdir()) == []


def test_the_quota_counts_what_is_published(a_site: Site) -> None:
    folder = a_site.folder("out")
    assert a_site.convert(folder, a_site.ct).state is State.SUCCESS
    usage = quotas.usage(a_site.installation.db, TESTER, folder.id)
    assert usage.used_bytes == sum(map(len, files_of(folder).values()))


def test_names_of_series_are_kept_with_the_identity(a_site: Site) -> None:
    folder = a_site.folder("out")
    item = a_site.convert(folder, a_site.ct, keep_identity=True)
    assert item.state is State.SUCCESS, item.message
    description = dcmread(a_site.ct.files[0], stop_before_pixels=True).SeriesDescription
    assert any(description in Path(name).name for name in files_of(folder))


def test_a_study_without_images_is_a_warning_and_nothing_is_fetched(a_site: Site) -> None:
    folder = a_site.folder("out")
    item = a_site.convert(folder, a_site.sr)
    receipt = a_site.installation.receipt(item)
    assert item.state is State.WARNING
    assert item.message.startswith("Nothing of the study can be converted to NIfTI. Series left out: 1 x Modality SR")
    assert (receipt.verdict, receipt.received, files_of(folder)) == (Completeness.COMPLETE, set(), {})


def test_what_is_delivered_is_neither_fetched_nor_written_again(a_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = a_site.folder("out")
    item = a_site.convert(folder, a_site.ct)
    before = {path: path.stat().st_ino for path in folder.path.rglob("*.*") if path.is_file()}
    again = a_site.installation.db
    with again.transaction() as session:  # as if the worker had died between the last step and the end of the item
        session.execute(update(ItemRow).values(state=State.PENDING))
        session.execute(update(JobRow).values(state=State.IN_PROGRESS))

    def never(*_: object) -> None:
        raise AssertionError("converted again")

    monkeypatch.setattr(nifti, "convert", never)
    a_site.installation.run(jobs.get(again, TESTER, item.job_id))
    (item,) = jobs.items(again, TESTER, item.job_id)
    assert item.state is State.SUCCESS, item.message
    assert {path: path.stat().st_ino for path in folder.path.rglob("*.*") if path.is_file()} == before


def test_what_is_done_anew_has_the_same_bytes(a_site: Site) -> None:
    folder = a_site.folder("out")
    item = a_site.convert(folder, a_site.ct)
    before = files_of(folder)
    job = jobs.restart(a_site.installation.db, TESTER, item.job_id)
    a_site.installation.run(job)
    assert a_site.installation.items(job)[0].state is State.SUCCESS
    assert files_of(folder) == before


@pytest.mark.parametrize("at", [1, 2])
def test_a_worker_killed_in_the_middle_of_a_conversion_changes_no_byte(a_site: Site, tmp_path: Path, at: int) -> None:
    undisturbed, disturbed = a_site.folder("one"), a_site.folder("other")
    assert a_site.convert(undisturbed, a_site.ct, trial="T").state is State.SUCCESS
    job = a_site.submit(disturbed, trial="T")
    program, calls, marker = tmp_path / "program", tmp_path / "calls", tmp_path / "pid"
    stop = f'echo "$$" > {marker}.new; mv {marker}.new {marker}; exec sleep 100000'
    behaves(program, f'echo >> {calls}; if [ "$(wc -l < {calls})" -ge {at} ]; then {stop}; fi; convert "$@"')
    directory = a_site.installation.settings.data_dir
    with subprocess.Popen([sys.executable, "-c", WORKER, directory, str(job.id), str(program), MASTER_KEY]) as worker:
        try:
            wait_until(lambda: marker.exists() or worker.poll() is not None, "the conversion")
            assert worker.poll() is None, [item.message for item in a_site.installation.items(job)]
        finally:
            worker.kill()
    with a_site.installation.db.transaction() as session:  # nobody need wait for the lease of who is dead
        session.execute(update(ItemRow).values(lease_until_at=a_site.installation.db.clock() - timedelta(seconds=1)))
    wait_until(lambda: not is_alive(int(marker.read_text())), "the end of the converter")
    assert files_of(disturbed).keys().isdisjoint(files_of(undisturbed)), "nothing was published"

    def is_done() -> bool:
        a_site.installation.run(job)
        return a_site.installation.items(job)[0].state is State.SUCCESS

    wait_until(is_done, "the next worker", told=lambda: str(a_site.installation.items(job)))
    assert files_of(disturbed) == files_of(undisturbed)
    a_site.installation.spool.sweep()
    assert list(a_site.installation.spool.workspaces.iterdir()) == []


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_series_that_is_converted_in_part_only_is_left_out_and_named(a_site: Site, a_program: Path) -> None:
    behaves(a_program, 'convert "$@"; if ls "$in" | wc -l | grep -qx 3; then exit 8; fi')
    folder = a_site.folder("out")
    item = a_site.convert(folder, a_site.ct)
    receipt = a_site.installation.receipt(item)
    assert (item.state, receipt.verdict) == (State.WARNING, Completeness.COMPLETE)
    assert "3 x Not converted to NIfTI: series 2. " in item.message
    assert (len(receipt.left_out), len(receipt.confirmed)) == (3, 4)
    assert [Path(name).name[:5] for name in files_of(folder)] == ["1-CT-", "1-CT-"]


@pytest.mark.parametrize("status", [0, 2])
def test_nothing_that_can_be_converted_is_a_warning(a_site: Site, a_program: Path, status: int) -> None:
    behaves(a_program, f"exit {status}")
    folder = a_site.folder("out")
    item = a_site.convert(folder, a_site.ct)
    assert item.state is State.WARNING
    assert item.message.startswith("Nothing of the study can be converted to NIfTI. Left out: 7 instances.")
    assert files_of(folder) == {}


def test_a_converter_that_fails_fails_the_item_and_publishes_nothing(a_site: Site, a_program: Path) -> None:
    behaves(a_program, 'convert "$@"; case "$in" in */002) exit 1;; esac')
    folder = a_site.folder("out")
    item = a_site.convert(folder, a_site.ct)
    assert (item.state, item.error_code) == (State.FAILURE, "ConversionFailed"), item.message
    assert item.attempts == a_site.installation.settings.max_attempts
    assert files_of(folder) == {}
    assert a_site.installation.leftovers() == []


@pytest.mark.parametrize("where", ["json", "header"])
def test_an_identifier_in_a_file_publishes_nothing(a_site: Site, a_program: Path, where: str) -> None:
    name = str(dcmread(a_site.ct.files[0], stop_before_pixels=True).PatientName).partition("^")[0]
    json = f'sed -i \'s/"Modality": "CT"/"Modality": "of {name}"/\' "$out"/*.json'
    header = (
        'for file in "$out"/*.gz; do gunzip "$file"; file="${file%.gz}"; '
        f'printf "{name}" | dd of="$file" bs=1 seek=150 conv=notrunc 2> /dev/null; gzip -n "$file"; done'
    )
    behaves(a_program, f'convert "$@"; {json if where == "json" else header}')
    folder = a_site.folder("out")
    item = a_site.convert(folder, a_site.ct)
    assert (item.state, item.error_code) == (State.FAILURE, "ResidueFound"), item.message
    assert name not in item.message
    assert files_of(folder) == {}
    assert a_site.installation.leftovers() == []


def test_a_machine_that_cannot_convert_fails_the_item_in_one_sentence(a_site: Site, a_program: Path) -> None:
    behaves(a_program, "exit 0")
    job = a_site.submit(a_site.folder("out"))
    a_program.unlink()
    a_site.installation.run(job)
    (item,) = a_site.installation.items(job)
    assert (item.state, item.message) == (State.FAILURE, nifti.MISSING)


def test_a_series_waits_for_a_review_of_a_part_of_it(tmp_path: Path) -> None:
    study = studies.write_ct(tmp_path / "ct", patient=1, study=1, instances=(4, 3), rows=32, columns=32)
    archive = FaultyArchive("ARCHIVE", study.files)
    archive.data_sets[1].BurnedInAnnotation = "YES"
    installation, reviewer = Installation(tmp_path / "adit"), operator("eve")
    with archive.running():
        source = installation.server(archive, **DIMSE_GET)  # type: ignore[arg-type]
        folder = installation.folder(tmp_path / "out")
        wish = StudyWish(study.study_uid, study.patient_id, pseudonym="SUBJ-01")
        (item,) = installation.transfer(source, folder, wish, convert_to_nifti=True)
        receipt = installation.receipt(item)
        assert (item.state, receipt.verdict) == (State.WARNING, Completeness.HELD), item.message
        assert "3 x Not converted to NIfTI: series 1. Others of it are held for a review." in item.message
        assert [Path(name).name[:5] for name in files_of(folder)] == ["2-CT-", "2-CT-"]
        review.release(installation.db, reviewer, item.id, None, "looked at every frame of it")
        job = jobs.get(installation.db, TESTER, item.job_id)
        installation.run(job)
    (item,) = installation.items(job)
    assert item.state is State.SUCCESS, item.message
    assert sorted(Path(name).name[:5] for name in files_of(folder)) == ["1-CT-", "1-CT-", "2-CT-", "2-CT-"]
