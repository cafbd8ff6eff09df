"""Items of a job in parallel lanes: what one of them meets, the others do not feel; and all end together."""

import contextvars
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from flows import items
from flows.items import work_through
from flows.lane import Halt, Lane
from flows.steps import starter
from models.domain.errors import Bug, LeaseLost, Unreachable
from models.domain.jobs import Item, Lease
from models.settings import Settings
from services import log_ids

Transfer = Callable[[Lane, int], None]


class Interruption(BaseException):
    """Stands for what Prefect raises in the main thread on SIGTERM."""


class Queue:
    """Stands for ``services.work``: hands out items by number, each once."""

    def __init__(self, items: int) -> None:
        self._left = list(range(items))
        self._taking = threading.Lock()
        self.claims_after: BaseException | None = None

    def unended(self, _db: object, _job_id: int) -> int:
        return len(self._left)

    def claim_next(self, *_arguments: object) -> Any:
        with self._taking:
            if self.claims_after is not None:
                raise self.claims_after
            return (_Item(self._left.pop(0)), Lease(0, "token")) if self._left else None


class _Item:
    def __init__(self, number: int) -> None:
        self.id = number


class Attempt:
    """Stands for an attempt: waits until it is stopped."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self.error: BaseException | None = None

    def stop(self, error: BaseException) -> None:
        self.error = self.error or error
        self._stopped.set()

    def wait(self) -> None:
        assert self._stopped.wait(20), "nobody has stopped the attempt"


class Seen:
    """What the transfers of a test have seen."""

    def __init__(self) -> None:
        self._noting = threading.Lock()
        self._at_work = 0
        self.most_at_work = 0
        self.items: list[int] = []
        self.lanes: set[int] = set()

    def __enter__(self) -> None:
        with self._noting:
            self._at_work += 1
            self.most_at_work = max(self.most_at_work, self._at_work)

    def __exit__(self, *_error: object) -> None:
        with self._noting:
            self._at_work -= 1

    def note(self, lane: Lane, item: int) -> None:
        with self._noting:
            self.items.append(item)
            self.lanes.add(lane.stream_bytes)


@pytest.fixture
def seen() -> Seen:
    return Seen()


def run(
    monkeypatch: pytest.MonkeyPatch, queue: Queue, transfer: Transfer, lanes: int, folders: Collection[Path] = ()
) -> None:
    def transfer_study(lane: Lane, item: Item, _lease: Lease) -> None:
        transfer(lane, item.id)

    monkeypatch.setattr(items, "work", queue)
    monkeypatch.setattr(items, "transfer_study", transfer_study)
    settings = Settings.model_construct(items_at_a_time=lanes, stream_mb=60, lease_s=20, max_attempts=3)
    work_through(None, settings, 1, folders=folders)  # type: ignore[arg-type]


def test_so_many_items_are_at_work_at_a_time_as_the_settings_say(monkeypatch: pytest.MonkeyPatch, seen: Seen) -> None:
    together = threading.Barrier(3)

    def transfer(lane: Lane, item: int) -> None:
        with seen:
            together.wait(20)
        seen.note(lane, item)

    run(monkeypatch, Queue(12), transfer, lanes=3)
    assert sorted(seen.items) == list(range(12))
    assert seen.most_at_work == 3


@pytest.mark.parametrize(("waiting", "part_mb"), [(1, 60), (2, 30), (9, 20)])
def test_the_lanes_that_a_job_can_use_share_the_memory_of_the_worker(
    monkeypatch: pytest.MonkeyPatch, seen: Seen, waiting: int, part_mb: int
) -> None:
    run(monkeypatch, Queue(waiting), seen.note, lanes=3)
    assert seen.lanes == {part_mb * 1_000_000}


def test_a_fault_of_one_item_stops_no_other_and_is_raised_in_the_end(
    monkeypatch: pytest.MonkeyPatch, seen: Seen
) -> None:
    def transfer(lane: Lane, item: int) -> None:
        seen.note(lane, item)
        if item in {0, 4}:
            raise Bug("a broken invariant")

    with pytest.raises(Bug):
        run(monkeypatch, Queue(9), transfer, lanes=2)
    assert sorted(seen.items) == list(range(9))


def test_what_a_library_says_of_a_value_does_not_get_into_prefect_which_keeps_the_fault(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def transfer(_lane: Lane, _item: int) -> None:
        int("Doe^John")

    with pytest.raises(Bug, match="ValueError") as raised:
        run(monkeypatch, Queue(2), transfer, 1)
    assert raised.value.__cause__ is None and raised.value.__context__ is None
    assert "Doe" not in str(raised.value) + caplog.text
    assert "test_lanes.py" in caplog.text


def test_an_item_that_is_taken_over_by_another_worker_is_no_fault(monkeypatch: pytest.MonkeyPatch, seen: Seen) -> None:
    def transfer(lane: Lane, item: int) -> None:
        seen.note(lane, item)
        raise LeaseLost

    run(monkeypatch, Queue(5), transfer, lanes=2)
    assert sorted(seen.items) == list(range(5))


def test_lanes_end_when_no_item_can_be_claimed_any_more(monkeypatch: pytest.MonkeyPatch, seen: Seen) -> None:
    queue = Queue(5)

    def transfer(lane: Lane, item: int) -> None:
        seen.note(lane, item)
        queue.claims_after = Unreachable("The database does not answer.")

    with pytest.raises(Unreachable):
        run(monkeypatch, queue, transfer, lanes=2)
    assert len(seen.items) <= 2


def test_an_interruption_gives_up_what_is_at_work_and_takes_up_nothing_more(
    monkeypatch: pytest.MonkeyPatch, seen: Seen
) -> None:
    attempts = [Attempt() for _ in range(8)]
    at_work = threading.Semaphore(0)

    def transfer(lane: Lane, item: int) -> None:
        seen.note(lane, item)
        with lane.halt.ends(attempts[item]):  # type: ignore[arg-type]
            at_work.release()
            attempts[item].wait()
        raise LeaseLost

    def interrupted(_ends: object) -> None:
        for _ in range(2):
            assert at_work.acquire(timeout=20)
        raise Interruption

    monkeypatch.setattr(items, "wait", interrupted)
    with pytest.raises(Interruption):
        run(monkeypatch, Queue(8), transfer, lanes=2)
    assert sorted(seen.items) == [0, 1]
    assert [type(attempt.error) for attempt in attempts[:2]] == [LeaseLost, LeaseLost]


def test_an_attempt_that_begins_after_the_halt_is_stopped_at_once() -> None:
    halt, attempt = Halt(), Attempt()
    halt.call()
    with halt.ends(attempt):  # type: ignore[arg-type]
        assert isinstance(attempt.error, LeaseLost)


def test_a_step_runs_in_the_context_of_the_lane_that_starts_it() -> None:
    flow_run: contextvars.ContextVar[str] = contextvars.ContextVar("flow_run", default="none")
    seen: list[str] = []

    def way(_step: object, _attempt: object) -> None:
        time.sleep(0)
        seen.append(flow_run.get())

    with ThreadPoolExecutor(2) as threads:
        start = starter(threads, way)
        flow_run.set("a run")
        assert start(None, None).error() is None  # type: ignore[arg-type]
    assert seen == ["a run"]


def test_what_a_step_raises_beside_its_own_errors_is_told_too() -> None:
    def way(_step: object, _attempt: object) -> None:
        raise Interruption

    with ThreadPoolExecutor(1) as threads:
        assert isinstance(starter(threads, way)(None, None).error(), Interruption)  # type: ignore[arg-type]


def test_what_lanes_and_their_steps_log_carries_the_ids_of_their_item(monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[tuple[int, dict[str, int]]] = []

    class _Step:
        name = "query"

    def note(_step: object, item: Any) -> None:
        noted.append((item, dict(log_ids.carried())))

    def transfer(lane: Lane, item: int) -> None:
        with ThreadPoolExecutor(1) as threads:
            starter(threads, note)(_Step(), item).error()  # type: ignore[arg-type]

    run(monkeypatch, Queue(6), transfer, lanes=3)
    assert sorted(item for item, _ in noted) == list(range(6))
    assert [ids for item, ids in noted if ids != {"job_id": 1, "item_id": item}] == []
    assert log_ids.carried() == {}


def test_when_a_folder_is_gone_the_rest_is_left_to_other_machines(
    monkeypatch: pytest.MonkeyPatch, seen: Seen, tmp_path: Path
) -> None:
    share = tmp_path / "share"
    share.mkdir()

    def transfer(lane: Lane, item: int) -> None:
        seen.note(lane, item)
        if item == 2:
            share.rmdir()

    run(monkeypatch, Queue(9), transfer, lanes=1, folders=[share])
    assert seen.items == [0, 1, 2]
