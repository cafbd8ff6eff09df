"""`adit audit` shows, checks and exports the trail."""

import csv
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from sqlalchemy import text
from typer.testing import CliRunner

from deployments.cli import app
from deployments.commands.session import open_session
from models.db.engine import Database, open_database
from models.domain.audit import AuditAction, AuditFilter
from models.domain.people import operator
from models.settings import settings
from services import audit

Adit = Callable[..., Result]


@pytest.fixture
def adit(a_data_dir: Path) -> Adit:
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def a_trail(adit: Adit) -> Adit:
    """Three lines."""
    open_session(None, makes_key=True).db.close()
    with_trail(lambda db: [audit.record(db, "ada", AuditAction.SEARCH, f"server {n}") for n in range(3)])
    return adit


def with_trail(call: Callable[[Database], object]) -> None:
    db = open_database(settings())
    call(db)
    db.close()


def newest_digest(result: Result) -> str:
    return next(line for line in result.output.splitlines() if line.startswith("Newest digest: ")).split()[-1]


def forged(db: Database) -> None:
    with db.transaction() as session:
        session.execute(text("DROP TRIGGER audit_entries_stay_update"))
        session.execute(text("UPDATE audit_entries SET actor = 'eve' WHERE id = 2"))


def cut_off(db: Database) -> None:
    with db.transaction() as session:
        session.execute(text("DROP TRIGGER audit_entries_stay_delete"))
        session.execute(text("DELETE FROM audit_entries WHERE id = 3"))


def test_the_trail_is_shown_with_and_without_the_word_list(a_trail: Adit) -> None:
    for words in (("audit",), ("audit", "list"), ("audit", "--limit", 2), ("audit", "--since", "2020-01-01")):
        shown = a_trail(*words)
        assert shown.exit_code == 0
        assert "server 2" in shown.output
        assert ("server 0" in shown.output) is ("--limit" not in words)
    assert "none" in a_trail("audit", "--until", "2020-01-01").output
    assert "none" in a_trail("audit", "--who", "eve").output
    found = a_trail("audit", "--action", "search", "--about", "server 1", "--who", "ada").output
    assert "server 1" in found and "server 2" not in found


def test_what_an_entry_keeps_encrypted_is_shown_for_a_reason_that_is_written_down(a_trail: Adit) -> None:
    with_trail(lambda db: audit.record(db, "ada", AuditAction.SEARCH, "server 3", details={"patient_id": "4711"}))
    listed = a_trail("audit").output
    assert "details" in listed and "4711" not in listed
    refused = a_trail("audit", "details", 4, "--reason", "why")
    assert refused.exit_code == 2 and "4711" not in refused.output
    shown = a_trail("audit", "details", 4, "--reason", "A complaint of the patient")
    assert shown.exit_code == 0 and "patient_id: 4711" in shown.output
    assert "Nothing more is kept" in a_trail("audit", "details", 1, "--reason", "A complaint of the patient").output
    assert "no such entry" in a_trail("audit", "details", 999, "--reason", "A complaint of the patient").output
    looks: list[tuple[str, str, str]] = []
    wanted = AuditFilter(action=AuditAction.READ_DETAILS)

    def read(db: Database) -> None:
        looks.extend((one.subject, one.reason, one.outcome) for one in audit.entries(db, operator("test"), wanted))

    with_trail(read)
    assert looks[::-1] == [
        ("entry 4", "", "BadRequest"),
        ("entry 4", "A complaint of the patient", "done"),
        ("entry 1", "A complaint of the patient", "done"),
        ("entry 999", "", "NotFound"),
    ]


def test_a_whole_trail_is_called_whole_and_its_end_can_be_kept(a_trail: Adit) -> None:
    verified = a_trail("audit", "verify")
    assert (verified.exit_code, verified.output.splitlines()[0]) == (0, "3 entries, 0 of them older than seals.")
    kept = newest_digest(verified)
    assert a_trail("audit", "verify", "--expect", f" {kept} ").exit_code == 0
    with_trail(cut_off)
    assert a_trail("audit", "verify").exit_code == 0
    missed = a_trail("audit", "verify", "--expect", kept)
    assert missed.exit_code == 2 and "cut off" in missed.output


def test_a_forged_line_is_named(a_trail: Adit) -> None:
    with_trail(forged)
    verified = a_trail("audit", "verify")
    assert verified.exit_code == 2
    assert "Entry 2 does not fit" in verified.output


def test_the_export_is_a_new_file_for_its_owner_only(a_trail: Adit, tmp_path: Path) -> None:
    file = tmp_path / "trail.csv"
    exported = a_trail("audit", "export", file, "--about", "server")
    assert exported.exit_code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with file.open(encoding="utf-8", newline="") as lines:
        assert [row["subject"] for row in csv.DictReader(lines)] == ["server 0", "server 1", "server 2"]
    assert "export_audit" in a_trail("audit").output
    again = a_trail("audit", "export", file)
    assert (again.exit_code, again.output.split(":")[0]) == (2, "WriteFailed")
