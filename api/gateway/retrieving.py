"""WADO-RS for any server that ADIT reaches (PS3.18 section 10.4), with metadata, and with NIfTI beside it."""

import json
import secrets
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from api.access import Caller, needs
from api.context import Context, Here
from api.gateway import accepting
from api.gateway.accepting import Offer, check_accepts
from api.gateway.routing import GatewayRoute
from api.gateway.streaming import PIECE_BYTES, Opened, Opening, Streamed, cut
from api.threads import in_thread
from models.domain.errors import BadRequest
from models.domain.instances import Bytes, EncodedInstance
from models.domain.refs import is_uid
from models.domain.tokens import Operation
from models.settings import Settings
from services.converting import WITHOUT_VOLUMES
from services.gateway import converting, retrieving
from services.gateway.converting import Converted
from services.gateway.retrieving import Retrieval
from services.gateway.terms import Terms, Wanted

_RECEIPT_AS_PART = "part"
_MOST_PARAMETERS = 20
"""Of one request, before it is told which of them stand there twice."""
_ABOUT = "Sent while the server still sends. Series that are left out are named in a Warning header."
_PATHS = (
    "/studies/{study}",
    "/studies/{study}/series/{series}",
    "/studies/{study}/series/{series}/instances/{instance}",
)


class Parameters(BaseModel):
    """What may stand in the query of a retrieval."""

    model_config = ConfigDict(extra="forbid")

    pseudonym: Annotated[
        str | None,
        Field(min_length=1, description="The name under which the patient leaves.", examples=["SUBJ-01"]),
    ] = None
    trial_protocol_id: Annotated[
        str | None,
        Field(min_length=1, description="The trial; its patients keep their pseudonyms.", examples=["NCT01234567"]),
    ] = None
    trial_protocol_name: Annotated[str | None, Field(min_length=1, description="The name of the trial.")] = None
    profile: Annotated[
        str | None, Field(min_length=1, description="The de-identification profile.", examples=["research"])
    ] = None
    accept: Annotated[str | None, Field(description="In the place of the Accept header.")] = None

    def terms(self) -> Terms:
        return Terms(
            self.pseudonym or "", self.trial_protocol_id or "", self.trial_protocol_name or "", self.profile or ""
        )


def router() -> APIRouter:
    """The routes of all three levels."""
    found = APIRouter(prefix="/dicom-web/{ae_title}/wadors", tags=["dicomweb"], route_class=GatewayRoute)
    for level, path in zip((_study, _series, _instance), _PATHS, strict=True):
        for form, endpoint, media_type in (
            ("", _instances_of(level), "multipart/related"),
            ("/metadata", _metadata_of(level), "application/dicom+json"),
            ("/nifti", _volumes_of(level), "multipart/related"),
        ):
            told: dict[int | str, dict[str, Any]] = {200: {"description": _ABOUT, "content": {media_type: {}}}}
            found.add_api_route(path + form, endpoint, response_class=Response, responses=told)
    return found


def _study(study: str) -> Wanted:
    return Wanted(study)


def _series(study: str, series: str) -> Wanted:
    return Wanted(study, series)


def _instance(study: str, series: str, instance: str) -> Wanted:
    return Wanted(study, series, instance)


_Level = Callable[..., Wanted]
_Asks = Annotated[Caller, Depends(needs(Operation.RETRIEVE))]
_Query = Annotated[Parameters, Query()]
_ReceiptAs = Annotated[
    str,
    Header(
        description="`part`: let the last part, or the last object of metadata, be the receipt.",
        examples=[_RECEIPT_AS_PART],
    ),
]


def _instances_of(level: _Level) -> Callable[..., object]:
    async def instances(
        request: Request,
        ae_title: str,
        wanted: Annotated[Wanted, Depends(level)],
        query: _Query,
        caller: _Asks,
        here: Here,
        x_adit_receipt: _ReceiptAs = "",
    ) -> Response:
        """The instances as they may leave, each as a DICOM file, while the server still sends."""
        _check(request, query, *accepting.INSTANCES)
        has_receipt = _wants_receipt(x_adit_receipt)
        retrieval = await _retrieval(here, caller, ae_title, wanted, query)
        return _answer(here, retrieval, lambda begun: _instances(begun, has_receipt))

    return instances


def _metadata_of(level: _Level) -> Callable[..., object]:
    async def metadata(
        request: Request,
        ae_title: str,
        wanted: Annotated[Wanted, Depends(level)],
        query: _Query,
        caller: _Asks,
        here: Here,
        x_adit_receipt: _ReceiptAs = "",
    ) -> Response:
        """What the instances say of themselves, without their pixels, in the DICOM JSON model."""
        _check(request, query, *accepting.METADATA)
        retrieval = await _retrieval(here, caller, ae_title, wanted, query, "as metadata")
        has_receipt = _wants_receipt(x_adit_receipt)
        return _answer(here, retrieval, lambda begun: _metadata(begun, has_receipt))

    return metadata


def _volumes_of(level: _Level) -> Callable[..., object]:
    async def nifti(
        request: Request,
        ae_title: str,
        wanted: Annotated[Wanted, Depends(level)],
        query: _Query,
        caller: _Asks,
        here: Here,
    ) -> Response:
        """The volumes as NIfTI files, the description of each before it."""
        _check(request, query, *accepting.VOLUMES)
        retrieval = await _retrieval(here, caller, ae_title, wanted, query, "as NIfTI", WITHOUT_VOLUMES)
        return _answer(here, retrieval, lambda begun: _volumes(here.settings, begun))

    return nifti


async def _retrieval(
    here: Context,
    caller: Caller,
    ae_title: str,
    wanted: Wanted,
    query: Parameters,
    form: str = "",
    without: Collection[str] = (),
) -> Retrieval:
    return await in_thread(
        retrieving.retrieval,
        here.db,
        here.settings,
        caller.actor,
        ae_title,
        here.retrievals,
        wanted,
        query.terms(),
        form,
        without,
    )


def _answer(here: Context, retrieval: Retrieval, opening: Opening) -> Response:
    return Streamed(retrieval, opening, retrieval.may_go_on, here.retrieving)


def _check(request: Request, query: Parameters, *offers: Offer) -> None:
    """Raise Problem when nothing that is offered is accepted, BadRequest for a parameter that stands there twice."""
    counts = Counter(name for name, _ in request.query_params.multi_items())
    if counts.total() > _MOST_PARAMETERS:
        raise BadRequest("There are more parameters than a retrieval has.")
    if repeated := sorted(name for name, count in counts.items() if count > 1):
        raise BadRequest.of(dict.fromkeys(repeated, "it is given more than once."))
    check_accepts(query.accept or request.headers.get("accept", ""), *offers)


def _wants_receipt(header: str) -> bool:
    return header.strip().lower() == _RECEIPT_AS_PART


@contextmanager
def _instances(retrieval: Retrieval, has_receipt: bool) -> Generator[Opened]:
    retrieval.begin()
    boundary = secrets.token_hex(16)
    media_type = f'multipart/related; type="application/dicom"; boundary={boundary}'
    pieces = _instance_parts(retrieval, boundary)
    yield Opened(media_type, _warning(retrieval.warning), pieces, lambda: _end(retrieval, boundary, has_receipt))


def _instance_parts(retrieval: Retrieval, boundary: str) -> Iterator[bytes]:
    for instance in retrieval:
        length, file = retrieving.file_of(instance)
        yield from cut(chain((_head(boundary, _file_type(instance), length),), file, (b"\r\n",)))


def _end(retrieval: Retrieval, boundary: str, has_receipt: bool) -> bytes:
    """The end of a multipart body, before it the receipt for who wants one."""
    retrieval.conclude()
    end = f"--{boundary}--\r\n".encode()
    if not has_receipt:
        return end
    receipt = _receipt(retrieval)
    return _head(boundary, "application/json", len(receipt)) + receipt + b"\r\n" + end


def _receipt(retrieval: Retrieval) -> bytes:
    delivery = retrieval.delivery
    told = {"expected": delivery.expected, "sent": delivery.sent, "left_out": dict(delivery.left_out)}
    return json.dumps(told).encode()


@contextmanager
def _metadata(retrieval: Retrieval, has_receipt: bool) -> Generator[Opened]:
    retrieval.begin()
    yield Opened(
        "application/dicom+json",
        _warning(retrieval.warning),
        _metadata_pieces(retrieval),
        lambda: _end_of_metadata(retrieval, has_receipt),
    )


def _metadata_pieces(retrieval: Retrieval) -> Iterator[bytes]:
    before = b"["
    for instance in retrieval:
        yield from cut(iter((before, retrieving.described(instance))))
        before = b","


def _end_of_metadata(retrieval: Retrieval, has_receipt: bool) -> bytes:
    """The end of the array, which has at least one instance; before it the receipt for who wants one."""
    retrieval.conclude()
    return b"," + _receipt(retrieval) + b"]" if has_receipt else b"]"


@contextmanager
def _volumes(settings: Settings, retrieval: Retrieval) -> Generator[Opened]:
    retrieval.begin()
    with converting.converted(settings, retrieval) as found:
        boundary = secrets.token_hex(16)
        media_type = f'multipart/related; type="application/octet-stream"; boundary={boundary}'
        warning = _warning(" ".join(filter(None, (retrieval.warning, retrieval.gaps, *found.problems))))
        pieces = _volume_parts(found, boundary)
        yield Opened(media_type, warning, pieces, lambda: _end(retrieval, boundary, False))


def _volume_parts(found: Converted, boundary: str) -> Iterator[bytes]:
    for path in found.files:
        disposition = f'attachment; filename="{path.name}"'
        head = _head(boundary, "application/octet-stream", path.stat().st_size, disposition)
        yield from cut(_read(head, path))


def _read(head: bytes, path: Path) -> Iterator[Bytes]:
    yield head
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece
    yield b"\r\n"


def _head(boundary: str, media_type: str, length: int, disposition: str = "") -> bytes:
    lines = [f"--{boundary}", f"Content-Type: {media_type}", f"Content-Length: {length}"]
    if disposition:
        lines.append(f"Content-Disposition: {disposition}")
    return "\r\n".join((*lines, "", "")).encode()


def _file_type(instance: EncodedInstance) -> str:
    syntax = instance.transfer_syntax_uid
    return f"application/dicom; transfer-syntax={syntax}" if is_uid(syntax) else "application/dicom"


def _warning(text: str) -> dict[str, str]:
    """The header that tells what is not in the answer (RFC 7234 section 5.5, PS3.18 section 8.5)."""
    plain = "".join(letter if 0x20 <= ord(letter) < 0x7F and letter not in '"\\' else "?" for letter in text)
    return {"warning": f'299 - "{plain}"'} if plain else {}
