"""Files that people fetch from behind the gate; each time stands in the audit trail."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from models.db.engine import Database
from models.domain.audit import AuditAction
from models.domain.batches import BatchKind
from models.domain.errors import BadRequest, NotFound, NotPermitted, Refused
from models.domain.jobs import Item
from models.domain.people import Actor
from models.domain.receipts import Receipt
from services import audit, jobs
from services.batch_files import templates
from services.batch_files.tables import FileKind
from services.batch_files.writing import Download
from services.batches import results, verdicts
from ui import audit_file, receipt_files
from ui.identity import signed_in


class Files:
    """The files of one installation."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def router(self) -> APIRouter:
        """All routes below ``/files/``."""
        router = APIRouter(prefix="/files")
        router.add_api_route("/receipts/{item_id}.json", self.receipt_as_json, response_model=None)
        router.add_api_route("/receipts/{item_id}.csv", self.receipt_as_csv, response_model=None)
        router.add_api_route("/batch/{name}", self.batch_sample, response_model=None)
        router.add_api_route("/jobs/{job_id}/results.{ending}", self.results, response_model=None)
        router.add_api_route("/jobs/{job_id}/verdicts", self.verdicts, response_model=None)
        router.add_api_route("/audit.csv", self.audit_as_csv, response_model=None)
        return router

    def receipt_as_json(self, request: Request, item_id: int) -> Response:
        """The receipt of an item with every UID."""
        try:
            item, receipt = self._receipt(request, item_id)
        except (NotFound, NotPermitted) as error:
            return JSONResponse({"detail": error.message}, 404)
        text = json.dumps(receipt_files.document(item, receipt), indent=1)
        return Response(text, media_type="application/json", headers=_attached(item, "json"))

    def receipt_as_csv(self, request: Request, item_id: int) -> Response:
        """The receipt of an item, a line for each instance."""
        try:
            item, receipt = self._receipt(request, item_id)
        except (NotFound, NotPermitted) as error:
            return JSONResponse({"detail": error.message}, 404)
        return StreamingResponse(receipt_files.lines(receipt), media_type="text/csv", headers=_attached(item, "csv"))

    def batch_sample(self, request: Request, name: str) -> Response:
        """An empty batch file, or one that is filled in as a sample; ``name`` is that of one of these."""
        make = _SAMPLES.get(name)
        if make is None or signed_in(request.scope) is None:
            return JSONResponse({"detail": "There is no such file."}, 404)
        return _download(make())

    def results(self, request: Request, job_id: int, ending: str) -> Response:
        """What a batch query has found, as a file."""
        if ending not in {"xlsx", "csv"}:
            return JSONResponse({"detail": "There is no such file."}, 404)
        kind: Literal["xlsx", "csv"] = "csv" if ending == "csv" else "xlsx"
        return self._made(lambda: results.export(self._db, _actor(request), job_id, kind))

    def verdicts(self, request: Request, job_id: int) -> Response:
        """The batch file of a job, with a verdict for each row."""
        return self._made(lambda: verdicts.file(self._db, _actor(request), job_id))

    def _made(self, make: Callable[[], Download]) -> Response:
        try:
            return _download(make())
        except Refused as error:
            return JSONResponse({"detail": error.message}, 409 if isinstance(error, BadRequest) else 404)
        except NotFound as error:
            return JSONResponse({"detail": error.message}, 404)

    def audit_as_csv(self, request: Request) -> Response:
        """The entries of the audit trail that match, the oldest first, piece by piece."""
        try:
            lines = audit.export(self._db, _actor(request), audit_file.wanted(request.query_params))
        except (BadRequest, NotPermitted) as error:
            return JSONResponse({"detail": error.message}, 404)
        headers = {"Content-Disposition": 'attachment; filename="audit-trail.csv"'}
        return StreamingResponse(lines, media_type="text/csv", headers=headers)

    def _receipt(self, request: Request, item_id: int) -> tuple[Item, Receipt]:
        actor = _actor(request)
        item, receipt = jobs.item(self._db, actor, item_id), jobs.receipt(self._db, actor, item_id)
        audit.record(
            self._db,
            actor,
            AuditAction.DOWNLOAD,
            f"job {item.job_id}, item {item.position}: receipt",
            address=actor.address,
        )
        return item, receipt


_SAMPLES: Mapping[str, Callable[[], Download]] = {
    f"{kind.value}_{what}.{ending.value}": partial(make, kind, ending)
    for kind in BatchKind
    for what, make in (("template", templates.template), ("sample", templates.sample))
    for ending in (FileKind.XLSX, FileKind.CSV)
}


def _download(made: Download) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{made.name}"'}
    return Response(made.data, media_type=made.media_type, headers=headers)


def _actor(request: Request) -> Actor:
    found = signed_in(request.scope)
    if found is None:
        raise NotPermitted
    return found.actor


def _attached(item: Item, ending: str) -> dict[str, str]:
    name = f"receipt-job-{item.job_id}-item-{item.position}.{ending}"
    return {"Content-Disposition": f'attachment; filename="{name}"'}
