"""How full folders are, as the shell tells it."""

from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from deployments import screen
from deployments.cli import app


@pytest.mark.usefixtures("a_data_dir")
def test_folders_are_listed_with_what_is_in_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "console", Console(width=400, highlight=False))
    research = tmp_path / "research"
    research.mkdir()
    (research / "a").write_bytes(bytes(5_000_000))
    run("node", "add-folder", "research", str(research), "--quota-gb", "0.01")
    assert "not measured yet" in run("node", "list")
    assert run("node", "measure", "research") == "research: 5 MB of 10 MB used (50 %).\n"
    assert "5 MB of 10 MB" in run("node", "list")


def run(*words: str) -> str:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    return result.output
