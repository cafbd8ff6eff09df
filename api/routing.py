"""Routes of the API: plain functions, called in a thread, behind the door that they declare.

Their answers are made in the thread too, since a long list takes its time.
"""

import inspect
import re
from collections.abc import Callable
from functools import wraps
from typing import Any, ClassVar

from anyio import CapacityLimiter
from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.params import Form
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.access import Door
from api.problems import Problem
from api.threads import QUICK, SLOW, in_thread
from models.domain.errors import BadRequest

_MOST_VALUES = 200_000
"""Of one body: to read a JSON of millions of small ones stops the process for seconds, and takes much memory."""


JSON, FORM = "application/json", "multipart/form-data"
"""What bodies are made of."""


class Route(APIRoute):
    """A route that asks the database. Who may not use it is sent away before the body of the request is read.

    A parameter that is not declared is refused: with a filter that is misspelt a list would have everything.
    """

    limiter: ClassVar[CapacityLimiter] = QUICK
    declares_its_query: ClassVar[bool] = True

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        if not inspect.iscoroutinefunction(endpoint):
            endpoint = _threaded(endpoint, options.get("status_code") or 200, self.limiter)
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Callable[[Request], Any]:
        """The handler of this route behind its doors."""
        answer = super().get_route_handler()
        doors = doors_of(self)
        known = _query_names(self.dependant) if self.declares_its_query else None
        takes_body = self.body_field is not None
        takes_json = self.body_field is not None and not isinstance(self.body_field.field_info, Form)

        async def admit_and_answer(request: Request) -> Response:
            for door in doors:
                await door(request)
            if known is not None and not known.issuperset(request.query_params.keys()):
                raise BadRequest.of({"query": "it has a field that is not known."})
            if takes_body:
                _check_media_type(request, JSON if takes_json else FORM)
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


def _query_names(dependant: Dependant) -> frozenset[str]:
    """The parameters that may stand in the address of a route."""
    own = (field.alias for field in dependant.query_params)
    return frozenset(own).union(*map(_query_names, dependant.dependencies))


def _check_media_type(request: Request, wanted: str) -> None:
    """Raise Problem for a body that says to be something else, as what ``curl -d`` sends does unless told."""
    headers = request.headers
    sent = headers.get("content-type", "").partition(";")[0].strip().lower()
    is_meant = sent == wanted or (wanted == JSON and re.fullmatch(r"application/[^/]+\+json", sent) is not None)
    if not is_meant and ("transfer-encoding" in headers or headers.get("content-length", "0") != "0"):
        sentence = f"the body has to be {wanted}."
        raise Problem(415, "UnsupportedMediaType", f"Content-Type: {sentence}", {"Content-Type": sentence})


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
