"""Who asked for it hears once when a job has ended, and again when it has ended again; nobody else does."""

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
from models.domain.jobs import State
from models.domain.mails import Mail
from models.domain.nodes import Node
from models.domain.people import Profile
from models.settings import Settings
from services.post import mails, notifications
from tests.databases import Clock
from tests.people import a_user
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


def end(database: Database, job_id: int, state: State = State.SUCCESS) -> None:
    claimed = JobStore(database).claim_next(job_id, timedelta(seconds=20))
    assert claimed is not None
    JobStore(database).end_attempt(claimed[1], state, "Patient P1 has 3 images")


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
    assert mail.subject == f"Job {job_id} has ended: failure"
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
        f"Job {job_id} has ended: failure",
        f"Job {job_id} has ended: success",
    ]


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


def test_a_folder_is_told_about_again_only_after_it_was_well_below(database: Database, settings: Settings) -> None:
    settings = settings.model_copy(update={"admin_email": "admins@clinic.example"})
    folder = NodeStore(database).add(replace(a_folder(), warn_at_gb=1.0))
    told: list[int] = []
    for size_mb in (1000, 1200, 990, 1000, 940, 999, 1000):
        fill(database, folder, size_mb * 10**6)
        told.append(notifications.warn_of_full_folders(database, settings))
    assert told == [1, 0, 0, 0, 0, 0, 1]
    assert [mail.recipient for mail in queued(database)] == ["admins@clinic.example"] * 2


def fill(database: Database, folder: Node, size_bytes: int) -> None:
    store = QuotaStore(database)
    assert store.end_walk(store.begin_walk(folder.id), size_bytes)
