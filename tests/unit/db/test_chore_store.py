"""Runs of chores: one at a time of each, and those that die are not at work for ever."""

from datetime import timedelta

import pytest

from models.db.chores import ChoreStore
from models.db.engine import Database
from models.domain.chores import DIED, ChoreOutcome, ChoreRun
from tests.databases import Clock

ALIVE = timedelta(seconds=60)


@pytest.fixture
def chores(database: Database) -> ChoreStore:
    return ChoreStore(database)


def begun(chores: ChoreStore, name: str = "backup", flow_run_id: str = "") -> ChoreRun:
    run = chores.begin(name, ALIVE, flow_run_id)
    assert run is not None
    return run


def last(chores: ChoreStore, name: str = "backup") -> ChoreRun:
    return chores.last([name])[name][0]


def test_a_chore_is_done_once_at_a_time(chores: ChoreStore) -> None:
    run = begun(chores)
    assert chores.begin("backup", ALIVE) is None
    assert chores.begin("expiry", ALIVE) is not None, "others do not wait for it"
    chores.end(run.id, ChoreOutcome.SUCCESS, "done")
    assert begun(chores).id != run.id


def test_a_run_that_says_that_it_is_alive_goes_on_for_as_long_as_it_takes(chores: ChoreStore, clock: Clock) -> None:
    run = begun(chores)
    for _ in range(3):
        clock.pass_by(50)
        chores.stay(run.id, ALIVE)
    assert last(chores).is_at_work(clock())
    assert chores.begin("backup", ALIVE) is None


def test_a_run_that_has_died_is_a_failure_and_holds_up_no_other(chores: ChoreStore, clock: Clock) -> None:
    dead = begun(chores)
    clock.pass_by(60)
    assert not last(chores).is_at_work(clock())
    assert begun(chores).id != dead.id
    runs = chores.last(["backup"], 2)["backup"]
    assert (runs[1].id, runs[1].outcome, runs[1].message) == (dead.id, ChoreOutcome.FAILURE, DIED)


def test_dead_runs_are_found_once(chores: ChoreStore, clock: Clock) -> None:
    dead = begun(chores, flow_run_id="run-1")
    clock.pass_by(60)
    alive = begun(chores, "expiry")
    assert [run.id for run in chores.end_dead()] == [dead.id]
    assert chores.end_dead() == ()
    assert last(chores, "expiry").id == alive.id


def test_the_last_runs_of_each_name_are_told_newest_first(chores: ChoreStore) -> None:
    for number in range(3):
        chores.end(begun(chores).id, ChoreOutcome.SUCCESS, str(number))
    found = chores.last(["backup", "never-run"], 2)
    assert [run.message for run in found["backup"]] == ["2", "1"]
    assert found["never-run"] == []


def test_old_runs_are_forgotten_but_not_the_last_one(chores: ChoreStore, clock: Clock) -> None:
    for name in ("backup", "backup", "expiry"):
        chores.end(begun(chores, name).id, ChoreOutcome.SUCCESS, "")
    clock.pass_by(3600)
    assert chores.remove_old(clock()) == 1
    assert len(chores.last(["backup", "expiry"], 9)["backup"]) == 1


def test_a_run_is_found_by_its_flow_run(chores: ChoreStore) -> None:
    run = begun(chores, flow_run_id="run-1")
    assert chores.of_flow_run("run-1") == run
    assert chores.of_flow_run("run-2") is None
