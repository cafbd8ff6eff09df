"""Who is at the shell is nobody who has an account, whatever names accounts have and whichever was there first."""

import getpass
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deployments.cli import app
from deployments.commands.session import caller
from models.db.engine import Database, open_database
from models.db.tables import JobRow
from models.domain.errors import BadRequest, NotFound
from models.domain.mails import JobMails
from models.settings import settings
from services import audit, jobs
from services.job_access import may_know_patients
from services.people import accounts, actors
from services.people.account_rules import username_problems
from services.post import notifications
from tests.house.source_tree import ROOT
from tests.peers import free_port
from tests.people import a_user

SERVER = ("--ae-title", "PACS", "--host", "127.0.0.1", "--study-root-find-support", "--study-root-get-support")
NAME = "adit"


@pytest.fixture
def database(a_data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """An account that is called as the user of the shell, who then submits a job."""
    monkeypatch.setattr(getpass, "getuser", lambda: NAME)
    (tmp_path / "out").mkdir()
    adit("node", "add-server", "pacs", *SERVER, "--port", free_port())
    adit("node", "add-folder", "out", tmp_path / "out")
    a_user(open_database(settings()), NAME)
    words = ("--from", "pacs", "--to", "out", "--patient", "PAT4711", "--pseudonym", "SUBJ-1", "--no-wait")
    adit("transfer", *words, "--study", "1.2.3")
    return open_database(settings())


def adit(*words: object) -> str:
    ended = CliRunner().invoke(app, [str(word) for word in words])
    assert ended.exit_code == 0, ended.output
    return ended.output


def test_a_job_of_the_shell_is_not_that_of_an_account_with_the_name_of_its_user(database: Database) -> None:
    (job,) = jobs.list(database, caller())
    account = actors.of_name(database, NAME)
    assert not may_know_patients(account, job)
    assert jobs.list(database, account) == ()
    with pytest.raises(NotFound):
        jobs.get(database, account, job.id)


def test_who_is_at_the_shell_sees_and_finds_their_jobs_by_their_name(database: Database) -> None:
    assert f"shell:{NAME}" in adit("status")
    (job,) = jobs.list(database, caller(), everybody=True, owner=f"shell:{NAME}")
    assert [item.patient_id for item in jobs.items(database, caller(), job.id)] == ["PAT4711"]
    adit("cancel", job.id)
    assert {entry.actor for entry in audit.entries(database, caller())} == {f"shell:{NAME}"}


def test_an_account_hears_nothing_of_the_shells_jobs(database: Database) -> None:
    (job,) = jobs.list(database, caller())
    notifications.choose(database, actors.of_name(database, NAME), JobMails.ALWAYS)
    jobs.cancel(database, caller(), job.id)
    assert notifications.send_finished(database, settings()) == 0


def test_a_job_from_before_that_carries_a_bare_name_still_keeps_it_from_becoming_an_account(
    database: Database,
) -> None:
    with database.transaction() as session:
        row = session.get(JobRow, jobs.list(database, caller())[0].id)
        assert row is not None
        row.owner = "olga"
    with pytest.raises(BadRequest, match="username: Jobs or trials of somebody at the shell carry this name"):
        accounts.create_admin(database, "Olga", "olga@example.org", "correct-horse-7")


def test_no_name_that_is_not_an_accounts_could_be_one() -> None:
    written = {
        name
        for room in ("services", "deployments", "flows", "tasks", "ui", "api")
        for file in (ROOT / room).rglob("*.py")
        for name in re.findall(r'operator\(f?"([^"]*)"', file.read_text(encoding="utf-8"))
    }
    assert {"(system)", "(doctor)", "shell:demo"} <= written
    assert all(username_problems(re.sub(r"{.*}", NAME, name)) for name in written)
