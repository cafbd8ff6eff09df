"""Whatever is wrong with a call ends in a line that tells it and a status that is not 0, never in a traceback."""

from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from typer.testing import CliRunner, Result

from deployments.cli import app

HUGE = "9" * 23
SERVER = ["node", "add-server", "PACS", "--ae-title", "PACS", "--host", "pacs.example.org"]


@pytest.fixture(autouse=True)
def an_installation(a_data_dir: Path) -> Path:
    """A key and no database yet; a file that holds nothing sensible lies beside it."""
    a_data_dir.mkdir()
    (a_data_dir / "master.key").write_bytes(Fernet.generate_key())
    Path("noise").write_bytes(bytes(range(128, 256)) * 8)
    return a_data_dir


def refused(*words: str) -> str:
    """What a call says that must fail."""
    ended: Result = CliRunner().invoke(app, words, input="")
    assert isinstance(ended.exception, SystemExit), ended.exception
    assert ended.exit_code != 0 and ended.output.strip(), ended.output
    return ended.output


@pytest.mark.parametrize(
    "words",
    [
        ["status", "999"],
        *(
            [command, HUGE]
            for command in ("status", "cancel", "resume", "retry", "verify", "hurry", "restart", "delete")
        ),
        ["status", "one"],
        ["review", "list", HUGE],
        ["review", "release", "1", "--item", HUGE, "--reason", "seen"],
        ["node", "test", "nowhere"],
        ["worker", "--name", "ct-1@urgent"],
        [*SERVER, "--port", HUGE],
        [*SERVER, "--port", "104", "--connect-timeout-s", "1e300"],
        [*SERVER, "--port", "104", "--connect-timeout-s", "nan"],
        [*SERVER, "--port", "104", "--window", "sometimes"],
        ["chores", "run", "nothing"],
        ["maintenance", "perhaps"],
        ["db-restore", "nothing"],
        ["profile", "show", "../secrets"],
        ["profile", "try", "basic", "noise"],
        ["deidentify", "nowhere", "out", "--scope", "x"],
        ["generate-auth-token", HUGE],
        ["generate-secure-password", HUGE],
        ["generate-certificate-files", "--host", ""],
        ["generate-certificate-files", "--host", "a b"],
        ["generate-certificate-files", "--days", HUGE],
        ["generate-certificate-files", "--host", "a.org", "--certificate", "noise/a", "--key", "noise/b"],
        ["generate-certificate-chain", "noise"],
        *(
            [command, "--env-file", file]
            for command in ("init-workspace", "randomize-env-secrets", "env-check")
            for file in (".", "noise", "noise/env", "nowhere/env")
        ),
        ["nothing"],
    ],
    ids=lambda words: " ".join(words)[:60],
)
def test_a_wrong_call_is_refused_in_words(words: list[str]) -> None:
    refused(*words)


@pytest.mark.parametrize("name", ["master.key", "prefect.auth"])
def test_a_secret_that_cannot_be_read_is_named(an_installation: Path, name: str) -> None:
    (an_installation / name).write_bytes(b"\xff")
    assert f"{name} cannot be read" in refused("status")


@pytest.mark.parametrize("place", ["noise", "noise/data", "n" * 300])
@pytest.mark.parametrize("words", [["status"], ["node", "add-folder", "research", "."]], ids=" ".join)
def test_a_data_directory_that_cannot_be_one_is_named(place: str, words: list[str]) -> None:
    told = refused(*words, "--data-dir", place)
    assert "noise" in told or "ADIT_DATA_DIR" in told
