"""Routes of the API: plain functions, called in a thread, behind the door that they declare.

Their answers are made in the thread too, since a long list takes its time.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, ClassVar

from anyio import CapacityLimiter
from fastapi import Request
from fastapi.params import Form
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.access import Door
from api.threads import QUICK, SLOW, in_thread

_MOST_VALUES = 200_000
"""Of one body: to read a JSON of millions of small ones stops the process for seconds, and takes much memory."""


class Route(APIRoute):
    """A route that asks the database. Who may not use it is sent away before the body of the request is read."""

    limiter: ClassVar[CapacityLimiter] = QUICK

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        if not inspect.iscoroutinefunction(endpoint):
            endpoint = _threaded(endpoint, options.get("status_code") or 200, self.limiter)
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Callable[[Request], Any]:
        """The handler of this route behind its doors."""
        answer = super().get_route_handler()
        doors = doors_of(self)
        takes_json = self.body_field is not None and not isinstance(self.body_field.field_info, Form)

        async def admit_and_answer(request: Request) -> Response:
            for door in doors:
                await door(request)
            if takes_json:
                _check_values(await request.body())
            return await answer(request)

        return admit_and_answer


class SlowRoute(Route):
    """A route that waits for an archive."""

    limiter = SLOW


def doors_of(route: APIRoute) -> tuple[Door, ...]:
    """The doors that a route declares; each has one, and a test says so."""
    return tuple(below.call for below in route.dependant.dependencies if isinstance(below.call, Door))


def _check_values(body: bytes) -> None:
    """Raise HTTPException for a JSON of more values than any of our requests has, before it is read."""
    if sum(map(body.count, (b",", b"[", b"{"))) > _MOST_VALUES:
        raise HTTPException(413)


def _threaded(endpoint: Callable[..., Any], status: int, limiter: CapacityLimiter) -> Callable[..., Any]:
    @wraps(endpoint)
    async def running(**values: Any) -> Response:
        return await in_thread(_answer, endpoint, status, values, limiter=limiter)

    return running


def _answer(endpoint: Callable[..., Any], status: int, values: dict[str, Any]) -> Response:
    found = endpoint(**values)
    if isinstance(found, Response):
        return found
    if found is None:
        return Response(status_code=status)
    assert isinstance(found, BaseModel)
    return Response(found.model_dump_json(), status, media_type="application/json")
