"""The database itself: transactions, errors that say nothing of patients, forks, migrations, the master key."""

import multiprocessing
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, time, timedelta, timezone
from pathlib import Path
from threading import Barrier
from time import sleep

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import inspect, text
from sqlalchemy.exc import StatementError

from models.db import schema
from models.db.audit import AuditStore
from models.db.chores import ChoreStore
from models.db.duties import DutyStore
from models.db.endings import EndingStore
from models.db.engine import Database, Lock, hold, open_database
from models.db.escrow import EscrowStore
from models.db.folder_holds import FolderHoldStore
from models.db.groups import GroupStore
from models.db.holding import HoldingStore
from models.db.idempotency import IdempotencyStore
from models.db.jobs import JobStore
from models.db.nodes import NodeStore
from models.db.questions import BatchFileStore, Question, QuestionStore
from models.db.receipts import ReceiptStore
from models.db.refusals import RefusalStore
from models.db.reviews import ReviewStore
from models.db.runs import RunStore
from models.db.scopes import ScopeStore
from models.db.signs import SignStore
from models.db.slots import SlotStore
from models.db.tables import (
    AlarmRow,
    ApiTokenNodeRow,
    ApiTokenRow,
    AppRow,
    BroadcastRow,
    GroupPermissionRow,
    GroupRow,
    JobRow,
    LinkRow,
    MailRow,
    MembershipRow,
    NodeAccessRow,
    ReservationRow,
    Row,
    TryRow,
    UserRow,
    WebSessionRow,
)
from models.db.totals import count_delivery
from models.db.trials import TrialStore
from models.db.webhooks import NoticeStore, WebhookStore
from models.domain.answers import Answer
from models.domain.audit import DONE, AuditAction
from models.domain.batch_requests import BatchFile
from models.domain.errors import AditError, BadRequest, Bug, FolderFull, NotPermitted, PeerBusy, Unreachable
from models.domain.jobs import JobKind, State
from models.domain.mails import MailState
from models.domain.nodes import BudgetRule, Server, Stop, Window
from models.domain.people import LinkPurpose, Permission
from models.domain.project import App
from models.domain.receipts import Receipt
from models.domain.refs import StudyFound
from models.domain.requests import JobHead
from models.domain.reviews import Decision
from models.domain.webhooks import WebhookWish
from models.settings import Settings
from tests.databases import Clock
from tests.samples import a_server, add_job, add_nodes

LEASE = timedelta(seconds=20)
KEY = Fernet.generate_key().decode()


def fill(db: Database) -> None:
    """Something in every table."""
    job = add_job(db, studies=2)
    NodeStore(db).add(a_server("WEB", dicomweb_authorization_header="Bearer x"))
    claim = JobStore(db).claim_next(job.id, LEASE)
    assert claim is not None
    ReceiptStore(db).save(claim[1], Receipt(expected={"1.2"}))
    scope_id = job.linkage_scope_id
    with ScopeStore(db).ledger(scope_id, ["d1"], ["ANON1"]) as ledger:
        ledger.give("d1", "ANON1")
    EscrowStore(db).keep(scope_id, {"ANON1": EscrowStore(db).sealed("PATIENT-1")})
    ReviewStore(db).add(claim[0].id, ["1.2"], Decision.RELEASED, "eve")
    AuditStore(db).add("eve", AuditAction.RELEASE_HELD, f"job {job.id}", "looked at it", DONE)
    source_id, folder_id = add_nodes(db)
    assert SlotStore(db).try_acquire("worker", {source_id: 1}, {source_id: 2}, LEASE)
    assert not SlotStore(db).try_acquire("urgent", {source_id: 2}, {source_id: 2}, LEASE, urgent=True)
    assert ChoreStore(db).begin("backup", LEASE)
    with db.transaction() as session:
        session.add(ReservationRow(item_id=claim[0].id, folder_id=folder_id, size_bytes=1))
    _fill_people(db, folder_id)
    _fill_questions(db, source_id)
    _fill_mails(db)
    _fill_webhooks(db)
    IdempotencyStore(db).keep("ada", "key", "digest", job.id)
    SignStore(db).give("dispatcher", "host", "1.0", db.clock())
    DutyStore(db).take("dispatcher", "host", LEASE)
    RefusalStore(db).refuse(job.id, "host", "The folder is not there.")
    RunStore(db).ask(job.id, "a-run")
    FolderHoldStore(db).hold(folder_id, claim[0].id, FolderFull("It is full."), "host", 1)
    assert TrialStore(db).enter(scope_id, "ada", "root")
    with db.transaction() as session:
        count_delivery(session, claim[0].id, 1, 500)


def _fill_questions(db: Database, source_id: int) -> None:
    questions = QuestionStore(db)
    asked = questions.sealed([Question(source_id, b"row", lines=(2,), row_id="1")])
    job, files = questions.add("ada", JobHead(JobKind.BATCH_QUERY), asked), BatchFileStore(db)
    files.keep(job.id, files.sealed(BatchFile("rows.csv", b"PatientID")))
    claim = JobStore(db).claim_next(job.id, LEASE)
    assert claim is not None
    questions.end(claim[1], State.SUCCESS, "1 study found.", [Answer(StudyFound("1.2.3"))])


def _fill_people(db: Database, node_id: int) -> None:
    now = db.clock()
    user = UserRow(
        username="ada",
        username_key="ada",
        email="ada@example.org",
        email_key="ada@example.org",
        first_name="Ada",
        last_name="Lovelace",
        phone_number="",
        department="",
        password_hash="",
        is_active=True,
        is_staff=False,
        is_superuser=False,
        preferences={},
        joined_at=now,
        approved_by="",
        version=1,
    )
    group = GroupRow(name="readers", version=1)
    with db.transaction() as session:
        session.add_all((user, group))
        session.flush()
        session.add_all(
            (
                GroupPermissionRow(group_id=group.id, permission=Permission.ADD_SELECTIVE_TRANSFER),
                MembershipRow(user_id=user.id, group_id=group.id),
                NodeAccessRow(node_id=node_id, group_id=group.id, source=False, destination=True),
                WebSessionRow(token_digest="d", user_id=user.id, created_at=now, seen_at=now, address="", agent=""),
                LinkRow(token_digest="d", user_id=user.id, purpose=LinkPurpose.CONFIRM_EMAIL, expires_at=now),
                ApiTokenRow(
                    id=1,
                    digest="d",
                    user_id=user.id,
                    beginning="adit_abcd",
                    description="",
                    created_at=now,
                    is_limited_to_nodes=True,
                    request_count=0,
                    answered_bytes=0,
                ),
                TryRow(subject="s", at=now),
                AppRow(app=App.UPLOAD, locked=True, suspended=False),
            )
        )

    with db.transaction() as session:
        session.add(ApiTokenNodeRow(token_id=1, node_id=node_id))


def _fill_mails(db: Database) -> None:
    now = db.clock()
    broadcast = BroadcastRow(subject="s", message="m", sender="eve", flow_run_id="", created_at=now)
    with db.transaction() as session:
        session.add(broadcast)
        session.flush()
        session.add(
            MailRow(
                broadcast_id=broadcast.id,
                recipient="ada@example.org",
                content=b"",
                state=MailState.WAITING,
                attempts=0,
                error="",
                created_at=now,
                not_before_at=now,
            )
        )


def _fill_webhooks(db: Database) -> None:
    webhook = WebhookStore(db).add(WebhookWish("https://listener.example/adit"), b"secret", "eve")
    NoticeStore(db).add_test(webhook.id)
    with db.transaction() as session:
        session.add(
            AlarmRow(name="stall", since_at=db.clock(), seen_at=db.clock(), title="Still", text="Nothing moves.")
        )


def table_names(db: Database) -> set[str]:
    with db.reading() as session:
        return set(inspect(session.connection()).get_table_names())


def rows_in(db: Database, table: str) -> int:
    with db.reading() as session:
        return session.scalar(text(f"SELECT count(*) FROM {table}")) or 0


def test_migrations_make_the_tables_that_the_stores_use(database: Database) -> None:
    schema.check(database._engine)


def test_a_filled_database_goes_down_and_up_again(database: Database) -> None:
    fill(database)
    assert [table for table in Row.metadata.tables if not rows_in(database, table)] == []
    database.migrate()
    assert rows_in(database, "items") == 3
    schema.downgrade(database._engine)
    assert table_names(database) == {"alembic_version"} | ({"sqlite_sequence"} & table_names(database))
    database.migrate()
    fill(database)


def test_the_second_migration_keeps_what_the_first_version_wrote(database: Database) -> None:
    fill(database)
    kept, moved = add_job(database, studies=1), JobStore(database).list()[0]
    schema.downgrade(database._engine, "0001")
    with database.transaction() as session:
        session.execute(text("UPDATE items SET pseudonym = '' WHERE job_id = :job"), {"job": kept.id})
        session.execute(text("UPDATE pseudonym_bindings SET pseudonym = 'Anön1'"))
    database.migrate()
    schema.check(database._engine)
    jobs = JobStore(database)
    assert jobs.get(kept.id).keep_identity, "its items were allowed to go as they are"
    others = [job for job in jobs.list() if job.id != kept.id]
    assert others and not any(job.keep_identity or job.profile or job.policy_digest for job in others)
    with database.reading() as session:
        assert session.scalar(text("SELECT spelling FROM pseudonym_bindings")) == "anön1"
    assert moved.id and add_job(database).id > kept.id


def test_the_sixth_migration_keeps_jobs_and_never_gives_an_id_again(database: Database) -> None:
    fill(database)
    kept, gone = add_job(database, studies=2), add_job(database)
    JobStore(database).delete(gone.id)
    schema.downgrade(database._engine, "0005")
    assert rows_in(database, "items") == 4, "jobs that only ask are gone"
    database.migrate()
    schema.check(database._engine)
    jobs = JobStore(database)
    assert jobs.get(kept.id) == kept
    assert [(item.lines, item.row_id, item.planned_count) for item in jobs.items(kept.id)] == [((), "", None)] * 2
    again = add_job(database)
    assert again.id > gone.id
    assert jobs.items(again.id)[0].id > jobs.items(kept.id)[-1].id + 1


def test_the_seventh_migration_keeps_servers_and_lets_those_go_on_that_were_stopped(database: Database) -> None:
    windows = (Window(0, time(20), time(6)),)
    rules = tuple(BudgetRule(window, 12) for window in windows)
    added = NodeStore(database).add(a_server("PACS", windows=windows, budget_rules=rules))
    HoldingStore(database).stop(added.id, Stop("eve", database.clock(), "It swaps its disks."))
    schema.downgrade(database._engine, "0006")
    database.migrate()
    schema.check(database._engine)
    kept = NodeStore(database).get(added.id)
    assert isinstance(kept, Server)
    assert (kept.windows, kept.budget_rules, kept.stop) == (windows, (), None)


def test_the_ninth_migration_tells_nobody_of_jobs_that_ended_before(database: Database) -> None:
    quiet, asked = add_job(database), add_job(database, send_finished_mail=True)
    for job in (quiet, asked):
        JobStore(database).cancel(job.id)
    schema.downgrade(database._engine, "0008")
    database.migrate()
    schema.check(database._engine)
    assert EndingStore(database).untold(10) == (asked.id,)


def test_going_back_to_the_first_version_never_uncovers_a_patient(database: Database) -> None:
    """There an empty pseudonym meant that the identity is kept."""
    covered, kept = add_job(database, studies=2), add_job(database, keep_identity=True)
    with database.transaction() as session:
        session.execute(text("UPDATE items SET pseudonym = '' WHERE position = 1"))
    schema.downgrade(database._engine, "0001")
    with database.reading() as session:
        rows = session.execute(text("SELECT job_id, pseudonym FROM items ORDER BY id")).all()
    assert [bool(name) for job, name in rows if job == covered.id] == [True, True]
    assert [name for job, name in rows if job == kept.id] == [""]


def test_the_fifth_migration_takes_rights_away_that_every_owner_of_a_token_has(database: Database) -> None:
    fill(database)
    schema.downgrade(database._engine, "0004")
    given = "INSERT INTO group_permissions SELECT id, :right FROM groups"
    with database.transaction() as session:
        for right in ("token_authentication.view_token", "token_authentication.delete_token"):
            session.execute(text(given), {"right": right})
    database.migrate()
    schema.check(database._engine)
    (group,) = GroupStore(database).list()
    assert group.permissions == {Permission.ADD_SELECTIVE_TRANSFER}


@pytest.mark.parametrize("statement", ["UPDATE audit_entries SET reason = ''", "DELETE FROM audit_entries"])
def test_the_audit_trail_can_only_grow(database: Database, statement: str) -> None:
    AuditStore(database).add("eve", AuditAction.RELEASE_HELD, "job 1", "looked at it", DONE)
    with pytest.raises(AditError), database.transaction() as session:
        session.execute(text(statement))
    (entry,) = AuditStore(database).entries()
    assert entry.reason == "looked at it"


def test_processes_that_start_at_once_migrate_once(empty_url: str) -> None:
    together = Barrier(6)

    def start(_: int) -> None:
        db = Database(empty_url, KEY)
        together.wait()
        db.migrate()
        db.close()

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(start, range(6))) == [None] * 6


def test_another_master_key_is_refused_before_anything_is_done(empty_url: str) -> None:
    owner = Database(empty_url, KEY)
    owner.migrate()
    owner.close()
    stranger = Database(empty_url, Fernet.generate_key().decode())
    for refused in (stranger.migrate, stranger.check_is_current, stranger.check_key):
        with pytest.raises(NotPermitted, match="ADIT_MASTER_KEY is not the key"):
            refused()
    stranger.close()


def test_a_malformed_master_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="Fernet"):
        Database(f"sqlite:///{tmp_path}/x.db", "short")


def test_an_error_undoes_the_whole_transaction_also_of_joined_stores(database: Database) -> None:
    with pytest.raises(KeyError), database.transaction():
        NodeStore(database).add(a_server())
        assert NodeStore(database).by_name("PACS").name == "PACS"
        raise KeyError
    assert NodeStore(database).list() == ()


def test_an_interrupted_question_does_not_spoil_the_next_writer(database: Database, empty_url: str) -> None:
    kept: list[BaseException] = []
    add_job(database, studies=50)
    for _ in range(2):
        try:
            with database.transaction() as session:
                rows = session.connection().exec_driver_sql("SELECT * FROM items")
                assert rows.fetchone() is not None
                raise KeyError
        except KeyError as error:
            kept.append(error)
    other = Database(empty_url, KEY, database.clock)
    ScopeStore(other).new()
    other.close()
    for _ in range(3):
        ScopeStore(database).new()


def test_database_errors_quote_no_values(database: Database) -> None:
    secret = "DOE^JOHN"
    with pytest.raises(Bug) as raised, database.transaction() as session:
        session.execute(
            text("INSERT INTO items (job_id, position, patient_id) VALUES (1, 1, :patient)"), {"patient": secret}
        )
    assert secret not in str(raised.value)
    assert raised.value.__suppress_context__
    with pytest.raises(Bug) as raised, database.transaction() as session:
        session.execute(text("INSERT INTO no_such_table VALUES (:patient)"), {"patient": secret})
    assert secret not in str(raised.value)


def test_nobody_waits_for_ever_for_postgresql(database: Database) -> None:
    if not _is_postgresql(database):
        pytest.skip("SQLite waits 30 seconds for other writers, and asks no other machine")
    for begin in (database.transaction, database.reading):
        with begin() as session:
            assert session.scalar(text("SHOW lock_timeout")) == "30s"
            assert session.scalar(text("SHOW statement_timeout")) == "5min"
    with pytest.raises(PeerBusy, match=r"busy \(57014\)"), database.transaction() as session:
        session.execute(text("SET LOCAL statement_timeout = 1"))
        session.execute(text("SELECT pg_sleep(60)"))
    with database.transaction() as session, pytest.raises(PeerBusy, match=r"busy \(55P03\)"):
        hold(session.connection(), Lock.SLOTS)
        _wait_for(Lock.SLOTS, database)
    with pytest.raises(PeerBusy, match=r"busy \(25P03\)"), database.transaction() as session:
        session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 1"))
        process = session.scalar(text("SELECT pg_backend_pid()"))
        _wait_until_gone(process, database)
        session.execute(text("SELECT 1"))


def _is_postgresql(database: Database) -> bool:
    with database.reading() as session:
        return session.connection().dialect.name == "postgresql"


def _wait_for(lock: Lock, database: Database) -> None:
    """Wait for a lock that this thread has, as another process would, but not for long."""

    def wait() -> None:
        with database.transaction() as session:
            session.execute(text("SET LOCAL lock_timeout = 1"))
            hold(session.connection(), lock)

    with ThreadPoolExecutor(1) as other:
        other.submit(wait).result(60)


def _wait_until_gone(process: int, database: Database) -> None:
    """Wait until the server has ended a connection."""

    def wait() -> None:
        with database.reading() as session:
            while session.scalar(text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid"), {"pid": process}):
                sleep(0.01)
                session.rollback()

    with ThreadPoolExecutor(1) as other:
        other.submit(wait).result(60)


def test_migrations_and_restores_take_the_time_they_need(database: Database) -> None:
    if not _is_postgresql(database):
        pytest.skip("SQLite limits no statement")
    limits = text("SELECT current_setting('lock_timeout') || ' ' || current_setting('statement_timeout')")
    seen: list[object] = []
    schema.upgrade(database._engine, lambda connection: seen.append(connection.scalar(limits)))
    with database.refilled(lambda connection: connection.exec_driver_sql("RESET ALL")), database.reading() as session:
        seen.append(session.scalar(limits))
    with database.reading() as session:
        seen.append(session.scalar(limits))
    assert seen == ["0 0", "0 0", "30s 5min"]


def test_a_database_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    db = Database(f"postgresql+psycopg://adit@/adit?host={tmp_path}", KEY)
    with pytest.raises(Unreachable, match="ADIT_DATABASE_URL"):
        JobStore(db).get(1)
    db.close()


def test_times_come_back_aware_and_in_utc(database: Database) -> None:
    summer = datetime(2026, 7, 1, 14, 30, 0, 123456, timezone(timedelta(hours=2)))
    job = add_job(database)
    JobStore(database).set_flow_run(job.id, "run", summer)
    kept = JobStore(database).get(job.id).run_requested_at
    assert kept == summer
    assert kept is not None and kept.tzinfo is UTC


def test_a_time_without_a_zone_is_refused(database: Database) -> None:
    naive = datetime(2026, 7, 1)
    with pytest.raises(StatementError, match="without a zone"), database.transaction() as session:
        session.add(
            JobRow(kind=JobKind.BATCH_TRANSFER, state=State.PENDING, owner="", urgent=False, message="",
                   trial_protocol_id="", trial_protocol_name="", linkage_scope_id=ScopeStore(database).new(),
                   flow_run_id="", created_at=naive)
        )  # fmt: skip


def test_the_sqlite_files_are_for_their_owner_only(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, data_dir=tmp_path / "data", master_key=KEY)  # type: ignore[call-arg]
    db = open_database(settings)
    db.migrate()
    add_job(db)
    files = list((tmp_path / "data").glob("adit.db*"))
    assert files
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    db.close()


def _count_jobs(db: Database, answers: "multiprocessing.Queue[int]") -> None:
    add_job(db)
    answers.put(len(JobStore(db).list()))


def test_a_forked_child_uses_connections_of_its_own(database: Database) -> None:
    add_job(database)
    context = multiprocessing.get_context("fork")
    answers: multiprocessing.Queue[int] = context.Queue()
    child = context.Process(target=_count_jobs, args=(database, answers))
    child.start()
    assert answers.get(timeout=60) == 2
    child.join()
    assert child.exitcode == 0
    assert len(JobStore(database).list()) == 2


def test_secrets_are_not_readable_in_the_database_file(tmp_path: Path, clock: Clock) -> None:
    db = Database(f"sqlite:///{tmp_path}/adit.db", KEY, clock)
    db.migrate()
    NodeStore(db).add(a_server(dicomweb_authorization_header="Bearer tell-nobody"))
    scopes = ScopeStore(db)
    linkage_key = scopes.key(scopes.new())
    db.close()
    content = b"".join(file.read_bytes() for file in tmp_path.glob("adit.db*"))
    assert b"PACS" in content
    assert b"tell-nobody" not in content
    assert linkage_key not in content
    assert linkage_key.hex().encode() not in content


def test_a_second_handle_on_the_same_file_does_not_let_go_of_the_first_ones_locks(tmp_path: Path) -> None:
    """Otherwise another process that comes and goes removes the log, and what is written afterwards is lost."""
    path, key = tmp_path / "adit.db", Fernet.generate_key().decode()
    first = Database(f"sqlite:///{path}", key)
    first.migrate()
    second = Database(f"sqlite:///{path}", key)
    try:
        come_and_go(path)
        with first.transaction() as session:
            session.execute(text("UPDATE seals SET ciphertext = :new"), {"new": b"written later"})
        assert come_and_go(path) == "written later"
    finally:
        second.close()
        first.close()


def come_and_go(path: Path) -> str:
    """What another process reads, which opens the file and closes it again."""
    code = (
        "import sqlite3, sys; connection = sqlite3.connect(sys.argv[1]);"
        "print(connection.execute('SELECT ciphertext FROM seals').fetchone()[0].decode()); connection.close()"
    )
    asked = subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True)
    return asked.stdout.strip()
