"""STOW-RS for any server that ADIT reaches (PS3.18 section 10.5)."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from anyio import CapacityLimiter
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api.access import Caller, needs
from api.context import Context
from api.gateway.accepting import METADATA, check_accepts
from api.gateway.routing import GatewayRoute
from api.gateway.uploads import Upload, upload_of
from api.problems import MEDIA_TYPE, Problem
from api.threads import in_thread
from models.domain.errors import TimedOut
from models.domain.tokens import Operation
from services.gateway import storing
from services.gateway.places import Places
from services.gateway.storing import Storage, Stored, TooLarge, WrongType

AT_ONCE = 8
"""How many uploads one process takes at the same time."""
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


def router(context: Context) -> APIRouter:
    """The routes for any studies, and for one."""
    found = APIRouter(prefix="/dicom-web/{ae_title}/stowrs", tags=["dicomweb"], route_class=GatewayRoute)
    uploads = _Uploads(context)

    @found.post("/studies", **_SHOWN)
    async def store(request: Request, ae_title: str, caller: _Stores) -> Response:
        return await uploads.answer(request, caller, ae_title)

    @found.post("/studies/{study}", **_SHOWN)
    async def store_in_study(request: Request, ae_title: str, study: str, caller: _Stores) -> Response:
        return await uploads.answer(request, caller, ae_title, study)

    _ = store, store_in_study
    return found


class _Uploads:
    """The uploads of one installation, which share its places and threads."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._places = Places(AT_ONCE, "uploads")
        self._threads = CapacityLimiter(AT_ONCE)

    async def answer(self, request: Request, caller: Caller, ae_title: str, study: str = "") -> Response:
        here, upload = self._context, upload_of(request)
        try:
            check_accepts(request.headers.get("accept", ""), *METADATA)
            content_type = request.headers.get("content-type", "")
            arguments = (here.db, here.settings, caller.actor, ae_title, content_type, study)
            storage = await in_thread(storing.storage, *arguments)
            upload.is_alive = storage.may_go_on
            with self._places.taken(caller.actor.user_id):
                return await self._stored(storage, upload)
        except WrongType as error:
            named = {"Content-Type": error.message}
            raise Problem(415, "UnsupportedMediaType", error.message, named) from error
        except TooLarge as error:
            raise Problem(413, "TooLarge", error.message, error.problems) from error

    async def _stored(self, storage: Storage, upload: Upload) -> Response:
        try:
            return await in_thread(lambda: _told(storage.run(upload)), limiter=self._threads)
        except TimedOut as error:
            if upload.is_silent:
                raise Problem(408, "TimedOut", error.message) from error
            raise


def _told(found: Stored) -> Response:
    body = json.dumps(found.item(), separators=(",", ":")).encode()
    headers = {"cache-control": "no-store"}
    return Response(body, found.status, headers, media_type="application/dicom+json")
