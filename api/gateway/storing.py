"""STOW-RS for any server that ADIT reaches (PS3.18 section 10.5)."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api.access import Caller, needs
from api.context import Context, Here
from api.gateway.accepting import METADATA, check_accepts
from api.gateway.routing import GatewayRoute
from api.gateway.uploads import Upload, upload_of
from api.problems import MEDIA_TYPE, Problem
from api.threads import UPLOADS, in_thread
from models.domain.errors import TimedOut
from models.domain.tokens import Operation
from services.gateway import storing
from services.gateway.storing import Storage, Stored, TooLarge, WrongType

_Stores = Annotated[Caller, Depends(needs(Operation.STORE))]
_ABOUT = (
    'The body is `multipart/related; type="application/dicom"` and may have any size; each instance is sent on as the '
    "bytes it is. 200: all were stored; 202: some were not, or with a warning; 409: none was. The answer tells which, "
    "and why."
)
_SHOWN: Mapping[str, Any] = {
    "response_class": Response,
    "description": _ABOUT,
    "responses": {
        200: {"description": "Every instance was stored.", "content": {"application/dicom+json": {}}},
        202: {"description": "Not every instance was stored.", "content": {"application/dicom+json": {}}},
        409: {"description": "No instance was stored.", "content": {"application/dicom+json": {}, MEDIA_TYPE: {}}},
    },
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                'multipart/related; type="application/dicom"': {"schema": {"type": "string", "format": "binary"}}
            },
        }
    },
}


router = APIRouter(prefix="/dicom-web/{ae_title}/stowrs", tags=["dicomweb"], route_class=GatewayRoute)


@router.post("/studies", **_SHOWN)
async def store(request: Request, ae_title: str, caller: _Stores, here: Here) -> Response:
    return await _answer(here, request, caller, ae_title)


@router.post("/studies/{study}", **_SHOWN)
async def store_in_study(request: Request, ae_title: str, study: str, caller: _Stores, here: Here) -> Response:
    return await _answer(here, request, caller, ae_title, study)


async def _answer(here: Context, request: Request, caller: Caller, ae_title: str, study: str = "") -> Response:
    upload = upload_of(request)
    try:
        check_accepts(request.headers.get("accept", ""), *METADATA)
        content_type = request.headers.get("content-type", "")
        arguments = (here.db, here.settings, caller.actor, ae_title, content_type, study)
        storage = await in_thread(storing.storage, *arguments)
        upload.is_alive = storage.may_go_on
        with here.uploads.taken(caller.actor.user_id):
            return await stored(storage, upload)
    except WrongType as error:
        named = {"Content-Type": error.message}
        raise Problem(415, "UnsupportedMediaType", error.message, named) from error
    except TooLarge as error:
        raise Problem(413, "TooLarge", error.message, error.problems) from error


async def stored(storage: Storage, upload: Upload) -> Response:
    """What is told of an upload when all of it was sent on; raises Problem when the caller has fallen silent."""
    try:
        return await in_thread(lambda: _told(storage.run(upload)), limiter=UPLOADS)
    except TimedOut as error:
        if upload.is_silent:
            raise Problem(408, "TimedOut", error.message) from error
        raise


def _told(found: Stored) -> Response:
    body = json.dumps(found.item(), separators=(",", ":")).encode()
    headers = {"cache-control": "no-store"}
    return Response(body, found.status, headers, media_type="application/dicom+json")
