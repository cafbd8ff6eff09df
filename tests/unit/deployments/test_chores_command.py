"""`adit chores` lists what is done by itself, and does it at once, also without Prefect."""

from pathlib import Path

import pytest
from click.testing import Result
from cryptography.fernet import Fernet
from typer.testing import CliRunner

from deployments.cli import app
from services.chores import performing
from services.chores.roster import CHORES
from tests.peers import free_port

pytestmark = pytest.mark.usefixtures("an_installation")


@pytest.fixture
def an_installation(a_data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A data directory with a key, whose Prefect does not answer."""
    monkeypatch.setenv("ADIT_PREFECT_PORT", str(free_port()))
    a_data_dir.mkdir()

    (a_data_dir / "master.key").write_bytes(Fernet.generate_key())


def adit(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def test_all_chores_are_listed_with_what_is_wrong() -> None:
    listed = adit("chores")
    assert listed.exit_code == 1
    assert all(name in listed.output for name in CHORES)
    assert "expiry: Prefect's API does not answer." in listed.output


def test_a_chore_is_done_at_once_and_stands_in_the_list() -> None:
    done = adit("chores", "run", "spool-sweep")
    assert (done.exit_code, done.output.strip()) == (0, "Nothing was left behind.")
    assert "success: Nothing was left behind." in adit("chores", "list").output
    assert "run_chore" in adit("audit").output


def test_a_chore_that_fails_ends_the_command_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> str:
        raise ValueError("Doe^Jane")

    monkeypatch.setattr(performing, "RUNS", {**performing.RUNS, "expiry": fail})
    done = adit("chores", "run", "expiry")
    assert done.exit_code == 2
    assert "ValueError" in done.output and "Doe" not in done.output


def test_a_chore_that_there_is_not_is_refused() -> None:
    refused = adit("chores", "run", "coffee")
    assert refused.exit_code == 2
    assert "NotFound" in refused.output
