"""Every template is filled as it is in operation, in an installation full of patients, and none of them is in any mail.

The same is asked of webhooks, of alarms, and of what either logs.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.nodes import NodeStore
from models.db.quotas import QuotaStore
from models.db.scopes import ScopeStore
from models.db.tables import ItemRow, JobRow, MailRow, NoticeRow
from models.db.webhooks import WebhookStore
from models.domain.errors import Unreachable
from models.domain.jobs import State
from models.domain.mails import Mail
from models.domain.people import operator
from models.domain.webhooks import WebhookWish
from models.settings import Settings
from services.alarms import standing, watching
from services.people import accounts
from services.post import broadcasts, mails, notifications
from tests.databases import Clock
from tests.people import ANOTHER_PASSWORD, PASSWORD, a_profile, a_user, acting, mails_to, token_in
from tests.samples import a_folder, a_request, a_server, some_settings

TEMPLATES = {path.stem for path in Path(mails.__file__).with_name("mail_templates").glob("*.txt")}
SHELL = operator("root")
PATIENT_ID, STUDY_UID, PSEUDONYM, NAME = "PID-4711", "1.2.826.0.77.1", "SUBJ-0815", "Doe^Jane"
PLANTED = (PATIENT_ID, STUDY_UID, PSEUDONYM, "Doe", "Jane", "19701224", "row-of-Jane")
MESSAGE = f"{NAME} ({PATIENT_ID}, 19701224): {STUDY_UID} has no images; goes as {PSEUDONYM}."


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return some_settings(tmp_path, admin_email="admins@example.org", web_url="https://adit.example.org")


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The templates that were filled."""
    names: set[str] = set()

    def recorded(render: Callable[..., Mail]) -> Callable[..., Mail]:
        def record(template: str, recipient: str, **values: object) -> Mail:
            names.add(template)
            return render(template, recipient, **values)

        return record

    monkeypatch.setattr(mails, "render", recorded(mails.render))
    return names


def a_job_full_of_patients(db: Database, items: int = 12) -> int:
    """A job of ada that has failed, with everything that rows can say of a patient."""
    store = NodeStore(db)
    source = store.add(a_server("PACS")).id
    folder = store.add(replace(a_folder(), warn_at_gb=1.0)).id
    assert QuotaStore(db).end_walk(QuotaStore(db).begin_walk(folder), 2 * 10**9)
    request = a_request(source, folder, items, send_finished_mail=True)
    wish = replace(
        request.studies[0],
        study_uid=STUDY_UID,
        patient_id=PATIENT_ID,
        pseudonym=PSEUDONYM,
        series_uids=(f"{STUDY_UID}.5",),
        row_id="row-of-Jane",
    )
    studies = tuple(replace(wish, study_uid=f"{STUDY_UID}.{n}") for n in range(items))
    job_id = JobStore(db).add("ada", replace(request, studies=studies), ScopeStore(db).new()).id
    for _ in range(items):
        claimed = JobStore(db).claim_next(job_id, timedelta(minutes=1))
        assert claimed is not None
        JobStore(db).end_attempt(claimed[1], State.FAILURE, MESSAGE, "NotFound")
    with db.transaction() as session:
        session.execute(update(JobRow).values(project_description=MESSAGE))
        assert session.scalars(select(ItemRow.message)).first() == MESSAGE
    return job_id


def tell_of_accounts(db: Database, settings: Settings) -> None:
    """Everything that people hear about their accounts."""
    new = accounts.register(db, settings, "new", a_profile("new"), PASSWORD, "192.0.2.1")
    accounts.confirm_email(db, settings, token_in(mails_to(db, "new@example.org")[-1]), "192.0.2.1")
    accounts.approve(db, settings, SHELL, new.id)
    accounts.request_reset(db, settings, "new@example.org", "192.0.2.1")
    accounts.change_password(
        db, settings, acting(db, settings, accounts.get(db, SHELL, new.id)), PASSWORD, ANOTHER_PASSWORD, 0
    )
    added = accounts.add(db, settings, SHELL, "added", a_profile("added"))
    accounts.update(db, SHELL, replace(added, profile=a_profile("moved")))


def tell_of_alarms(db: Database, settings: Settings, clock: Clock) -> None:
    """Failures and a standstill, until they are over."""
    watching.look(db, settings)
    clock.pass_by(3600)
    watching.look(db, settings)


def everything_written(db: Database) -> dict[str, str]:
    """Each mail by its subject, as it goes out, and each notice, and each alarm."""
    with db.reading() as session:
        found = {
            f"mail {row.id}": "\n".join(json.loads(db.vault.decrypt(row.content)))
            for row in session.scalars(select(MailRow))
        }
        return found | {f"notice {row.id}": row.body for row in session.scalars(select(NoticeRow))}


def test_no_mail_notice_or_alarm_names_a_patient(
    db: Database,
    settings: Settings,
    clock: Clock,
    used: set[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def unreachable(_settings: Settings) -> None:
        raise Unreachable("Prefect's API does not answer.")

    monkeypatch.setattr("services.prefect_status.workers", unreachable)
    caplog.set_level(logging.DEBUG)
    a_user(db, "ada")
    a_user(db, "root", is_superuser=True)
    WebhookStore(db).add(WebhookWish("https://listener.example/"), b"secret", "root")
    tell_of_accounts(db, settings)
    job_id = a_job_full_of_patients(db)
    assert notifications.send_finished(db, settings) == 1
    assert notifications.warn_of_full_folders(db, settings) == 1
    broadcasts.send(db, SHELL, "Pause", "Tomorrow from two to four.", None)
    tell_of_alarms(db, settings, clock)
    shown = " ".join(f"{alarm.title} {alarm.text}" for alarm in standing.list(db, settings, SHELL))

    assert used | {"signature", "test_mail"} == TEMPLATES, "every template was filled but that of `adit send-test-mail`"
    written = everything_written(db)
    assert any(f"Job {job_id} has failed" in text for text in written.values())
    assert any("Many items fail at PACS" in text for text in written.values())
    assert [name for name in written if name.startswith("notice")]
    for name, text in {**written, "alarms": shown, "log": caplog.text}.items():
        assert [planted for planted in PLANTED if planted in text] == [], name
        assert "{{" not in text and "None" not in text, name


@pytest.mark.parametrize("state", [State.SUCCESS, State.WARNING, State.FAILURE, State.CANCELED])
def test_a_mail_about_a_job_says_in_its_subject_how_it_ended_and_then_what_can_be_done(state: State) -> None:
    values = {"job_id": 7, "kind": "batch transfer", "what": notifications._SUBJECTS[state], "state": state.value}
    counts, link = {"success": 3, "failure": 1}, "https://adit.example.org/job?id=7"
    mail = mails.render(
        "job_finished",
        "ada@x",
        **values,
        counts=counts,
        troubles=[(1, "NoSpace", "Tell.")],
        link=link,
        profile_link="P",
    )
    assert mail.subject == f"Job 7 {notifications._SUBJECTS[state]}"
    assert ("What you can do:" in mail.body and "1  NoSpace: Tell." in mail.body) is (state is State.FAILURE)
    assert ("somebody should look" in mail.body) is (state is State.WARNING)
    assert ("resumed" in mail.body) is (state is State.CANCELED)
    assert "\n\n\n" not in mail.body
