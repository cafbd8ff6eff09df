"""Administrators hear once when something is wrong with the whole, and once when it is over; never of a patient."""

import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.nodes import NodeStore
from models.db.project import ProjectStore
from models.db.tables import ItemRow
from models.db.webhooks import NoticeStore, WebhookStore
from models.domain.alarms import Ends
from models.domain.errors import AditError, FolderFull, NotPermitted, Unreachable
from models.domain.jobs import State
from models.domain.mails import Mail
from models.domain.nodes import Folder
from models.domain.people import Actor, operator
from models.domain.project import Project
from models.domain.webhooks import WebhookWish
from models.settings import Settings
from services import folder_holds
from services.alarms import standing, watching
from services.post import mails
from tests.databases import Clock
from tests.people import mails_to
from tests.samples import add_job, some_settings

ADMINS = "admins@clinic.example"
SHELL = operator("shell")


class Prefect:
    """Answers as it is told to. ``heard_at`` is when its one worker reported last."""

    def __init__(self) -> None:
        self.error: AditError | None = None
        self.heard_at = datetime.now(UTC)

    def __call__(self, settings: Settings) -> dict[str, datetime]:
        if self.error:
            raise self.error
        return {"worker": self.heard_at}


@pytest.fixture
def prefect(monkeypatch: pytest.MonkeyPatch) -> Prefect:
    prefect = Prefect()
    monkeypatch.setattr("services.prefect_status.workers", prefect)
    return prefect


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return some_settings(tmp_path, admin_email=ADMINS, web_url="https://adit.clinic.example")


def ended(database: Database, clock: Clock, failures: int, successes: int = 0, code: str = "Unreachable") -> None:
    """Items of one job that have ended now."""
    job_id = add_job(database, studies=failures + successes).id
    with database.transaction() as session:
        mine = update(ItemRow).where(ItemRow.job_id == job_id)
        values = {"ended_at": clock.now, "message": "Patient P1 has no images"}
        session.execute(mine.values(state=State.SUCCESS, **values))
        session.execute(mine.where(ItemRow.position <= failures).values(state=State.FAILURE, error_code=code))


def told(database: Database) -> list[str]:
    """The subjects of all mails to administrators, the oldest first."""
    return [mail.subject for mail in mails_to(database, ADMINS)]


@pytest.mark.parametrize(
    ("total", "failed", "is_burst", "is_calm"),
    [
        (10, 10, True, False),
        (9, 9, False, False),
        (20, 10, True, False),
        (21, 10, False, False),
        (40, 10, False, False),
        (41, 10, False, True),
        (5, 5, False, False),
        (4, 4, False, True),
        (1000, 499, False, False),
        (1000, 500, True, False),
    ],
)
def test_a_burst_is_many_and_most_and_over_only_well_below(
    total: int, failed: int, is_burst: bool, is_calm: bool
) -> None:
    ends = Ends("PACS", total, Counter({"Unreachable": failed}))
    assert (ends.is_burst, ends.is_calm) == (is_burst, is_calm)


def test_failures_are_told_of_once_per_burst_with_codes_and_counts_only(
    database: Database, settings: Settings, clock: Clock
) -> None:
    ended(database, clock, failures=9, successes=2)
    watching.look_for_failures(database, settings)
    assert told(database) == []
    ended(database, clock, failures=3, code="NoSpace")
    for _ in range(3):
        watching.look_for_failures(database, settings)
    assert sorted(told(database)) == ["Many items fail at PACS", "Many items fail at research"]
    text = next(mail.body for mail in mails_to(database, ADMINS) if "PACS" in mail.subject)
    assert "PACS: of 14 items that ended in 15 minutes 12 failed (9 Unreachable, 3 NoSpace)." in text
    for secret in ("P1", "1.2.3", "ANON", "images"):
        assert secret not in text


def test_the_end_of_a_burst_is_told_of_and_the_next_one_again(db: Database, settings: Settings, clock: Clock) -> None:
    subjects = ["Many items fail at PACS", "Many items fail at research"]
    over = [f"Over: {subject}" for subject in subjects]
    ended(db, clock, failures=12)
    watching.look_for_failures(db, settings)
    clock.pass_by(600)
    ended(db, clock, failures=5)
    watching.look_for_failures(db, settings)
    assert sorted(told(db)) == subjects
    clock.pass_by(901)
    watching.look_for_failures(db, settings)
    assert sorted(told(db)) == subjects + over
    ended(db, clock, failures=12)
    watching.look_for_failures(db, settings)
    watching.look_for_failures(db, settings)
    assert sorted(told(db)) == sorted(subjects * 2 + over)


def test_dispatchers_at_the_same_time_tell_once(database: Database, settings: Settings, clock: Clock) -> None:
    ended(database, clock, failures=12)
    together = threading.Barrier(3)

    def look() -> None:
        together.wait(30)
        watching.look_for_failures(database, settings)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(told(database)) == ["Many items fail at PACS", "Many items fail at research"]


def test_an_alarm_whose_mail_could_not_be_written_is_told_of_later(
    db: Database, settings: Settings, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended(db, clock, failures=12)

    def die(*_arguments: object, **_values: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken, pytest.raises(KeyboardInterrupt):
        broken.setattr("services.post.mails.queue", die)
        watching.look_for_failures(db, settings)
    watching.look_for_failures(db, settings)
    assert len(told(db)) == 2


def test_a_standstill_is_told_of_after_ten_minutes_and_when_it_goes_on(
    database: Database, settings: Settings, clock: Clock, prefect: Prefect
) -> None:
    prefect.heard_at -= timedelta(hours=1)
    job_id = add_job(database).id
    for _ in range(4 * 9):
        watching.look(database, settings)
        clock.pass_by(15)
    assert told(database) == []
    for _ in range(4 * 30):
        watching.look(database, settings)
        clock.pass_by(15)
    assert told(database) == ["No job goes on"]
    text = mails_to(database, ADMINS)[0].body
    assert "1 job is due, and no worker has an item. No worker reports to Prefect: start one." in text
    assert JobStore(database).claim_next(job_id, timedelta(minutes=1))
    watching.look(database, settings)
    watching.look(database, settings)
    assert told(database) == ["No job goes on", "Over: No job goes on"]


def test_workers_that_report_and_do_nothing_are_told_apart_from_none(
    db: Database, settings: Settings, clock: Clock, prefect: Prefect
) -> None:
    add_job(db)
    watching.look(db, settings)
    clock.pass_by(240)
    watching.look(db, settings)
    clock.pass_by(240)
    watching.look(db, settings)
    clock.pass_by(240)
    watching.look(db, settings)
    assert "Workers report to Prefect: look into their logs" in mails_to(db, ADMINS)[0].body


def test_a_while_in_which_nobody_has_looked_is_no_standstill(
    db: Database, settings: Settings, clock: Clock, prefect: Prefect
) -> None:
    """As after a night in which the machine was off: workers get the time to begin."""
    add_job(db)
    watching.look(db, settings)
    clock.pass_by(8 * 3600)
    watching.look(db, settings)
    assert told(db) == []


def test_what_is_held_back_on_purpose_is_no_standstill(
    db: Database, settings: Settings, clock: Clock, prefect: Prefect
) -> None:
    add_job(db)
    ProjectStore(db).update(Project("", maintenance=True, version=ProjectStore(db).get().version))
    for _ in range(8):
        watching.look(db, settings)
        clock.pass_by(240)
    assert told(db) == []


def test_a_full_folder_is_told_once_with_its_place_and_no_standstill(
    db: Database, settings: Settings, clock: Clock, prefect: Prefect
) -> None:
    item = JobStore(db).items(add_job(db).id)[0]
    folder = NodeStore(db).get(item.target_id)
    assert isinstance(folder, Folder)
    folder_holds.hold(db, folder, item, FolderFull("The disk of the folder has no room left."), 0)
    for _ in range(8):
        watching.look(db, settings)
        clock.pass_by(240)
    assert told(db) == [f"The disk of folder {folder.name} is full"]
    body = mails_to(db, ADMINS)[0].body
    assert str(folder.path) in body and "adit node go-on" in body
    folder_holds.try_now(db, SHELL, folder.id)
    folder_holds.appoint(db)
    folder_holds.has_worked(db, item)
    watching.look(db, settings)
    assert told(db)[1:] == [f"Over: The disk of folder {folder.name} is full"]


@pytest.mark.parametrize(
    "error", [Unreachable("Prefect's API does not answer."), NotPermitted("Prefect's API wants another password.")]
)
def test_a_prefect_that_does_not_answer_is_told_of_and_what_follows_from_it_is_not(
    db: Database, settings: Settings, clock: Clock, prefect: Prefect, error: AditError
) -> None:
    add_job(db)
    prefect.error = error
    for _ in range(30):
        watching.look(db, settings)
        clock.pass_by(60)
    assert told(db) == ["Prefect does not answer"]
    assert f"No job can begin. {error.message}" in mails_to(db, ADMINS)[0].body
    prefect.error = None
    watching.look(db, settings)
    assert told(db) == ["Prefect does not answer", "Over: Prefect does not answer"]


def test_a_way_to_prefect_counts_only_where_somebody_dispatches(
    db: Database, settings: Settings, clock: Clock, prefect: Prefect
) -> None:
    """Two dispatchers: one without a way to Prefect works, then the other one does."""
    for _ in range(30):
        prefect.error = Unreachable("Prefect's API does not answer.")
        watching.look(db, settings)
        prefect.error = None
        watching.look(db, settings, stands_by=True)
        clock.pass_by(15)
    assert told(db) == ["Prefect does not answer"]
    watching.look(db, settings)
    prefect.error = Unreachable("Prefect's API does not answer.")
    for _ in range(30):
        watching.look(db, settings, stands_by=True)
        clock.pass_by(15)
    assert told(db) == ["Prefect does not answer", "Over: Prefect does not answer"]


def test_what_cannot_be_looked_at_does_not_keep_the_rest_from_it(
    db: Database, settings: Settings, clock: Clock, prefect: Prefect, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise Unreachable("The database does not answer.")

    monkeypatch.setattr("models.db.jobs.JobStore.due_jobs", fail)
    ended(db, clock, failures=12)
    watching.look(db, settings)
    assert len(told(db)) == 2


def test_alarms_stand_where_administrators_look_until_they_are_over(
    db: Database, settings: Settings, clock: Clock, prefect: Prefect
) -> None:
    ended(db, clock, failures=12)
    watching.look(db, settings)
    found = standing.list(db, settings, SHELL)
    assert [(alarm.title, alarm.since_at) for alarm in found] == [
        ("Many items fail at PACS", clock.now),
        ("Many items fail at research", clock.now),
    ]
    with pytest.raises(NotPermitted):
        standing.list(db, settings, Actor("ada"))
    clock.pass_by(901)
    watching.look(db, settings)
    assert not [alarm for alarm in standing.list(db, settings, SHELL) if "fail" in alarm.title]


def test_mails_that_wait_for_long_are_shown_since_no_mail_could_tell(
    db: Database, settings: Settings, clock: Clock
) -> None:
    mails.queue(db, Mail("ada@clinic.example", "Hello", "text"))
    clock.pass_by(29 * 60)
    assert standing.list(db, settings, SHELL) == ()
    clock.pass_by(60)
    (alarm,) = standing.list(db, settings, SHELL)
    assert alarm.text == "1 mail waits: there is no mail server; set ADIT_SMTP_URL."
    with_server = settings.model_copy(update={"smtp_url": type(settings.smtp_url)("smtp://127.0.0.1:1")})
    (alarm,) = standing.list(db, with_server, SHELL)
    assert alarm.text == "1 mail waits: look whether the mail server runs, and into the dispatcher's log."


def test_webhooks_that_fail_are_shown_without_their_address(db: Database, settings: Settings) -> None:
    webhook = WebhookStore(db).add(WebhookWish("https://listener.example/t0ken"), b"secret", "root")
    NoticeStore(db).add_test(webhook.id)
    claim = NoticeStore(db).claim(webhook.id, timedelta(minutes=1))
    assert claim is not None
    NoticeStore(db).not_sent(claim, 500, "It answered 500.", timedelta(minutes=1))
    (alarm,) = standing.list(db, settings, SHELL)
    assert alarm.title == "A webhook fails" and "listener" not in alarm.text
