"""Every released version's database comes to today's, filled as its version would have filled it, and back again."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from models.db import schema
from models.db.audit import AuditStore
from models.db.engine import Database
from models.db.groups import GroupStore
from models.db.jobs import JobStore
from models.db.nodes import NodeStore
from models.db.people import UserStore
from models.db.receipts import ReceiptStore
from models.db.scopes import ScopeStore
from models.db.tables import Row
from models.db.trials import TrialStore
from models.domain.errors import WrongVersion
from models.domain.jobs import State
from models.domain.nodes import Folder, Server
from models.domain.people import Permission
from tests.databases import MASTER_KEY
from tests.revisions import NEW_ROWS, RELEASED, Rows, all_rows, filled_at, next_id

CHANGED = {
    ("jobs", "finished_mail_at"): "0009 marks the ends from before as told",
    ("reviews", "reason"): "0012 leaves reasons, which may name patients, to the audit trail",
}
"""What a migration changes on purpose, and why."""


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def test_there_are_rows_for_every_table_of_every_version(kind: str, tmp_path: Path) -> None:
    with filled_at(kind, RELEASED[-1], tmp_path) as url:
        rows = all_rows(url)
    assert set(rows) - {"sqlite_sequence"} == set(Row.metadata.tables), "tables.py has tables that no migration makes"
    assert [table for table, there in rows.items() if not there] == [], "add rows to tests/revisions.py"


@pytest.mark.parametrize("revision", RELEASED)
def test_no_row_is_lost_on_the_way_to_this_version_and_back(kind: str, revision: str, tmp_path: Path) -> None:
    with filled_at(kind, revision, tmp_path) as url:
        before = all_rows(url)
        assert all(before[table] for step in RELEASED if step <= revision for table in NEW_ROWS.get(step, {}))
        ids = {table: next_id(url, table) for table in ("jobs", "items", "linkage_scopes")}
        db = Database(url, MASTER_KEY)
        db.migrate()
        after = all_rows(url)
        assert missing(before, after) == []
        assert {table: next_id(url, table) for table in ids} == ids
        check_is_usable(db, revision)
        schema.downgrade(db._engine, revision)
        db.close()
        back = all_rows(url)
        assert set(back) == set(before)
        assert missing(before, back) == []
        assert {table: next_id(url, table) for table in ids} == ids


def missing(before: Rows, after: Rows) -> list[tuple[str, dict[str, Any]]]:
    """Rows that are not found again with all their values; columns that came since do not matter."""
    lost: list[tuple[str, dict[str, Any]]] = []
    for table, rows in before.items():
        deliberate = {column for changed, column in CHANGED if changed == table}
        for row in rows:
            wanted = {name: value for name, value in row.items() if name not in deliberate}
            if not any(all(found.get(name, lost) == value for name, value in wanted.items()) for found in after[table]):
                lost.append((table, row))
    return lost


def check_is_usable(db: Database, revision: str) -> None:
    """Today's stores read what the earlier version has written."""
    jobs = JobStore(db)
    assert jobs.get(1).state is State.SUCCESS
    assert jobs.get(1).trial_protocol_id == "TRIAL-Ü"
    assert [item.study_uid for item in jobs.items(4)] == ["1.2.3.2", "1.2.3.3"]
    assert ReceiptStore(db).load(1).stored == {"1.2.3.1.1"}
    assert ScopeStore(db).key(1) == b"k" * 32
    assert [user.username for user in TrialStore(db).get(1).users] == ["ada", *(["eve"] if revision >= "0013" else [])]
    assert not TrialStore(db).has_user(2, "ada"), "a job without a trial has a key of its own"
    server, folder = NodeStore(db).get(1), NodeStore(db).get(2)
    assert isinstance(server, Server) and server.dicomweb_authorization_header == "Bearer secret"
    assert isinstance(folder, Folder) and folder.path == Path("/srv/research")
    if revision >= "0002":
        assert [entry.actor for entry in AuditStore(db).entries()] == ["eve"]
    if revision >= "0004":
        ada = UserStore(db).by_name("ada")
        assert (ada.username, ada.profile.department) == ("Ada", "Radiology")
        (group,) = GroupStore(db).list()
        assert group.permissions == {Permission.ADD_SELECTIVE_TRANSFER}


def test_a_database_of_a_newer_version_is_refused_and_left_alone(database: Database, empty_url: str) -> None:
    db = database
    with db.transaction() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    before = all_rows(empty_url)
    for refused in (db.migrate, db.is_current, db.check_is_current):
        with pytest.raises(WrongVersion, match=f"newer version of ADIT .* 9999, .* up to {RELEASED[-1]}.*restore"):
            refused()
    assert all_rows(empty_url) == before


def test_programs_that_do_not_migrate_refuse_an_earlier_version(empty_url: str) -> None:
    db = Database(empty_url, MASTER_KEY)
    schema.upgrade(db._engine, lambda _: None, RELEASED[0])
    assert not db.is_current()
    with pytest.raises(WrongVersion, match=r"not of this version of ADIT yet.*adit init"):
        db.check_is_current()
    db.migrate()
    db.check_is_current()
    db.close()


def test_a_migration_that_fails_leaves_the_database_as_it_was(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = schema.upgrade_in_place

    def half_way(connection: Connection, to: str = "head") -> None:
        original(connection, to)
        raise RuntimeError("the machine was switched off")

    with filled_at(kind, "0006", tmp_path) as url:
        before = all_rows(url)
        db = Database(url, MASTER_KEY)
        monkeypatch.setattr(schema, "upgrade_in_place", half_way)
        with pytest.raises(RuntimeError):
            db.migrate()
        assert all_rows(url) == before
        monkeypatch.undo()
        db.migrate()
        assert db.is_current()
        db.close()
