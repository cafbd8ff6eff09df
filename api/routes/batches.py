"""Batch files: read and told what is wrong, asked of servers, checked, moved, and given back with verdicts."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Path, Query
from fastapi import Form as FormData
from starlette.responses import Response

from api.access import Caller, needs
from api.context import Context, Here
from api.forms import MEDIA_TYPE, FormRoute, content_of
from api.problems import Problem
from api.routes.jobs import JobId, Key, details
from api.routing import Route, SlowRoute
from api.schemas.batches import (
    BatchCheckWished,
    BatchQueryWished,
    CheckedRowShown,
    CheckedTransfer,
    Ending,
    FileChecked,
    FileWished,
    Form,
    OutcomeShown,
    ProblemShown,
    ResultShown,
)
from api.schemas.jobs import JobDetails
from api.schemas.shapes import Number, Page, Part
from models.domain.answers import RowVerdict
from models.domain.batch_requests import BatchFile
from models.domain.batches import BatchKind
from models.domain.errors import BadRequest
from models.domain.people import Actor
from models.domain.tokens import Operation
from services import nodes
from services.batch_files import templates
from services.batch_files.tables import FileKind
from services.batch_files.writing import Download
from services.batches import checks, queries, results, transfers, uploads, verdicts
from services.batches.uploads import QueryUpload, TransferUpload

U = TypeVar("U", bound=QueryUpload | TransferUpload)

router = APIRouter(prefix="/v1", tags=["batches"], route_class=Route)
slow_router = APIRouter(prefix="/v1", tags=["batches"], route_class=SlowRoute)
form_router = APIRouter(prefix="/v1", tags=["batches"], route_class=FormRoute)

Reader = Annotated[Caller, Depends(needs(Operation.READ))]
Searcher = Annotated[Caller, Depends(needs(Operation.SEARCH))]
Mover = Annotated[Caller, Depends(needs(Operation.TRANSFER))]
_Read = Annotated[FileWished, FormData(media_type=MEDIA_TYPE)]
_Query = Annotated[BatchQueryWished, FormData(media_type=MEDIA_TYPE)]
_Check = Annotated[BatchCheckWished, FormData(media_type=MEDIA_TYPE)]
_FILE: dict[str, Any] = {
    "response_class": Response,
    "responses": {
        200: {
            "content": {
                "text/csv": {"schema": {"type": "string", "format": "binary"}},
                "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": {
                    "schema": {"type": "string", "format": "binary"}
                },
            }
        }
    },
}
MOST_PROBLEMS = 1000
"""How many problems a refusal tells; the check of a file tells all."""


@form_router.post("/batch-files/check")
def check_file(caller: Reader, wished: _Read) -> FileChecked:
    """What is wrong with a batch file, all at once. Nothing is kept, and no server is asked."""
    read = uploads.read_query if wished.kind is BatchKind.QUERY else uploads.read_transfer
    found = _read_file(read, caller, wished.file, wished.sheet)
    return FileChecked(
        rows=len(found.rows),
        is_good=found.is_good,
        sheets=list(found.sheets),
        problems=[ProblemShown.of(problem) for problem in found.problems],
    )


@router.get("/batch-files/{kind}/{form}.{ending}", **_FILE)
def give_form(
    _caller: Reader,
    kind: Annotated[BatchKind, Path()],
    form: Annotated[Form, Path()],
    ending: Annotated[Ending, Path()],
) -> Response:
    """A file to fill in, or a sample."""
    made = templates.template if form is Form.TEMPLATE else templates.sample
    return _download(made(kind, FileKind(ending.value)))


@form_router.post("/batch-queries", status_code=201)
def submit_query(here: Here, caller: Searcher, wished: _Query, idempotency_key: Key = "") -> JobDetails:
    """Have each row of a file asked of each server. A file with errors is refused with all of them."""
    found = _read_file(uploads.read_query, caller, wished.file, wished.sheet)
    _check_is_good(found)
    request = wished.request(found.rows, found.file, _sources(here, caller, wished.sources))
    job = queries.submit(here.db, here.settings, caller.actor, request, idempotency_key.strip())
    return details(here, caller.actor, job.id)


@router.get("/batch-queries/{job_id}/results")
def list_results(here: Here, caller: Searcher, job_id: JobId, part: Part) -> Page[ResultShown]:
    """What a batch query has found so far, in the order of the file, with the rows that found nothing."""
    found = results.page(here.db, caller.actor, job_id, part.limit, part.offset)
    return Page(results=[ResultShown.of(row) for row in found], total=results.count(here.db, caller.actor, job_id))


@slow_router.get("/batch-queries/{job_id}/results.{ending}", **_FILE)
def export_results(
    here: Here,
    caller: Searcher,
    job_id: JobId,
    ending: Annotated[Ending, Path()],
    source_id: Annotated[Number | None, Query(description="Only what this server has said.")] = None,
) -> Response:
    """All results of a batch query that has ended, as a file that a batch transfer takes as it is."""
    return _download(results.export(here.db, caller.actor, job_id, ending.value, source_id))


@form_router.post("/batch-checks", status_code=201)
def submit_check(here: Here, caller: Mover, wished: _Check, idempotency_key: Key = "") -> JobDetails:
    """Have the rows of a batch transfer looked up, before anything is moved. A file with errors is refused."""
    found = _read_file(uploads.read_transfer, caller, wished.file, wished.sheet)
    _check_is_good(found)
    source = nodes.chosen_source(here.db, caller.actor, wished.source)
    destination = nodes.chosen_destination(here.db, caller.actor, wished.destination)
    request = wished.request(found.rows, found.file, source.id, destination.id)
    job = checks.submit(here.db, here.settings, caller.actor, request, idempotency_key.strip())
    return details(here, caller.actor, job.id)


@router.get("/batch-checks/{job_id}")
def show_outcome(here: Here, caller: Mover, job_id: JobId) -> OutcomeShown:
    """What a check has found so far, and how much would be moved."""
    return OutcomeShown.of(checks.outcome(here.db, caller.actor, job_id))


@router.get("/batch-checks/{job_id}/rows")
def list_rows(
    here: Here,
    caller: Mover,
    job_id: JobId,
    part: Part,
    verdict: Annotated[RowVerdict | None, Query(description="Only with this verdict.")] = None,
) -> Page[CheckedRowShown]:
    """What a check says of the rows of each study, in the order of the file."""
    found = checks.rows(here.db, caller.actor, job_id, verdict, part.limit, part.offset)
    total = checks.count(here.db, caller.actor, job_id, verdict)
    return Page(results=[CheckedRowShown.of(row) for row in found], total=total)


@slow_router.post("/batch-checks/{job_id}/transfer", status_code=201)
def submit_transfer(here: Here, caller: Mover, job_id: JobId, wished: CheckedTransfer) -> JobDetails:
    """Have moved what a check has found. Asked again for the same check it tells of the same job."""
    job = transfers.submit(here.db, here.settings, caller.actor, job_id, wished.leave_out, wished.again)
    return details(here, caller.actor, job.id)


@slow_router.get("/jobs/{job_id}/file", **_FILE)
def give_back(here: Here, caller: Reader, job_id: JobId) -> Response:
    """The batch file that a job was made of, with a verdict behind each row."""
    return _download(verdicts.file(here.db, caller.actor, job_id))


def _read_file(read: Callable[[Actor, BatchFile], U], caller: Caller, file: Any, sheet: str) -> U:
    """What is in a file; the refusal of one that cannot be read names the field that it came in."""
    try:
        return read(caller.actor, BatchFile((file.filename or "").replace("\0", "")[:255], content_of(file), sheet))
    except BadRequest as error:
        error.problems = error.problems or {"file": error.message}
        raise


def _check_is_good(found: QueryUpload | TransferUpload) -> None:
    if found.is_good:
        return
    count = len(found.errors)
    detail = f"The file has {'1 error' if count == 1 else f'{count:,} errors'}, so nothing was accepted."
    told = [ProblemShown.of(problem).model_dump(mode="json") for problem in (*found.errors, *found.warnings)]
    raise Problem(422, "BadRequest", detail, {"file": detail}, more={"problems": told[:MOST_PROBLEMS]})


def _sources(here: Context, caller: Caller, wished: Sequence[int | str]) -> list[int]:
    try:
        return [nodes.chosen_source(here.db, caller.actor, one).id for one in wished or (None,)]
    except BadRequest as error:
        raise BadRequest.of({"sources": " ".join(error.problems.values())}) from error


def _download(made: Download) -> Response:
    headers = {"content-disposition": f'attachment; filename="{made.name}"', "cache-control": "no-store"}
    return Response(made.data, headers=headers, media_type=made.media_type)
