"""The gate by itself, before an application that tells what reached it."""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.fernet import Fernet
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from streamlit.proto.BackMsg_pb2 import BackMsg

from models.db.engine import Database
from models.domain.errors import Unreachable
from models.domain.people import operator
from models.settings import Settings
from services import project
from services.people import accounts, sessions
from tests import in_process
from tests.databases import clock, database, new_url
from ui import gate, sockets
from ui.gate import Gate
from ui.headers import Trust, allowed_hosts

__all__ = ["clock", "database"]

PASSWORD = "correct-horse-7"
SHELL = operator("tester")


@pytest.fixture
def empty_url(tmp_path: Path) -> Iterator[str]:
    with new_url("sqlite", tmp_path) as url:
        yield url


@pytest.fixture
def some_settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, master_key=Fernet.generate_key().decode(), _env_file=None)  # type: ignore[call-arg]


@pytest.fixture
def a_token(database: Database, some_settings: Settings) -> str:
    """The session of alice, a superuser."""
    accounts.create_admin(database, "alice", "alice@example.org", PASSWORD)
    return accounts.sign_in(database, some_settings, "alice", PASSWORD, "192.0.2.1", "tester")


async def telling(scope: Any, receive: Any, send: Any) -> None:
    """An application that says which headers of ours reached it, or fails."""
    if scope["path"] == "/broken":
        raise ValueError("patient Doe^John is not a number")
    if scope["path"] == "/half":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError("Doe^John")
    reached = {name: value for name, value in Request(scope).headers.items() if name.startswith("x-app")}
    answer = JSONResponse(reached) if scope["path"] != "/text" else PlainTextResponse("text")
    await answer(scope, receive, send)


@pytest.fixture
def a_browser(database: Database, some_settings: Settings) -> Iterator[httpx.Client]:
    with in_process.client(Gate(telling, some_settings, database), some_settings.web_url) as browser:
        yield browser


# -- requests ---------------------------------------------------------------------------------------------------------


def test_who_it_is_comes_from_the_session_and_from_nothing_else(a_browser: httpx.Client, a_token: str) -> None:
    forged = {"x-app-user": "99", "X-App-Sid": "99", "x-app-address": "10.0.0.1", "x-app-role": "admin"}
    assert a_browser.get("/api/v1/x", headers=forged).json() == {}
    a_browser.cookies.set("adit", a_token)
    reached = a_browser.get("/", headers=forged).json()
    assert reached == {"x-app-user": "1", "x-app-sid": "1", "x-app-address": "192.0.2.1"}


def test_what_nobody_expected_gets_a_reference_and_no_values(
    a_browser: httpx.Client, a_token: str, caplog: pytest.LogCaptureFixture
) -> None:
    a_browser.cookies.set("adit", a_token)
    with caplog.at_level(logging.ERROR):
        answer = a_browser.get("/broken")
    assert answer.status_code == 500 and "reference" in answer.text
    assert "Doe" not in answer.text and "Traceback" not in answer.text
    (record,) = caplog.records
    reference = record.getMessage().split()[1].rstrip(":")
    assert reference in answer.text
    assert "ValueError" in record.getMessage() and "telling" in record.getMessage()
    assert "Doe" not in caplog.text
    with pytest.raises(AssertionError):  # the answer breaks off
        a_browser.get("/half")
    assert "Doe" not in caplog.text


def test_a_database_that_does_not_answer_lets_nobody_in(
    a_browser: httpx.Client, a_token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*_: object) -> None:
        raise Unreachable("The database does not answer.")

    a_browser.cookies.set("adit", a_token)
    monkeypatch.setattr(sessions, "find", silent)
    answer = a_browser.get("/")
    assert answer.status_code == 503 and "database does not answer" in answer.text


def test_programs_are_told_of_trouble_in_their_own_form(
    a_browser: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*_: object) -> None:
        raise Unreachable("The database does not answer.")

    monkeypatch.setattr(project, "get", silent)
    answer = a_browser.get("/api/v1/me")
    assert (answer.status_code, answer.json()["code"]) == (503, "Unavailable")
    assert answer.headers["content-type"] == "application/problem+json"
    assert a_browser.get("/api/v1/me", headers={"host": "elsewhere.example.org"}).json()["code"] == "Refused"


def test_a_session_is_not_looked_up_for_the_api(
    a_browser: httpx.Client, a_token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tokens say who it is there; so a script of a page keeps no session alive by it."""
    a_browser.cookies.set("adit", a_token)
    monkeypatch.setattr(sessions, "find", None)
    assert a_browser.get("/api/v1/x").json() == {}


def test_programs_and_pictures_are_open_and_may_be_kept(a_browser: httpx.Client) -> None:
    assert "cache-control" not in a_browser.get("/static/js/main.js").headers
    assert a_browser.get("/app/static/session.js").headers["cache-control"] == "no-cache"
    assert a_browser.get("/health").headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path", ["/loginx", "/login/x", "/account", "/static", "/registered", "/API/x", "//login", "/_stcore/healthx"]
)
def test_what_only_looks_like_an_open_path_is_closed(a_browser: httpx.Client, path: str) -> None:
    answer = a_browser.get(f"http://localhost:8000{path}", headers={"accept": "*/*"})
    assert answer.status_code in {303, 401}
    if answer.status_code == 303:
        assert answer.headers["location"].startswith("/")


def test_under_maintenance_a_session_of_staff_is_no_key_to_the_api(
    a_browser: httpx.Client, database: Database, a_token: str
) -> None:
    project.update(database, SHELL, "", True, 1)
    a_browser.cookies.set("adit", a_token)
    assert a_browser.get("/").status_code == 200
    answer = a_browser.get("/api/v1/x")
    assert (answer.status_code, answer.json()["code"]) == (503, "UnderMaintenance")
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) > 0


# -- where requests come from -----------------------------------------------------------------------------------------


def some_web(url: str, host: str = "127.0.0.1") -> Settings:
    key = Fernet.generate_key().decode()
    return Settings(master_key=key, web_url=url, web_host=host, _env_file=None)  # type: ignore[call-arg]


def test_the_site_has_the_name_of_its_address_and_those_of_this_machine() -> None:
    assert allowed_hosts(some_web("https://adit.example.org")) == ["127.0.0.1", "::1", "adit.example.org", "localhost"]
    assert "0.0.0.0" not in allowed_hosts(some_web("https://adit.example.org", "0.0.0.0"))


@pytest.mark.parametrize(
    ("host", "is_known"),
    [
        ("adit.example.org", True),
        ("ADIT.example.org:443", True),
        ("adit.example.org.", True),
        ("[::1]:8000", True),
        ("evil.example", False),
        ("adit.example.org.evil.example", False),
        ("", False),
        ("[::1", False),
    ],
)
def test_other_names_are_not_ours(host: str, is_known: bool) -> None:
    assert Trust(some_web("https://adit.example.org")).knows_host(host) is is_known


@pytest.mark.parametrize(
    ("headers", "is_ours"),
    [
        ({"host": "adit.example.org"}, True),
        ({"host": "adit.example.org", "origin": "https://adit.example.org"}, True),
        ({"host": "adit.example.org", "origin": "https://adit.example.org", "sec-fetch-site": "same-origin"}, True),
        ({"host": "adit.example.org", "origin": "http://adit.example.org"}, False),
        ({"host": "adit.example.org", "origin": "https://adit.example.org:8443"}, False),
        ({"host": "adit.example.org", "origin": "https://evil.example"}, False),
        ({"host": "adit.example.org", "origin": "null"}, False),
        ({"host": "adit.example.org", "sec-fetch-site": "cross-site"}, False),
        ({"host": "adit.example.org", "sec-fetch-site": "same-site"}, False),
    ],
)
def test_a_form_comes_from_our_own_page(headers: dict[str, str], is_ours: bool) -> None:
    assert Trust(some_web("https://adit.example.org")).is_from_here(headers) is is_ours


# -- sockets ----------------------------------------------------------------------------------------------------------


@dataclass
class Socket:
    """A socket of a browser, message by message; ``reached`` is what came through to the application."""

    token: str
    to_app: "asyncio.Queue[dict[str, Any]]" = field(default_factory=asyncio.Queue)
    to_browser: "asyncio.Queue[dict[str, Any]]" = field(default_factory=asyncio.Queue)
    reached: "asyncio.Queue[dict[str, Any]]" = field(default_factory=asyncio.Queue)

    @property
    def scope(self) -> dict[str, Any]:
        headers = [(b"host", b"localhost:8000"), (b"cookie", f"adit={self.token}".encode())]
        return {"type": "websocket", "path": "/_stcore/stream", "query_string": b"", "headers": headers}

    async def application(self, _scope: Any, receive: Any, send: Any) -> None:
        """Accept, take what comes, and go on talking when the browser is gone, as a script that still runs does."""
        while True:
            message = await receive()
            await self.reached.put(message)
            if message["type"] == "websocket.connect":
                await send({"type": "websocket.accept"})
            if message["type"] == "websocket.disconnect":
                await send({"type": "websocket.send", "bytes": b"too late"})
                return

    async def open(self, db: Database, settings: Settings) -> "asyncio.Task[None]":
        """Connect, through a gate of its own."""
        served = asyncio.ensure_future(
            Gate(self.application, settings, db)(self.scope, self.to_app.get, self.to_browser.put)
        )
        await self.to_app.put({"type": "websocket.connect"})
        return served


def said(is_automatic: bool = False) -> dict[str, Any]:
    message = BackMsg()
    message.rerun_script.is_auto_rerun = is_automatic
    return {"type": "websocket.receive", "bytes": message.SerializeToString()}


async def soon(queue: "asyncio.Queue[dict[str, Any]]", within_s: float = 2.0) -> dict[str, Any]:
    return await asyncio.wait_for(queue.get(), within_s)


def test_a_socket_is_closed_when_it_is_woken_and_nothing_is_sent_after(
    database: Database, some_settings: Settings, a_token: str
) -> None:
    async def story() -> None:
        socket = Socket(a_token)
        served = await socket.open(database, some_settings)
        assert (await soon(socket.to_browser))["type"] == "websocket.accept"
        sockets.recheck()
        await socket.to_app.put(said())
        assert (await soon(socket.reached))["type"] == "websocket.connect"
        assert (await soon(socket.reached))["type"] == "websocket.receive", "its session is alive"
        sessions.sign_out(database, a_token)
        await asyncio.to_thread(sockets.recheck, 1)
        assert await soon(socket.to_browser, 0.5) == {"type": "websocket.close", "code": 4401}
        await asyncio.wait_for(served, 2)
        assert (await soon(socket.reached))["type"] == "websocket.disconnect"
        assert socket.to_browser.empty(), "not even what a script still draws"

    asyncio.run(story())


def test_a_message_that_comes_with_the_end_of_the_session_reaches_nobody(
    database: Database, some_settings: Settings, a_token: str
) -> None:
    async def story() -> None:
        socket = Socket(a_token)
        served = await socket.open(database, some_settings)
        await soon(socket.to_browser)
        sessions.sign_out(database, a_token)
        await socket.to_app.put(said())
        assert (await soon(socket.to_browser))["code"] == 4401
        await asyncio.wait_for(served, 2)
        kinds = [socket.reached.get_nowait()["type"] for _ in range(socket.reached.qsize())]
        assert kinds == ["websocket.connect", "websocket.disconnect"]

    asyncio.run(story())


def test_an_idle_socket_is_looked_at_now_and_then(
    database: Database, some_settings: Settings, a_token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "_LOOK_EVERY_S", 0.05)

    async def story() -> None:
        socket = Socket(a_token)
        served = await socket.open(database, some_settings)
        await soon(socket.to_browser)
        await asyncio.sleep(0.3)
        assert not served.done()
        sessions.sign_out(database, a_token)
        assert (await soon(socket.to_browser))["code"] == 4401
        await asyncio.wait_for(served, 2)

    asyncio.run(story())


def test_a_socket_without_a_session_never_reaches_the_application(database: Database, some_settings: Settings) -> None:
    async def story() -> None:
        socket = Socket("A" * 43)
        served = await socket.open(database, some_settings)
        assert (await soon(socket.to_browser))["type"] == "websocket.close"
        await asyncio.wait_for(served, 2)
        assert socket.reached.empty()

    asyncio.run(story())


def test_sockets_are_closed_while_the_database_does_not_answer(
    database: Database, some_settings: Settings, a_token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        socket = Socket(a_token)
        served = await socket.open(database, some_settings)
        await soon(socket.to_browser)

        def silent(*_: object) -> None:
            raise Unreachable

        monkeypatch.setattr(sessions, "find", silent)
        await socket.to_app.put(said())
        assert (await soon(socket.to_browser))["code"] == 1013
        await asyncio.wait_for(served, 2)

    asyncio.run(story())


def test_a_message_says_whether_a_person_sent_it() -> None:
    heartbeat = BackMsg()
    heartbeat.app_heartbeat = True
    assert gate._is_of_a_person(said())
    assert not gate._is_of_a_person(said(is_automatic=True))
    assert not gate._is_of_a_person({"type": "websocket.receive", "bytes": heartbeat.SerializeToString()})
    assert not gate._is_of_a_person({"type": "websocket.receive", "bytes": b"\xff\xff"})
    assert not gate._is_of_a_person({"type": "websocket.receive", "text": "text"})
