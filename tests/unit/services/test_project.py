"""What administrators set for everybody: who may, what of an announcement is left, and who gets past a closed door."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.db.audit import AuditStore
from models.db.engine import Database
from models.db.project import ProjectStore
from models.domain.errors import AditError, AppLocked, BadRequest, NotPermitted, Outdated, UnderMaintenance
from models.domain.people import Actor
from models.domain.project import App, AppState, Project
from services import project

USER, STAFF = Actor("ada"), Actor("grace", is_staff=True)
SUPERUSER = Actor("root", is_staff=True, is_superuser=True)
PLANTED = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    '<iframe srcdoc="<script>alert(1)</script>"></iframe>',
    '<a href="javascript:alert(1)">x</a>',
    '<a href="data:text/html,x">x</a>',
    '<p style="position:fixed" onclick="alert(1)">x</p>',
    "<style>body{display:none}</style>",
    '<form action="https://evil.example"><input name=password></form>',
    '<meta http-equiv=refresh content="0;url=https://evil.example">',
    '<base href="https://evil.example/">',
    '<link rel=stylesheet href="https://evil.example/x.css">',
    '<object data="x"></object><embed src="x">',
)
HARMFUL = (
    "script",
    "alert",
    "onerror",
    "onload",
    "onclick",
    "style",
    "form",
    "input",
    "evil",
    "srcdoc",
    "data:",
    "img",
)


def test_in_the_beginning_nothing_is_set(database: Database) -> None:
    assert project.get(database) == Project()
    assert project.announcement(database) == ""
    assert project.apps(database) == {app: AppState(app) for app in App}


def test_staff_announces_and_begins_maintenance(database: Database) -> None:
    html = "<strong>Scheduled Maintenance:</strong> ADIT will be offline on <strong>March 15</strong>."
    changed = project.update(database, STAFF, html, True, 1)
    assert changed == project.get(database) == Project(html, maintenance=True, version=2)
    assert project.announcement(database) == html
    assert project.update(database, STAFF, "", False, 2) == Project(version=3)
    assert [(entry.actor, entry.action.value, entry.subject) for entry in AuditStore(database).entries()] == [
        ("grace", "change_settings", "project: announcement removed, maintenance off"),
        ("grace", "change_settings", "project: announcement changed, maintenance on"),
    ]


def test_nobody_else_may(database: Database) -> None:
    with pytest.raises(NotPermitted):
        project.update(database, USER, "", True, 1)
    for actor in (USER, STAFF):
        with pytest.raises(NotPermitted):
            project.set_app(database, actor, AppState(App.UPLOAD, locked=True))
    assert project.get(database) == Project()
    assert not project.apps(database)[App.UPLOAD].locked
    assert [(entry.actor, entry.subject, entry.outcome) for entry in AuditStore(database).entries()] == [
        ("grace", "upload", "NotPermitted"),
        ("ada", "upload", "NotPermitted"),
        ("ada", "project", "NotPermitted"),
    ]


def test_an_older_form_does_not_undo_what_another_saved(database: Database) -> None:
    project.update(database, STAFF, "<p>one</p>", False, 1)
    with pytest.raises(Outdated):
        project.update(database, STAFF, "<p>two</p>", False, 1)
    assert project.announcement(database) == "<p>one</p>"


def test_of_many_who_save_at_once_one_gets_through(database: Database) -> None:
    def save(number: int) -> str:
        try:
            return project.update(database, STAFF, f"<p>{number}</p>", False, 1).announcement
        except Outdated:
            return ""

    with ThreadPoolExecutor(4) as pool:
        saved = [text for text in pool.map(save, range(4)) if text]
    assert saved == [project.announcement(database)]


def test_an_announcement_has_a_length(database: Database) -> None:
    project.update(database, STAFF, "x" * 10_000, False, 1)
    for long in ("x" * 10_001, "<" * 9_000):
        with pytest.raises(BadRequest, match="10,000") as raised:
            project.update(database, STAFF, long, False, 2)
        assert list(raised.value.problems) == ["announcement"]


@pytest.mark.parametrize("planted", PLANTED)
def test_nothing_harmful_is_kept_or_shown(database: Database, planted: str) -> None:
    kept = project.update(database, STAFF, f"<p>Hello</p>{planted}<p>world</p>", False, 1).announcement
    assert kept.startswith("<p>Hello</p>")
    assert kept.endswith("<p>world</p>")
    assert not [word for word in HARMFUL if word in kept]
    assert project.cleaned(planted) == "" or "x" in project.cleaned(planted)


def test_what_got_into_the_database_by_another_way_is_cleaned_when_shown(database: Database) -> None:
    ProjectStore(database).update(Project("<p>a</p><script>alert(1)</script>"))
    assert project.announcement(database) == "<p>a</p>"
    assert project.get(database).announcement == "<p>a</p>"


def test_links_open_without_telling_where_from() -> None:
    link = project.cleaned('<a href="https://example.org" target="_top">x</a>')
    assert link == '<a href="https://example.org" rel="noopener noreferrer nofollow">x</a>'


@given(st.text(alphabet="<>/ap\"'=& href:javscrit-!", max_size=60))
def test_cleaning_twice_changes_nothing(html: str) -> None:
    assert project.cleaned(project.cleaned(html)) == project.cleaned(html)


def test_a_superuser_locks_and_suspends_one_application(database: Database) -> None:
    state = AppState(App.SELECTIVE_TRANSFER, locked=True, suspended=True)
    for _ in range(2):
        assert project.set_app(database, SUPERUSER, state) == state
    assert project.apps(database)[App.SELECTIVE_TRANSFER] == state
    assert project.apps(database)[App.BATCH_TRANSFER] == AppState(App.BATCH_TRANSFER)
    project.set_app(database, SUPERUSER, AppState(App.SELECTIVE_TRANSFER))
    assert [entry.subject for entry in AuditStore(database).entries()] == [
        "selective_transfer: open",
        "selective_transfer: locked, suspended",
    ], "what was so already is not written down again"


def test_two_who_lock_an_application_for_the_first_time_do_not_collide(database: Database) -> None:
    def lock(number: int) -> AppState:
        return project.set_app(database, SUPERUSER, AppState(App.UPLOAD, locked=True, suspended=number % 2 == 0))

    with ThreadPoolExecutor(4) as pool:
        assert all(state.locked for state in pool.map(lock, range(4)))


@pytest.mark.parametrize(
    ("maintenance", "locked", "refusals"),
    [
        (False, False, (None, None, None)),
        (True, False, (UnderMaintenance, None, None)),
        (False, True, (AppLocked, AppLocked, None)),
        (True, True, (UnderMaintenance, AppLocked, None)),
    ],
)
def test_who_gets_past_a_closed_door(
    database: Database, maintenance: bool, locked: bool, refusals: tuple[type[AditError] | None, ...]
) -> None:
    project.update(database, STAFF, "", maintenance, 1)
    project.set_app(database, SUPERUSER, AppState(App.DICOM_EXPLORER, locked=locked))
    for actor, refusal in zip((USER, STAFF, SUPERUSER), refusals, strict=True):
        if refusal is None:
            project.check_open(database, actor, App.DICOM_EXPLORER)
        else:
            with pytest.raises(refusal):
                project.check_open(database, actor, App.DICOM_EXPLORER)
        if not maintenance or actor.is_staff:
            project.check_open(database, actor, App.UPLOAD)
