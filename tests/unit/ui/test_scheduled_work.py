"""The page of scheduled work tells what was done and what is wrong, and has a chore done."""

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from models.db.audit import AuditStore
from models.db.chores import ChoreStore
from models.domain.audit import AuditAction, AuditFilter
from models.domain.chores import ChoreOutcome
from models.domain.errors import Unreachable
from services import prefect_status
from services.chores.roster import CHORES
from tests.app_pages import Site, told
from tests.people import a_user
from ui.parts import tables

ALIVE = timedelta(minutes=1)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A Prefect that knows all chores; these are the ones that were asked for."""
    asked: list[str] = []
    known = {name: {"id": name, "paused": False} for name in CHORES}
    monkeypatch.setattr(prefect_status, "deployments", lambda _settings: known)
    monkeypatch.setattr(prefect_status, "next_run_at", lambda _settings, _id: datetime(2030, 1, 2, 3, 4, tzinfo=UTC))
    monkeypatch.setattr(prefect_status, "start", lambda _settings, name: asked.append(name) or "run-1")
    return asked


def done(site: Site, name: str, outcome: ChoreOutcome, message: str) -> None:
    run = ChoreStore(site.db).begin(name, ALIVE)
    assert run
    ChoreStore(site.db).end(run.id, outcome, message)


def test_the_page_tells_of_each_chore_when_and_how_it_went(site: Site, started: list[str]) -> None:
    site.sign_in_staff()
    done(site, "backup", ChoreOutcome.SUCCESS, "Made adit-1.")
    done(site, "disk-check", ChoreOutcome.FAILURE, "WriteFailed: Cannot be reached: folder Gone.")
    assert ChoreStore(site.db).begin("expiry", ALIVE)
    app = site.open("scheduled_work")
    shown = app.dataframe[0].value
    rows = {row["Name"]: row for row in shown.to_dict("records")}
    assert {title: row["Result"][0] for title, row in rows.items()} == {
        **{chore.title: "Not yet" for chore in CHORES.values()},
        "Backup": "Done",
        "Disk check": "Failed",
        "Expiry": "At work",
    }
    assert rows["Backup"]["What it did"] == "Made adit-1."
    assert rows["Recovery"]["When"] == "every 10 minutes"
    assert rows["Recovery"]["Next"].startswith("2030-01-02")
    assert len(app.error) == 1
    assert "Disk check: The last run failed. WriteFailed: Cannot be reached: folder Gone." in told(app)


def test_times_have_their_room_before_there_are_any(site: Site, started: list[str]) -> None:
    site.sign_in_staff()
    widths = json.loads(site.open("scheduled_work").dataframe[0].proto.columns)
    assert widths["Last run"]["width"] == widths["Next"]["width"] == tables.MOMENT


def test_all_chores_of_one_trouble_are_named_with_it(
    site: Site, started: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {name: {"id": name, "paused": False} for name in CHORES if name not in {"backup", "expiry"}}
    monkeypatch.setattr(prefect_status, "deployments", lambda _settings: known)
    site.sign_in_staff()
    done(site, "disk-check", ChoreOutcome.FAILURE, "NoSpace: The disk is full.")
    app = site.open("scheduled_work")
    titles = [chore.title for name, chore in CHORES.items() if name in {"backup", "expiry"}]
    assert len(app.error) == 2
    assert f"{', '.join(titles)}: Prefect does not know it. Deploy with adit deploy." in told(app)
    assert "Disk check: The last run failed." in told(app)


def test_the_last_runs_of_a_chore_are_shown(site: Site, started: list[str]) -> None:
    site.sign_in_staff()
    done(site, "backup", ChoreOutcome.SUCCESS, "Made adit-1.")
    done(site, "backup", ChoreOutcome.FAILURE, "NoSpace: The disk is full.")
    app = site.open("scheduled_work")
    app.selectbox(key="chore").set_value("Backup").run()
    assert list(app.dataframe[1].value["What it did"]) == ["NoSpace: The disk is full.", "Made adit-1."]


def test_the_page_is_there_when_prefect_is_not(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_settings: object) -> None:
        raise Unreachable("Prefect's API does not answer.")

    monkeypatch.setattr(prefect_status, "deployments", refuse)
    site.sign_in_staff()
    app = site.open("scheduled_work")
    assert len(app.error) == 1
    assert "Prefect's API does not answer." in told(app)
    assert len(app.dataframe[0].value) == len(CHORES)


def test_users_have_no_such_page(site: Site, started: list[str]) -> None:
    site.sign_in(a_user(site.db))
    with pytest.raises(ValueError, match="scheduled_work"):
        site.open("scheduled_work")


def test_a_chore_is_done_when_its_button_is_pressed(site: Site, started: list[str]) -> None:
    site.sign_in_staff()
    app = site.open("scheduled_work")
    key = f"chores-{tables.mark(CHORES)}-button"
    app.session_state[key] = SimpleNamespace(row=list(CHORES).index("backup"), label="Run now")
    app.run()
    assert started == ["backup"]
    assert "Backup begins as soon as a worker takes it up." in told(app)
    (line,) = AuditStore(site.db).entries(AuditFilter(action=AuditAction.RUN_CHORE))
    assert line.subject == "backup"


def test_the_index_says_what_is_in_trouble(site: Site) -> None:
    site.sign_in_staff()
    assert "nothing is wrong" in told(site.open("administration"))
    done(site, "backup", ChoreOutcome.FAILURE, "NoSpace: The disk is full.")
    assert "Backup failed or is not done" in told(site.open("administration"))
