"""What Prefect's API answers is told in our own words, or is nothing to tell."""

from typing import Any
from uuid import uuid4

import pytest
from prefect.exceptions import ObjectNotFound

from models.domain.errors import Bug
from services import orchestration
from services.orchestration import DIED, Orchestration

GONE = "5b0c1d9e-7a39-4d55-9f3f-0f4a6a1c2b3d"


class Empty:
    """A client of a Prefect that knows no run."""

    def __init__(self, **_options: object) -> None:
        pass

    def __enter__(self) -> "Empty":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def set_flow_run_state(self, *_: object, **_options: Any) -> None:
        raise ObjectNotFound(http_exc=ValueError())


def test_a_run_that_was_deleted_a_moment_ago_needs_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orchestration, "SyncPrefectClient", Empty)
    Orchestration("http://127.0.0.1:1/api").mark_crashed(GONE, DIED)


def test_more_runs_than_prefect_tells_of_at_a_time_are_not_taken_for_gone() -> None:
    with pytest.raises(Bug):
        Orchestration("http://127.0.0.1:1/api").statuses({str(uuid4()) for _ in range(201)})


@pytest.mark.parametrize(("count", "parts"), [(0, []), (2, [2]), (5, [2, 2, 1])])
def test_ids_come_in_parts(monkeypatch: pytest.MonkeyPatch, count: int, parts: list[int]) -> None:
    monkeypatch.setattr(orchestration, "AT_A_TIME", 2)
    found = list(orchestration.in_parts(range(count), lambda: True))
    assert [len(part) for part in found] == parts
    assert [each for part in found for each in part] == list(range(count))


def test_no_part_comes_once_it_does_not_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orchestration, "AT_A_TIME", 2)
    answers = iter([True, False])
    assert list(orchestration.in_parts((1, 2, 3, 4), lambda: next(answers))) == [(1, 2)]
