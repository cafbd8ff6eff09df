"""What programs ask that watch us: alive, ready, figures; to whom it is told, and how little asking often costs."""

import asyncio
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from models.db import schema
from models.db.engine import Database
from models.domain.errors import TimedOut, Unreachable
from models.domain.people import operator
from models.settings import Settings
from services import project, readiness
from tests import in_process
from tests.databases import clock, database, new_url
from tests.played_prefect import AUTH, PlayedPrefect, played_prefect
from tests.samples import some_settings
from ui import watching
from ui.gate import Gate
from ui.watching import Kept, Watching

__all__ = ["clock", "database"]

TOKEN = "0123456789abcdef-token"
PARTS = {"database": True, "migrations": True, "prefect": True, "worker": True}


@pytest.fixture
def empty_url(tmp_path: Path) -> Iterator[str]:
    with new_url("sqlite", tmp_path) as url:
        yield url


@pytest.fixture
def prefect() -> Iterator[PlayedPrefect]:
    with played_prefect() as played:
        yield played


@pytest.fixture
def settings(tmp_path: Path, prefect: PlayedPrefect) -> Settings:
    return some_settings(tmp_path, prefect_port=prefect.port, prefect_auth=AUTH)


def site(settings: Settings, database: Database) -> Gate:
    app = FastAPI()
    app.include_router(Watching(settings, database).router())
    return Gate(app, settings, database)


@pytest.fixture
def a_caller(settings: Settings, database: Database) -> Iterator[httpx.Client]:
    """Somebody from another machine."""
    with in_process.client(site(settings, database), settings.web_url) as caller:
        yield caller


@pytest.fixture(autouse=True)
def kept_for_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_READINESS_KEPT_S", -1.0)
    monkeypatch.setattr(watching, "_METRICS_KEPT_S", -1.0)


# -- ready ------------------------------------------------------------------------------------------------------------


def test_anybody_is_told_that_all_is_there_by_whatever_name_they_call_us(a_caller: httpx.Client) -> None:
    answer = a_caller.get("/ready", headers={"host": "10.1.2.3:8000"})
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "parts": PARTS})
    assert a_caller.get("/ready/").status_code == 200
    assert a_caller.get("/health").json() == {"status": "ok"}
    assert answer.headers["cache-control"] == "no-store"


def test_each_part_that_is_missing_is_told_without_a_reason(
    a_caller: httpx.Client, prefect: PlayedPrefect, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(**missing: bool) -> None:
        answer = a_caller.get("/ready")
        assert (answer.status_code, answer.json()) == (503, {"ready": False, "parts": PARTS | missing})

    prefect.is_ready = False
    check(prefect=False)
    prefect.is_ready = True
    prefect.workers = {"host-a": datetime.now(UTC) - timedelta(minutes=5)}
    check(worker=False)
    prefect.workers = {}
    check(worker=False)
    prefect.workers = {"host-b": datetime.now(UTC)}
    schema.downgrade(database._engine, "0009")
    check(migrations=False)

    def is_gone() -> bool:
        raise Unreachable("secret-host does not answer")

    monkeypatch.setattr(database, "is_current", is_gone)
    check(database=False, migrations=False)
    assert "secret-host" not in a_caller.get("/ready").text


def test_a_wrong_password_is_no_worker_and_nothing_more(settings: Settings, database: Database) -> None:
    wrong = settings.model_copy(update={"prefect_auth": some_settings(Path(), prefect_auth="a:b").prefect_auth})
    with in_process.client(site(wrong, database), settings.web_url) as caller:
        assert caller.get("/ready").json()["parts"] == PARTS | {"worker": False}


def test_under_maintenance_programs_that_watch_us_get_their_answers(a_caller: httpx.Client, database: Database) -> None:
    now = project.get(database)
    project.update(database, operator("root"), now.announcement, True, now.version)
    assert a_caller.get("/ready").status_code == 200
    assert a_caller.get("/health").status_code == 200
    assert a_caller.get("/").status_code == 503


def test_a_part_that_hangs_is_not_there_and_holds_up_no_other(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    released, looks = threading.Event(), []

    def hangs(*_: object) -> bool:
        looks.append(1)
        assert released.wait(60)
        return True

    monkeypatch.setattr(readiness, "PARTS", {**readiness.PARTS, "prefect": hangs})
    monkeypatch.setattr(watching, "_READY_WITHIN_S", 0.5)
    try:
        with in_process.client(site(settings, database), settings.web_url) as caller:
            for _ in range(20):
                assert caller.get("/ready").json()["parts"]["prefect"] is False
            assert len(looks) == 1, "nobody can make us wait in more than one thread"
            released.set()
            limit = time.monotonic() + 60
            while not caller.get("/ready").json()["parts"]["prefect"]:
                assert time.monotonic() < limit
    finally:
        released.set()


def test_an_answer_is_computed_once_however_many_ask_and_kept_for_a_moment() -> None:
    computed = []

    def compute() -> int:
        computed.append(1)
        return len(computed)

    async def ask() -> list[int]:
        kept = Kept(compute, 3600.0, 60.0)
        return [*await asyncio.gather(*(kept.get() for _ in range(50))), await kept.get()]

    assert asyncio.run(ask()) == [1] * 51


def test_what_computing_raises_is_told_to_everybody_and_tried_again_later() -> None:
    answers: list[Any] = [Unreachable("gone"), 7]

    def compute() -> int:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def ask() -> None:
        kept = Kept(compute, 3600.0, 60.0)
        for _ in range(2):
            with pytest.raises(Unreachable):
                await kept.get()
        kept._kept_s = -1.0
        assert await kept.get() == 7

    asyncio.run(ask())


def test_who_asks_does_not_wait_longer_than_was_promised() -> None:
    released = threading.Event()

    async def ask() -> None:
        kept = Kept(lambda: released.wait(60), 0.0, 0.05)
        with pytest.raises(TimedOut):
            await kept.get()
        released.set()

    asyncio.run(ask())


# -- metrics ----------------------------------------------------------------------------------------------------------


def with_token(settings: Settings) -> Settings:
    return some_settings(settings.data_dir, prefect_port=settings.prefect_port, prefect_auth=AUTH, metrics_token=TOKEN)


def test_the_token_opens_the_figures_to_other_machines_and_nothing_else_does(
    settings: Settings, database: Database
) -> None:
    with in_process.client(site(with_token(settings), database), settings.web_url) as caller:
        for shown in ("", "Bearer", "Bearer wrong-token-of-some-length", f"bearer {TOKEN}x", TOKEN, f"Basic {TOKEN}"):
            refused = caller.get("/metrics", headers={"authorization": shown, "host": "10.1.2.3:8000"})
            assert refused.status_code == 401 and refused.headers["www-authenticate"] == "Bearer"
            assert "adit_jobs" not in refused.text and TOKEN not in refused.text
        told = caller.get("/metrics", headers={"authorization": f"Bearer {TOKEN}", "host": "10.1.2.3:8000"})
        assert told.status_code == 200 and told.headers["content-type"].startswith("text/plain")
        assert "adit_jobs" in told.text and TOKEN not in told.text
    with in_process.client(site(with_token(settings), database), settings.web_url, "127.0.0.1") as neighbour:
        assert neighbour.get("/metrics").status_code == 401, "a token that is set is asked for here too"


def test_without_a_token_only_programs_of_this_machine_read_the_figures(settings: Settings, database: Database) -> None:
    app = site(settings, database)
    with in_process.client(app, settings.web_url) as stranger:
        assert stranger.get("/metrics").status_code == 403
        assert stranger.get("/metrics", headers={"authorization": "Bearer "}).status_code == 403
    for address in ("127.0.0.1", "::1"):
        with in_process.client(app, settings.web_url, address) as neighbour:
            assert neighbour.get("/metrics").status_code == 200
            assert neighbour.get("/metrics", headers={"x-forwarded-for": "127.0.0.1"}).status_code == 403, "by a proxy"
            assert neighbour.get("/metrics", headers={"forwarded": "for=127.0.0.1"}).status_code == 403
            rebound = neighbour.get("/metrics", headers={"host": "evil.example.org"})
            assert rebound.status_code == 403, "a browser of this machine may be led here by a name of somebody else's"


def test_a_database_that_does_not_answer_is_no_figure(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> bytes:
        raise Unreachable("The database does not answer.")

    monkeypatch.setattr("services.metrics.exposition", gone)
    with in_process.client(site(settings, database), settings.web_url, "127.0.0.1") as neighbour:
        assert neighbour.get("/metrics").status_code == 503
