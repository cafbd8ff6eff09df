"""Forms that carry a file: their files stay in memory, since they name patients, and are bounded by who sends them."""

from collections.abc import Callable
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import Request
from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.responses import Response

from api.access import caller_of
from api.routing import FORM, SlowRoute
from api.traffic import allow_body
from services.batches import uploads

MEDIA_TYPE = FORM
_ROOM_FOR_FIELDS = 256 * 1024
_MOST_FIELDS = 100


class _InMemory(MultiPartParser):
    """Never writes a file to disk: bodies are bounded before they get here."""

    spool_max_size = 1 << 31


class _FormRequest(Request):
    """A request whose form is read in memory, up to the largest file that its caller may hand in."""

    _in_memory: FormData | None = None

    async def form(self, **_options: Any) -> FormData:  # type: ignore[override]
        """The fields and the file; empty for a body that is no form."""
        if self._in_memory is None:
            self._in_memory = await self._read_form()
        return self._in_memory

    async def _read_form(self) -> FormData:
        if not self.headers.get("content-type", "").lower().startswith(MEDIA_TYPE):
            return FormData()
        caller = caller_of(self.scope)
        assert caller is not None
        allow_body(self.scope, uploads.largest_bytes(caller.actor) + _ROOM_FOR_FIELDS)
        try:
            async with aclosing(self.stream()) as stream:
                parser = _InMemory(
                    self.headers, stream, max_files=1, max_fields=_MOST_FIELDS, max_part_size=_ROOM_FOR_FIELDS
                )
                return await parser.parse()
        except MultiPartException as error:
            raise HTTPException(400) from error


class FormRoute(SlowRoute):
    """A route that takes a form with a file; who may not use it is sent away before the form is read."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        """The handler of this route, for forms in memory."""
        answer = super().get_route_handler()

        async def answer_form(request: Request) -> Response:
            return await answer(_FormRequest(request.scope, request.receive))

        return answer_form


def _file(value: Any) -> UploadFile:
    if not isinstance(value, UploadFile):
        raise ValueError("a file is needed.")
    return value


FormFile = Annotated[
    Any,
    BeforeValidator(_file),
    PlainSerializer(lambda _: ""),
    WithJsonSchema(
        {"type": "string", "format": "binary", "description": "The file: .xlsx, .ods or .csv, whatever its name."}
    ),
]
"""A field of a form that is a file."""


def content_of(file: Any) -> bytes:
    """What is in an uploaded file."""
    assert isinstance(file, UploadFile)
    file.file.seek(0)
    content: bytes = file.file.read()
    return content
