"""What is asked of Prefect without importing it: again when it is busy, and never twice for one run."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from models.domain.errors import Unreachable
from models.settings import Settings
from services import prefect_status
from tests.played_prefect import AUTH, PlayedPrefect, played_prefect
from tests.samples import some_settings

START = "/api/deployments/d-1/create_flow_run"


@pytest.fixture
def prefect() -> Iterator[PlayedPrefect]:
    with played_prefect() as played:
        yield played


@pytest.fixture
def settings(tmp_path: Path, prefect: PlayedPrefect) -> Settings:
    return some_settings(tmp_path, prefect_port=prefect.port, prefect_auth=AUTH)


def answering(answers: dict[str, list[tuple[int, Any]]]) -> Callable[[str], tuple[int, Any]]:
    """Answer each path with one after the other of what is given; the last one stays."""

    def answer(path: str) -> tuple[int, Any]:
        given = answers[path]
        return given.pop(0) if len(given) > 1 else given[0]

    return answer


def test_a_busy_server_is_asked_again(
    prefect: PlayedPrefect, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(prefect_status.time, "sleep", waits.append)
    monkeypatch.setattr(prefect, "answer", answering({START: [(503, {}), (503, {}), (201, {"id": "run-1"})]}))
    assert prefect_status.start(settings, "d-1") == "run-1"
    assert len(waits) == 2


def test_a_server_that_stays_busy_is_not_ready(
    prefect: PlayedPrefect, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefect_status.time, "sleep", lambda _seconds: None)
    monkeypatch.setattr(prefect, "answer", answering({START: [(503, {})]}))
    with pytest.raises(Unreachable, match="503"):
        prefect_status.start(settings, "d-1")


def test_the_next_run_of_a_deployment_is_told_if_there_is_one(
    prefect: PlayedPrefect, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = [{"expected_start_time": "2030-01-02T03:04:05Z"}]
    monkeypatch.setattr(prefect, "answer", answering({"/api/flow_runs/filter": [(200, planned), (200, [])]}))
    found = prefect_status.next_run_at(settings, "d-1")
    assert found is not None and found.isoformat() == "2030-01-02T03:04:05+00:00"
    assert prefect_status.next_run_at(settings, "d-1") is None


def test_a_worker_lives_when_it_was_heard_of_lately_or_since_a_moment(
    prefect: PlayedPrefect, settings: Settings
) -> None:
    now = datetime.now(UTC)
    prefect.workers = {"host-a": now, "host-b": now - timedelta(minutes=3)}
    assert set(prefect_status.alive(settings)) == {"host-a"}
    assert set(prefect_status.alive(settings, now - timedelta(minutes=5))) == {"host-a", "host-b"}
    assert prefect_status.has_worker(settings)
    prefect.workers.pop("host-a")
    assert not prefect_status.has_worker(settings)
