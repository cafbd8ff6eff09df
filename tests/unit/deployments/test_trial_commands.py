"""`adit trial`: who uses which trial, said and changed at the shell."""

import getpass
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from deployments.cli import app
from deployments.commands.session import open_session
from services import pseudonyms
from tests.people import a_user

Adit = Callable[..., Result]


@pytest.fixture
def adit(a_data_dir: Path) -> Adit:
    """An installation with a trial that the shell has begun, and the account eve."""
    session = open_session(None, makes_key=True)
    pseudonyms.bind_patients(session.db, session.settings, session.actor, "T1", [("P1", "SUBJ-1")])
    a_user(session.db, "eve")
    return lambda *words: CliRunner().invoke(app, ["trial", *words])


def test_somebody_is_let_in_listed_and_taken_out(adit: Adit) -> None:
    shell = f"shell:{getpass.getuser()}"
    assert "eve may use the trial T1." in adit("allow", "T1", "EVE").output
    assert adit("allow", "T1", "eve").exit_code == 0
    assert f"eve, {shell}" in adit("list").output
    (line,) = [line for line in adit("list", "T1").output.splitlines() if "eve" in line]
    assert line.split("│")[3].strip() == shell
    assert "eve is no user of the trial T1 any more." in adit("remove", "T1", "eve").output
    assert "eve" not in adit("list").output
    trail = CliRunner().invoke(app, ["audit", "--action", "change_trial"]).output
    assert "trial T1: +user eve" in trail and "trial T1: -user eve" in trail


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("list", "T2"), "NotFound: There is no such trial."),
        (("allow", "T2", "eve"), "NotFound: There is no such trial."),
        (("allow", "T1", "nobody"), "BadRequest: username: there is no account with this name."),
        (("remove", "T1", "eve"), "NotFound: This trial has no user with this name."),
    ],
)
def test_what_cannot_be_done_is_one_line_and_status_2(adit: Adit, words: tuple[str, ...], told: str) -> None:
    refused = adit(*words)
    assert (refused.exit_code, refused.output.strip()) == (2, told)
