"""QIDO-RS for any server that ADIT reaches (PS3.18 section 10.6)."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api.access import Caller, needs
from api.context import Context, Here
from api.gateway.accepting import METADATA, check_accepts
from api.gateway.hangups import unless_hung_up
from api.gateway.routing import GatewayRoute
from api.threads import SLOW, in_thread
from models.domain.refs import Level
from models.domain.tokens import Operation
from services.gateway import queries, searching
from services.gateway.searching import WebFound

_Asks = Annotated[Caller, Depends(needs(Operation.SEARCH))]
_ABOUT = (
    "Matching keys are keywords or tags of DICOM attributes of this level and those above, in sequences with dots "
    "between; beside them `includefield`, `limit`, `offset` and `fuzzymatching`. More than there may be is told in a "
    "Warning header."
)
_FOUND: dict[int | str, dict[str, Any]] = {
    200: {"description": "What was found.", "content": {"application/dicom+json": {}}}
}


def _parameter(name: str, about: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"in": "query", "name": name, "required": False, "description": about, "schema": schema}


_PARAMETERS = [
    _parameter("limit", "How many results at most.", {"type": "integer", "minimum": 0}),
    _parameter("offset", "How many results are passed over.", {"type": "integer", "minimum": 0}),
    _parameter(
        "includefield", "An attribute to be told as well, or `all`.", {"type": "string", "examples": ["StudyID"]}
    ),
    _parameter("fuzzymatching", "Not supported: `true` brings a warning.", {"type": "boolean"}),
    _parameter("PatientID", "A key, as any other attribute can be.", {"type": "string", "examples": ["4711"]}),
]
_SHOWN: Mapping[str, Any] = {
    "response_class": Response,
    "responses": _FOUND,
    "description": _ABOUT,
    "openapi_extra": {"parameters": _PARAMETERS},
}


router = APIRouter(prefix="/dicom-web/{ae_title}/qidors", tags=["dicomweb"], route_class=GatewayRoute)


@router.get("/studies", **_SHOWN)
async def studies(request: Request, ae_title: str, caller: _Asks, here: Here) -> Response:
    return await _answer(here, request, caller, ae_title, Level.STUDY)


@router.get("/studies/{study}/series", **_SHOWN)
async def series(request: Request, ae_title: str, study: str, caller: _Asks, here: Here) -> Response:
    return await _answer(here, request, caller, ae_title, Level.SERIES, study)


@router.get("/studies/{study}/instances", **_SHOWN)
async def instances_of_study(request: Request, ae_title: str, study: str, caller: _Asks, here: Here) -> Response:
    return await _answer(here, request, caller, ae_title, Level.IMAGE, study)


@router.get("/studies/{study}/series/{series}/instances", **_SHOWN)
async def instances(request: Request, ae_title: str, study: str, series: str, caller: _Asks, here: Here) -> Response:
    return await _answer(here, request, caller, ae_title, Level.IMAGE, study, series)


async def _answer(
    here: Context, request: Request, caller: Caller, ae_title: str, level: Level, study: str = "", series: str = ""
) -> Response:
    parameters = request.query_params.multi_items()
    chosen = [value for name, value in parameters if name == "accept"]
    check_accepts(chosen[0] if chosen else request.headers.get("accept", ""), *METADATA)
    query = queries.read(level, [one for one in parameters if one[0] != "accept"], study, series)
    search = await in_thread(searching.search, here.db, here.settings, caller.actor, ae_title, query)
    with here.searches.taken(caller.actor.user_id):
        return await unless_hung_up(request.receive, lambda: _told(search.run()), search.stop, SLOW, search.may_go_on)


def _told(found: WebFound) -> Response:
    """An array, empty when nothing was found: CP-2473 wants 200 for that, and clients want JSON."""
    body = json.dumps(found.items, separators=(",", ":")).encode()
    answer = Response(body, media_type="application/dicom+json", headers={"cache-control": "no-store"})
    for warning in found.warnings:
        answer.headers.append("warning", warning)
    return answer
