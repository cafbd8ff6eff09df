"""Chores: what becomes of each run is written down, what goes wrong is told once, and doing one twice does no harm."""

import shutil
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from models.db.alarms import AlarmStore
from models.db.audit import AuditStore
from models.db.chores import ChoreStore
from models.db.engine import Database, open_database
from models.db.idempotency import IdempotencyStore
from models.db.nodes import NodeStore
from models.db.people import UserStore
from models.db.refusals import RefusalStore
from models.db.sessions import LinkStore
from models.db.signs import SignStore
from models.domain.audit import AuditAction
from models.domain.chores import DIED, ChoreOutcome, ChoreRun
from models.domain.errors import NotFound, NotPermitted, Unreachable, WriteFailed
from models.domain.people import Actor, LinkPurpose, operator
from models.settings import Settings
from services import backups, deployment_plan, housekeeping, prefect_status
from services.alarms import watching
from services.chores import disk_check, expiry, overview, performing, roster, watch
from services.chores.performing import Done
from services.deployment_plan import Schedule
from tests.databases import Clock, put_tables
from tests.people import a_user, mails_to
from tests.samples import a_folder, add_job, some_settings

STAFF = operator("root")
HERE = socket.gethostname()
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAILY = Schedule("30 1 * * *", "Europe/Berlin")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return some_settings(tmp_path / "data", admin_email="admin@clinic.example", disk_warn_gb=0)


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Database, Settings], str]], None]:
    """Let the chore ``expiry`` be whatever a test needs."""

    def put(run: Callable[[Database, Settings], str]) -> None:
        monkeypatch.setattr(performing, "RUNS", {**performing.RUNS, "expiry": run})

    return put


def last(db: Database, name: str = "expiry") -> ChoreRun:
    return ChoreStore(db).last([name])[name][0]


def failing(error: BaseException) -> Callable[[Database, Settings], str]:
    def run(_db: Database, _settings: Settings) -> str:
        raise error

    return run


def test_what_a_chore_did_is_written_down(database: Database, settings: Settings, clock: Clock, play: Callable) -> None:
    def run(_db: Database, _settings: Settings) -> str:
        assert last(database).is_at_work(clock())
        return "Did it."

    play(run)
    assert performing.perform(database, settings, "expiry", "run-1") == Done(ChoreOutcome.SUCCESS, "Did it.")
    done = last(database)
    assert (done.outcome, done.message, done.flow_run_id) == (ChoreOutcome.SUCCESS, "Did it.", "run-1")


def test_an_error_of_ours_is_told_and_one_of_others_only_by_its_type(
    database: Database, settings: Settings, play: Callable, caplog: pytest.LogCaptureFixture
) -> None:
    play(failing(WriteFailed("The disk is gone.")))
    assert performing.perform(database, settings, "expiry").message == "WriteFailed: The disk is gone."
    play(failing(ValueError("Doe^Jane")))
    done = performing.perform(database, settings, "expiry")
    assert (done.outcome, "Doe" in done.message, "ValueError" in done.message) == (ChoreOutcome.FAILURE, False, True)
    assert last(database).message == done.message
    reference = done.message.rstrip(".").rpartition(" ")[2]
    assert f"fault {reference}: ValueError" in caplog.text
    assert (f"{__file__}:" in caplog.text, "Doe" in caplog.text) == (True, False)


def test_a_chore_that_is_at_work_elsewhere_is_left_out(database: Database, settings: Settings, play: Callable) -> None:
    assert ChoreStore(database).begin("expiry", timedelta(minutes=1))
    play(failing(AssertionError("it was done twice at once")))
    assert performing.perform(database, settings, "expiry") == Done(ChoreOutcome.SUCCESS, performing.LEFT_OUT)


def test_one_run_makes_up_for_all_that_were_missed(
    database: Database, settings: Settings, clock: Clock, play: Callable
) -> None:
    missed = [clock() - timedelta(days=days) for days in (3, 2, 1)]
    done: list[str] = []
    play(lambda _db, _settings: done.append("once") or "Did it.")
    for due_at in missed:
        performing.perform(database, settings, "expiry", due_at=due_at)
    assert done == ["once"]
    clock.pass_by(60)
    assert performing.perform(database, settings, "expiry", due_at=clock()).message == "Did it.", "it is due anew"


def test_a_run_that_failed_makes_up_for_none(
    database: Database, settings: Settings, clock: Clock, play: Callable
) -> None:
    due_at = clock() - timedelta(days=1)
    play(failing(WriteFailed("The disk is gone.")))
    performing.perform(database, settings, "expiry", due_at=due_at)
    play(lambda _db, _settings: "Did it.")
    assert performing.perform(database, settings, "expiry", due_at=due_at).message == "Did it."


def test_a_chore_that_is_told_to_stop_says_so(database: Database, settings: Settings, play: Callable) -> None:
    play(failing(SystemExit(15)))
    with pytest.raises(SystemExit):
        performing.perform(database, settings, "expiry")
    assert last(database).outcome is ChoreOutcome.FAILURE
    play(lambda _db, _settings: "Did it.")
    assert performing.perform(database, settings, "expiry").message == "Did it.", "it holds up no other"


def test_there_is_no_chore_of_another_name(database: Database, settings: Settings) -> None:
    with pytest.raises(NotFound, match="disk-check"):
        performing.perform(database, settings, "make-coffee")


def test_a_chore_goes_on_to_say_that_it_is_alive_after_a_fault_that_is_not_ours(
    database: Database, settings: Settings, play: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, again = [], threading.Event()

    def stay(*_: object) -> None:
        said.append("once")
        if len(said) == 1:
            raise ValueError("surprise")
        again.set()

    monkeypatch.setattr(performing, "_SIGN_EVERY_S", 0.01)
    monkeypatch.setattr(ChoreStore, "stay", stay)
    play(lambda _db, _settings: str(again.wait(20)))
    assert performing.perform(database, settings, "expiry").message == "True"


def a_run(begun: datetime, outcome: ChoreOutcome | None = ChoreOutcome.SUCCESS, alive: float = 90) -> ChoreRun:
    ended = begun + timedelta(seconds=1) if outcome else None
    return ChoreRun(1, "expiry", begun, begun + timedelta(seconds=alive), ended, outcome, "words", "")


@pytest.mark.parametrize(
    ("runs", "since", "expected"),
    [
        ([a_run(NOON - timedelta(hours=11))], None, ""),
        ([a_run(NOON - timedelta(hours=30))], None, ""),
        ([a_run(NOON - timedelta(hours=36))], None, "not done the last two times"),
        ([a_run(NOON - timedelta(hours=1), ChoreOutcome.FAILURE)], None, "The last run failed. words"),
        ([a_run(NOON - timedelta(seconds=9), None), a_run(NOON, ChoreOutcome.FAILURE)], None, "The last run failed"),
        ([a_run(NOON - timedelta(seconds=9), None), a_run(NOON - timedelta(days=9))], None, ""),
        ([a_run(NOON - timedelta(hours=1), None)], None, "The last run failed"),
        ([], None, ""),
        ([], NOON - timedelta(hours=30), ""),
        ([], NOON - timedelta(hours=40), "not done the last two times"),
        ([a_run(NOON - timedelta(days=9))], NOON - timedelta(minutes=5), ""),
        ([a_run(NOON - timedelta(days=9))], NOON - timedelta(minutes=20), "not done the last two times"),
    ],
)
def test_a_chore_is_in_trouble_when_it_failed_or_was_missed_twice(
    runs: list[ChoreRun], since: datetime | None, expected: str
) -> None:
    told = overview.trouble(DAILY, runs, NOON, since)
    assert expected in told
    assert bool(expected) == bool(told)


def test_a_chore_without_times_is_never_late() -> None:
    runs = [a_run(NOON - timedelta(days=99))]
    assert overview.trouble(None, runs, NOON) == ""
    assert overview.trouble(Schedule("30 1 * * *", "UTC", is_active=False), runs, NOON) == ""


def test_administrators_hear_once_of_a_chore_that_fails_and_once_that_it_is_over(
    database: Database, settings: Settings, clock: Clock, play: Callable
) -> None:
    since = clock()
    play(failing(WriteFailed("The disk is gone.")))
    for _ in range(2):
        performing.perform(database, settings, "expiry")
        watch.look(database, settings, since)
    (mail,) = mails_to(database, "admin@clinic.example")
    assert "Expiry" in mail.subject and "The disk is gone." in mail.body
    play(lambda _db, _settings: "Did it.")
    performing.perform(database, settings, "expiry")
    for _ in range(2):
        watch.look(database, settings, since)
    assert [mail.subject[:5] for mail in mails_to(database, "admin@clinic.example")] == ["Sched", "Over:"]


def test_administrators_hear_of_a_chore_that_is_not_done_any_more(
    database: Database, settings: Settings, clock: Clock
) -> None:
    begun = clock()
    for name in roster.CHORES:
        run = ChoreStore(database).begin(name, timedelta(minutes=1))
        assert run
        ChoreStore(database).end(run.id, ChoreOutcome.SUCCESS, "")
    clock.pass_by(3 * 3600)
    watch.look(database, settings, begun)
    late = {mail.subject for mail in mails_to(database, "admin@clinic.example")}
    assert late == {f"Scheduled work: {title}" for title in ("Disk check", "Recovery", "Spool sweep", "Expiry")}


@pytest.fixture
def break_plan(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Have prefect.yaml hold a text; that of the project when it is empty."""

    file = tmp_path / "prefect.yaml"
    monkeypatch.setattr(deployment_plan, "complaint", partial(deployment_plan.complaint, path=file))
    monkeypatch.setattr(deployment_plan, "planned", partial(deployment_plan.planned, path=file))

    def write(content: str) -> None:
        file.write_text(content or deployment_plan.PREFECT_YAML.read_text())

    write("")
    return write


def test_a_plan_that_is_broken_while_programs_run_is_an_alarm_and_ends_none(
    database: Database, settings: Settings, clock: Clock, break_plan: Callable[[str], None]
) -> None:
    begun = clock()
    run = ChoreStore(database).begin("expiry", timedelta(minutes=1))
    assert run
    ChoreStore(database).end(run.id, ChoreOutcome.SUCCESS, "")
    clock.pass_by(3 * 86_400)
    watch.look(database, settings, begun)
    late = AlarmStore(database).names()
    assert "chore-expiry" in late
    break_plan("deployments: [")
    watch.look(database, settings, begun, stands_by=True)
    assert AlarmStore(database).names() == late, "another machine's file may be right"
    for _ in range(2):
        watch.look(database, settings, begun)
    assert AlarmStore(database).names() == late | {"plan"}
    (mail,) = [mail for mail in mails_to(database, "admin@clinic.example") if "prefect.yaml" in mail.subject]
    assert "this is no YAML in line 1" in mail.body and "adit deploy" in mail.body
    break_plan("")
    watch.look(database, settings, begun)
    assert AlarmStore(database).names() == late


@pytest.mark.parametrize("content", ["deployments: [", "- 1", "work_pools: 5\ndeployments: {}", "\t"])
def test_pages_and_the_api_tell_of_a_broken_plan_and_go_on(
    database: Database, settings: Settings, a_prefect: list[str], break_plan: Callable[[str], None], content: str
) -> None:
    break_plan(content)
    shown = overview.listed(database, settings, STAFF)
    assert {one.name for one in shown} == {*roster.CHORES}
    assert all(one.trouble.startswith("prefect.yaml: ") and one.when == "" for one in shown)
    assert overview.in_trouble(database, settings, STAFF) == ()
    overview.run_now(database, settings, STAFF, "backup")
    assert a_prefect == ["id-backup"]


@pytest.fixture
def a_silent_prefect(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_settings: Settings) -> None:
        raise Unreachable("Prefect's API does not answer.")

    monkeypatch.setattr(prefect_status, "deployments", refuse)


@pytest.fixture
def a_prefect(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One that takes what it is asked for; these are the chores that were started."""
    started: list[str] = []
    known = {name: {"id": f"id-{name}", "paused": name == "retention"} for name in roster.CHORES if name != "expiry"}
    monkeypatch.setattr(prefect_status, "deployments", lambda _settings: known)
    monkeypatch.setattr(prefect_status, "next_run_at", lambda _settings, _id: NOON + timedelta(hours=1))
    monkeypatch.setattr(prefect_status, "start", lambda _settings, chosen: started.append(chosen) or "run-1")
    return started


def test_the_list_tells_when_and_how_each_went_and_what_is_next(
    database: Database, settings: Settings, a_prefect: list[str], play: Callable
) -> None:
    play(failing(WriteFailed("The disk is gone.")))
    performing.perform(database, settings, "expiry")
    shown = {one.name: one for one in overview.listed(database, settings, STAFF)}
    assert set(shown) == set(roster.CHORES)
    assert shown["recovery"].schedule is not None and shown["recovery"].schedule.words == "every 10 minutes"
    assert (shown["recovery"].last, shown["recovery"].trouble) == (None, "")
    assert shown["expiry"].trouble == "The last run failed. WriteFailed: The disk is gone."
    assert shown["backup"].next_at == NOON + timedelta(hours=1)
    assert "paused" in shown["retention"].trouble
    assert [run.message for run in overview.history(database, STAFF, "expiry")] == ["WriteFailed: The disk is gone."]


def test_the_list_is_there_when_prefect_is_not(database: Database, settings: Settings, a_silent_prefect: None) -> None:
    shown = overview.listed(database, settings, STAFF)
    assert {one.trouble for one in shown} == {"Prefect's API does not answer."}
    with pytest.raises(Unreachable):
        overview.run_now(database, settings, STAFF, "expiry")


def test_only_staff_sees_chores_and_has_them_done_and_the_trail_knows(
    database: Database, settings: Settings, a_prefect: list[str]
) -> None:
    somebody = Actor("ada")
    for door in (
        lambda: overview.listed(database, settings, somebody),
        lambda: overview.history(database, somebody, "expiry"),
        lambda: overview.run_now(database, settings, somebody, "expiry"),
        lambda: performing.perform_here(database, settings, somebody, "expiry"),
    ):
        with pytest.raises(NotPermitted):
            door()
    assert a_prefect == []
    assert overview.run_now(database, settings, STAFF, "backup") == "run-1"
    assert a_prefect == ["id-backup"]
    with pytest.raises(NotFound, match="adit deploy"):
        overview.run_now(database, settings, STAFF, "expiry")
    assert performing.perform_here(database, settings, STAFF, "expiry").outcome is ChoreOutcome.SUCCESS
    told = [(line.actor, line.subject, line.outcome) for line in AuditStore(database).entries()]
    assert told == [
        ("root", "expiry", "done"),
        ("root", "backup", "done"),
        *[("ada", "expiry", "NotPermitted")] * 2,
    ]
    assert {line.action for line in AuditStore(database).entries()} == {AuditAction.RUN_CHORE}


def test_backups_are_made_and_only_the_newest_are_kept(
    settings: Settings,
) -> None:
    settings = settings.model_copy(update={"backup_keep": 1})
    put_tables(settings.url)
    db = open_database(settings)
    for _ in range(2):
        assert performing.perform(db, settings, "backup").outcome is ChoreOutcome.SUCCESS
    (kept,) = backups.listed(settings)
    assert last(db, "backup").message == f"Made {kept.path.name}, and removed 1 older."
    db.close()


def test_what_has_expired_is_forgotten(database: Database, settings: Settings, clock: Clock) -> None:
    user = a_user(database)
    links = LinkStore(database)
    links.add("digest", user.id, LinkPurpose.RESET_PASSWORD, clock() + timedelta(hours=1))
    IdempotencyStore(database).keep("ada", "key", "digest", add_job(database).id)
    clock.pass_by(8 * 86_400)
    for _ in range(2):
        expiry.run(database, settings)
    assert IdempotencyStore(database).find("ada", "key") is None
    assert UserStore(database).get(user.id) == user
    clock.pass_by(-8 * 86_400)
    assert links.user_of("digest", LinkPurpose.RESET_PASSWORD) is None


def test_refusals_of_machines_that_were_taken_away_are_forgotten(
    database: Database, settings: Settings, clock: Clock
) -> None:
    refusals, job, ever = RefusalStore(database), add_job(database), timedelta(days=99)
    refusals.refuse(job.id, "taken-away", "no folder")
    clock.pass_by(2 * 86_400)
    refusals.refuse(job.id, "there", "no folder")
    expiry.run(database, settings)
    assert refusals.of_job(job.id, ever) == {"there": "no folder"}


def free(monkeypatch: pytest.MonkeyPatch, gigabytes: float) -> None:
    usage = SimpleNamespace(free=int(gigabytes * 1e9))
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)


def test_a_disk_that_fills_up_is_told_once_until_it_has_room_again(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings.model_copy(update={"disk_warn_gb": 10})
    for gigabytes in (9, 8, 11, 9):
        free(monkeypatch, gigabytes)
        disk_check.run(database, settings)
    places = {mail.subject.partition(": ")[2] for mail in mails_to(database, "admin@clinic.example")}
    assert places == {f"the {words} of {HERE}" for words in ("data directory", "spool", "backups")}
    assert len(mails_to(database, "admin@clinic.example")) == 3, "11 GB is not well above"
    for gigabytes in (13, 9):
        free(monkeypatch, gigabytes)
        disk_check.run(database, settings)
    assert len(mails_to(database, "admin@clinic.example")) == 9


def test_folders_are_measured_and_those_out_of_reach_are_named_after_the_others_were_looked_at(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    nodes = NodeStore(database)
    nodes.add(a_folder("Gone", str(tmp_path / "gone")))
    (tmp_path / "research").mkdir()
    (tmp_path / "research" / "a.dcm").write_bytes(bytes(5000))
    there = nodes.add(a_folder("Research", str(tmp_path / "research")))
    with pytest.raises(WriteFailed, match="Cannot be reached: folder Gone"):
        disk_check.run(database, settings)
    measured = nodes.get(there.id)
    assert measured.measured_bytes and measured.measured_bytes >= 5000  # type: ignore[union-attr]


@pytest.fixture
def move_to(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Do what follows on another machine; Prefect has heard of workers on both."""
    now = datetime.now(UTC)
    monkeypatch.setattr(prefect_status, "workers", lambda _settings: {"a": now, "b@1": now, "b@2@urgent": now})
    return lambda name: monkeypatch.setattr(socket, "gethostname", lambda: name)


def test_one_machine_does_not_end_the_alarm_of_another(
    database: Database, settings: Settings, move_to: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings.model_copy(update={"disk_warn_gb": 10})
    for machine, gigabytes in (("a", 9), ("b", 99), ("a", 9)):
        move_to(machine)
        free(monkeypatch, gigabytes)
        disk_check.run(database, settings)
    mails = mails_to(database, "admin@clinic.example")
    assert len(mails) == 3, "each is told once"
    assert all("of a" in mail.subject and "of a " in mail.body for mail in mails)


def test_a_folder_that_another_machine_has_measured_lately_is_not_lost(
    database: Database, settings: Settings, move_to: Callable[[str], None], clock: Clock, tmp_path: Path
) -> None:
    share = tmp_path / "share"
    share.mkdir()
    NodeStore(database).add(a_folder("Share", str(share)))
    move_to("a")
    disk_check.run(database, settings)
    share.rmdir()
    move_to("b")
    clock.pass_by(2.5 * 3600)
    assert "out of reach of b: folder Share." in disk_check.run(database, settings)
    clock.pass_by(3600)
    with pytest.raises(WriteFailed, match="Cannot be reached: folder Share"):
        disk_check.run(database, settings)


def test_a_folder_that_the_only_machine_does_not_reach_is_lost_at_once(
    database: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    names = {f"{HERE}@1", f"{HERE}@2", f"{HERE}@2@urgent"}
    monkeypatch.setattr(prefect_status, "workers", lambda _settings: dict.fromkeys(names, now))
    share = tmp_path / "share"
    share.mkdir()
    NodeStore(database).add(a_folder("Share", str(share)))
    disk_check.run(database, settings)
    share.rmdir()
    with pytest.raises(WriteFailed, match="Cannot be reached: folder Share"):
        disk_check.run(database, settings)


def test_a_machine_whose_name_goes_on_behind_a_hyphen_is_another_one(
    database: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, share = datetime.now(UTC), tmp_path / "share"
    monkeypatch.setattr(prefect_status, "workers", lambda _settings: {HERE: now, f"{HERE}-2": now})
    share.mkdir()
    NodeStore(database).add(a_folder("Share", str(share)))
    disk_check.run(database, settings)
    share.rmdir()
    assert "out of reach" in disk_check.run(database, settings)
    watching.see(database, settings, f"disk-spool-{HERE}-3", "title", "text")
    disk_check.run(database, settings)
    assert AlarmStore(database).names() == set(), "a machine of which nothing is heard"


def test_alarms_of_deleted_folders_and_of_machines_that_are_gone_end(
    database: Database, settings: Settings, move_to: Callable[[str], None], tmp_path: Path
) -> None:
    share = NodeStore(database).add(a_folder("Share", str(tmp_path)))
    SignStore(database).give("web", "centre", "1.0", database.clock())
    names = {f"disk-folder-{share.id}", "disk-spool-b", "disk-spool-centre", "disk-spool-gone", "chore-backup"}
    for name in names:
        watching.see(database, settings.model_copy(update={"disk_warn_gb": 10**9}), name, "title", "text")
    move_to("unknown")
    disk_check.run(database, settings.model_copy(update={"disk_warn_gb": 10**9}))
    assert AlarmStore(database).names() >= names, "workers have other names than their machines"
    NodeStore(database).delete(share.id)
    move_to("a")
    disk_check.run(database, settings)
    assert AlarmStore(database).names() == {"disk-spool-b", "disk-spool-centre", "chore-backup"}


def test_alarms_of_other_machines_stay_while_prefect_does_not_tell_of_them(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_settings: Settings) -> None:
        raise Unreachable("Prefect's API does not answer.")

    monkeypatch.setattr(prefect_status, "workers", refuse)
    for name in ("disk-folder-4711", "disk-spool-b"):
        watching.see(database, settings, name, "title", "text")
    disk_check.run(database, settings)
    assert AlarmStore(database).names() == {"disk-spool-b"}


def test_shares_that_hang_are_waited_for_together(
    database: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()
    monkeypatch.setattr(housekeeping, "tend_folder", lambda *_: over.wait(60))
    monkeypatch.setattr(disk_check, "_ANSWERS_WITHIN_S", 0.5)
    for number in range(20):
        NodeStore(database).add(a_folder(f"Share {number}", str(tmp_path / str(number))))
    begun = time.monotonic()
    try:
        with pytest.raises(WriteFailed, match="Share 19"):
            disk_check.run(database, settings)
    finally:
        over.set()
    assert time.monotonic() - begun < 5


def test_alarms_of_disks_and_chores_are_seen_on_the_administration_page(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from services.alarms import standing

    free(monkeypatch, 1)
    disk_check.run(database, settings.model_copy(update={"disk_warn_gb": 10}))
    watching.see(database, settings, "chore-backup", "Scheduled work: Backup", "The last run failed.")
    assert {alarm.name for alarm in standing.list(database, settings, STAFF)} >= {f"disk-spool-{HERE}", "chore-backup"}


def test_a_killed_chore_is_a_failure_until_it_is_done_again(
    database: Database, settings: Settings, clock: Clock, play: Callable, a_prefect: list[str]
) -> None:
    assert ChoreStore(database).begin("expiry", performing.ALIVE_FOR)
    clock.pass_by(performing.ALIVE_FOR.total_seconds())
    shown = {one.name: one for one in overview.listed(database, settings, STAFF)}
    assert shown["expiry"].trouble.startswith("The last run failed.")
    ChoreStore(database).end_dead()
    assert last(database).message == DIED
    play(lambda _db, _settings: "Did it.")
    performing.perform(database, settings, "expiry")
    assert "failed" not in {one.name: one.trouble for one in overview.listed(database, settings, STAFF)}["expiry"]
