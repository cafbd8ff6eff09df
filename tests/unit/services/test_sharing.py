"""A large job gets a run for each machine that it can use, and what dies of these is told to Prefect."""

import threading
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.runs import RunStore
from models.domain.errors import NotPermitted, PeerError, Unreachable
from models.domain.jobs import Job, State
from models.settings import Settings
from services import orchestration, prefect_status, sharing
from services.orchestration import RunState, RunStatus, queue_of
from tests.databases import Clock, sqlite_database
from tests.samples import add_job, some_settings

LEASE = timedelta(seconds=20)


class Played:
    """Prefect as the test plays it: runs by id with their states, and what was done to them."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.runs: dict[str, RunStatus] = {}
        self.asked: dict[tuple[str, ...], str] = {}
        self.crashed: list[str] = []
        self.withdrawn: list[str] = []
        self.questions: list[int] = []

    def start_run_beside(self, job: Job, others: Sequence[str]) -> str:
        run_id = self.asked.setdefault(tuple(others), f"run-{len(self.asked)}")
        self.runs.setdefault(run_id, RunStatus(RunState.WAITING, self.clock.now, queue_of(job)))
        return run_id

    def be(self, run_id: str, state: RunState, queue: str = "") -> None:
        self.runs[run_id] = RunStatus(state, self.clock.now, queue)

    def status(self, run_id: str) -> RunStatus:
        return self.runs.get(run_id, RunStatus(RunState.GONE, None))

    def statuses(self, run_ids: Collection[str]) -> Mapping[str, RunStatus]:
        self.questions.append(len(run_ids))
        return {run_id: self.runs[run_id] for run_id in run_ids if run_id in self.runs}

    def mark_crashed(self, run_id: str, _message: str) -> None:
        self.crashed.append(run_id)

    def withdraw(self, run_id: str) -> None:
        self.withdrawn.append(run_id)


class Scene:
    """A job of ten items, of which three can be taken up at a time, and its first run, which has begun."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = Clock()
        self.db: Database = sqlite_database(directory, self.clock)
        self.settings: Settings = some_settings(directory, items_at_a_time=3)
        self.prefect: Any = Played(self.clock)
        self.machines = {"a", "b"}
        monkeypatch.setattr(sharing, "machines", lambda settings: self.machines)
        self.jobs, self.runs = JobStore(self.db), RunStore(self.db)
        self.job = add_job(self.db, studies=10)
        self.jobs.set_flow_run(self.job.id, "first")
        self.prefect.be("first", RunState.RUNNING)
        self.runs.hear(self.job.id, "first")
        self.claim(3)

    def claim(self, count: int) -> None:
        for _ in range(count):
            assert self.jobs.claim_next(self.job.id, LEASE)

    def share(self, looks: int = 1) -> list[str]:
        """The ids of all runs after so many looks."""
        for _ in range(looks):
            sharing.share_out(self.db, self.prefect, self.settings)
        return [run.flow_run_id for run in self.runs.of_job(self.job.id)]

    def look(self) -> list[str]:
        sharing.end_silent(self.db, self.prefect, LEASE)
        return [run.flow_run_id for run in self.runs.of_job(self.job.id)]

    def begin(self, run_id: str) -> None:
        self.prefect.be(run_id, RunState.RUNNING)
        self.runs.hear(self.job.id, run_id)


@pytest.fixture
def a_scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(tmp_path, monkeypatch)


def test_one_further_run_is_asked_for_when_there_is_one_more_machine(a_scene: Scene) -> None:
    assert a_scene.share(looks=3) == ["first", "run-0"]


def test_no_more_runs_than_machines_and_than_items_that_wait_for_them(a_scene: Scene) -> None:
    a_scene.machines |= {"c", "d", "e"}
    assert len(a_scene.share(looks=9)) == 3, "of seven items that wait two more runs take up six"
    a_scene.claim(6)
    for run in a_scene.runs.of_job(a_scene.job.id)[1:]:
        a_scene.runs.forget(run.flow_run_id)
    assert a_scene.share(looks=3) == ["first"], "one item is not worth a run"


def test_on_one_machine_there_is_one_run(a_scene: Scene) -> None:
    a_scene.machines = {"a"}
    assert a_scene.share(looks=3) == ["first"]


def test_on_one_machine_no_job_is_looked_at(a_scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    monkeypatch.setattr(RunStore, "of_job", lambda _, job_id: looked.append(job_id) or ())
    a_scene.machines = {"a"}
    sharing.share_out(a_scene.db, a_scene.prefect, a_scene.settings)
    assert looked == []


def test_a_run_that_was_asked_for_before_the_dispatcher_died_is_not_asked_for_twice(a_scene: Scene) -> None:
    a_scene.share()
    a_scene.runs.forget("run-0")  # as if it had died before it wrote that down
    assert a_scene.share() == ["first", "run-0"]


def test_what_waits_for_a_worker_is_left_alone_until_its_job_has_ended(a_scene: Scene) -> None:
    a_scene.share()
    a_scene.clock.pass_by(600)
    a_scene.runs.hear(a_scene.job.id, "first")
    assert a_scene.look() == ["first", "run-0"]
    a_scene.clock.pass_by(60)
    a_scene.runs.hear(a_scene.job.id, "first")
    a_scene.jobs.cancel(a_scene.job.id)
    a_scene.jobs.finish_canceled()
    assert a_scene.jobs.get(a_scene.job.id).state is State.CANCELED
    assert a_scene.look() == ["first"]
    assert a_scene.prefect.withdrawn == ["run-0"]


def test_a_waiting_run_changes_the_queue_with_its_job(a_scene: Scene) -> None:
    a_scene.share()
    a_scene.jobs.hurry(a_scene.job.id, True)
    a_scene.clock.pass_by(21)
    a_scene.runs.hear(a_scene.job.id, "first")
    assert a_scene.look() == ["first"]
    assert a_scene.prefect.withdrawn == ["run-0"]


def test_a_run_of_a_lost_machine_is_told_to_be_dead_while_others_go_on(a_scene: Scene) -> None:
    a_scene.share()
    a_scene.begin("run-0")
    a_scene.clock.pass_by(19)
    assert a_scene.look() == ["first", "run-0"]
    a_scene.runs.hear(a_scene.job.id, "run-0")
    a_scene.clock.pass_by(2)
    assert a_scene.look() == ["run-0"]
    assert a_scene.prefect.crashed == ["first"]
    a_scene.prefect.be("first", RunState.CRASHED)
    assert len(a_scene.share()) == 2, "another one takes its place"


@pytest.mark.parametrize("end", [RunState.CRASHED, RunState.ENDED])
def test_another_run_takes_the_place_of_one_that_has_ended_beside_the_same(a_scene: Scene, end: RunState) -> None:
    """Prefect remembers what was asked for beside the first run, and would answer with the one that has ended."""
    for dead in ("run-0", "run-1", "run-2"):
        assert a_scene.share(looks=2) == ["first", dead]
        a_scene.begin(dead)
        a_scene.clock.pass_by(21)
        a_scene.runs.hear(a_scene.job.id, "first")
        a_scene.prefect.be(dead, end)
        assert a_scene.look() == ["first"]


def test_a_run_whose_process_never_began_is_given_up_after_minutes(a_scene: Scene) -> None:
    a_scene.share()
    a_scene.prefect.be("run-0", RunState.STARTING)
    a_scene.clock.pass_by(60)
    a_scene.runs.hear(a_scene.job.id, "first")
    assert a_scene.look() == ["first", "run-0"]
    a_scene.clock.pass_by(61)
    a_scene.runs.hear(a_scene.job.id, "first")
    assert a_scene.look() == ["first"]
    assert a_scene.prefect.crashed == ["run-0"]


@pytest.mark.parametrize("which", ["first", "run-0"])
def test_canceling_any_run_in_prefect_cancels_the_job(a_scene: Scene, which: str) -> None:
    a_scene.share()
    a_scene.begin("run-0")
    a_scene.prefect.be(which, RunState.CANCELED)
    a_scene.clock.pass_by(21)
    for run_id in {"first", "run-0"} - {which}:
        a_scene.runs.hear(a_scene.job.id, run_id)
    a_scene.look()
    assert a_scene.jobs.get(a_scene.job.id).state in {State.CANCELING, State.CANCELED}


def test_an_old_cancellation_does_not_cancel_a_job_that_was_resumed(a_scene: Scene) -> None:
    a_scene.share()
    a_scene.begin("run-0")
    a_scene.clock.pass_by(21)
    a_scene.jobs.cancel(a_scene.job.id)
    a_scene.jobs.finish_canceled()
    a_scene.prefect.be("run-0", RunState.CANCELED)
    a_scene.jobs.resume(a_scene.job.id)
    a_scene.jobs.set_flow_run(a_scene.job.id, "second")
    assert a_scene.look() == []
    assert a_scene.jobs.get(a_scene.job.id).state is State.PENDING


def test_a_run_says_that_it_is_alive_and_that_it_has_ended(a_scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "_BEAT_S", 0.01)
    with sharing.at_work(a_scene.db, a_scene.job.id, "second"):
        while a_scene.runs.heard_at("second") is None:
            threading.Event().wait(0.01)
    assert a_scene.runs.heard_at("second") is None
    with pytest.raises(KeyError), sharing.at_work(a_scene.db, a_scene.job.id, "third"):
        while a_scene.runs.heard_at("third") is None:
            threading.Event().wait(0.01)
        raise KeyError
    assert a_scene.runs.heard_at("third") is not None, "one that dies just falls silent"


def test_a_run_goes_on_to_say_that_it_is_alive_after_a_fault_that_is_not_ours(
    a_scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    hear, faults = RunStore.hear, [ValueError("surprise")]

    def fail_once(store: RunStore, job_id: int, flow_run_id: str) -> None:
        if faults:
            raise faults.pop()
        hear(store, job_id, flow_run_id)

    monkeypatch.setattr(sharing, "_BEAT_S", 0.01)
    monkeypatch.setattr(RunStore, "hear", fail_once)
    with sharing.at_work(a_scene.db, a_scene.job.id, "second"):
        for _ in range(2000):
            if a_scene.runs.heard_at("second") is not None:
                break
            threading.Event().wait(0.01)
        assert a_scene.runs.heard_at("second") is not None


def test_a_worker_counts_once_whatever_places_it_keeps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clock, settings = Clock(), some_settings(tmp_path)
    now = datetime.now(UTC)
    names = ("ct-1", "ct-1@urgent", "ct-1@maintenance", "mr@2", "mr@2@urgent", "ct-1-urgent")
    heard = {**dict.fromkeys(names, now), "old": clock.now}
    monkeypatch.setattr(prefect_status, "workers", lambda _: heard)
    assert sharing.machines(settings) == {"ct-1", "mr@2", "ct-1-urgent"}


def test_trouble_with_one_run_does_not_hide_the_others(a_scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    a_scene.share()
    a_scene.clock.pass_by(600)

    def refuse(_run_id: str, _message: str) -> None:
        raise PeerError("Prefect's API refused a request (HTTP 409).")

    monkeypatch.setattr(a_scene.prefect, "mark_crashed", refuse)
    a_scene.prefect.be("run-0", RunState.ENDED)
    a_scene.prefect.runs["first"] = RunStatus(RunState.RUNNING, None)
    assert a_scene.look() == ["first"]


def test_prefect_is_asked_of_many_silent_runs_at_a_time(a_scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orchestration, "AT_A_TIME", 2)
    wait_silently(a_scene, 5)
    a_scene.look()
    assert a_scene.prefect.questions == [2, 2, 1]


@pytest.mark.parametrize("error", [Unreachable, NotPermitted])
def test_without_prefect_no_further_silent_run_is_looked_after(
    a_scene: Scene, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    told: list[str] = []

    def mark_crashed(run_id: str, _message: str) -> None:
        told.append(run_id)
        raise error("Prefect does not answer.")

    monkeypatch.setattr(a_scene.prefect, "mark_crashed", mark_crashed)
    for run_id in wait_silently(a_scene, 3):
        a_scene.prefect.runs[run_id] = RunStatus(RunState.RUNNING, None)
    with pytest.raises(error):
        a_scene.look()
    assert len(told) == 1


def test_looking_after_silent_runs_ends_when_somebody_else_has_the_duty(
    a_scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orchestration, "AT_A_TIME", 2)
    wait_silently(a_scene, 5)
    answers = iter([True, False])
    sharing.end_silent(a_scene.db, a_scene.prefect, LEASE, lambda: next(answers))
    assert a_scene.prefect.questions == [2]


def test_a_run_that_begins_during_the_look_is_not_withdrawn(a_scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    a_scene.share()
    a_scene.jobs.hurry(a_scene.job.id, True)
    a_scene.clock.pass_by(21)
    a_scene.runs.hear(a_scene.job.id, "first")
    monkeypatch.setattr(a_scene.prefect, "status", lambda _: RunStatus(RunState.STARTING, a_scene.clock.now))
    assert a_scene.look() == ["first", "run-0"]
    assert a_scene.prefect.withdrawn == []


def wait_silently(scene: Scene, count: int) -> list[str]:
    """So many runs of the job wait in Prefect longer than a lease, and nobody else is silent."""
    asked = [f"waits-{number}" for number in range(count)]
    for run_id in asked:
        scene.runs.ask(scene.job.id, run_id)
        scene.prefect.be(run_id, RunState.WAITING, queue_of(scene.job))
    scene.clock.pass_by(21)
    scene.runs.hear(scene.job.id, "first")
    return asked
