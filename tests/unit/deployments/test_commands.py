"""What the commands say and how they end, against a real database; nothing runs behind it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from deployments.cli import app
from deployments.ports import free_port
from models.db.engine import open_database
from models.domain.jobs import State
from models.domain.people import operator
from models.settings import settings
from services import jobs, nodes

Adit = Callable[..., Result]
SERVER = ("--ae-title", "PACS", "--host", "127.0.0.1", "--study-root-find-support", "--study-root-get-support")


@pytest.fixture
def adit(a_data_dir: Path) -> Adit:
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def an_installation(adit: Adit, tmp_path: Path) -> Adit:
    """A server `pacs` on which nobody listens, and a folder `research`."""
    (tmp_path / "research").mkdir()
    assert adit("node", "add-server", "pacs", *SERVER, "--port", free_port()).exit_code == 0
    assert adit("node", "add-folder", "research", tmp_path / "research").exit_code == 0
    return adit


def test_added_nodes_are_listed_without_their_credentials(an_installation: Adit) -> None:
    web = ("--dicomweb-root-url", "https://pacs/dicom-web", "--dicomweb-qido-support")
    secret = ("--dicomweb-authorization-header", "Bearer abc123")
    assert (
        an_installation(
            "node", "add-server", "web", *SERVER, "--ae-title", "WEB", "--port", 104, *web, *secret
        ).exit_code
        == 0
    )
    listed = an_installation("node", "list").output
    assert "pacs" in listed
    assert "research" in listed
    assert "find, get, QIDO-RS" in listed
    assert "abc123" not in listed
    stored = nodes.by_name(open_database(settings()), "web")
    assert getattr(stored, "dicomweb_authorization_header", "") == "Bearer abc123"


def test_what_is_refused_is_one_red_line_and_status_2(an_installation: Adit) -> None:
    result = an_installation("node", "add-server", "other", "--ae-title", "", "--host", "h", "--port", 0)
    assert result.exit_code == 2
    assert result.output.startswith("BadRequest: ae_title")
    assert "Traceback" not in result.output


def test_a_server_that_is_down_is_unreachable(an_installation: Adit) -> None:
    result = an_installation("node", "test", "pacs")
    assert result.exit_code == 2
    assert result.output.startswith("Unreachable: ")


def test_a_folder_that_is_not_there_is_not_called_good(an_installation: Adit, tmp_path: Path) -> None:
    assert an_installation("node", "test", "research").exit_code == 0
    (tmp_path / "research").rmdir()
    assert an_installation("node", "test", "research").exit_code == 2


def test_a_job_is_accepted_shown_canceled_and_resumed(an_installation: Adit) -> None:
    words = ("--from", "pacs", "--to", "research", "--no-wait", "--trial-id", "T1", "--urgent")
    result = an_installation("transfer", *words, "--study", "1.2.3", "--pseudonym", "SUBJ-1", "--patient", "P1")
    assert result.exit_code == 0
    assert "Job 1 is accepted." in result.output
    assert "start adit up" in result.output
    assert "pending" in an_installation("status", 1).output
    assert "Job 1 is canceled." in an_installation("cancel", 1).output
    assert an_installation("cancel", 1).exit_code == 2
    assert "Job 1 is pending." in an_installation("resume", 1).output
    assert an_installation("retry", 1).exit_code == 2
    (job,) = jobs.list(open_database(settings()), operator("test"), everybody=True)
    assert (job.state, job.urgent, job.trial_protocol_id) == (State.PENDING, True, "T1")


def test_options_are_paired_with_studies_in_their_order(an_installation: Adit) -> None:
    studies = ("--study", "1.2", "--study", "1.3", "--pseudonym", "A", "--pseudonym", "B", "--trial-id", "T")
    result = an_installation("transfer", "--from", "pacs", "--to", "research", "--no-wait", *studies)
    assert result.exit_code == 0, result.output
    items = jobs.items(open_database(settings()), operator("test"), 1)
    assert [(item.study_uid, item.pseudonym) for item in items] == [("1.2", "A"), ("1.3", "B")]


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--study", "1.2", "--study", "1.3", "--study", "1.4", "--pseudonym", "A", "--pseudonym", "B"),
        ("--study", "1.2", "--study", "1.3", "--series", "1.2.1"),
        ("--study", "1.2", "--batch", "batch.csv"),
        ("--batch", "missing.csv"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(an_installation: Adit, words: tuple[str, ...]) -> None:
    result = an_installation("transfer", "--from", "pacs", "--to", "research", "--no-wait", *words)
    assert result.exit_code == 2
    assert result.output.startswith("BadRequest: ")


def test_a_batch_comes_from_a_file(an_installation: Adit, tmp_path: Path) -> None:
    file = tmp_path / "batch.csv"
    file.write_text("patient_id,study_uid,pseudonym\nP1,1.2.3,A\nP2,1.2.4,B\n")
    result = an_installation("transfer", "--from", "pacs", "--to", "research", "--no-wait", "--batch", file)
    assert result.exit_code == 0, result.output
    items = jobs.items(open_database(settings()), operator("test"), 1)
    assert [(item.patient_id, item.study_uid, item.pseudonym) for item in items] == [
        ("P1", "1.2.3", "A"),
        ("P2", "1.2.4", "B"),
    ]


def test_a_batch_without_a_column_is_refused_by_name(an_installation: Adit, tmp_path: Path) -> None:
    file = tmp_path / "batch.csv"
    file.write_text("patient_id,study_uid\nP1,1.2.3\n")
    result = an_installation("transfer", "--from", "pacs", "--to", "research", "--batch", file)
    assert result.exit_code == 2
    assert "pseudonym" in result.output


def test_a_transfer_that_keeps_the_identity_says_so(an_installation: Adit) -> None:
    result = an_installation("transfer", "--from", "pacs", "--to", "research", "--no-wait", "--study", "1.2.3")
    assert "keep their patient's identity" in result.output
