"""Servers that are stopped or closed: who stops them, what people hear, and budgets that change by the hour."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest

from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.nodes import NodeStore
from models.db.scopes import ScopeStore
from models.db.slots import SlotStore
from models.domain.audit import DONE
from models.domain.errors import BadRequest, HeldBack, NotFound, NotPermitted, OutsideWindow, ServerStopped
from models.domain.jobs import Job, State
from models.domain.nodes import BudgetRule, Server, Stop, Window
from models.domain.people import Actor, NodeAccess, Permission, operator
from models.settings import Settings
from services import audit, budgets, holding, jobs, nodes, work
from services.checks import connections
from services.gateway import access
from services.searching import search_access
from services.searching.visits import Visit
from tests.databases import Clock, clock, sqlite_database
from tests.samples import a_folder, a_request, a_server, some_settings

__all__ = ["clock"]

STAFF = Actor("eve", is_staff=True)
ROOT = operator("root")
LEASE = timedelta(seconds=20)
NIGHTS = tuple(Window(day, time(20), time(6)) for day in range(7))
NOON, EVENING = datetime(2026, 3, 2, 12, tzinfo=UTC), datetime(2026, 3, 2, 20, tzinfo=UTC)
WEB = (Permission.WEB_QUERY, Permission.WEB_RETRIEVE, Permission.WEB_STORE)


@pytest.fixture
def db(tmp_path: Path, clock: Clock) -> Database:
    clock.now = NOON
    return sqlite_database(tmp_path, clock)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return some_settings(tmp_path)


def kept(db: Database, name: str = "PACS", **fields: object) -> Server:
    added = NodeStore(db).add(a_server(name, **fields))
    assert isinstance(added, Server)
    return added


def a_job(db: Database, source: Server, studies: int = 1) -> Job:
    folder = NodeStore(db).add(a_folder(f"to {source.name}", f"/srv/{source.name}"))
    return JobStore(db).add("ada", a_request(source.id, folder.id, studies), ScopeStore(db).new())


def a_caller(server: Server) -> Actor:
    reach = NodeAccess(frozenset({server.id}), frozenset({server.id}))
    return Actor("ada", permissions=frozenset({*WEB, Permission.EXPLORE}), access=reach, user_id=7)


def test_staff_stops_a_server_and_lets_it_go_on_and_both_are_written_down(db: Database) -> None:
    server = kept(db)
    stopped = holding.stop(db, STAFF, server.id, "  It swaps\n its disks ")
    assert stopped.stop == Stop("eve", NOON, "It swaps its disks")
    assert holding.let_go_on(db, STAFF, server.id).stop is None
    holding.let_go_on(db, STAFF, server.id)
    lines = [(entry.actor, entry.subject, entry.outcome) for entry in audit.entries(db, ROOT)]
    assert lines == [("eve", "server PACS: let go on", DONE), ("eve", "server PACS: stopped", DONE)]


def test_nobody_else_does_and_the_try_is_written_down(db: Database) -> None:
    server = kept(db)
    for act in (holding.stop, holding.let_go_on):
        with pytest.raises(NotPermitted):
            act(db, a_caller(server), server.id)
    assert holding.reasons(db) == {}
    lines = {(entry.subject, entry.outcome) for entry in audit.entries(db, ROOT)}
    number = f"node {server.id}"
    assert lines == {(f"{number}: stopped", "NotPermitted"), (f"{number}: let go on", "NotPermitted")}


def test_a_reason_is_short_and_a_server_has_to_be_one(db: Database) -> None:
    server, folder = kept(db), NodeStore(db).add(a_folder())
    with pytest.raises(BadRequest, match="reason"):
        holding.stop(db, STAFF, server.id, "x" * 501)
    with pytest.raises(NotFound):
        holding.stop(db, STAFF, folder.id)


def test_saving_the_settings_of_a_server_neither_stops_it_nor_lets_it_go_on(db: Database, settings: Settings) -> None:
    server = kept(db)
    holding.stop(db, STAFF, server.id)
    changed = nodes.update(db, settings, STAFF, replace(server, port=4242))
    assert isinstance(changed, Server)
    assert holding.held_back(db, server.id) is not None
    holding.let_go_on(db, STAFF, server.id)
    nodes.update(db, settings, STAFF, replace(changed, stop=Stop("eve", NOON)))
    assert holding.held_back(db, server.id) is None


def test_items_and_jobs_that_wait_say_why_and_until_when(db: Database, clock: Clock) -> None:
    job = a_job(db, kept(db, windows=NIGHTS), studies=2)
    said = "PACS is outside its transfer windows until Mon 2026-03-02 20:00."
    assert [(item.message, item.error_code) for item in jobs.items(db, ROOT, job.id)] == [(said, "OutsideWindow")] * 2
    assert jobs.item(db, ROOT, jobs.items(db, ROOT, job.id)[0].id).message == said
    assert jobs.get(db, ROOT, job.id).message == said
    assert [each.message for each in jobs.list(db, ROOT, everybody=True)] == [said]
    assert jobs.progress(db, ROOT, job.id).job.message == said
    clock.now = EVENING
    assert [item.message for item in jobs.items(db, ROOT, job.id)] == ["", ""]
    assert jobs.get(db, ROOT, job.id).message == ""


def test_a_held_back_attempt_does_not_count_and_its_old_reason_is_not_told_when_it_is_gone(
    db: Database, settings: Settings, clock: Clock
) -> None:
    server = kept(db, windows=NIGHTS)
    job = a_job(db, server)
    clock.now = EVENING
    for _ in range(settings.max_attempts + 1):
        item, lease = work.claim_next(db, job.id, LEASE) or pytest.fail("nothing was due")
        assert work.fail(db, lease, item, OutsideWindow("PACS has closed."), settings) is State.PENDING
    after = JobStore(db).item(item.id)
    assert (after.attempts, after.not_before_at, after.error_code) == (0, None, "OutsideWindow")
    told = jobs.item(db, ROOT, item.id)
    assert (told.message, told.error_code) == ("It was held back, and goes on as soon as a worker takes it up.", "")
    holding.stop(db, STAFF, server.id, "It swaps its disks.")
    assert jobs.item(db, ROOT, item.id).message.endswith("It swaps its disks.")


def test_jobs_that_have_ended_keep_their_message(db: Database) -> None:
    server = kept(db)
    job = a_job(db, server)
    JobStore(db).cancel(job.id)
    holding.stop(db, STAFF, server.id)
    assert jobs.get(db, ROOT, job.id).message == JobStore(db).get(job.id).message != ""


@pytest.mark.parametrize("permission", WEB)
def test_programs_reach_a_closed_server_for_small_questions_only(db: Database, permission: Permission) -> None:
    server = kept(db, windows=NIGHTS)

    def reach() -> Server:
        if permission is Permission.WEB_STORE:
            return access.destination(db, a_caller(server), "PACS")
        return access.source(db, a_caller(server), "PACS", permission)

    if permission is Permission.WEB_QUERY:
        assert reach().id == server.id
    else:
        with pytest.raises(OutsideWindow) as refused:
            reach()
        assert refused.value.until == EVENING
    holding.stop(db, STAFF, server.id)
    with pytest.raises(ServerStopped):
        reach()
    last = audit.entries(db, ROOT, limit=1)[0]
    assert (last.subject, last.outcome) == ("server PACS", "ServerStopped")


def test_people_search_a_closed_server_and_no_stopped_one(db: Database) -> None:
    server = kept(db, windows=NIGHTS)
    assert search_access.source(db, a_caller(server), server.id).id == server.id
    holding.stop(db, STAFF, server.id)
    with pytest.raises(ServerStopped):
        search_access.source(db, a_caller(server), server.id)
    with pytest.raises(ServerStopped), Visit(db, server):
        pass


def test_connections_to_a_stopped_server_can_be_tested(db: Database, settings: Settings) -> None:
    server = kept(db, host="127.0.0.1", port=1, windows=NIGHTS)
    holding.stop(db, STAFF, server.id)
    findings = connections.test(db, settings, STAFF, server.id)
    assert findings and not any("stopped" in finding.text for finding in findings)


def test_the_budget_of_the_hour_lets_holders_finish_and_nobody_begin(db: Database, clock: Clock) -> None:
    rules = tuple(BudgetRule(window, 4) for window in NIGHTS)
    server = kept(db, association_budget=1, budget_rules=rules)
    slots = SlotStore(db)
    clock.now = EVENING
    hours = timedelta(days=1)
    waits: list[float] = []

    def pause(seconds: float) -> None:
        """Let one leave at each pause, as their work ends."""
        waits.append(seconds)
        slots.release(f"night {len(waits) - 1}")

    for n in range(4):
        assert slots.try_acquire(f"night {n}", {server.id: 1}, {server.id: budgets.budget(db, server)}, hours)
    clock.now = EVENING + timedelta(hours=10)
    assert budgets.budget(db, server) == 1
    assert budgets.is_exceeded(db, server)
    assert slots.taken(server.id) == 4
    with budgets.associations(db, "day", {server: 3}, lambda: None, LEASE, pause) as places:
        assert (len(waits), places) == (4, {server.id: 1})
        assert not budgets.is_exceeded(db, server)
    clock.now = EVENING + timedelta(days=1)
    with budgets.associations(db, "night", {server: 3}, lambda: None, LEASE, pause) as places:
        assert places == {server.id: 3}


def test_a_budget_that_never_changes_costs_no_question(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    server = kept(db, association_budget=1)
    monkeypatch.setattr(SlotStore, "taken", None)
    assert not budgets.is_exceeded(db, server)


def test_what_is_held_back_is_an_error_with_its_moment() -> None:
    error = OutsideWindow.because("It is closed.", EVENING)
    assert isinstance(error, HeldBack)
    assert (error.message, error.until, OutsideWindow().until) == ("It is closed.", EVENING, None)
