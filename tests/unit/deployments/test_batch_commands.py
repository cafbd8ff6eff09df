"""`adit batch`: what is said of a file, and how the commands end; the archive is in memory."""

import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from deployments import progress
from deployments.cli import app
from flows.questions import ask_through
from models.db.engine import Database, open_database
from models.db.jobs import JobStore
from models.domain.jobs import JobFilter, JobKind, State
from models.settings import settings
from tasks.ask import ask_bundle
from tests.memory_archive import MemoryArchive, played

Adit = Callable[..., Result]
SERVER = ("--ae-title", "PACS", "--host", "127.0.0.1", "--port", 9, "--study-root-find-support")
SERVER += ("--study-root-get-support",)
ABOUT = ("--project-name", "Lung study", "--project-description", "Nodules over time.")
MOVE = ("--from", "PACS", "--to", "research", *ABOUT, "--ethics", "S-1")
QUERY = "RowID,PatientID,Modality\nR1,P1,CT\nR2,NOBODY,CT\n"
TRANSFER = "RowID,PatientID,StudyInstanceUID,Pseudonym\nR1,P1,1.2.1,ANON1\nR2,P2,1.2.2,ANON2\nR3,P9,1.2.9,ANON9\n"


@pytest.fixture
def adit(a_data_dir: Path, tmp_path: Path) -> Adit:
    """The command, with a server PACS and a folder research."""

    def run(*words: object, says: str = "") -> Result:
        return CliRunner().invoke(app, [str(word) for word in words], input=says)

    (tmp_path / "research").mkdir()
    assert run("node", "add-server", "PACS", *SERVER).exit_code == 0
    assert run("node", "add-folder", "research", tmp_path / "research").exit_code == 0
    (tmp_path / "query.csv").write_text(QUERY)
    (tmp_path / "transfer.csv").write_text(TRANSFER)
    return run


@pytest.fixture
def worked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Questions are answered while the command waits, and transfers succeed without anything being moved."""
    archive = MemoryArchive()
    for number in (1, 2):
        archive.add(f"P{number}", f"1.2.{number}")
    watch = progress.watch

    def working(db: Database, actor: object, job_id: int, *more: object) -> object:
        store = JobStore(db)
        if store.get(job_id).kind is JobKind.BATCH_TRANSFER:
            while (claimed := store.claim_next(job_id, settings().lease_for)) is not None:
                store.end_attempt(claimed[1], State.SUCCESS, "Moved.")
        else:
            with played(PACS=archive):
                ask_through(db, settings(), job_id, ask_bundle)
        return watch(db, actor, job_id)  # type: ignore[arg-type]

    monkeypatch.setattr(progress, "watch", working)
    yield


def jobs_there() -> int:
    return len(JobStore(open_database(settings())).list(JobFilter(), 100, 0))


def test_every_problem_is_printed_by_line_and_column_and_nothing_is_accepted(adit: Adit, tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("PatientID,Modality,PatientBirthDate\nDoe*,CT,\n,CT,Doe-03-04\nP1,,\n")
    result = adit("batch", "query", bad, "--from", "PACS", *ABOUT)
    assert result.exit_code == 2
    assert "Line 2, PatientID: error: " in result.output
    assert "Line 3, PatientBirthDate: error: " in result.output
    assert "Line 4" in result.output
    assert "Nothing was accepted: the file has" in result.output
    assert "Doe" not in result.output
    checked = adit("batch", "check", bad, *MOVE)
    assert checked.exit_code == 2
    assert jobs_there() == 0


def test_what_is_no_file_is_one_red_line(adit: Adit, tmp_path: Path) -> None:
    for file in (tmp_path / "none.csv", tmp_path):
        result = adit("batch", "query", file, "--from", "PACS", *ABOUT)
        assert (result.exit_code, result.output.startswith("BadRequest: ")) == (2, True)
    for words in ((), (tmp_path / "transfer.csv", "--check", 1), (tmp_path / "transfer.csv",)):
        assert adit("batch", "transfer", *words).exit_code == 2


def test_a_query_lists_the_rows_without_an_answer(adit: Adit, worked: None, tmp_path: Path) -> None:
    result = adit("batch", "query", tmp_path / "query.csv", "--from", "PACS", *ABOUT)
    assert result.exit_code in {1, 2}, result.output
    assert "R2" in result.output
    assert "R1" not in result.output
    for name in ("found.xlsx", "found.csv"):
        written = adit("batch", "results", 1, "-o", tmp_path / name)
        assert written.exit_code == 0, written.output
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert "1.2.1" in (tmp_path / "found.csv").read_text("utf-8-sig")
    again = adit("batch", "results", 1, "-o", tmp_path / "found.csv")
    assert (again.exit_code, again.output.startswith("WriteFailed: ")) == (2, True)
    assert adit("batch", "results", 1, "-o", tmp_path / "found.pdf").exit_code == 2


def test_a_check_shows_its_outcome_as_a_table(adit: Adit, worked: None, tmp_path: Path) -> None:
    result = adit("batch", "check", tmp_path / "transfer.csv", *MOVE)
    assert result.exit_code == 1, result.output
    assert "R3" in result.output
    assert "R1" not in result.output
    assert "Outcome of check 1" in result.output
    found = next(line for line in result.output.splitlines() if line.startswith("│ found"))
    assert [cell.strip() for cell in found.strip("│┃").split("│")][:3] == ["found", "2", "6"]
    (tmp_path / "good.csv").write_text("\n".join(TRANSFER.splitlines()[:3]))
    assert adit("batch", "check", tmp_path / "good.csv", *MOVE).exit_code == 0


def test_a_transfer_begins_only_when_open_rows_are_left_out(adit: Adit, worked: None, tmp_path: Path) -> None:
    refused = adit("batch", "transfer", tmp_path / "transfer.csv", *MOVE, "--yes")
    assert refused.exit_code == 2
    assert "BadRequest: leave_out: 1 not found" in refused.output
    assert "--check 1" in refused.output
    assert jobs_there() == 1
    declined = adit("batch", "transfer", "--check", 1, "--leave-out", "not_found", says="n\n")
    assert (declined.exit_code, jobs_there()) == (2, 1)
    moved = adit("batch", "transfer", "--check", 1, "--leave-out", "not_found", says="y\n")
    assert moved.exit_code == 0, moved.output
    assert jobs_there() == 2
    assert adit("batch", "file", 2, "-o", tmp_path / "verdicts.csv").exit_code == 0
    lines = (tmp_path / "verdicts.csv").read_text("utf-8-sig").splitlines()
    assert [("Done" in line, "Left out" in line) for line in lines[1:]] == [(True, False)] * 2 + [(False, True)]
    wrong = adit("batch", "file", 2, "-o", tmp_path / "verdicts.xlsx")
    assert (wrong.exit_code, "verdicts.csv" in wrong.output) == (2, True)


def test_what_nobody_waits_for_is_accepted(adit: Adit, tmp_path: Path) -> None:
    result = adit("batch", "query", tmp_path / "query.csv", "--from", "PACS", *ABOUT, "--no-wait")
    assert result.exit_code == 0
    assert "Job 1 is accepted." in result.output
    assert "Nobody works on this data directory" in result.output
    early = adit("batch", "results", 1, "-o", tmp_path / "early.csv")
    assert (early.exit_code, (tmp_path / "early.csv").exists()) == (2, False)


def test_templates_are_written_for_every_kind(adit: Adit, tmp_path: Path) -> None:
    for kind in ("query", "transfer"):
        assert adit("batch", "template", kind).exit_code == 0
        assert (tmp_path / f"batch_{kind}_template.xlsx").exists()
        assert adit("batch", "template", kind, "--sample", "-o", tmp_path / f"{kind}_sample.csv").exit_code == 0
    assert adit("batch", "template", "query").exit_code == 2
    accepted = adit("batch", "query", tmp_path / "query_sample.csv", "--from", "PACS", *ABOUT, "--no-wait")
    assert accepted.exit_code == 0, accepted.output
