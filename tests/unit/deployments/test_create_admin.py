"""`adit create-admin` makes a superuser, from options, variables or answers."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from deployments import stack
from deployments.cli import app
from deployments.installation import open_settings
from models.db.engine import open_database
from models.settings import settings
from services.people import accounts
from tests.people import ANOTHER_PASSWORD, PASSWORD

Adit = Callable[..., Result]
ROOT = ("--username", "root", "--email", "root@example.org")


@pytest.fixture
def adit(a_data_dir: Path) -> Adit:
    return lambda *words, **options: CliRunner().invoke(app, ["create-admin", *words], **options)


def signs_in(password: str) -> bool:
    return bool(accounts.sign_in(open_database(settings()), settings(), "root", password, "", ""))


def test_what_is_not_given_is_asked_and_the_password_is_not_shown(adit: Adit) -> None:
    result = adit(*ROOT[:2], input=f"root@example.org\n{PASSWORD}\n{PASSWORD}\n")
    assert result.exit_code == 0, result.output
    assert "root is a superuser." in result.output
    assert PASSWORD not in result.output
    assert signs_in(PASSWORD)


def test_all_may_come_from_variables(adit: Adit) -> None:
    values = {"USERNAME": "root", "USER_EMAIL": "root@example.org", "PASSWORD": PASSWORD}
    assert adit(env={f"ADIT_ADMIN_{name}": value for name, value in values.items()}).exit_code == 0
    assert signs_in(PASSWORD)


def test_a_weak_password_is_refused(adit: Adit) -> None:
    result = adit(*ROOT, "--password", "password123")
    assert result.exit_code == 2
    assert result.output.startswith("BadRequest: password: ")


def test_the_way_back_in_has_to_be_forced(adit: Adit) -> None:
    assert adit(*ROOT, "--password", PASSWORD).exit_code == 0
    result = adit(*ROOT, "--password", ANOTHER_PASSWORD)
    assert (result.exit_code, "username: " in result.output) == (2, True)
    assert adit(*ROOT, "--password", ANOTHER_PASSWORD, "--force").exit_code == 0
    assert signs_in(ANOTHER_PASSWORD)


def test_the_stack_makes_the_admin_of_the_settings(a_data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("USERNAME", "root"), ("USER_EMAIL", "root@example.org"), ("PASSWORD", PASSWORD)):
        monkeypatch.setenv(f"ADIT_ADMIN_{name}", value)
    stack.migrate(open_settings(a_data_dir, makes_key=True))
    assert signs_in(PASSWORD)
