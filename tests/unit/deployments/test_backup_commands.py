"""`adit db-backup` and `db-restore`: what they say, what they ask, and what they refuse."""

import gc
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from cryptography.fernet import Fernet
from sqlalchemy import create_engine, text
from typer.testing import CliRunner

from deployments import installation
from deployments.cli import app
from models.db import engine
from models.db.engine import open_database
from models.db.nodes import NodeStore
from models.settings import settings
from tests.revisions import all_rows

Adit = Callable[..., Result]


@pytest.fixture
def adit(a_data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Adit:
    """An installation with a folder."""
    monkeypatch.setattr(engine, "create_engine", create_engine)  # engines that share statements outlive their commands

    def call(*words: object, types: str = "") -> Result:
        gc.collect()  # connections of earlier commands, which end with their processes otherwise
        return CliRunner().invoke(app, [str(word) for word in words], input=types)

    (tmp_path / "research").mkdir()
    assert call("node", "add-folder", "research", tmp_path / "research").exit_code == 0
    return call


def folders() -> list[str]:
    db = open_database(settings())
    names = [node.name for node in NodeStore(db).list()]
    db.close()
    return names


def backed_up(adit: Adit) -> Path:
    done = adit("db-backup")
    assert done.exit_code == 0, done.output
    found = re.search(r"Backed up to (\S+)\.$", done.output, re.MULTILINE)
    assert found
    return Path(found[1])


def test_a_backup_is_made_listed_and_restored_when_somebody_agrees(adit: Adit, a_data_dir: Path) -> None:
    path = backed_up(adit)
    assert path.parent == a_data_dir / "backups"
    assert path.name in adit("db-backup", "--list").output
    forget_folder()
    assert folders() == []
    asked = adit("db-restore", types="n\n")
    assert asked.exit_code != 0
    assert path.name in asked.output and "will be gone" in asked.output
    assert folders() == [] and len(list(path.parent.glob("*.db"))) == 1, "nothing was done"
    restored = adit("db-restore", types="y\n")
    assert restored.exit_code == 0, restored.output
    assert "Restored the backup of" in restored.output and "What is there now is kept in" in restored.output
    assert folders() == ["research"]
    assert len(list(path.parent.glob("*.db"))) == 2


def forget_folder() -> None:
    db = open_database(settings())
    with db.transaction() as session:
        session.execute(text("DELETE FROM nodes"))
    db.close()


def test_a_backup_is_named_by_its_file_and_restored_without_a_question(adit: Adit) -> None:
    path = backed_up(adit)
    forget_folder()
    backed_up(adit)
    restored = adit("db-restore", path.name, "--yes", "--no-backup")
    assert restored.exit_code == 0, restored.output
    assert "is kept in" not in restored.output
    assert folders() == ["research"]


def test_a_new_machine_begins_with_a_backup_and_the_master_key(
    adit: Adit, a_data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = backed_up(adit)
    key = (a_data_dir / "master.key").read_text()
    monkeypatch.setenv("ADIT_DATA_DIR", str(tmp_path / "new"))
    monkeypatch.delenv("ADIT_MASTER_KEY", raising=False)
    assert adit("db-restore", path, "--yes").exit_code == 2, "there is no key"
    monkeypatch.setenv("ADIT_MASTER_KEY", key)
    restored = adit("db-restore", path, "--yes")
    assert restored.exit_code == 0, restored.output
    assert "is kept in" not in restored.output, "there was nothing"
    assert "Look at tokens, accounts and trials" in restored.output
    assert folders() == ["research"] and (tmp_path / "new" / "adit.db").exists()


def test_what_is_refused_is_one_line_and_changes_nothing(adit: Adit, monkeypatch: pytest.MonkeyPatch) -> None:
    path = backed_up(adit)
    with installation.locked(settings()):
        refused = adit("db-restore", "--yes")
    assert (refused.exit_code, "adit up works on" in refused.output) == (2, True)
    refused = adit("db-restore", "nonsense", "--yes")
    assert (refused.exit_code, "NotFound: There is no backup nonsense." in refused.output) == (2, True)
    program = open_database(settings())
    with program.reading() as session:
        session.execute(text("SELECT 1"))
    refused = adit("db-restore", "--yes", "--no-backup")
    assert (refused.exit_code, "Stop all programs of ADIT first" in refused.output) == (2, True)
    program.close()
    monkeypatch.setenv("ADIT_MASTER_KEY", Fernet.generate_key().decode())
    refused = adit("db-restore", path, "--yes")
    assert refused.exit_code == 2
    assert "another master key" in refused.output and "Traceback" not in refused.output
    monkeypatch.delenv("ADIT_MASTER_KEY")
    settings.cache_clear()


def test_a_damaged_database_is_replaced_only_on_demand(adit: Adit, a_data_dir: Path) -> None:
    backed_up(adit)
    (a_data_dir / "adit.db").write_bytes(b"rubbish" * 10_000)
    refused = adit("db-restore", "--yes")
    assert (refused.exit_code, "with --no-backup it is replaced" in refused.output) == (2, True)
    assert adit("db-restore", "--yes", "--no-backup").exit_code == 0
    assert folders() == ["research"]


def test_an_older_program_says_so_in_one_line_and_touches_nothing(adit: Adit) -> None:
    db = open_database(settings())
    with db.transaction() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    db.close()
    before = all_rows(settings().url)
    for words in (("status",), ("maintenance", "on"), ("dispatch",), ("receiver",), ("worker",), ("init",)):
        refused = adit(*words)
        assert refused.exit_code == 2, words
        assert "WrongVersion: The database is of a newer version of ADIT" in refused.output, words
        assert "Traceback" not in refused.output
    assert all_rows(settings().url) == before
    assert adit("db-backup").exit_code == 0, "a backup can be made of it"
