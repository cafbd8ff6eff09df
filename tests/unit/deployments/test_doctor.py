"""`adit doctor` names each of many faults, seeded one by one, with its remedy; a healthy installation has none."""

import json
import os
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import Engine, delete, event, text, update
from typer.testing import CliRunner

from deployments.cli import app
from deployments.doctor import database as doctor_of_databases
from deployments.doctor import storage
from deployments.doctor.examination import examine
from deployments.doctor.findings import Finding, Installation, Level
from dicom.files.spool import Spool
from dicom.network.inbox import Inbox
from dicom.network.receiver import Receiver
from models.db import schema
from models.db.alarms import AlarmStore
from models.db.chores import ChoreStore
from models.db.engine import Database, utc_now
from models.db.mails import MailStore
from models.db.nodes import NodeStore
from models.db.quotas import QuotaStore
from models.db.refusals import RefusalStore
from models.db.signs import SignStore
from models.db.tables import SignRow, UserRow, WebhookRow
from models.db.webhooks import WebhookStore
from models.domain.audit import AuditAction
from models.domain.chores import ChoreOutcome
from models.domain.mails import Mail
from models.domain.nodes import Folder, Tls
from models.domain.people import operator
from models.domain.webhooks import WebhookWish
from models.settings import EXAMPLE_MASTER_KEY, Settings, settings
from services import audit, backups, project
from services.alarms.watching import FAILURES
from services.deployment_plan import DeploymentPlan, planned
from services.people import accounts
from tests.certificates import Authority
from tests.databases import MASTER_KEY, new_url, sqlite_database
from tests.mail_server import mail_server
from tests.peers import free_port
from tests.played_prefect import AUTH, PlayedPrefect, played_prefect
from tests.samples import a_server, add_job, some_settings

MACHINE = socket.gethostname()


@dataclass
class Neighbours:
    """What runs beside an installation, for all tests."""

    prefect_port: int
    mail_port: int
    web_port: int
    receiver_port: int


@dataclass
class House:
    """A healthy installation."""

    data_dir: Path
    db: Database
    prefect: PlayedPrefect

    def examined(self, asks_nodes: bool = False) -> list[Finding]:
        return list(examine(self.data_dir, asks_nodes))


@pytest.fixture(scope="module")
def prefect_api() -> Iterator[PlayedPrefect]:
    with played_prefect() as played:
        yield played


@pytest.fixture(scope="module")
def neighbours(tmp_path_factory: pytest.TempPathFactory, prefect_api: PlayedPrefect) -> Iterator[Neighbours]:
    """A receiver that knows PACS, a mail server, and pages that say that they are there."""
    port = free_port()
    inbox = Inbox(Spool(tmp_path_factory.mktemp("spool")).inbox)
    receiver = Receiver("127.0.0.1", port, inbox, lambda: ["PACS"])
    receiver.start()
    try:
        with mail_server() as mails, answering(b'{"status": "ok"}') as web_port:
            yield Neighbours(prefect_api.port, mails.port, web_port, port)
    finally:
        receiver.stop()


@contextmanager
def answering(content: bytes, secured: ssl.SSLContext | None = None) -> Iterator[int]:
    """The port of a web server that always says the same; by TLS where it has a certificate."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if secured is not None:
        server.socket = secured.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def well_kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with a superuser, a server and a backup."""
    directory = tmp_path_factory.mktemp("well-kept")
    db = sqlite_database(directory, utc_now)  # type: ignore[arg-type]
    accounts.create_admin(db, "alice", "alice@example.org", "correct-horse-7")
    NodeStore(db).add(a_server())
    db.close()
    backups.make(some_settings(directory))
    return directory


@pytest.fixture(scope="module")
def plan() -> DeploymentPlan:
    return planned(some_settings(Path()))


@pytest.fixture
def house(
    a_data_dir: Path,
    well_kept: Path,
    neighbours: Neighbours,
    prefect_api: PlayedPrefect,
    plan: DeploymentPlan,
    tmp_path: Path,
) -> Iterator[House]:
    shutil.copytree(well_kept, a_data_dir)
    set_variables(
        master_key=MASTER_KEY,
        prefect_auth=AUTH,
        prefect_port=neighbours.prefect_port,
        smtp_url=f"smtp://127.0.0.1:{neighbours.mail_port}",
        web_port=neighbours.web_port,
        receiver_port=neighbours.receiver_port,
        spool_reserve_mb=1,
    )
    db = Database(settings().url, MASTER_KEY)
    (tmp_path / "research").mkdir()
    NodeStore(db).add(Folder(name="research", path=tmp_path / "research"))
    for program in ("dispatcher", "receiver", "web"):
        SignStore(db).give(program, MACHINE, version("adit"), db.clock())
    fresh = PlayedPrefect(version=version("prefect"), deployments=deployments(plan))
    prefect_api.__dict__.update(fresh.__dict__ | {"port": prefect_api.port})
    yield House(a_data_dir, db, prefect_api)
    db.close()


def set_variables(**values: object) -> None:
    os.environ.update({f"ADIT_{name.upper()}": str(value) for name, value in values.items()})
    settings.cache_clear()


def deployments(plan: DeploymentPlan) -> list[dict[str, Any]]:
    return [
        {"name": one.name, "entrypoint": one.entrypoint, "work_queue_name": one.queue, "paused": False}
        for one in plan.deployments
    ]


def execute(db: Database, *statements: Any) -> None:
    with db.transaction() as session:
        for statement in statements:
            session.execute(text(statement) if isinstance(statement, str) else statement)


# -- health -----------------------------------------------------------------------------------------------------------


def test_a_healthy_installation_has_no_fault(house: House) -> None:
    found = house.examined()
    assert [finding for finding in found if finding.level is not Level.OK] == []
    looked_at = {finding.what for finding in found}
    assert {"Database", "Prefect", "Workers", "Dispatcher", "Receiver", "Web pages", "Mail", "Backup"} <= looked_at
    assert len(found) >= 20


def test_the_command_tells_programs_and_people_the_same(house: House) -> None:
    healthy = CliRunner().invoke(app, ["doctor", "--json"])
    assert healthy.exit_code == 0, healthy.output
    assert json.loads(healthy.output)["status"] == "ok"
    assert "All is well." in CliRunner().invoke(app, ["doctor"]).output
    os.environ["ADIT_WEBPORT"] = "1"
    warned = CliRunner().invoke(app, ["doctor", "--json"])
    assert (warned.exit_code, json.loads(warned.output)["status"]) == (1, "warning")
    house.prefect.workers = {}
    sick = CliRunner().invoke(app, ["doctor"])
    assert sick.exit_code == 2
    assert "problem  Workers: " in sick.output and "-> Start adit up" in sick.output
    assert "1 problems, 1 warnings" in sick.output


def test_no_finding_tells_a_secret(house: House) -> None:
    set_variables(smtp_url="smtp://ada:hidden-smtp-password@127.0.0.1:1", metrics_token="hidden-metrics-token-1")
    set_variables(prefect_auth="adit:hidden-prefect-password", master_key=Fernet.generate_key().decode())
    told = CliRunner().invoke(app, ["doctor"]).output
    assert "hidden" not in told and os.environ["ADIT_MASTER_KEY"] not in told and MASTER_KEY not in told


# -- faults -----------------------------------------------------------------------------------------------------------


def unknown_variable(_: House) -> None:
    os.environ["ADIT_WEBPORT"] = "1"


def unknown_variable_in_file(_: House) -> None:
    Path(".env").write_text("ADIT_MASTERKEY=x\n")
    Path(".env").chmod(0o600)


def open_file_of_settings(_: House) -> None:
    Path(".env").write_text("ADIT_STREAM_MB=64\n")
    Path(".env").chmod(0o644)


def unknown_time_zone(_: House) -> None:
    set_variables(time_zone="Europe/Berlyn")


def known_key_in_production(_: House) -> None:
    set_variables(environment="production", master_key=EXAMPLE_MASTER_KEY)


def reached_but_not_production(_: House) -> None:
    set_variables(web_host="0.0.0.0")


def kept_for_ever(_: House) -> None:
    set_variables(web_host="0.0.0.0")


def open_data_directory(house: House) -> None:
    house.data_dir.chmod(0o755)


def no_data_directory(house: House) -> None:
    house.db.close()
    shutil.rmtree(house.data_dir)


def full_disk(_: House) -> None:
    set_variables(spool_reserve_mb=10**9)


def open_secret(house: House) -> None:
    (house.data_dir / "master.key").write_text(MASTER_KEY)
    (house.data_dir / "master.key").chmod(0o644)


def data_left_in_transit(house: House) -> None:
    file = Spool(house.data_dir / "spool").inbox / "instance"
    file.write_bytes(b"DICM")
    os.utime(file, (0, time.time() - 2 * 86_400))


def no_database(house: House) -> None:
    house.db.close()
    (house.data_dir / "adit.db").unlink()


def newer_database(house: House) -> None:
    execute(house.db, "UPDATE alembic_version SET version_num = '9999'")


def older_database(house: House) -> None:
    schema.downgrade(house.db._engine, "0005")


def other_master_key(_: House) -> None:
    set_variables(master_key=Fernet.generate_key().decode())


def unreachable_database(_: House) -> None:
    set_variables(database_url=f"postgresql+psycopg://adit:x@127.0.0.1:{free_port()}/adit")


def changed_audit_trail(house: House) -> None:
    for subject in ("one", "two", "three"):
        audit.record(house.db, operator("root"), AuditAction.TEST_NODE, subject)
    names = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit_entries'"
    with house.db.transaction() as session:
        triggers = session.execute(text(names)).scalars().all()
        for trigger in triggers:
            session.execute(text(f"DROP TRIGGER {trigger}"))
        session.execute(text("UPDATE audit_entries SET subject = 'nothing' WHERE subject = 'two'"))


def no_superuser(house: House) -> None:
    execute(house.db, delete(UserRow))


def no_prefect(_: House) -> None:
    set_variables(prefect_port=free_port())


def wrong_password_of_prefect(_: House) -> None:
    set_variables(prefect_auth="adit:another-password")


def other_version_of_prefect(house: House) -> None:
    house.prefect.version = "3.1.0"


def missing_deployment(house: House) -> None:
    house.prefect.deployments.pop(0)


def other_queue(house: House) -> None:
    house.prefect.deployments[0]["work_queue_name"] = "elsewhere"


def no_work_pool(house: House) -> None:
    house.prefect.has_pool = False


def silent_worker(house: House) -> None:
    house.prefect.workers = {"host-a": datetime.now(UTC) - timedelta(hours=1)}


def silent_dispatcher(house: House) -> None:
    before = datetime.now(UTC) - timedelta(hours=1)
    execute(house.db, update(SignRow).where(SignRow.program == "dispatcher").values(seen_at=before))


def no_receiver(_: House) -> None:
    set_variables(receiver_port=free_port())


def port_of_the_receiver_is_taken(_: House) -> None:
    set_variables(receiver_port=os.environ["ADIT_WEB_PORT"])


def receiver_of_another_installation(house: House) -> None:
    server = NodeStore(house.db).by_name("PACS")
    NodeStore(house.db).update(replace(server, ae_title="OTHER"))  # type: ignore[arg-type]


def no_pages(_: House) -> None:
    set_variables(web_port=free_port(), web_url=f"http://localhost:{os.environ['ADIT_WEB_PORT']}")


def port_of_the_pages_is_taken(_: House) -> None:
    before = os.environ["ADIT_WEB_PORT"]
    set_variables(web_port=os.environ["ADIT_PREFECT_PORT"], web_url=f"http://localhost:{before}")


def wrong_address(_: House) -> None:
    set_variables(web_url=f"http://localhost:{free_port()}")


def program_of_another_version(house: House) -> None:
    SignStore(house.db).give("receiver", "host-b", "0.0.1", house.db.clock())


def no_mail_server(_: House) -> None:
    set_variables(smtp_url=f"smtp://127.0.0.1:{free_port()}")


def mails_without_a_server(house: House) -> None:
    MailStore(house.db).add(Mail("ada@example.org", "subject", "body"))
    os.environ.pop("ADIT_SMTP_URL")


def late_mails(house: House) -> None:
    MailStore(house.db).add(Mail("ada@example.org", "subject", "body"))
    execute(house.db, text("UPDATE mails SET created_at = '2020-01-01 00:00:00.000000'"))


def folder_that_is_gone(house: House) -> None:
    (house.data_dir.parent / "research").rmdir()


def folder_among_the_backups(house: House) -> None:
    store = NodeStore(house.db)
    folder = store.by_name("research")
    assert isinstance(folder, Folder)
    store.update(replace(folder, path=house.data_dir / "backups"))


def full_folder(house: House) -> None:
    store = NodeStore(house.db)
    folder = store.by_name("research")
    store.update(replace(folder, quota_gb=0.000001))  # type: ignore[arg-type]
    walk = QuotaStore(house.db).begin_walk(folder.id)
    assert QuotaStore(house.db).end_walk(walk, 5_000)


def certificate_that_ends_soon(house: House) -> None:
    authority = Authority(house.data_dir.parent, "authority")
    NodeStore(house.db).add(a_server("SECURE", tls=Tls(ca_file=str(authority.file))))


def certificate_that_is_gone(house: House) -> None:
    NodeStore(house.db).add(a_server("SECURE", tls=Tls(ca_file="/nowhere/authority.pem")))


def invalid_profile(house: House) -> None:
    directory = house.data_dir.parent / "profiles"
    directory.mkdir()
    (directory / "site.yaml").write_text("title: A site\nunknown_key: 1\n")
    set_variables(profiles_dir=directory)


def no_profiles(_: House) -> None:
    set_variables(profiles_dir="/nowhere/profiles")


def unknown_profile(_: House) -> None:
    set_variables(profile="of-nobody")


def maintenance(house: House) -> None:
    now = project.get(house.db)
    project.update(house.db, operator("root"), now.announcement, True, now.version)


def stalled_job(house: House) -> None:
    add_job(house.db)
    execute(house.db, text("UPDATE jobs SET created_at = '2020-01-01 00:00:00.000000'"))


def burst_of_failures(house: House) -> None:
    AlarmStore(house.db).see(f"{FAILURES}1", "Many items fail at PACS", "PACS: of 20 items 20 failed (Unreachable).")


def failing_webhook(house: House) -> None:
    hook = WebhookStore(house.db).add(WebhookWish("https://listener.example.org/"), b"secret", "root")
    execute(house.db, update(WebhookRow).where(WebhookRow.id == hook.id).values(failing_since_at=utc_now()))


def machine_that_leaves_jobs_to_others(house: House) -> None:
    RefusalStore(house.db).refuse(add_job(house.db).id, "host-b", "The folder research is not there.")


def failed_chore(house: House) -> None:
    run = ChoreStore(house.db).begin("backup", timedelta(minutes=1))
    assert run is not None
    ChoreStore(house.db).end(run.id, ChoreOutcome.FAILURE, "The disk of the backups is full.")


def no_backup(house: House) -> None:
    for path in (house.data_dir / "backups").iterdir():
        path.unlink()


def backups_cannot_be_written(_: House) -> None:
    set_variables(backup_dir="/proc")


FAULTS: list[tuple[Callable[[House], None], str, Level, str, str]] = [
    (unknown_variable, "Variables", Level.WARNING, "ADIT_WEBPORT", "ADIT_WEB_PORT"),
    (unknown_variable_in_file, "Variables", Level.WARNING, ".env", "ADIT_MASTER_KEY"),
    (open_file_of_settings, ".env", Level.WARNING, "Other users", "chmod g-w,o="),
    (unknown_time_zone, "Settings", Level.PROBLEM, "ADIT_TIME_ZONE: ", "example.env"),
    (known_key_in_production, "Settings", Level.PROBLEM, "the example key is not a secret", "example.env"),
    (reached_but_not_production, "Environment", Level.WARNING, "web_url: it must", "ADIT_ENVIRONMENT=production"),
    (kept_for_ever, "Patient data", Level.WARNING, "for ever", "ADIT_KEEP_JOBS_DAYS"),
    (open_data_directory, "Data directory", Level.WARNING, "Other users", "chmod 700"),
    (no_data_directory, "Data directory", Level.PROBLEM, "is not there", "ADIT_DATA_DIR"),
    (full_disk, "Disk", Level.PROBLEM, "No transfer begins", "Free some space"),
    (open_secret, "Secrets", Level.PROBLEM, "master.key", "chmod 600"),
    (data_left_in_transit, "Spool", Level.WARNING, "1 files of patients", "receiver"),
    (no_database, "Database", Level.PROBLEM, "There is no database", "adit init"),
    (newer_database, "Database", Level.PROBLEM, "newer version", "Install the version"),
    (older_database, "Database", Level.PROBLEM, "earlier version", "adit init"),
    (other_master_key, "Database", Level.PROBLEM, "is not the key", "ADIT_MASTER_KEY"),
    (unreachable_database, "Database", Level.PROBLEM, "does not answer", "ADIT_DATABASE_URL"),
    (changed_audit_trail, "Audit trail", Level.PROBLEM, "was changed", "adit audit verify"),
    (no_superuser, "Accounts", Level.WARNING, "no superuser", "adit create-admin"),
    (no_prefect, "Prefect", Level.PROBLEM, "does not answer", "adit prefect-server"),
    (wrong_password_of_prefect, "Prefect", Level.PROBLEM, "another password", "ADIT_PREFECT_AUTH"),
    (other_version_of_prefect, "Prefect", Level.WARNING, "3.1.0", "same version"),
    (missing_deployment, "Deployments", Level.PROBLEM, "does not have", "adit deploy"),
    (other_queue, "Deployments", Level.PROBLEM, "Other than prefect.yaml says", "adit deploy"),
    (no_work_pool, "Deployments", Level.PROBLEM, "no work pool", "adit deploy"),
    (silent_worker, "Workers", Level.PROBLEM, "The last sign came at", "adit worker"),
    (silent_dispatcher, "Dispatcher", Level.PROBLEM, "No dispatcher was heard of since", "adit dispatch"),
    (no_receiver, "Receiver", Level.WARNING, "Nothing listens on port", "adit receiver"),
    (port_of_the_receiver_is_taken, "Receiver", Level.PROBLEM, "Something else listens", "ss -ltnp"),
    (receiver_of_another_installation, "Receiver", Level.PROBLEM, "does not know our servers", "ss -ltnp"),
    (no_pages, "Web pages", Level.PROBLEM, "Nothing answers", "adit web"),
    (port_of_the_pages_is_taken, "Web pages", Level.PROBLEM, "Something else answers", "ADIT_WEB_PORT"),
    (wrong_address, "Address", Level.WARNING, "not reached", "ADIT_WEB_URL"),
    (program_of_another_version, "Versions", Level.WARNING, "receiver of host-b is of version 0.0.1", "same version"),
    (no_mail_server, "Mail", Level.PROBLEM, "does not answer", "ADIT_SMTP_URL"),
    (mails_without_a_server, "Mail", Level.WARNING, "1 mails wait", "ADIT_SMTP_URL"),
    (late_mails, "Mails", Level.WARNING, "since 2020-01-01", "log of the dispatcher"),
    (folder_that_is_gone, "Folder research", Level.PROBLEM, "cannot be found", "adit node test research"),
    (folder_among_the_backups, "Folder research", Level.PROBLEM, "keeps backups", "change the folder"),
    (full_folder, "Folder research", Level.PROBLEM, "quota is used up", "raise its quota"),
    (certificate_that_ends_soon, "Server SECURE", Level.WARNING, "certificate ends on", "Get a new certificate"),
    (certificate_that_is_gone, "Server SECURE", Level.PROBLEM, "cannot be read", "Put it there"),
    (invalid_profile, "Profiles", Level.PROBLEM, "site", "Correct the file"),
    (no_profiles, "Profiles", Level.PROBLEM, "no directory", "ADIT_PROFILES_DIR"),
    (unknown_profile, "Profiles", Level.PROBLEM, "of-nobody", "adit profile show"),
    (maintenance, "Maintenance", Level.WARNING, "only staff", "adit maintenance off"),
    (stalled_job, "Jobs", Level.WARNING, "waited since 2020-01-01", "adit worker"),
    (machine_that_leaves_jobs_to_others, "Worker host-b", Level.WARNING, "research is not there", "host-b"),
    (burst_of_failures, "Failures", Level.WARNING, "20 failed (Unreachable)", "adit node test"),
    (failing_webhook, "Webhooks", Level.WARNING, "does not take", "in the browser"),
    (failed_chore, "Scheduled work", Level.WARNING, "The disk of the backups is full.", "Administration"),
    (no_backup, "Backup", Level.WARNING, "There is none", "adit db-backup"),
    (backups_cannot_be_written, "Backup", Level.PROBLEM, "Nothing can be written", "ADIT_BACKUP_DIR"),
]


@pytest.mark.parametrize("seed, what, level, words, remedy", FAULTS, ids=[fault[0].__name__ for fault in FAULTS])
def test_a_seeded_fault_is_named_with_its_remedy(
    house: House, seed: Callable[[House], None], what: str, level: Level, words: str, remedy: str
) -> None:
    seed(house)
    faults = [finding for finding in house.examined() if finding.level is not Level.OK]
    named = [found for found in faults if found.what == what and words in found.text]
    assert [(found.level, remedy in found.remedy) for found in named] == [(level, True)], faults
    assert all(found.remedy for found in faults)


@pytest.mark.parametrize(
    "seed", [unknown_variable, open_data_directory, changed_audit_trail, silent_worker, silent_dispatcher, no_pages]
)
def test_one_fault_is_not_taken_for_several(house: House, seed: Callable[[House], None]) -> None:
    seed(house)
    assert len([finding for finding in house.examined() if finding.level is not Level.OK]) == 1


def test_nothing_is_asked_for_twice(house: House) -> None:
    house.prefect.workers = {}
    house.prefect.asked.clear()
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_others: object) -> None:
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        house.examined()
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert len(house.prefect.asked) == len(set(house.prefect.asked)), house.prefect.asked
    assert sum("FROM program_signs" in statement for statement in statements) == 1
    folder_checks_too = 1  # it asks which folders there are beside the one that it looks at
    assert sum("FROM nodes LEFT OUTER JOIN" in statement for statement in statements) == 1 + folder_checks_too


def test_servers_are_asked_only_when_somebody_wants_that(house: House) -> None:
    server = NodeStore(house.db).by_name("PACS")
    NodeStore(house.db).update(replace(server, host="127.0.0.1", port=free_port()))  # type: ignore[arg-type]
    assert [found for found in house.examined() if found.what == "Server PACS"] == []
    (fault, *_) = [found for found in house.examined(asks_nodes=True) if found.what == "Server PACS"]
    assert fault.level is Level.PROBLEM and "nothing listens there" in fault.text
    assert "adit node test PACS" in fault.remedy


def test_a_data_directory_in_which_nothing_can_be_made_is_named(house: House) -> None:
    set_variables(data_dir="/proc")
    found = [finding for finding in examine(None) if finding.what == "Data directory"]
    assert [one.level for one in found if "Nothing can be written" in one.text] == [Level.PROBLEM]
    assert all(one.remedy for one in found)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_data_directory_of_another_user_is_named(house: House) -> None:
    os.chown(house.data_dir, 12345, -1)
    (fault,) = [finding for finding in house.examined() if finding.level is not Level.OK]
    assert (fault.what, fault.level) == ("Data directory", Level.PROBLEM)
    assert "12345" in fault.text and "sudo -u '#12345' adit doctor" in fault.remedy
    assert "chown" not in fault.remedy, "programs would find nothing that they can read"


def test_who_is_not_root_may_give_a_directory_away(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage.os, "geteuid", lambda: 4321)
    (fault,) = [finding for finding in house.examined() if finding.level is not Level.OK]
    assert (fault.what, fault.level) == ("Data directory", Level.PROBLEM)
    assert f"chown -R 4321 {house.data_dir}" in fault.remedy


@contextmanager
def pages_with_a_certificate(authority: Authority) -> Iterator[int]:
    """The port of pages behind TLS."""
    trusted = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trusted.load_cert_chain(*authority.issue("pages"))
    with answering(b'{"status": "ok"}', trusted) as port:
        yield port


def test_pages_are_reached_whose_certificate_this_machine_trusts(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path, "hospital")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with pages_with_a_certificate(authority) as port:
        set_variables(web_url=f"https://127.0.0.1:{port}")
        (found,) = [finding for finding in house.examined() if finding.what == "Address"]
    assert found.level is Level.OK, found


def test_a_certificate_that_this_machine_does_not_trust_is_no_unreachable_page(house: House, tmp_path: Path) -> None:
    with pages_with_a_certificate(Authority(tmp_path, "of-nobody")) as port:
        set_variables(web_url=f"https://127.0.0.1:{port}")
        (found,) = [finding for finding in house.examined() if finding.what == "Address"]
    assert found.level is Level.WARNING
    assert "does not trust the certificate" in found.text and "not reached" not in found.text
    assert "update-ca-certificates" in found.remedy


@pytest.mark.parametrize(
    ("variables", "age", "level"),
    [
        ({}, timedelta(hours=20), Level.OK),
        ({}, timedelta(days=3), Level.WARNING),
        ({"backup_cron": "30 1 * * 0"}, timedelta(days=6), Level.OK),
        ({"backup_cron": "30 1 * * 0"}, timedelta(days=15), Level.WARNING),
        ({"backup_enabled": False}, timedelta(days=90), Level.OK),
    ],
)
def test_a_backup_is_too_old_when_the_last_two_times_have_passed_it(
    house: House, monkeypatch: pytest.MonkeyPatch, variables: dict[str, object], age: timedelta, level: Level
) -> None:
    set_variables(**variables)
    (backup,) = backups.listed(settings())
    monkeypatch.setattr(backups, "listed", lambda _: (replace(backup, made_at=house.db.clock() - age),))
    (found,) = [finding for finding in house.examined() if finding.what == "Backup"]
    assert found.level is level, found


def test_where_no_backup_is_made_by_itself_none_is_missed(house: House) -> None:
    no_backup(house)
    set_variables(backup_enabled=False)
    (found,) = [finding for finding in house.examined() if finding.what == "Backup"]
    assert found.level is Level.OK and "None is made at set times" in found.text


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "9p"])
def test_sqlite_on_a_network_is_named(house: House, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    mounts = house.data_dir.parent / "mountinfo"
    mounts.write_text(
        "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        f"30 22 0:42 / {house.data_dir} rw,relatime shared:1 - {kind} filer:/adit rw\n"
    )
    monkeypatch.setattr(storage, "MOUNTS", mounts)
    (fault,) = [finding for finding in house.examined() if finding.level is not Level.OK]
    assert (fault.what, fault.level) == ("File system", Level.PROBLEM)
    assert kind in fault.text and "PostgreSQL" in fault.remedy


@pytest.mark.parametrize("apart_s, level", [(5, Level.WARNING), (60, Level.PROBLEM)])
def test_a_clock_that_differs_from_the_databases_is_named(
    house: House, monkeypatch: pytest.MonkeyPatch, apart_s: int, level: Level
) -> None:
    later = timedelta(seconds=apart_s)
    monkeypatch.setattr(Database, "server_time", lambda self: self.clock() + later)
    (fault,) = [finding for finding in house.examined() if finding.level is not Level.OK]
    assert (fault.what, fault.level) == ("Clock", level)
    assert "NTP" in fault.remedy


def test_postgresql_tells_its_time_and_what_backing_it_up_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with new_url("postgresql", tmp_path) as url:
        db = Database(url, MASTER_KEY)
        try:
            here = Installation(Settings.model_construct(database_url=url, lease_s=20), db)
            (time_of_day,) = doctor_of_databases.clock(here)
            assert time_of_day.level is Level.OK
            monkeypatch.setenv("PATH", str(tmp_path))
            faults = list(doctor_of_databases.programs(here))
            assert [fault.level for fault in faults] == [Level.PROBLEM, Level.PROBLEM]
            assert "postgresql-client-15" in faults[0].remedy
        finally:
            db.close()


def test_a_check_that_fails_is_a_finding_and_holds_up_no_other(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ValueError("Doe^John")

    monkeypatch.setattr("models.db.quotas.QuotaStore.usages", broken)
    found = house.examined()
    (fault,) = [finding for finding in found if finding.level is not Level.OK]
    assert fault.what == "Quotas" and "ValueError" in fault.text and "Doe" not in fault.text
    assert "Backup" in {finding.what for finding in found}
