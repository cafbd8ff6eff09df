"""Everything is written down once, sealed; what is changed afterwards is found, whoever changed it."""

import csv
import io
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Connection, text

from models.db.engine import Database
from models.db.tables import AuditRow
from models.domain.audit import AuditAction, AuditFilter
from models.domain.errors import BadRequest, NotFound, NotPermitted
from models.domain.people import Actor, Permission, operator
from services import audit
from tests.databases import Clock

ANNA = Actor("anna", address="192.0.2.7")
READER = Actor("reader", permissions=frozenset({Permission.READ_AUDIT}))
WHY = "asked by the data protection officer"


def write(database: Database, count: int) -> None:
    for number in range(count):
        audit.record(database, ANNA, AuditAction.SEARCH, f"server {number}", details={"PatientID": f"P{number}"})


def tamper(database: Database, *statements: str) -> None:
    """As somebody does who owns the database and knows what stands in the way."""
    with database.transaction() as session:
        connection = session.connection()
        without_triggers(connection)
        for statement in statements:
            connection.execute(text(statement))


def without_triggers(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("ALTER TABLE audit_entries DISABLE TRIGGER ALL"))
        return
    for name in connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars().all():
        connection.execute(text(f"DROP TRIGGER {name}"))


def test_a_line_says_who_did_what_from_where_and_when(database: Database, clock: Clock) -> None:
    audit.record(database, ANNA, AuditAction.SUBMIT_JOB, "job 7")
    audit.record(database, "nobody yet", AuditAction.SIGN_IN, "", "NotPermitted", address="198.51.100.1")
    failed, done = audit.entries(database, READER)
    assert (done.actor, done.action, done.subject, done.outcome) == ("anna", AuditAction.SUBMIT_JOB, "job 7", "done")
    assert (done.address, done.at, done.has_details) == ("192.0.2.7", clock.now, False)
    assert (failed.actor, failed.outcome, failed.address) == ("nobody yet", "NotPermitted", "198.51.100.1")
    assert done.digest and failed.digest and done.digest != failed.digest


def test_a_line_stands_or_falls_with_the_transaction_it_is_written_in(database: Database) -> None:
    with pytest.raises(BadRequest), database.transaction():
        audit.record(database, ANNA, AuditAction.ADD_NODE, "server 1")
        raise BadRequest
    with database.transaction():
        audit.record(database, ANNA, AuditAction.ADD_NODE, "server 2")
        audit.record(database, ANNA, AuditAction.ADD_NODE, "server 3")
    assert [entry.subject for entry in audit.entries(database, READER)] == ["server 3", "server 2"]
    assert audit.verify(database).is_whole


@pytest.mark.parametrize("odd", ["a\x00b", "\ud800", "x" * 5000, "line\r\nbreak", "ünïcödé 💥"])
def test_no_wording_keeps_a_line_from_being_written(database: Database, odd: str) -> None:
    audit.record(database, odd, AuditAction.SIGN_IN, odd, odd, {"typed": odd}, odd)
    (entry,) = audit.entries(database, READER)
    assert len(entry.actor) <= 150 and entry.actor.isprintable()
    assert audit.details(database, READER, entry.id, WHY) == {"typed": odd}
    assert audit.verify(database).is_whole


def test_lines_that_are_written_at_the_same_time_form_one_chain(database: Database) -> None:
    threads = [threading.Thread(target=write, args=(database, 10)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    verdict = audit.verify(database)
    assert verdict.is_whole
    assert verdict.count == 40


def test_an_empty_trail_is_whole(database: Database) -> None:
    verdict = audit.verify(database)
    assert (verdict.is_whole, verdict.count, verdict.newest) == (True, 0, "")


@pytest.mark.parametrize(
    "change",
    [
        "actor = 'eve'",
        "action = 'sign_out'",
        "subject = 'server 9'",
        "reason = 'because'",
        "outcome = 'NotPermitted'",
        "address = ''",
        "at = '2026-03-01 12:00:00.000001'",
        "details = (SELECT details FROM audit_entries WHERE id = 4)",
        "digest = (SELECT digest FROM audit_entries WHERE id = 4)",
        "digest = NULL",
        "id = 99",
    ],
)
def test_whatever_is_changed_in_a_line_is_found(database: Database, change: str) -> None:
    write(database, 6)
    tamper(database, f"UPDATE audit_entries SET {change} WHERE id = 3")
    verdict = audit.verify(database)
    assert not verdict.is_whole
    assert verdict.broken_at == (4 if change == "id = 99" else 3)


def test_a_line_that_is_taken_out_of_the_middle_is_missed(database: Database) -> None:
    write(database, 6)
    tamper(database, "DELETE FROM audit_entries WHERE id = 3")
    assert audit.verify(database).broken_at == 4


def test_lines_that_change_places_are_found(database: Database) -> None:
    write(database, 6)
    tamper(
        database,
        "UPDATE audit_entries SET id = 99 WHERE id = 3",
        "UPDATE audit_entries SET id = 3 WHERE id = 4",
        "UPDATE audit_entries SET id = 4 WHERE id = 99",
    )
    assert audit.verify(database).broken_at == 3


def test_a_line_that_is_put_in_is_found(database: Database) -> None:
    write(database, 3)
    columns = "actor, action, subject, reason, outcome, address, details, digest"
    tamper(
        database,
        "UPDATE audit_entries SET id = 4 WHERE id = 3",
        f"INSERT INTO audit_entries (id, at, {columns}) SELECT 3, at, {columns} FROM audit_entries WHERE id = 2",
    )
    assert audit.verify(database).broken_at == 3


def test_only_a_digest_that_was_kept_elsewhere_shows_that_the_end_was_cut_off(database: Database) -> None:
    write(database, 6)
    kept = audit.verify(database).newest
    write(database, 1)
    assert audit.verify(database, kept.upper()).is_whole
    tamper(database, "DELETE FROM audit_entries WHERE id >= 5")
    assert audit.verify(database).is_whole
    verdict = audit.verify(database, kept)
    assert (verdict.is_whole, verdict.broken_at, verdict.has_expected) == (False, None, False)


def test_the_seals_of_another_master_key_do_not_fit(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    write(database, 2)
    monkeypatch.setattr(database.vault, "key_for", lambda purpose: b"0" * 32)
    assert audit.verify(database).broken_at == 1


def write_unsealed(database: Database, count: int) -> None:
    """As versions before seals did."""
    with database.transaction() as session:
        for number in range(count):
            session.add(
                AuditRow(
                    at=database.clock(),
                    actor="anna",
                    action=AuditAction.RELEASE_HELD,
                    subject=f"job {number}",
                    reason=WHY,
                    outcome="done",
                    address="",
                    details=b"",
                )
            )


def test_the_first_seal_covers_all_lines_that_are_older(database: Database) -> None:
    write_unsealed(database, 3)
    write(database, 2)
    verdict = audit.verify(database)
    assert (verdict.is_whole, verdict.count, verdict.older) == (True, 5, 3)
    tamper(database, "UPDATE audit_entries SET subject = 'job 99' WHERE id = 2")
    assert audit.verify(database).broken_at == 4


def test_a_sealed_line_cannot_pass_for_an_older_one(database: Database) -> None:
    write_unsealed(database, 1)
    write(database, 3)
    tamper(database, "UPDATE audit_entries SET digest = NULL WHERE id = 2")
    assert audit.verify(database).broken_at == 3


def test_verifying_goes_through_more_lines_than_one_part(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.db.audit._AT_A_TIME", 3)
    write_unsealed(database, 4)
    write(database, 7)
    assert (audit.verify(database).is_whole, audit.verify(database).count) == (True, 11)
    tamper(database, "UPDATE audit_entries SET subject = '' WHERE id = 9")
    assert audit.verify(database).broken_at == 9


@pytest.mark.parametrize(
    ("wanted", "subjects"),
    [
        (AuditFilter(), ["user 5", "job 12", "50% off", "job 1"]),
        (AuditFilter(who="ANN"), ["job 12", "job 1"]),
        (AuditFilter(action=AuditAction.CHANGE_USER), ["user 5"]),
        (AuditFilter(text="JOB 1"), ["job 12", "job 1"]),
        (AuditFilter(text="0% o"), ["50% off"]),
        (AuditFilter(text="192.0.2."), ["job 12", "job 1"]),
        (AuditFilter(text="_"), []),
        (AuditFilter(who="bob", text="job"), []),
    ],
)
def test_the_trail_is_filtered(database: Database, wanted: AuditFilter, subjects: list[str]) -> None:
    bob = Actor("bob")
    for actor, action, subject in (
        (ANNA, AuditAction.SUBMIT_JOB, "job 1"),
        (bob, AuditAction.BROADCAST, "50% off"),
        (ANNA, AuditAction.DELETE_JOB, "job 12"),
        (bob, AuditAction.CHANGE_USER, "user 5"),
    ):
        audit.record(database, actor, action, subject)
    assert [entry.subject for entry in audit.entries(database, READER, wanted)] == subjects
    assert audit.count(database, READER, wanted) == len(subjects)
    assert [entry.subject for entry in audit.entries(database, READER, wanted, 1, 1)] == subjects[1:2]


def test_the_trail_is_filtered_by_time(database: Database, clock: Clock) -> None:
    begun = clock.now
    for _ in range(3):
        write(database, 1)
        clock.pass_by(60)
    minute = timedelta(minutes=1)
    found = audit.entries(database, READER, AuditFilter(since=begun + minute, until=begun + 2 * minute))
    assert [entry.at for entry in found] == [begun + minute]


def test_details_are_encrypted_and_shown_for_a_reason_that_is_kept(database: Database) -> None:
    write(database, 1)
    with database.reading() as session:
        (kept,) = session.connection().execute(text("SELECT details FROM audit_entries")).scalars()
    assert b"PatientID" not in bytes(kept)
    assert audit.details(database, READER, 1, WHY) == {"PatientID": "P0"}
    assert audit.details(database, READER, 2, WHY) == {}
    with pytest.raises(BadRequest):
        audit.details(database, READER, 1, "")
    with pytest.raises(NotPermitted):
        audit.details(database, replace(ANNA, is_staff=True), 1, WHY)
    with pytest.raises(NotFound):
        audit.details(database, READER, 99, WHY)
    looked = audit.entries(database, READER, AuditFilter(action=AuditAction.READ_DETAILS))
    assert [(entry.subject, entry.reason, entry.outcome) for entry in looked] == [
        ("entry 99", "", "NotFound"),
        ("entry 1", "", "NotPermitted"),
        ("entry 1", "", "BadRequest"),
        ("entry 2", WHY, "done"),
        ("entry 1", WHY, "done"),
    ]


@pytest.mark.parametrize(
    "read",
    [
        lambda db: audit.entries(db, ANNA),
        lambda db: audit.count(db, ANNA),
        lambda db: audit.export(db, replace(ANNA, is_staff=True)),
        lambda db: audit.details(db, ANNA, 1, WHY),
    ],
)
def test_only_who_may_reads_the_trail(database: Database, read: Callable[[Database], object]) -> None:
    write(database, 1)
    with pytest.raises(NotPermitted):
        read(database)


def exported(database: Database, wanted: AuditFilter) -> list[list[str]]:
    content = "".join(audit.export(database, READER, wanted))
    assert "\r\n" in content
    return list(csv.reader(io.StringIO(content, newline=""), strict=True))


def test_the_export_holds_the_matching_lines_and_itself_leaves_one(database: Database) -> None:
    write(database, 3)
    header, *rows = exported(database, AuditFilter(text="server"))
    assert header == ["id", "at", "actor", "action", "subject", "reason", "outcome", "address", "has_details", "digest"]
    assert [row[4] for row in rows] == ["server 0", "server 1", "server 2"]
    assert [row[9] for row in rows] == [entry.digest for entry in reversed(audit.entries(database, READER)[1:])]
    (line,) = audit.entries(database, READER, AuditFilter(action=AuditAction.EXPORT_AUDIT))
    assert (line.subject, line.outcome) == ("3 entries", "done")
    assert audit.details(database, READER, line.id, WHY) == {"text": "server"}


def test_the_line_about_an_export_is_not_in_it(database: Database) -> None:
    write(database, 3)
    assert [row[0] for row in exported(database, AuditFilter())] == ["id", "1", "2", "3"]
    assert audit.entries(database, READER)[0].subject == "3 entries"


def test_no_cell_of_the_export_is_a_formula(database: Database) -> None:
    for subject in ('=HYPERLINK("http://x","y")', "+1", "-1", "@SUM(A1)", 'a "quoted", cell'):
        audit.record(database, "=cmd", AuditAction.SIGN_IN, subject)
    rows = exported(database, AuditFilter(action=AuditAction.SIGN_IN))[1:]
    assert [row[4] for row in rows] == ['\'=HYPERLINK("http://x","y")', "'+1", "'-1", "'@SUM(A1)", 'a "quoted", cell']
    assert {row[2] for row in rows} == {"'=cmd"}


def test_a_refused_export_is_written_down_at_once(database: Database) -> None:
    with pytest.raises(NotPermitted):
        audit.export(database, ANNA)
    (line,) = audit.entries(database, operator("shell"))
    assert (line.actor, line.action, line.outcome) == ("anna", AuditAction.EXPORT_AUDIT, "NotPermitted")


def test_an_export_comes_in_pieces_and_holds_what_was_there_when_it_began(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.db.audit._AT_A_TIME", 10)
    monkeypatch.setattr("services.audit._PIECE_LENGTH", 500)
    write(database, 30)
    pieces = audit.export(database, READER, AuditFilter(action=AuditAction.SEARCH))
    first = next(pieces)
    write(database, 30)
    rest = list(pieces)
    assert len(rest) > 2
    assert "".join([first, *rest]).count("\r\n") == 31


def test_the_newest_lines_can_be_verified_alone(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.db.audit._AT_A_TIME", 3)
    write(database, 10)
    assert (audit.verify(database, last=4).is_whole, audit.verify(database, last=4).count) == (True, 4)
    assert audit.verify(database, last=100).count == 10
    tamper(database, "UPDATE audit_entries SET subject = 'nothing' WHERE id = 3")
    assert audit.verify(database, last=4).is_whole, "it is older than those"
    assert audit.verify(database, last=8).broken_at == 3
    tamper(database, "DELETE FROM audit_entries WHERE id = 9")
    assert audit.verify(database, last=4).broken_at == 10
