"""Job overview, project settings, broadcasts, the audit trail, and the index that leads to all of them."""

from datetime import timedelta

import httpx
import pytest
from streamlit.testing.v1 import AppTest

from models.db.audit import AuditStore
from models.db.jobs import JobStore
from models.domain.audit import BEGUN, AuditAction, AuditFilter
from models.domain.errors import BadRequest
from models.domain.jobs import Job, JobKind, State
from models.domain.nodes import Server
from models.domain.people import Group, Permission
from models.domain.project import App, AppState
from models.domain.requests import StudyWish, TransferRequest
from services import audit, jobs, nodes, project
from services.people import groups, sessions
from services.post import broadcasts
from tests.app_pages import Site, click, labels, told
from tests.people import a_user, mails_to
from ui import audit_file


def a_pair(site: Site) -> tuple[int, int]:
    """A source and a destination."""
    known = nodes.list(site.db)
    if not known:
        reads = {"study_root_find_support": True, "study_root_get_support": True, "store_scp_support": True}
        known = [
            nodes.add_server(site.db, site.shell, Server(name, name, "pacs.example", 104, **reads)) for name in "AB"
        ]
    return known[0].id, known[1].id


def a_job(site: Site, study: str = "1.2.3", kind: JobKind = JobKind.SELECTIVE_TRANSFER, trial: str = "") -> Job:
    source, target = a_pair(site)
    wish = TransferRequest(kind, source, target, (StudyWish(study),), trial, keep_identity=True)
    return jobs.submit(site.db, site.settings, site.shell, wish)


# -- job overview -----------------------------------------------------------------------------------------------------


def test_jobs_are_counted_by_kind_and_by_the_statuses_of_the_guide(site: Site) -> None:
    site.sign_in_staff()
    a_job(site)
    jobs.cancel(site.db, site.shell, a_job(site, "1.2.4", JobKind.BATCH_TRANSFER).id)
    app = site.open("job_overview")
    words = {label.rpartition("\n")[2] for label in labels(app)}
    assert {"Pending", "In Progress", "Completed", "Failed", "Cancelled"} <= words
    assert app.button(key="count-selective_transfer-pending").label.startswith("**1**")
    assert app.button(key="count-batch_transfer-canceled").label.startswith("**1**")
    assert app.button(key="count-batch_transfer-failure").disabled


def test_the_overview_says_under_maintenance_when_nothing_is_at_work_any_more(site: Site) -> None:
    site.sign_in_staff()
    job = a_job(site)
    claim = JobStore(site.db).claim_next(job.id, timedelta(minutes=5))
    assert claim is not None
    assert "**Items at work:** 1" in texts(site.open("job_overview"))
    now = project.get(site.db)
    project.update(site.db, site.shell, "", True, now.version)
    assert "**Items at work:** 1. There is maintenance, so no other begins. Wait until" in texts(
        site.open("job_overview")
    )
    JobStore(site.db).end_attempt(claim[1], State.SUCCESS, "")
    assert "**Items at work:** 0. There is maintenance, so no other begins. Nothing is" in texts(
        site.open("job_overview")
    )


def texts(app: AppTest) -> str:
    """What is written on a page."""
    return "\n".join(element.value for element in app.markdown)


def test_a_number_shows_the_jobs_behind_it(site: Site) -> None:
    site.sign_in_staff()
    a_job(site)
    canceled = a_job(site, "1.2.4", JobKind.BATCH_TRANSFER)
    jobs.cancel(site.db, site.shell, canceled.id)
    app = site.open("job_overview")
    assert len(app.dataframe[0].value) == 2
    click(app, "count-batch_transfer-canceled")
    assert list(app.dataframe[0].value["Job"]) == [canceled.id]
    assert app.multiselect(key="overview-state").value == ["Canceled"]


def test_jobs_of_everybody_are_found_by_owner_and_trial(site: Site) -> None:
    site.sign_in_staff()
    a_user(site.db, "bert")
    a_job(site, trial="TRIAL-7")
    app = site.open("job_overview")
    app.text_input(key="overview-q").set_value("trial-7").run()
    assert list(app.dataframe[0].value["Owner"]) == ["shell"]
    app.selectbox(key="overview-owner").set_value("bert").run()
    assert "No job matches" in told(app)


# -- project settings -------------------------------------------------------------------------------------------------


def test_an_announcement_is_previewed_and_saved_without_what_is_dangerous(site: Site) -> None:
    site.sign_in_staff()
    app = site.open("project_settings")
    assert {"Maintenance mode", "Announcement"} <= labels(app)
    app.text_area(key="project-announcement").set_value("<strong>Soon</strong><script>alert(1)</script>").run()
    shown = [element.proto.body for element in app.get("html")]
    assert "<strong>Soon</strong>" in shown
    assert not any("alert" in text for text in shown)
    click(app, "project-save")
    assert project.announcement(site.db) == "<strong>Soon</strong>"


def test_maintenance_is_switched_on_and_off(site: Site) -> None:
    site.sign_in_staff()
    app = site.open("project_settings")
    assert "No job is waiting or running." in told(app)
    app.checkbox(key="project-maintenance").check()
    click(app, "project-save")
    assert project.get(site.db).maintenance
    assert "Maintenance mode is on" in told(app)
    app.checkbox(key="project-maintenance").uncheck()
    click(app, "project-save")
    assert not project.get(site.db).maintenance


def test_settings_that_somebody_else_has_changed_are_not_overwritten(site: Site) -> None:
    site.sign_in_staff()
    app = site.open("project_settings")
    project.update(site.db, site.shell, "<b>Theirs</b>", False, project.get(site.db).version)
    app.text_area(key="project-announcement").set_value("Mine")
    click(app, "project-save")
    assert project.announcement(site.db) == "<b>Theirs</b>"
    assert app.text_area(key="project-announcement").value == "Mine"
    click(app, "project-rebase")
    click(app, "project-save")
    assert project.announcement(site.db) == "Mine"


def test_superusers_lock_and_suspend_applications(site: Site) -> None:
    site.sign_in_superuser()
    a_job(site)
    app = site.open("project_settings")
    assert "1 job is waiting or running." in told(app)
    app.toggle(key="app-selective_transfer-locked-False-False").set_value(True).run()
    assert project.apps(site.db)[App.SELECTIVE_TRANSFER] == AppState(App.SELECTIVE_TRANSFER, locked=True)
    app.toggle(key="app-selective_transfer-suspended-True-False").set_value(True).run()
    assert project.apps(site.db)[App.SELECTIVE_TRANSFER] == AppState(App.SELECTIVE_TRANSFER, True, True)
    app.toggle(key="app-selective_transfer-locked-True-True").set_value(False).run()
    assert project.apps(site.db)[App.SELECTIVE_TRANSFER] == AppState(App.SELECTIVE_TRANSFER, False, True)


def test_only_applications_that_exist_can_be_locked(site: Site) -> None:
    site.sign_in_superuser()
    switches = {toggle.key.split("-")[1] for toggle in site.open("project_settings").toggle}
    assert switches == {app.value for app in App} - {App.MASS_TRANSFER.value, App.UPLOAD.value}


def test_staff_see_how_applications_stand(site: Site) -> None:
    site.sign_in_staff()
    app = site.open("project_settings")
    assert all(toggle.disabled for toggle in app.toggle)
    assert len(app.toggle) == 5 + 3


# -- broadcast --------------------------------------------------------------------------------------------------------


def test_a_broadcast_goes_to_everybody_with_the_number_told_first(site: Site) -> None:
    site.sign_in_staff()
    a_user(site.db, "bert")
    app = site.open("broadcast", id="new")
    app.text_input(key="broadcast-subject").set_value("News")
    app.text_area(key="broadcast-message").set_value("There is news.")
    assert app.button(key="broadcast-save").label == "Send to 2 people"
    click(app, "broadcast-save")
    assert "on its way to 2 people" in told(app)
    assert len(mails_to(site.db, "bert@example.org")) == 1
    assert list(app.dataframe[0].value["Subject"]) == ["News"]


def test_recipients_are_picked_and_nobody_else_gets_it(site: Site) -> None:
    site.sign_in_staff()
    bert = a_user(site.db, "bert")
    app = site.open("broadcast", id="new")
    app.radio(key="broadcast-everybody").set_value("Chosen users").run()
    app.multiselect(key="broadcast-user_ids").set_value([bert.id]).run()
    assert app.multiselect(key="broadcast-user_ids").options[0] == "bert <bert@example.org>"
    app.text_input(key="broadcast-subject").set_value("News")
    app.text_area(key="broadcast-message").set_value("There is news.")
    assert app.button(key="broadcast-save").label == "Send to 1 person"
    click(app, "broadcast-save")
    assert len(mails_to(site.db, "bert@example.org")) == 1
    assert mails_to(site.db, "staff@example.org") == []


def test_a_broadcast_is_previewed_before_anything_is_sent(site: Site) -> None:
    site.sign_in_staff()
    app = site.open("broadcast", id="new")
    click(app, "broadcast-preview")
    assert "**Subject**" in app.error[0].value
    assert "**Message**" in app.error[0].value
    app.text_input(key="broadcast-subject").set_value("News")
    app.text_area(key="broadcast-message").set_value("There is *news*.")
    click(app, "broadcast-preview")
    assert any("There is *news*." in text.value for text in app.text)
    assert broadcasts.list(site.db, site.shell) == ()


def test_what_became_of_each_mail_is_listed(site: Site) -> None:
    site.sign_in_staff()
    broadcast = broadcasts.send(site.db, site.shell, "News", "There is news.", None)
    app = site.open("broadcast", id=str(broadcast.id))
    assert list(app.dataframe[1].value["Recipient"]) == ["staff@example.org"]
    assert "There is news." in told(app)


# -- audit trail ------------------------------------------------------------------------------------------------------


def a_reader(site: Site) -> None:
    group = groups.add(site.db, site.shell, Group("Data protection", frozenset({Permission.READ_AUDIT})))
    site.sign_in(a_user(site.db, "rita", groups=frozenset({group.id})))


def test_the_trail_is_filtered_by_who_and_what(site: Site) -> None:
    a_reader(site)
    audit.record(site.db, "ada", AuditAction.SEARCH, "node PACS", details={"patient_id": "4711"})
    audit.record(site.db, "bert", AuditAction.SEARCH, "node Nord", "NotPermitted")
    app = site.open("audit")
    app.text_input(key="audit-who").set_value("bert").run()
    shown = app.dataframe[0].value
    assert list(shown["About"]) == ["node Nord"]
    assert [list(words) for words in shown["Outcome"]] == [["Refused"]]
    app.text_input(key="audit-who").set_value("")
    app.selectbox(key="audit-action").set_value("Search").run()
    assert len(app.dataframe[0].value) == 2
    app.text_input(key="audit-text").set_value("pacs").run()
    assert list(app.dataframe[0].value["About"]) == ["node PACS"]


def test_what_has_only_begun_is_not_called_failed(site: Site) -> None:
    a_reader(site)
    audit.record(site.db, "bert", AuditAction.WEB_RETRIEVE, "server PACS", BEGUN)
    app = site.open("audit")
    app.text_input(key="audit-who").set_value("bert").run()
    assert [list(words) for words in app.dataframe[0].value["Outcome"]] == [["Begun"]]


def test_details_are_shown_for_a_reason_that_is_written_down(site: Site) -> None:
    a_reader(site)
    audit.record(site.db, "ada", AuditAction.SEARCH, "node PACS", details={"patient_id": "4711"})
    entry = AuditStore(site.db).entries()[0]
    app = site.open("audit", id=str(entry.id))
    assert "4711" not in told(app)
    app.text_input(key="entry-reason").set_value("short")
    assert "4711" not in told(click(app, "entry-details"))
    app.text_input(key="entry-reason").set_value("A complaint of the patient")
    assert "4711" in told(click(app, "entry-details"))
    newest = AuditStore(site.db).entries()[0]
    assert (newest.action, newest.reason) == (AuditAction.READ_DETAILS, "A complaint of the patient")


def test_the_check_says_whether_the_trail_is_whole(site: Site) -> None:
    a_reader(site)
    audit.record(site.db, "ada", AuditAction.SEARCH, "node PACS")
    app = click(site.open("audit"), "audit-verify")
    assert "All are as they were written." in told(app)
    newest = audit.verify(site.db).newest
    assert app.code[0].value == newest
    app.text_input(key="audit-kept").set_value("0" * 64)
    assert "entries were cut off" in told(click(app, "audit-verify"))


def test_the_address_of_the_file_holds_the_filter() -> None:
    wanted = AuditFilter(who="ada & co", action=AuditAction.SEARCH, text="PACS")
    query = httpx.URL(audit_file.address(wanted)).params
    assert audit_file.wanted(query) == wanted
    for strange in ({"action": "fly"}, {"since": "yesterday"}, {"until": "2026-03-01"}):
        with pytest.raises(BadRequest):
            audit_file.wanted(strange)


# -- index ------------------------------------------------------------------------------------------------------------


def test_the_index_has_the_sections_of_the_guide_and_says_what_needs_attention(site: Site) -> None:
    site.sign_in_superuser()
    a_user(site.db, "bert")
    a_job(site)
    project.update(site.db, site.shell, "", True, project.get(site.db).version)
    app = site.open("administration")
    shown = told(app)
    for section in ("Authentication and Authorization", "Core", "Common"):
        assert section in shown
    assert "2 users" in shown
    assert "2 servers" in shown
    assert "1 pending" in shown
    assert "Maintenance mode is on" in shown


def test_the_index_asks_once_who_looks_at_it(site: Site) -> None:
    site.sign_in_superuser()
    app = site.open("administration")
    find, asked = sessions.find, []
    site.monkeypatch.setattr(sessions, "find", lambda *args, **kwargs: asked.append(1) or find(*args, **kwargs))
    app.run()
    assert len(asked) == 2, "once for the frame of the page, and once for what is in it"


def test_the_index_leaves_out_what_somebody_may_not_see(site: Site) -> None:
    site.sign_in_staff()
    links = {link.proto.label for link in site.open("administration").get("page_link")}
    assert "**Groups**" in links
    assert "**Audit trail**" not in links
