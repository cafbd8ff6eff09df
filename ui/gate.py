"""The gate in front of every page: who is signed in is looked up for each request and each message of a socket.

Pure ASGI, since middleware of the usual kind does not see sockets. Everything a browser makes Streamlit do begins with
a message, so that callbacks and fragments are covered too.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from anyio import CapacityLimiter, to_thread
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.proto.BackMsg_pb2 import BackMsg

from models.db.engine import Database
from models.domain.errors import AditError, UnderMaintenance
from models.settings import Settings
from services import faults, project
from services.people import sessions
from services.people.sessions import SignedIn
from ui import addresses, identity, programs
from ui.account import pages
from ui.headers import Trust, add_security
from ui.sockets import Watch, watched

_OURS = identity.OURS.encode()
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_LOOKS_AT_A_TIME = 8
_LOOK_EVERY_S = 3.0
"""How long an idle socket may outlive a session that another process has ended."""

_NOT_SIGNED_IN, _MAINTENANCE, _TRY_AGAIN = 4401, 4503, 1013


class Gate:
    """Lets through who may come in, and closes the sockets of those who no longer may."""

    def __init__(self, app: ASGIApp, settings: Settings, db: Database) -> None:
        self._app = app
        self._settings = settings
        self._db = db
        self._trust = Trust(settings)
        self._looks = CapacityLimiter(_LOOKS_AT_A_TIME)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers = [(name, value) for name, value in scope["headers"] if not name.lower().startswith(_OURS)]
        visitor = _Visitor(HTTPConnection({**scope, "headers": headers}), self._settings)
        serve = self._serve if scope["type"] == "http" else self._serve_socket
        await serve(visitor, receive, send)

    async def _serve(self, visitor: "_Visitor", receive: Receive, send: Send) -> None:
        scope = visitor.scope
        secured = _with_headers(send, lambda headers: add_security(headers, visitor.path, self._settings))
        try:
            answer = await self._answer(visitor)
        except AditError as error:  # the database does not answer: nobody gets in
            answer = self._problem(visitor, 503, "ADIT is not available", error.message)
        if answer is not None:
            await answer(scope, receive, secured)
            return
        await self._pass_on(scope, receive, secured)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer; what it did not expect gets a page with a reference instead of a traceback."""
        has_begun = False

        async def noted(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception as error:
            apology = faults.apology(faults.record(error))
            if not has_begun:
                await pages.problem(self._settings, 500, "Something went wrong", apology)(scope, receive, send)

    async def _answer(self, visitor: "_Visitor") -> Response | None:
        """The answer of the gate itself; None for what may pass."""
        path = visitor.path
        if path in addresses.WATCHED or path.startswith(addresses.STATIC):
            return None
        if not self._trust.knows_host(visitor.connection.headers.get("host", "")):
            return self._problem(visitor, 400, "Wrong address", "This site is not served under that name.")
        is_api = visitor.is_at_the_api
        if visitor.is_reading and not is_api and (target := addresses.moved(path)):
            return RedirectResponse(target, 303)
        if not (is_api or visitor.method in _SAFE_METHODS or self._trust.is_from_here(visitor.connection.headers)):
            return pages.problem(self._settings, 403, "Not from here", "This form was sent from another site.")
        verdict = await self._judge(visitor, is_active=path != addresses.ALIVE)
        if verdict.is_closed(path):
            if is_api:
                return programs.problem(503, UnderMaintenance.__name__, "Under maintenance", UnderMaintenance().message)
            return pages.maintenance(self._settings, verdict.found)
        if verdict.found is None:
            return None if _is_open(path) else _refusal(visitor)
        if addresses.is_nowhere(path):
            return pages.problem(self._settings, 404, "Page not found", "There is no page at this address.")
        visitor.let_in(verdict.found)
        return None

    def _problem(self, visitor: "_Visitor", status: int, title: str, text: str) -> Response:
        """What did not work, as a page for people and as a document for programs."""
        if visitor.is_at_the_api:
            return programs.problem(status, "Refused" if status == 400 else "Unavailable", title, text)
        return pages.problem(self._settings, status, title, text)

    async def _serve_socket(self, visitor: "_Visitor", receive: Receive, send: Send) -> None:
        verdict = _Verdict(None, is_maintenance=False)
        if self._trust.knows_host(visitor.connection.headers.get("host", "")):
            with suppress(AditError):  # the database does not answer: nobody gets in
                verdict = await self._judge(visitor, is_active=True)
        if verdict.found is None or verdict.code:
            await receive()
            await send({"type": "websocket.close", "code": verdict.code})  # before it was accepted: HTTP 403
            return
        visitor.let_in(verdict.found)
        with watched(verdict.found.user.id) as watch:
            socket = _GuardedSocket(receive, send, watch, lambda is_active: self._code(visitor, is_active))
            try:
                await self._app(visitor.scope, socket.receive, socket.send)
            finally:
                socket.end()

    async def _code(self, visitor: "_Visitor", is_active: bool) -> int:
        """The code to close a socket with; 0 while it may stay open."""
        try:
            return (await self._judge(visitor, is_active)).code
        except AditError:
            return _TRY_AGAIN

    async def _judge(self, visitor: "_Visitor", is_active: bool) -> "_Verdict":
        return await to_thread.run_sync(_look, self._db, self._settings, visitor, is_active, limiter=self._looks)


@dataclass(frozen=True, slots=True)
class _Verdict:
    """Who it is, and whether they are kept out by maintenance; it lets staff in."""

    found: SignedIn | None
    is_maintenance: bool

    @property
    def code(self) -> int:
        if self.found is None:
            return _NOT_SIGNED_IN
        return _MAINTENANCE if self.is_maintenance else 0

    def is_closed(self, path: str) -> bool:
        """Whether maintenance closes this path: the API for everybody, pages for those who are not staff."""
        return self.is_maintenance and path not in addresses.SIGN_IN_AND_OUT


class _Visitor:
    """One connection and what it says about itself."""

    def __init__(self, connection: HTTPConnection, settings: Settings) -> None:
        self.connection = connection
        self.scope: dict[str, Any] = connection.scope  # pyright: ignore[reportAttributeAccessIssue]
        self.path: str = self.scope["path"]
        self.method: str = self.scope.get("method", "")
        self.token = connection.cookies.get(identity.cookie_name(settings), "")
        self.address = connection.client.host if connection.client else ""

    @property
    def is_at_the_api(self) -> bool:
        return self.path.startswith(addresses.API)

    @property
    def is_reading(self) -> bool:
        return self.method in {"GET", "HEAD"}

    @property
    def is_at_a_page(self) -> bool:
        """Whether a browser is about to show the answer as a page."""
        return self.is_reading and "text/html" in self.connection.headers.get("accept", "")

    def let_in(self, found: SignedIn) -> None:
        """Say who it is to the application behind the gate."""
        identity.let_in(self.scope, found, self.address)


class _GuardedSocket:
    """A socket whose session is looked up for each message, when it is woken, and every few seconds."""

    def __init__(self, receive: Receive, send: Send, watch: Watch, code: Callable[[bool], Awaitable[int]]) -> None:
        self._receive = receive
        self._send = send
        self._watch = watch
        self._code = code
        self._next: asyncio.Future[Message] | None = None
        self._is_closed = False

    async def receive(self) -> Message:
        """The next message, once it is known that its sender may still send it."""
        while not self._is_closed:
            message = await self._message()
            if message is not None and message["type"] != "websocket.receive":
                return message
            if code := await self._code(message is not None and _is_of_a_person(message)):
                await self._close(code)
            elif message is not None:
                return message
        return {"type": "websocket.disconnect", "code": _NOT_SIGNED_IN}

    async def send(self, message: Message) -> None:
        """Send, until the socket is closed: a script that still runs may go on to draw."""
        if not self._is_closed:
            await self._send(message)

    def end(self) -> None:
        """Wait for no more messages."""
        if self._next is not None:
            self._next.cancel()

    async def _message(self) -> Message | None:
        """The next message; None when it is time to look without one."""
        if self._next is None:
            self._next = asyncio.ensure_future(self._receive())
        woken = asyncio.ensure_future(self._watch.wake.wait())
        try:
            await asyncio.wait({self._next, woken}, timeout=_LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()
        self._watch.wake.clear()
        if not self._next.done():
            return None
        message, self._next = self._next.result(), None
        return message

    async def _close(self, code: int) -> None:
        self._is_closed = True
        self.end()
        with suppress(Exception):  # the browser may be gone already
            await self._send({"type": "websocket.close", "code": code})


def _look(db: Database, settings: Settings, visitor: _Visitor, is_active: bool) -> _Verdict:
    """Look a session up, but for the API, which asks for tokens. One that belongs to staff defies maintenance."""
    asks = bool(visitor.token) and not visitor.is_at_the_api
    found = sessions.find(db, settings, visitor.token, visitor.address, is_active) if asks else None
    if found is not None and found.actor.is_staff:
        return _Verdict(found, is_maintenance=False)
    return _Verdict(found, project.get(db).maintenance)


def _is_open(path: str) -> bool:
    """Whether a path is open to those who are not signed in; the API checks its own tokens."""
    return path in addresses.FORMS or path.startswith(addresses.API) or path == "/_stcore/health"


def _refusal(visitor: _Visitor) -> Response:
    if visitor.is_at_a_page:
        wanted = addresses.with_query(visitor.path, visitor.scope["query_string"])
        return RedirectResponse(addresses.sign_in(wanted), 303)
    return JSONResponse({"detail": "Not signed in."}, 401)


def _is_of_a_person(message: Message) -> bool:
    """Whether somebody did something; pages that refresh themselves keep no session alive."""
    said = BackMsg()
    try:
        said.ParseFromString(message.get("bytes") or b"")
    except Exception:  # Streamlit closes the socket of whoever sends this
        return False
    return said.WhichOneof("type") not in {None, "app_heartbeat"} and not said.rerun_script.is_auto_rerun


def _with_headers(send: Send, add: Callable[[MutableHeaders], None]) -> Send:
    async def adding(message: Message) -> None:
        if message["type"] == "http.response.start":
            add(MutableHeaders(scope=message))
        await send(message)

    return adding
