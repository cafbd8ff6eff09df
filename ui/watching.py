"""What programs ask that watch us: whether we live, whether we can take jobs, and our figures.

Anybody may ask, so each answer is computed by one thread at a time, and kept for some seconds.
"""

import asyncio
import hmac
import time
from collections.abc import Callable
from functools import partial
from ipaddress import ip_address
from typing import Generic, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import JSONResponse, PlainTextResponse, Response

from models.db.engine import Database
from models.domain.errors import AditError, TimedOut
from models.settings import Settings
from services import metrics, readiness
from ui import addresses
from ui.headers import Trust

T = TypeVar("T")

_READINESS_KEPT_S = 3.0
_READY_WITHIN_S = 6.0
_METRICS_KEPT_S = 5.0
_METRICS_WITHIN_S = 25.0
"""A little less than Prometheus would wait for an interval of 30 seconds."""
_BY_PROXY = ("x-forwarded-for", "forwarded")


class Kept(Generic[T]):
    """An answer that takes a while: computed when it is asked for, never twice at a time, and kept for some seconds."""

    def __init__(self, compute: Callable[[], T], kept_s: float, within_s: float) -> None:
        self._compute = compute
        self._kept_s = kept_s
        self._within_s = within_s
        self._thread = CapacityLimiter(1)
        self._answer: asyncio.Future[T] | None = None
        self._begun_at = self._ended_at = 0.0

    async def get(self) -> T:
        """The answer, or what computing it has raised; raises TimedOut when it takes too long."""
        now = time.monotonic()
        if self._answer is None or (self._answer.done() and now - self._ended_at > self._kept_s):
            self._begun_at = now
            self._answer = asyncio.ensure_future(to_thread.run_sync(self._compute, limiter=self._thread))
            self._answer.add_done_callback(self._note_end)
        patience_s = max(self._begun_at + self._within_s - now, 0.0)
        await asyncio.wait({self._answer}, timeout=patience_s)
        if not self._answer.done():
            raise TimedOut("It takes too long.")
        return self._answer.result()

    def _note_end(self, answer: "asyncio.Future[T]") -> None:
        self._ended_at = time.monotonic()
        if not answer.cancelled():
            answer.exception()  # looked at, so that nobody complains when nobody else does


class Watching:
    """The routes, for one installation."""

    def __init__(self, settings: Settings, db: Database) -> None:
        self._token = settings.metrics_token.get_secret_value()
        self._trust = Trust(settings)
        self._parts = {
            part: Kept(partial(readiness.is_there, db, settings, part), _READINESS_KEPT_S, _READY_WITHIN_S)
            for part in readiness.PARTS
        }
        self._figures = Kept(partial(metrics.exposition, db, settings), _METRICS_KEPT_S, _METRICS_WITHIN_S)

    def router(self) -> APIRouter:
        """What is to be included."""
        router = APIRouter()
        for path in addresses.HEALTH:
            router.add_api_route(path, self._health, methods=["GET", "HEAD"])
        for path in addresses.READY:
            router.add_api_route(path, self._ready, methods=["GET", "HEAD"])
        router.add_api_route(addresses.METRICS, self._metrics, methods=["GET"])
        return router

    async def _health(self) -> Response:
        """Whether this process lives."""
        return JSONResponse({"status": "ok"})

    async def _ready(self) -> Response:
        """Whether all parts are there, and which are not; the parts are looked at at the same time."""
        answers = await asyncio.gather(*(self._is_there(part) for part in self._parts))
        found = dict(zip(self._parts, answers, strict=True))
        is_ready = all(answers)
        return JSONResponse({"ready": is_ready, "parts": found}, 200 if is_ready else 503)

    async def _is_there(self, part: str) -> bool:
        try:
            return await self._parts[part].get()
        except AditError:
            return False

    async def _metrics(self, request: Request) -> Response:
        if not self._may_read(request):
            return self._refusal()
        try:
            return Response(await self._figures.get(), media_type=CONTENT_TYPE_LATEST)
        except AditError as error:
            return PlainTextResponse(f"{error.code}: {error.message}\n", 503)

    def _may_read(self, request: Request) -> bool:
        """Whether it shows the token or, where none is set, comes from this machine and through no proxy."""
        if self._token:
            shown = request.headers.get("authorization", "").encode()
            return hmac.compare_digest(shown, f"Bearer {self._token}".encode())
        is_direct = not any(name in request.headers for name in _BY_PROXY)
        return is_direct and _is_local(request) and self._trust.knows_host(request.headers.get("host", ""))

    def _refusal(self) -> Response:
        if self._token:
            return PlainTextResponse("Show the token of ADIT_METRICS_TOKEN.\n", 401, {"www-authenticate": "Bearer"})
        return PlainTextResponse("Only for programs of this machine. Others need ADIT_METRICS_TOKEN.\n", 403)


def _is_local(request: Request) -> bool:
    try:
        return request.client is not None and ip_address(request.client.host).is_loopback
    except ValueError:
        return False
