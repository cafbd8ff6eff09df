"""Backups are whole, private and sealed; a restore brings all back at once or nothing, and lets nobody in again."""

import fcntl
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr
from sqlalchemy import create_engine, text

from models.db import postgresql_dumps, schema
from models.db.audit import AuditStore
from models.db.engine import Database
from models.db.jobs import JobStore
from models.domain.audit import AuditAction
from models.domain.backups import Withdrawn
from models.domain.errors import (
    BadRequest,
    NoSpace,
    NotFound,
    NotPermitted,
    Unreachable,
    Unreadable,
    WriteFailed,
    WrongState,
    WrongVersion,
)
from models.domain.people import operator
from models.settings import Settings
from services import backups, manifests
from tests.databases import MASTER_KEY, POSTGRESQL_VERSION
from tests.revisions import RELEASED, all_rows, filled_at, next_id
from tests.samples import add_job, some_settings

EVE = operator("eve")
ENDED_BY_A_RESTORE = {"web_sessions", "one_time_links"}


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def an_installation(kind: str, tmp_path: Path) -> Iterator[Settings]:
    """One with rows in every table, written by this version."""
    with filled_at(kind, RELEASED[-1], tmp_path) as url:
        yield some_settings(tmp_path / "data", database_url=url, spool_reserve_mb=0)


@pytest.fixture
def an_sqlite_installation(tmp_path: Path) -> Iterator[Settings]:
    """For what has nothing to do with the kind of database."""
    with filled_at("sqlite", RELEASED[-1], tmp_path) as url:
        yield some_settings(tmp_path / "data", database_url=url, spool_reserve_mb=0)


def change(settings: Settings, *statements: str) -> None:
    db = Database(settings.url, MASTER_KEY)
    with db.transaction() as session:
        for statement in statements:
            session.execute(text(statement))
    db.close()


def names(settings: Settings) -> set[str]:
    """What is in the directory of backups, but its lock."""
    return {path.name for path in settings.backups_dir.iterdir()} - {".lock"}


def test_a_restore_brings_back_every_row_of_every_table(an_installation: Settings) -> None:
    before, ids = all_rows(an_installation.url), next_id(an_installation.url, "jobs")
    path = backups.make(an_installation)
    change(an_installation, "DELETE FROM jobs", "UPDATE users SET email = 'x'", "DELETE FROM mails")
    assert all_rows(an_installation.url) != before
    restored = backups.restore(an_installation, path, EVE)
    after = all_rows(an_installation.url)
    (entry,) = [row for row in after["audit_entries"] if row not in before["audit_entries"]]
    assert (entry["actor"], entry["action"]) == ("eve", AuditAction.RESTORE_BACKUP)
    for table in before.keys() - ENDED_BY_A_RESTORE - {"audit_entries", "folders", "sqlite_sequence"}:
        assert after[table] == before[table], table
    assert next_id(an_installation.url, "jobs") == ids
    assert (restored.backup.path, restored.revision, restored.sessions) == (path, RELEASED[-1], 1)
    db = Database(an_installation.url, MASTER_KEY)
    schema.check(db._engine)
    db.close()


def test_the_files_say_what_they_are_and_are_for_their_owner_only(an_installation: Settings, kind: str) -> None:
    path = backups.make(an_installation)
    manifest = manifests.path_of(path)
    assert names(an_installation) == {path.name, manifest.name}
    assert {stat.S_IMODE(file.stat().st_mode) for file in (path, manifest)} == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    (backup,) = backups.listed(an_installation)
    assert path.name == f"adit-{backup.made_at:%Y%m%dT%H%M%SZ}-{RELEASED[-1]}-{kind}{path.suffix}"
    assert (backup.kind, backup.revision, backup.size_bytes) == (kind, RELEASED[-1], path.stat().st_size)
    assert MASTER_KEY not in manifest.read_text() and MASTER_KEY.encode() not in path.read_bytes()


def test_a_copy_made_while_others_write_is_of_one_moment(an_installation: Settings) -> None:
    """Each transaction adds one of both, so a copy with more of one than of the other would be torn."""
    stop, begun = threading.Event(), threading.Event()
    db = Database(an_installation.url, MASTER_KEY)

    def write() -> None:
        number = 100
        while not stop.is_set():
            number += 1
            with db.transaction() as session:
                session.execute(text(f"INSERT INTO groups (id, name, version) VALUES ({number}, 'g{number}', 1)"))
                session.execute(text(f"INSERT INTO memberships (user_id, group_id) VALUES (1, {number})"))
            begun.set()

    writer = threading.Thread(target=write)
    writer.start()
    assert begun.wait(60)
    path = backups.make(an_installation)
    stop.set()
    writer.join()
    db.close()
    backups.restore(an_installation, path)
    rows = all_rows(an_installation.url)
    assert {row["group_id"] for row in rows["memberships"]} == {row["id"] for row in rows["groups"]}
    assert len(rows["groups"]) > 1


def test_a_restore_signs_everybody_out_and_measures_folders_anew(an_installation: Settings) -> None:
    change(an_installation, "UPDATE folders SET measured_bytes = 5, measured_at = created_at, settled_bytes = 7 "
           "FROM jobs WHERE jobs.id = 1")  # fmt: skip
    path = backups.make(an_installation)
    backups.restore(an_installation, path)
    rows = all_rows(an_installation.url)
    assert all(rows[table] == [] for table in ENDED_BY_A_RESTORE)
    (folder,) = rows["folders"]
    assert (folder["measured_at"], folder["measured_bytes"], folder["settled_bytes"]) == (None, None, 0)
    assert folder["quota_gb"] == 500.5


def test_what_was_taken_away_since_the_backup_does_not_come_back_with_it(an_installation: Settings) -> None:
    path = backups.make(an_installation)
    change(
        an_installation,
        "DELETE FROM api_tokens",
        "UPDATE users SET is_active = false WHERE id = 1",
        "UPDATE linkage_scopes SET forgotten_at = created_at WHERE id = 2",
        "DELETE FROM trial_users WHERE username = 'ada'",
    )
    restored = backups.restore(an_installation, path)
    assert restored.withdrawn == Withdrawn(tokens=1, accounts=1, trials=1, trial_users=1)
    rows = all_rows(an_installation.url)
    assert [row["username"] for row in rows["trial_users"]] == ["eve"]
    assert rows["api_tokens"] == []
    assert {row["id"]: bool(row["is_active"]) for row in rows["users"]} == {1: False, 2: True}
    assert [bytes(row["key"]) for row in rows["linkage_scopes"] if row["id"] == 2] == [b""]
    assert {row["pseudonym"] for row in rows["items"] if row["job_id"] == 4} == {""}, "also of jobs at work"


def test_an_installation_that_was_begun_anew_takes_nothing_away(an_installation: Settings) -> None:
    path = backups.make(an_installation)
    db = Database(an_installation.url, MASTER_KEY)
    schema.downgrade(db._engine)
    db.migrate()
    db.close()
    restored = backups.restore(an_installation, path)
    assert restored.withdrawn is None
    rows = all_rows(an_installation.url)
    assert len(rows["api_tokens"]) == 1 and all(row["is_active"] for row in rows["users"])


def test_the_trail_says_with_which_digest_the_one_before_ended(an_installation: Settings) -> None:
    path = backups.make(an_installation)
    db = Database(an_installation.url, MASTER_KEY)
    AuditStore(db).add("eve", AuditAction.SIGN_IN, "", "", "done")
    digest = AuditStore(db).entries()[0].digest
    db.close()
    backups.restore(an_installation, path, EVE)
    db = Database(an_installation.url, MASTER_KEY)
    newest = AuditStore(db).entries()[0]
    assert digest and digest in newest.subject
    assert all(link.fits for link in AuditStore(db).links())
    db.close()


def test_a_backup_of_another_master_key_is_refused_before_anything_changes(an_installation: Settings) -> None:
    path = backups.make(an_installation)
    before = all_rows(an_installation.url)
    stranger = an_installation.model_copy(update={"master_key": SecretStr(Fernet.generate_key().decode())})
    with pytest.raises(NotPermitted, match="another master key"):
        backups.restore(stranger, path)
    with pytest.raises(NotPermitted, match="ADIT_MASTER_KEY is not the key"):
        backups.make(stranger)
    assert all_rows(an_installation.url) == before
    assert len(backups.listed(an_installation)) == 1


def test_a_backup_that_somebody_changes_while_it_is_put_back_is_refused(
    an_sqlite_installation: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, before = backups.make(an_sqlite_installation), all_rows(an_sqlite_installation.url)

    def forge(_settings: Settings) -> None:
        with closing(sqlite3.connect(path)) as backup, backup:
            backup.execute("UPDATE users SET is_superuser = 1")

    monkeypatch.setattr(backups, "_predecessor", forge)
    with pytest.raises(Unreadable, match="not what it was"):
        backups.restore(an_sqlite_installation, path)
    assert all_rows(an_sqlite_installation.url) == before


def test_a_backup_that_somebody_changed_is_refused(an_sqlite_installation: Settings) -> None:
    path = backups.make(an_sqlite_installation)
    manifest = manifests.path_of(path)
    content, said = path.read_bytes(), json.loads(manifest.read_text())
    path.write_bytes(content[:-1] + b"x")
    with pytest.raises(Unreadable, match="not what it was"):
        backups.restore(an_sqlite_installation, path)
    manifest.write_text(json.dumps({**said, "sha256": manifests.digest_of(path)}))
    with pytest.raises(Unreadable, match="was changed"):
        backups.restore(an_sqlite_installation, path)
    manifest.write_text("{}")
    with pytest.raises(Unreadable, match="not the manifest"):
        backups.restore(an_sqlite_installation, path)
    manifest.unlink()
    with pytest.raises(BadRequest, match="no manifest"):
        backups.restore(an_sqlite_installation, path)
    assert backups.listed(an_sqlite_installation) == ()


def test_a_backup_of_a_newer_version_or_another_kind_is_refused(an_sqlite_installation: Settings) -> None:
    change(an_sqlite_installation, "UPDATE alembic_version SET version_num = '9999'")
    newer = backups.make(an_sqlite_installation)
    assert backups.listed(an_sqlite_installation)[0].revision == "9999", "so a failed update can be looked into"
    with pytest.raises(WrongVersion, match="9999"):
        backups.restore(an_sqlite_installation, newer)
    elsewhere = an_sqlite_installation.model_copy(update={"database_url": "postgresql+psycopg://adit@nowhere/adit"})
    with pytest.raises(BadRequest, match="The backup is of sqlite, and ADIT_DATABASE_URL names postgresql"):
        backups.restore(elsewhere, newer)


@pytest.mark.parametrize("revision", ["0001", "0006"])
def test_a_backup_of_an_earlier_version_is_migrated(kind: str, revision: str, tmp_path: Path) -> None:
    with filled_at(kind, revision, tmp_path) as url:
        settings = some_settings(tmp_path / "data", database_url=url, spool_reserve_mb=0)
        path = backups.make(settings)
        db = Database(url, MASTER_KEY)
        db.migrate()
        add_job(db)
        db.close()
        restored = backups.restore(settings, path)
        assert (restored.backup.revision, restored.revision) == (revision, RELEASED[-1])
        db = Database(url, MASTER_KEY)
        schema.check(db._engine)
        assert [job.id for job in JobStore(db).list()][-1] == 1
        db.close()


def test_the_version_before_an_update_takes_its_backup_back(an_installation: Settings, kind: str) -> None:
    """The newer version has added tables that this one knows nothing of."""
    path = backups.make(an_installation)
    before = all_rows(an_installation.url)
    change(
        an_installation,
        "CREATE TABLE of_the_future (id integer PRIMARY KEY, job_id integer REFERENCES jobs (id))",
        "INSERT INTO of_the_future (id, job_id) VALUES (1, 1)",
        "UPDATE alembic_version SET version_num = '9999'",
    )
    backups.restore(an_installation, path)
    after = all_rows(an_installation.url)
    assert set(after) == set(before)
    assert after["jobs"] == before["jobs"]


def test_a_restore_is_refused_while_a_program_uses_the_database(an_installation: Settings) -> None:
    path = backups.make(an_installation)
    change(an_installation, "DELETE FROM jobs")
    program = Database(an_installation.url, MASTER_KEY)
    with program.reading() as session:
        assert session.scalar(text("SELECT count(*) FROM jobs")) == 0
    with pytest.raises(WrongState, match="Stop all programs of ADIT first"):
        backups.restore(an_installation, path)
    program.close()
    assert all_rows(an_installation.url)["jobs"] == []
    backups.restore(an_installation, path)
    assert len(all_rows(an_installation.url)["jobs"]) == 3


def test_a_restore_that_fails_in_the_end_leaves_the_old_data(
    an_installation: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = backups.make(an_installation)
    change(an_installation, "DELETE FROM jobs")
    before = all_rows(an_installation.url)

    def fail(*_: object) -> None:
        raise RuntimeError("the machine was switched off")

    monkeypatch.setattr(backups.audit, "record", fail)
    with pytest.raises(RuntimeError):
        backups.restore(an_installation, path)
    assert all_rows(an_installation.url) == before
    assert not list(an_installation.data_dir.parent.glob("*restoring*"))


def test_a_restore_begins_an_empty_machine(an_installation: Settings, kind: str, tmp_path: Path) -> None:
    path = backups.make(an_installation)
    before = all_rows(an_installation.url)
    with filled_at(kind, RELEASED[0], tmp_path) as url:
        db = Database(url, MASTER_KEY)
        schema.downgrade(db._engine)
        db.close()
        if kind == "sqlite":
            Path(url.removeprefix("sqlite:///")).unlink()
        elsewhere = an_installation.model_copy(update={"database_url": url})
        assert backups.restore(elsewhere, path).withdrawn is None
        assert all_rows(url)["jobs"] == before["jobs"]


def test_a_damaged_database_is_moved_aside(an_sqlite_installation: Settings) -> None:
    path = backups.make(an_sqlite_installation)
    live = Path(an_sqlite_installation.url.removeprefix("sqlite:///"))
    live.write_bytes(b"this was a database once" * 1000)
    with pytest.raises(Unreadable, match="damaged"):
        backups.make(an_sqlite_installation)
    backups.restore(an_sqlite_installation, path)
    assert len(all_rows(an_sqlite_installation.url)["jobs"]) == 3
    (aside,) = live.parent.glob(f"{live.name}.damaged-*")
    assert aside.read_bytes().startswith(b"this was a database once")
    assert stat.S_IMODE(live.stat().st_mode) == 0o600


def test_a_damaged_page_is_found_and_no_backup_is_made_of_it(an_sqlite_installation: Settings) -> None:
    live = Path(an_sqlite_installation.url.removeprefix("sqlite:///"))
    change(an_sqlite_installation, "PRAGMA user_version")
    content = bytearray(live.read_bytes())
    content[3 * 4096 : 4 * 4096] = b"\xff" * 4096
    live.write_bytes(content)
    with pytest.raises(Unreadable, match="damaged"):
        backups.make(an_sqlite_installation)
    assert names(an_sqlite_installation) == set()


def test_no_two_backups_are_made_at_once(an_sqlite_installation: Settings) -> None:
    first = backups.make(an_sqlite_installation)
    with (first.parent / ".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(WrongState, match="Another backup is being made"):
            backups.make(an_sqlite_installation)
        with pytest.raises(WrongState, match="Another backup is being made"):
            backups.restore(an_sqlite_installation, first)
    assert backups.make(an_sqlite_installation) != first


def test_what_a_killed_process_left_is_removed_by_the_next(an_sqlite_installation: Settings) -> None:
    first = backups.make(an_sqlite_installation)
    shutil.copy(first, first.parent / ".partial-data")
    shutil.copy(manifests.path_of(first), first.parent / ".partial-data.json")
    not_ours = {"notes.txt", "adit-20200101T000000Z-0001-sqlite.db"}  # one that somebody is about to copy there
    for name in not_ours:
        (first.parent / name).write_text("not ours")
    assert [backup.path for backup in backups.listed(an_sqlite_installation)] == [first]
    second = backups.make(an_sqlite_installation)
    both = {first, second, manifests.path_of(first), manifests.path_of(second)}
    assert names(an_sqlite_installation) == {path.name for path in both} | not_ours


def test_the_newest_are_kept(an_sqlite_installation: Settings) -> None:
    made = [backups.make(an_sqlite_installation) for _ in range(3)]
    assert [backup.path for backup in backups.listed(an_sqlite_installation)] == made[::-1]
    assert backups.chosen(an_sqlite_installation).path == made[-1]
    assert backups.keep(an_sqlite_installation, 2) == 1
    assert [backup.path for backup in backups.listed(an_sqlite_installation)] == made[:0:-1]
    assert backups.keep(an_sqlite_installation, 2) == 0
    with pytest.raises(BadRequest):
        backups.keep(an_sqlite_installation, 0)


def test_a_backup_is_chosen_by_its_path_its_name_or_its_manifest(an_sqlite_installation: Settings) -> None:
    with pytest.raises(NotFound, match="no backup in"):
        backups.chosen(an_sqlite_installation)
    path = backups.make(an_sqlite_installation)
    for name in (str(path), path.name, str(manifests.path_of(path)), path.stem):
        assert backups.chosen(an_sqlite_installation, name).path == path, name
    with pytest.raises(NotFound, match="no backup nonsense"):
        backups.chosen(an_sqlite_installation, "nonsense")


@contextmanager
def mounted(disk: Path, size: str) -> Iterator[Path]:
    """A disk of its own."""
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk], check=False).returncode:
        pytest.skip("mounting a disk needs more rights")
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.fixture
def a_small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", "128k") as disk:
        yield disk


def test_a_full_disk_leaves_nothing_half(
    an_installation: Settings, a_small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = an_installation.model_copy(update={"backup_dir": a_small_disk / "backups"})
    change(an_installation, f"UPDATE project_settings SET announcement = '{os.urandom(150_000).hex()}'")
    with pytest.raises(NoSpace, match="has 0 MB"):
        backups.make(settings)
    monkeypatch.setattr(backups, "_check_room", lambda *_: None)
    with pytest.raises(NoSpace, match=r"disk .*is full"):
        backups.make(settings)
    assert names(settings) == set()


def test_a_restore_to_a_full_disk_leaves_the_old_data(an_sqlite_installation: Settings, tmp_path: Path) -> None:
    path = backups.make(an_sqlite_installation)
    live = Path(an_sqlite_installation.url.removeprefix("sqlite:///"))
    with mounted(tmp_path / "disk", f"{live.stat().st_size // 1024 + 200}k") as disk:
        url = f"sqlite:///{shutil.copy(live, disk / 'adit.db')}"
        change(settings := an_sqlite_installation.model_copy(update={"database_url": url}), "DELETE FROM jobs")
        before = all_rows(url)
        with pytest.raises(NoSpace):
            backups.restore(settings, path)
        assert all_rows(url) == before
        assert {file.name for file in disk.iterdir()} == {"adit.db"}


def test_a_backup_leaves_the_reserve_free(an_sqlite_installation: Settings) -> None:
    petabyte_mb = 1_000_000_000
    careful = an_sqlite_installation.model_copy(update={"spool_reserve_mb": petabyte_mb})
    with pytest.raises(NoSpace, match="have to stay free"):
        backups.make(careful)
    assert names(careful) == set()


def test_a_directory_that_cannot_be_made_is_named(an_sqlite_installation: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = an_sqlite_installation.model_copy(update={"backup_dir": tmp_path / "file" / "backups"})
    with pytest.raises(WriteFailed, match="cannot be written"):
        backups.make(settings)


# -- PostgreSQL's own programs -------------------------------------------------------------------------------------

PROGRAM = """#!{python}
import json, os, sys
open({log!r}, "a").write(json.dumps([sys.argv, dict(os.environ)]) + "\\n")
if "--version" in sys.argv:
    print("pg_dump (PostgreSQL) {version}")
else:
    sys.exit("pg_dump: error: nothing for you")
"""


def play_pg_dump(directory: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> Path:
    """Put a program of this name before the real one; returns the file in which it writes down how it was called."""
    log, program = directory / "calls", directory / "bin" / "pg_dump"
    program.parent.mkdir()
    program.write_text(PROGRAM.format(python=sys.executable, log=str(log), version=version))
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return log


@pytest.fixture
def a_postgresql_url(tmp_path: Path) -> Iterator[str]:
    with filled_at("postgresql", RELEASED[-1], tmp_path) as url:
        yield url


def test_an_old_or_missing_client_is_named_with_its_package(
    a_postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = some_settings(tmp_path, database_url=a_postgresql_url, spool_reserve_mb=0)
    play_pg_dump(tmp_path, monkeypatch, "9.6.24")
    told = rf"pg_dump is older .* PostgreSQL {POSTGRESQL_VERSION}.*postgresql-client-{POSTGRESQL_VERSION}"
    with pytest.raises(BadRequest, match=told):
        backups.make(settings)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadRequest, match=r"pg_dump is not installed.*postgresql-client"):
        backups.make(settings)
    assert names(settings) == set()


def test_passwords_and_settings_stand_in_no_command_line(
    a_postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server trusts everybody here, so a password does no harm."""
    monkeypatch.setenv("ADIT_MASTER_KEY", MASTER_KEY)
    log = play_pg_dump(tmp_path, monkeypatch, "15.1")
    url = a_postgresql_url.replace("adit@", "adit:p%40ss word@")
    with pytest.raises(Unreachable, match="nothing for you") as raised:
        backups.make(some_settings(tmp_path, database_url=url, spool_reserve_mb=0))
    assert "p@ss word" not in str(raised.value)
    arguments, environment = json.loads(log.read_text().splitlines()[-1])
    assert "p@ss" not in " ".join(arguments)
    assert environment["PGPASSWORD"] == "p@ss word"
    assert not [name for name in environment if name.startswith("ADIT_")]


def test_a_view_of_somebody_else_stops_a_restore_instead_of_going_with_it(
    a_postgresql_url: str, tmp_path: Path
) -> None:
    settings = some_settings(tmp_path, database_url=a_postgresql_url, spool_reserve_mb=0)
    path = backups.make(settings)
    change(settings, "CREATE VIEW reports AS SELECT count(*) FROM jobs")
    with pytest.raises(WrongState, match="Something else depends on the tables"):
        backups.restore(settings, path)
    assert len(all_rows(settings.url)["jobs"]) == 3


def test_who_works_on_the_tables_under_another_name_is_not_waited_for_long(
    a_postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = some_settings(tmp_path, database_url=a_postgresql_url, spool_reserve_mb=0)
    path = backups.make(settings)
    change(settings, "DROP ROLE IF EXISTS dba", "CREATE ROLE dba LOGIN", "GRANT SELECT ON jobs TO dba")
    dba = create_engine(a_postgresql_url.replace("adit@", "dba@"))
    monkeypatch.setattr(postgresql_dumps, "_LOCK_TIMEOUT_MS", 100)
    with dba.connect() as connection:
        connection.execute(text("SELECT count(*) FROM jobs"))
        with pytest.raises(WrongState, match="Somebody else works on the tables"):
            backups.restore(settings, path)
    dba.dispose()
    assert backups.restore(settings, path).sessions == 1
    change(settings, "DROP ROLE dba")


def test_rows_that_look_like_the_end_of_a_copy_come_back(a_postgresql_url: str, tmp_path: Path) -> None:
    settings = some_settings(tmp_path, database_url=a_postgresql_url, spool_reserve_mb=0)
    strange = "\\.\n\\restrict x\nCOPY a FROM stdin;\n%s {} $$ '\t\\N é"
    db = Database(settings.url, MASTER_KEY)
    with db.transaction() as session:
        session.execute(text("UPDATE project_settings SET announcement = :it"), {"it": strange})
    db.close()
    path = backups.make(settings)
    change(settings, "UPDATE project_settings SET announcement = ''")
    backups.restore(settings, path)
    assert all_rows(settings.url)["project_settings"][0]["announcement"] == strange
