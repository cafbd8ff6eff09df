"""`adit` knows its commands before it imports them: what it says of them is what they say of themselves."""

import gc
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from deployments.cli import app
from deployments.late_commands import LateGroup

ROOT: Any = typer.main.get_command(app)
CONTEXT = ROOT.make_context("adit", [], resilient_parsing=True)


def asked(*words: str, **environment: str) -> str:
    return CliRunner().invoke(app, words, env={"COLUMNS": "120", **environment}).output


@pytest.mark.parametrize("name", ROOT.list_commands(CONTEXT))
def test_the_outline_of_a_command_says_what_the_command_says(name: str) -> None:
    outline, command = ROOT.get_command(CONTEXT, name), ROOT.commands[name]
    assert command.help, "it says nothing of itself"
    for told in ("name", "help", "short_help", "hidden", "deprecated", "epilog"):
        assert getattr(outline, told) == getattr(command, told), told


def test_what_is_called_is_the_command_and_not_its_outline() -> None:
    assert "--limit" in asked("status", "--help")
    assert "add-server" in asked("node", "--help")


def test_a_mistyped_command_is_an_error_that_names_those_it_may_have_been() -> None:
    result = CliRunner().invoke(app, ["statsu"])
    assert result.exit_code == 2
    assert "No such command 'statsu'. Did you mean 'status', 'restart'?" in result.output


def test_names_and_options_are_completed() -> None:
    def completed(line: str) -> list[str]:
        variables = {"_ADIT_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
        return CliRunner().invoke(app, [], env=variables, prog_name="adit").output.split()

    assert completed("adit db-") == ["db-backup", "db-restore"]
    assert "add-server" in completed("adit node ")
    assert "--limit" in completed("adit status --l")


def test_a_command_that_is_not_where_it_should_be_is_not_left_out_silently() -> None:
    class Lost(LateGroup):
        places = {"lost": "deployments.commands.nowhere:lost", "mute": "deployments.screen:FAILURE"}  # noqa: RUF012

    group = Lost(name="adit")
    assert group.list_commands(CONTEXT) == ["lost", "mute"]
    with pytest.raises(AssertionError, match=r"nowhere is not there"):
        group.get_command(CONTEXT, "lost")
    with pytest.raises(ModuleNotFoundError):
        group.commands["lost"]
    assert gc.isenabled(), "garbage is collected again, whatever became of the import"
