"""Who asked for it hears once when a job has ended, and again when it has ended again; nobody else does."""

import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.mails import MailStore
from models.db.nodes import NodeStore
from models.db.people import UserStore
from models.db.quotas import QuotaStore
from models.db.tables import JobRow, UserRow
from models.domain.advice import advice
from models.domain.jobs import State
from models.domain.mails import JobMails, Mail
from models.domain.nodes import Node
from models.domain.people import Profile
from models.settings import Settings
from services.people import actors
from services.post import mails, notifications
from tests.databases import Clock
from tests.people import a_user, mails_to
from tests.samples import a_folder, add_job, some_settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return some_settings(tmp_path, web_url="https://adit.clinic.example")


@pytest.fixture
def ada(database: Database) -> int:
    users = UserStore(database)
    user = users.add("Ada", Profile("ada@clinic.example", "Ada", "Test"), "hash")
    users.confirm_email(user.id)
    return users.approve(user.id, "root").id


def a_job(database: Database, owner: str = "Ada", asks: bool = True, studies: int = 1) -> int:
    job = add_job(database, studies, owner)
    with database.transaction() as session:
        session.get_one(JobRow, job.id).send_finished_mail = asks
    return job.id


def end(database: Database, job_id: int, state: State = State.SUCCESS, code: str = "") -> None:
    claimed = JobStore(database).claim_next(job_id, timedelta(seconds=20))
    assert claimed is not None
    JobStore(database).end_attempt(claimed[1], state, "Patient P1 has 3 images", code)


def queued(database: Database) -> list[Mail]:
    store, found = MailStore(database), list[Mail]()
    while (claim := store.claim(None, mails.CLAIM_FOR, 5)) is not None:
        found.append(store.claimed(claim))
    return found


def test_the_owner_hears_once_how_a_job_has_ended(database: Database, settings: Settings, ada: int) -> None:
    job_id = a_job(database, studies=2)
    end(database, job_id)
    assert notifications.send_finished(database, settings) == 0
    end(database, job_id, State.FAILURE)
    assert notifications.send_finished(database, settings) == 1
    assert notifications.send_finished(database, settings) == 0
    (mail,) = queued(database)
    assert mail.recipient == "ada@clinic.example"
    assert mail.subject == f"Job {job_id} has failed"
    assert f"https://adit.clinic.example/job?id={job_id}\n" in mail.body
    assert "1  success\n" in mail.body and "1  failure\n" in mail.body
    for secret in ("P1", "P2", "1.2.3", "ANON", "PACS", "research"):
        assert secret not in mail.body


def test_a_job_that_ends_again_is_told_about_again(
    database: Database, settings: Settings, ada: int, clock: Clock
) -> None:
    job_id = a_job(database)
    end(database, job_id, State.FAILURE)
    notifications.send_finished(database, settings)
    clock.pass_by(60)
    JobStore(database).retry_failed(job_id)
    assert notifications.send_finished(database, settings) == 0
    end(database, job_id)
    assert notifications.send_finished(database, settings) == 1
    assert [mail.subject for mail in queued(database)] == [
        f"Job {job_id} has failed",
        f"Job {job_id} has ended: success",
    ]


def test_a_mail_about_a_failure_says_what_can_be_done(database: Database, settings: Settings, ada: int) -> None:
    job_id = a_job(database, studies=3)
    for code in ("Unreachable", "NoSpace", "Unreachable"):
        end(database, job_id, State.FAILURE, code)
    notifications.send_finished(database, settings)
    (mail,) = queued(database)
    lines = [line.strip() for line in mail.body.splitlines()]
    assert f"2  Unreachable: {advice('Unreachable').for_user}" in lines
    assert f"1  NoSpace: {advice('NoSpace').for_user}" in lines
    assert "https://adit.clinic.example/profile" in mail.body


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        (None, ["asked success", "asked failure", "asked warning", "asked canceled"]),
        (JobMails.AS_ASKED, ["asked success", "asked failure", "asked warning", "asked canceled"]),
        (
            JobMails.ALWAYS,
            [f"{asks} {end}" for asks in ("asked", "quiet") for end in ("success", "failure", "warning", "canceled")],
        ),
        (JobMails.TROUBLE, ["asked failure", "asked warning", "quiet failure", "quiet warning"]),
        (JobMails.NEVER, []),
    ],
)
def test_owners_choose_about_which_ends_they_hear(
    database: Database, settings: Settings, ada: int, choice: JobMails | None, told: list[str]
) -> None:
    actor = actors.of_name(database, "Ada")
    if choice is not None:
        notifications.choose(database, actor, choice)
    assert notifications.chosen(database, actor) is (choice or JobMails.AS_ASKED)
    names: dict[int, str] = {}
    for asks in (True, False):
        for state in (State.SUCCESS, State.FAILURE, State.WARNING, State.CANCELED):
            job_id = a_job(database, asks=asks)
            names[job_id] = f"{'asked' if asks else 'quiet'} {state.value}"
            end(database, job_id, state)
    assert notifications.send_finished(database, settings) == len(told)
    heard = [names[int(mail.subject.split()[1])] for mail in queued(database)]
    assert sorted(heard) == sorted(told)


def test_a_choice_counts_for_ends_that_come_after_it(
    database: Database, settings: Settings, ada: int, clock: Clock
) -> None:
    end(database, a_job(database, asks=False))
    assert notifications.send_finished(database, settings) == 0
    notifications.choose(database, actors.of_name(database, "Ada"), JobMails.ALWAYS)
    assert notifications.send_finished(database, settings) == 0


def test_a_choice_that_this_version_does_not_know_is_as_good_as_none(database: Database, ada: int) -> None:
    UserStore(database).remember(ada, {"job_mails": "by pigeon"})
    assert notifications.chosen(database, actors.of_name(database, "Ada")) is JobMails.AS_ASKED


def test_nobody_hears_who_did_not_ask_or_has_no_active_account(
    database: Database, settings: Settings, ada: int
) -> None:
    for job_id in (a_job(database, asks=False), a_job(database, owner="root")):
        end(database, job_id)
    with database.transaction() as session:
        session.get_one(UserRow, ada).is_active = False
    end(database, a_job(database))
    assert notifications.send_finished(database, settings) == 0
    assert queued(database) == []


def test_who_gets_no_mail_is_not_looked_at_again(database: Database, settings: Settings, ada: int) -> None:
    job_id = a_job(database, owner="root")
    end(database, job_id)
    notifications.send_finished(database, settings)
    with database.reading() as session:
        row = session.scalars(select(JobRow).where(JobRow.id == job_id)).one()
        assert row.finished_mail_at == row.ended_at is not None


def test_an_address_that_cannot_be_written_to_keeps_nobody_else_waiting(
    database: Database, settings: Settings, ada: int, caplog: pytest.LogCaptureFixture
) -> None:
    with database.transaction() as session:
        user = UserStore(database).add("bob", Profile("bob, eve@clinic.example", "Bob", "Test"), "hash")
        UserStore(database).confirm_email(user.id)
        UserStore(database).approve(user.id, "root")
        session.flush()
    for owner in ("bob", "Ada"):
        end(database, a_job(database, owner=owner))
    assert notifications.send_finished(database, settings) == 1
    assert notifications.send_finished(database, settings) == 0
    assert "BadRequest" in caplog.text and "@" not in caplog.text


def test_administrators_hear_once_that_a_folder_is_nearly_full(database: Database, settings: Settings) -> None:
    a_user(database, "root", is_superuser=True)
    a_user(database, "bob", is_staff=True)
    folder = NodeStore(database).add(replace(a_folder(), quota_gb=1.0, warn_at_percent=50.0))
    fill(database, folder, 499_999_999)
    assert notifications.warn_of_full_folders(database, settings) == 0
    fill(database, folder, 500_000_000)
    assert notifications.warn_of_full_folders(database, settings) == 1
    (mail,) = queued(database)
    assert mail.recipient == "root@example.org"
    assert mail.subject == "Folder research is nearly full"
    assert "0.5 GB of 1 GB used (50 %)" in mail.body
    assert f"https://adit.clinic.example/folders?id={folder.id}\n" in mail.body


@pytest.fixture
def watched(settings: Settings) -> Settings:
    """An installation with one administrator who is told."""
    return settings.model_copy(update={"admin_email": "admins@clinic.example"})


@pytest.fixture
def folder(database: Database) -> Node:
    """A folder whose threshold is at 1,000 MB, so that well below is below 950 MB."""
    return NodeStore(database).add(replace(a_folder(), warn_at_gb=1.0))


def test_a_threshold_is_told_of_exactly_once_per_crossing(
    database: Database, watched: Settings, folder: Node, clock: Clock
) -> None:
    """Crossing, staying for a week, sinking a little and much, and crossing again."""
    told = 0
    days = [
        ("below", 999, 0),
        ("crossing", 1000, 1),
        *(("staying", 1000 + day, 0) for day in range(7)),
        ("a little below", 950, 0),
        ("back", 1500, 0),
        ("well below", 949, 0),
        ("nearly", 999, 0),
        ("crossing again", 1000, 1),
        ("staying again", 1000, 0),
        ("empty", 0, 0),
        ("far beyond at once", 5000, 1),
    ]
    for name, size_mb, mails_told in days:
        clock.pass_by(86_400)
        fill(database, folder, size_mb * 10**6)
        for _ in range(3):  # the dispatcher looks every few seconds
            notifications.warn_of_full_folders(database, watched)
        before, told = told, len(mails_to(database, "admins@clinic.example"))
        assert told - before == mails_told, name
    assert told == 3


def test_dispatchers_at_the_same_time_tell_of_a_crossing_once(
    database: Database, watched: Settings, folder: Node
) -> None:
    fill(database, folder, 1_000_000_000)
    together = threading.Barrier(4)
    crossed: list[int] = []

    def look() -> None:
        together.wait(30)
        crossed.append(notifications.warn_of_full_folders(database, watched))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(crossed) == [0, 0, 0, 1]
    assert len(queued(database)) == 1


def test_a_dispatcher_killed_between_seeing_a_crossing_and_writing_the_mail_loses_none(
    database: Database, watched: Settings, folder: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(database, folder, 1_000_000_000)

    def die(*_arguments: object, **_values: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken, pytest.raises(KeyboardInterrupt):
        broken.setattr("services.post.mails.queue", die)
        notifications.warn_of_full_folders(database, watched)
    assert queued(database) == []
    assert notifications.warn_of_full_folders(database, watched) == 1
    assert notifications.warn_of_full_folders(database, watched) == 0
    assert len(queued(database)) == 1


def fill(database: Database, folder: Node, size_bytes: int) -> None:
    store = QuotaStore(database)
    assert store.end_walk(store.begin_walk(folder.id), size_bytes)
