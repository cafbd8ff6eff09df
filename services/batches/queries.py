"""Accepting a batch query: each row is asked of each server, by a job that moves nothing."""

from models.db.engine import Database
from models.db.nodes import NodeStore
from models.db.questions import BatchFileStore, Question, QuestionStore
from models.domain.audit import AuditAction
from models.domain.batch_requests import QUERY_LIMIT, BatchQueryRequest, check_size
from models.domain.errors import BadRequest
from models.domain.jobs import Job, JobKind
from models.domain.nodes import Server
from models.domain.people import Actor
from models.domain.project import App
from models.settings import Settings
from services import audit, idempotency, project
from services.batches import content
from services.nodes import NO_NODE
from services.submitting import check_rights, first_state


def submit(
    db: Database, settings: Settings, actor: Actor, request: BatchQueryRequest, idempotency_key: str = ""
) -> Job:
    """Accept a batch query as a job with one item for each row and each server, those of one row together.

    Where the same request was accepted before under ``idempotency_key``, that job is returned. Raises BadRequest naming
    every field and line that cannot be as it is, or the key, NotPermitted, AppLocked, UnderMaintenance.
    Then nothing is left behind.
    """
    check_size("rows", len(request.rows), QUERY_LIMIT, actor.is_staff)
    request.check()
    claim = idempotency.Claim(db, actor, idempotency_key, request)
    if (known := claim.earlier()) is not None:
        return known
    with audit.refusals_recorded(db, actor, AuditAction.SUBMIT_JOB, JobKind.BATCH_QUERY.value):
        check_rights(actor, request.head)
    project.check_open(db, actor, App.BATCH_QUERY)
    servers = [_source(db, actor, source_id) for source_id in request.source_ids]
    store, files = QuestionStore(db), BatchFileStore(db)
    questions = store.sealed(
        Question(server.id, content.packed_query(row), None, (row.line,), row.row_id)
        for row in request.rows
        for server in servers
    )
    file = files.sealed(request.file) if request.file is not None else None
    with db.transaction():
        if (known := claim.earlier()) is not None:
            return known  # the same request has come twice at once, and the other one was faster
        job = store.add(actor.name, request.head, questions, first_state(actor, settings))
        if file is not None:
            files.keep(job.id, file)
        claim.keep(job)
        audit.record(db, actor, AuditAction.SUBMIT_JOB, _subject(job, servers, len(request.rows)))
        return job


def _source(db: Database, actor: Actor, source_id: int) -> Server:
    """A server to ask. One that the actor may not use is refused as if there were none."""
    found = NodeStore(db).find(source_id) if actor.access.may_read(source_id) else None
    if found is None:
        raise BadRequest.of({"sources": NO_NODE})
    if not isinstance(found, Server):
        raise BadRequest.of({"sources": f"{found.name} is a folder, which cannot be asked."})
    if not found.can_be_queried:
        raise BadRequest.of({"sources": f"the settings of {found.name} do not allow to query it."})
    return found


def _subject(job: Job, servers: list[Server], rows: int) -> str:
    names = ", ".join(server.name for server in servers)
    return f"job {job.id}: {job.kind.value} of {names}, {'1 row' if rows == 1 else f'{rows} rows'}"
