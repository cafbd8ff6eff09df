"""`adit deidentify` on real files: what it writes, what it refuses, and what a kill in the middle leaves."""

import csv
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from deployments.cli import app
from deployments.offline import treatment
from dicom.deid.engine import Deidentifier
from dicom.deid.policy import compiled
from dicom.deid.profile import load
from dicom.files.staging import STAGING
from dicom.part10 import part10_prefix
from models.db.engine import open_database
from models.db.scopes import ScopeStore
from models.domain.people import Actor
from models.settings import settings
from services import pseudonyms
from tests.corpus import instance_of
from tests.corpus.search import Haystack

DELIVERED = ("ct", "ct_baseline", "mr", "segmentation", "report", "cr_deflated", "western", "japanese")


def adit(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def deidentified(source: Path, destination: Path, *words: object, scope: str = "T1") -> Result:
    return adit("deidentify", source, destination, "--scope", scope, "--jobs", 1, *words)


@pytest.fixture
def originals(a_data_dir: Path, tmp_path: Path) -> Path:
    source = tmp_path / "in"
    for number, kind in enumerate(DELIVERED):
        put(source / f"disc{number % 2}", kind)
    return source


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "out"


def put(directory: Path, kind: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / f"{kind}.dcm"
    file.write_bytes(instance_of(kind).part10)
    return file


def contents(directory: Path) -> Mapping[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def reported(path: Path) -> dict[str, tuple[str, str]]:
    with path.open(newline="") as file:
        return {row["file"]: (row["outcome"], row["code"]) for row in csv.DictReader(file)}


def test_every_file_is_treated_and_nothing_identifies(originals: Path, results: Path) -> None:
    result = deidentified(originals, results)
    assert result.exit_code == 0, result.output
    files = contents(results)
    assert len(files) == len(DELIVERED)
    identifiers = {word for kind in DELIVERED for word in instance_of(kind).patient.identifiers}
    for path, content in files.items():
        assert not [word for word in identifiers if Haystack(path.encode()).holds(word)]
        assert not [word for word in identifiers if Haystack(content).holds(word)]
    assert not (results / STAGING).exists()


def test_files_get_the_bytes_that_a_job_of_the_trial_would_give_them(originals: Path, results: Path) -> None:
    deidentified(originals, results)
    db = open_database(settings())
    original = instance_of("mr")
    actor = Actor("admin", is_staff=True)
    scope_id, names = pseudonyms.bind_patients(db, settings(), actor, "T1", [(original.patient.patient_id, "")])
    key = pseudonyms.linkage_key(db, ScopeStore(db).of_trial("T1"))
    engine = Deidentifier(compiled(load("research")), key, names[original.patient.patient_id], "T1")
    treated = engine.instance(original.instance)
    expected = part10_prefix(treated.sop_class_uid, treated.sop_uid, treated.transfer_syntax_uid) + b"".join(
        treated.parts
    )
    assert scope_id == ScopeStore(db).of_trial("T1")
    assert expected in contents(results).values()


def test_many_processes_give_the_same_bytes_as_one(originals: Path, tmp_path: Path) -> None:
    assert deidentified(originals, tmp_path / "one").exit_code == 0
    assert deidentified(originals, tmp_path / "two", "--jobs", 2).exit_code == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_another_scope_has_nothing_in_common(originals: Path, tmp_path: Path) -> None:
    deidentified(originals, tmp_path / "one", scope="T1")
    deidentified(originals, tmp_path / "two", scope="T2")
    names = [{part for path in contents(tmp_path / place) for part in Path(path).parts} for place in ("one", "two")]
    assert not names[0] & names[1]


def test_doing_it_again_changes_nothing(originals: Path, results: Path) -> None:
    deidentified(originals, results)
    before = contents(results)
    assert deidentified(originals, results).exit_code == 0
    assert contents(results) == before


def test_the_report_says_of_each_file_what_has_become_of_it(originals: Path, results: Path, tmp_path: Path) -> None:
    put(originals, "pdf")
    put(originals, "burned_in")
    put(originals, "jpeg_comment")
    (originals / "readme.txt").write_text("hello")
    (originals / "empty.dcm").touch()
    shutil.copy(originals / "disc0" / "ct.dcm", originals / "zz_copy.dcm")
    result = deidentified(originals, results, "--report", tmp_path / "report.csv")
    assert result.exit_code == 2
    found = reported(tmp_path / "report.csv")
    assert found["pdf.dcm"] == ("left out", "Excluded")
    assert found["burned_in.dcm"] == ("held", "NeedsReview")
    assert found["jpeg_comment.dcm"] == ("failed", "ResidueFound")
    assert found["readme.txt"] == ("left out", "Unreadable")
    assert found["empty.dcm"] == ("left out", "Unreadable")
    assert found["zz_copy.dcm"] == ("left out", "Copy")
    assert found["disc0/ct.dcm"] == ("done", "")
    assert (tmp_path / "report.csv").stat().st_mode & 0o777 == 0o600
    assert len(contents(results)) == len(DELIVERED)
    assert "held: burned_in.dcm" in result.output


@pytest.mark.parametrize(("kind", "status"), [("burned_in", 1), ("pdf", 1), ("ct", 0), ("jpeg_comment", 2)])
def test_the_exit_status_tells_the_worst(a_data_dir: Path, tmp_path: Path, kind: str, status: int) -> None:
    put(tmp_path / "in", kind)
    assert deidentified(tmp_path / "in", tmp_path / "out").exit_code == status


def test_of_two_instances_with_one_uid_none_is_written(originals: Path, results: Path) -> None:
    other = bytearray(instance_of("ct").part10)
    other[-1] ^= 1
    (originals / "other.dcm").write_bytes(other)
    assert deidentified(originals, results).exit_code == 2
    assert len(contents(results)) == len(DELIVERED) - 1


def test_an_instance_without_patient_id_is_not_treated(a_data_dir: Path, tmp_path: Path, results: Path) -> None:
    file = put(tmp_path / "in", "ct")
    patient_id = instance_of("ct").patient.patient_id.encode()
    file.write_bytes(
        file.read_bytes().replace(b"\x10\x00\x20\x00LO\x0a\x00" + patient_id, b"\x10\x00\x20\x00LO\x0a\x00" + b" " * 10)
    )
    result = deidentified(tmp_path / "in", results)
    assert result.exit_code == 2
    assert "no Patient ID" in result.output
    assert contents(results) == {}


def test_excluded_modalities_are_left_out(originals: Path, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADIT_EXCLUDE_MODALITIES", "sr,seg")
    result = deidentified(originals, results)
    assert result.exit_code == 1
    assert "Modality SR is excluded." in result.output
    assert len(contents(results)) == len(DELIVERED) - 2


# --- pseudonyms


def a_list(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(["patient_id,pseudonym", *rows]))
    return path


def test_given_pseudonyms_are_used_and_others_generated(originals: Path, results: Path, tmp_path: Path) -> None:
    patient_id = instance_of("ct").patient.patient_id
    assert (
        deidentified(originals, results, "--pseudonyms", a_list(tmp_path / "p.csv", f"{patient_id},SUBJ-1")).exit_code
        == 0
    )
    assert (results / "SUBJ-1").is_dir()
    patients = {instance_of(kind).patient.patient_id for kind in DELIVERED}
    assert len(list(results.iterdir())) == len(patients)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (("PAT1,SUBJ-1", "PAT2,SUBJ-1"), "Row 2: pseudonym"),
        (("PAT1,SUBJ-1", "PAT1,SUBJ-2"), "Row 2: pseudonym"),
        (("PAT1,SUBJ*",), "Row 1: pseudonym: none of * ? ^ = is allowed."),
        (("PAT1,",), "Row 1: patient_id and pseudonym are both needed."),
    ],
)
def test_contradicting_pseudonyms_are_refused_before_anything_is_written(
    originals: Path, results: Path, tmp_path: Path, rows: tuple[str, ...], said: str
) -> None:
    result = deidentified(originals, results, "--pseudonyms", a_list(tmp_path / "p.csv", *rows))
    assert result.exit_code == 2
    assert said in result.output
    assert contents(results) == {}


def test_a_pseudonym_that_contradicts_an_earlier_run_is_refused(originals: Path, results: Path, tmp_path: Path) -> None:
    patient_id = instance_of("ct").patient.patient_id
    deidentified(originals, results, "--pseudonyms", a_list(tmp_path / "p.csv", f"{patient_id},SUBJ-1"))
    before = contents(results)
    again = deidentified(originals, results, "--pseudonyms", a_list(tmp_path / "q.csv", f"{patient_id},SUBJ-2"))
    assert again.exit_code == 2
    assert "Row 1: pseudonym: The patient already has another pseudonym" in again.output
    assert contents(results) == before


def test_a_list_with_other_columns_is_refused(originals: Path, results: Path, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("id,name\n1,2\n")
    result = deidentified(originals, results, "--pseudonyms", tmp_path / "p.csv")
    assert result.exit_code == 2
    assert "columns are missing: patient_id, pseudonym" in result.output


# --- folders


def test_folders_within_each_other_are_refused(originals: Path) -> None:
    for destination in (originals, originals / "out", originals.parent):
        result = deidentified(originals, destination)
        assert result.exit_code == 2
        assert "must not be the same or within each other" in result.output
    assert len(contents(originals)) == len(DELIVERED)


def test_a_report_within_the_results_is_refused(originals: Path, results: Path) -> None:
    result = deidentified(originals, results, "--report", results / "report.csv")
    assert result.exit_code == 2
    assert "--report" in result.output
    assert not results.exists()


def test_a_missing_input_and_an_unknown_profile_are_refused(originals: Path, results: Path, tmp_path: Path) -> None:
    assert "IN_DIR is no folder" in deidentified(tmp_path / "nowhere", results).output
    assert "There is no profile nonsense" in deidentified(originals, results, "--profile", "nonsense").output


def test_what_may_not_be_delivered_any_more_is_named_when_it_is_still_there(originals: Path, tmp_path: Path) -> None:
    put(tmp_path / "only", "burned_in")
    lax = tmp_path / "profiles"
    lax.mkdir()
    (lax / "lax.yaml").write_text("extends: research\npixels: {declared_burned_in: pass}\n")
    os.environ["ADIT_PROFILES_DIR"] = str(lax)
    assert deidentified(tmp_path / "only", tmp_path / "out", "--profile", "lax").exit_code == 0
    result = deidentified(tmp_path / "only", tmp_path / "out")
    assert result.exit_code == 2
    assert "the output has it from an earlier run" in " ".join(result.output.split())


def test_files_of_one_study_from_two_discs_come_together(a_data_dir: Path, tmp_path: Path, results: Path) -> None:
    put(tmp_path / "one", "ct")
    put(tmp_path / "two", "mr")
    assert deidentified(tmp_path / "one", results).exit_code == 0
    assert deidentified(tmp_path / "two", results).exit_code == 0
    assert len(contents(results)) == 2
    assert len(list(results.glob("*/*"))) == 1


def test_two_patients_with_one_study_uid_are_kept_apart(a_data_dir: Path, tmp_path: Path, results: Path) -> None:
    put(tmp_path / "in", "ct")
    other = put(tmp_path / "in", "mr")
    mine = instance_of("ct").patient.patient_id.encode()
    other.write_bytes(other.read_bytes().replace(mine, b"PAT4719999"))
    report = tmp_path / "report.csv"
    assert deidentified(tmp_path / "in", results, "--report", report).exit_code == 0
    assert len(list(results.iterdir())) == 2
    with report.open(newline="") as file:
        assert all((results / row["output"]).is_file() for row in csv.DictReader(file))


def test_a_file_with_a_patient_id_that_cannot_be_used_stops_only_itself(originals: Path, results: Path) -> None:
    odd = put(originals, "pet")
    odd.write_bytes(odd.read_bytes().replace(instance_of("pet").patient.patient_id.encode(), b"PAT*711037"))
    result = deidentified(originals, results)
    assert result.exit_code == 2
    assert "wildcards are not allowed" in result.output
    assert len(contents(results)) == len(DELIVERED)


@pytest.mark.parametrize("pseudonym", ["X{id}X", "s-{lower}"])
def test_a_pseudonym_that_holds_a_patients_id_is_refused_and_can_be_mended(
    originals: Path, results: Path, tmp_path: Path, pseudonym: str
) -> None:
    patient_id = instance_of("ct").patient.patient_id
    named = pseudonym.format(id=patient_id, lower=patient_id.lower())
    result = deidentified(originals, results, "--pseudonyms", a_list(tmp_path / "p.csv", f"{patient_id},{named}"))
    assert result.exit_code == 2
    assert "Row 1: pseudonym: It holds the ID of a patient" in result.output
    mended = deidentified(originals, results, "--pseudonyms", a_list(tmp_path / "q.csv", f"{patient_id},SUBJ-1"))
    assert mended.exit_code == 0, mended.output


def test_names_of_files_need_not_be_utf_8(originals: Path, results: Path, tmp_path: Path) -> None:
    name = b"caf\xe9.txt"
    (originals / os.fsdecode(name)).write_text("hello")
    result = deidentified(originals, results, "--report", tmp_path / "report.csv")
    assert result.exit_code == 1
    assert "caf\\xe9.txt" in result.output
    assert name in (tmp_path / "report.csv").read_bytes()


def test_links_to_folders_are_named_and_not_followed(originals: Path, results: Path, tmp_path: Path) -> None:
    put(tmp_path / "elsewhere", "pet")
    (originals / "link").symlink_to(tmp_path / "elsewhere")
    result = deidentified(originals, results)
    assert result.exit_code == 1
    assert "left out: link" in result.output


def test_a_report_that_cannot_be_written_is_noticed_before_the_work(originals: Path, results: Path) -> None:
    result = deidentified(originals, results, "--report", originals / "no such folder" / "report.csv")
    assert result.exit_code == 2
    assert "The report cannot be written" in result.output
    assert not results.exists()


# --- trouble


def test_a_full_disk_stops_the_run_and_shows_no_half_study(
    originals: Path, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, written = os.writev, list[int]()

    def full(descriptor: int, buffers: list[memoryview]) -> int:
        written.append(descriptor)
        if len(written) > 2:
            raise OSError(28, "No space left on device")
        return real(descriptor, buffers)

    monkeypatch.setattr(os, "writev", full)
    result = deidentified(originals, results)
    assert result.exit_code == 2
    assert result.output.splitlines()[-1].startswith("FolderFull")
    assert not [path for path in contents(results) if not path.startswith(STAGING)]
    monkeypatch.undo()
    assert deidentified(originals, results).exit_code == 0
    assert len(contents(results)) == len(DELIVERED)


def test_a_killed_run_is_finished_by_the_next_with_the_same_bytes(originals: Path, tmp_path: Path) -> None:
    deidentified(originals, tmp_path / "undisturbed")
    words = ["deidentify", originals, tmp_path / "out", "--scope", "T1", "--jobs", "1"]
    slow = (
        "import time\n"
        "from dicom.files.folder import StagedStudy\n"
        "real = StagedStudy.write\n"
        "def write(self, instance):\n"
        "    digest = real(self, instance)\n"
        "    time.sleep(0.5)\n"
        "    return digest\n"
        "StagedStudy.write = write\n"
        "from deployments.cli import app\n"
        f"app({[str(word) for word in words]!r})\n"
    )
    process = subprocess.Popen([sys.executable, "-c", slow], stdout=subprocess.DEVNULL, cwd=Path.cwd())
    limit = time.monotonic() + 60
    while not list((tmp_path / "out").glob(f"{STAGING}/*/*/study/*/*.dcm")) and time.monotonic() < limit:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (tmp_path / "out" / STAGING).exists()
    assert deidentified(originals, tmp_path / "out").exit_code == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "undisturbed")


def test_two_runs_do_not_write_to_one_folder(originals: Path, results: Path) -> None:
    results.mkdir()
    lock = os.open(results, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    result = deidentified(originals, results)
    os.close(lock)
    assert result.exit_code == 2
    assert "Another adit deidentify writes to OUT_DIR." in result.output


def test_a_task_holds_no_secret() -> None:
    assert {"source", "destination", "profile", "scope_id", "trial_protocol_id", "trial_protocol_name"} == set(
        treatment.Task.__slots__
    )
