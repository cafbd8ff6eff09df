"""What a batch query has found: page by page, and as a file that a batch transfer takes without editing."""

from collections.abc import Iterator, Mapping
from typing import Literal

from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.questions import QuestionStore
from models.domain.answers import Answer, ResultRow
from models.domain.audit import AuditAction
from models.domain.batches import BatchQueryRow, QueryResultLine
from models.domain.errors import BadRequest, NotFound
from models.domain.jobs import FINISHED, Item, Job, JobKind
from models.domain.people import Actor
from models.domain.refs import dicom_date
from services import audit, nodes
from services.batch_files import results
from services.batch_files.tables import FileKind
from services.batch_files.writing import Download
from services.batches import content
from services.batches.checks import check_knows_patients
from services.job_access import visible


def page(
    db: Database, actor: Actor, job_id: int, limit: int = 100, offset: int = 0, item_id: int | None = None
) -> tuple[ResultRow, ...]:
    """Answers in the order of the file, of one item or of all; rows that have ended without any come once.

    Raises NotFound, and NotPermitted for all but the owner.
    """
    check_knows_patients(actor, _query(db, actor, job_id))
    return tuple(
        _result(item, content.query_row(question), answer)
        for item, question, answer in QuestionStore(db).results(job_id, limit, offset, item_id)
    )


def count(db: Database, actor: Actor, job_id: int, item_id: int | None = None) -> int:
    """How many the whole list has."""
    _query(db, actor, job_id)
    return QuestionStore(db).count_results(job_id, item_id)


def export(
    db: Database, actor: Actor, job_id: int, kind: Literal["xlsx", "csv"] = "xlsx", source_id: int | None = None
) -> Download:
    """The results as a file, with the rows that failed and why. Each download stands in the audit trail.

    With ``source_id`` only what that server has said. Raises as ``page`` does, and BadRequest before the job has ended.
    """
    job = _query(db, actor, job_id)
    with audit.refusals_recorded(db, actor, AuditAction.DOWNLOAD, f"results of job {job.id}"):
        check_knows_patients(actor, job)
    if job.state not in FINISHED:
        raise BadRequest.of({"job": "it has not ended yet."})
    made = results.export(
        _lines(db, job, nodes.names(db), source_id), FileKind(kind), f"batch_query_job_{job.id}_results"
    )
    audit.record(db, actor, AuditAction.DOWNLOAD, f"results of job {job.id}")
    return made


def _query(db: Database, actor: Actor, job_id: int) -> Job:
    job = visible(db, actor, job_id)
    if job.kind is not JobKind.BATCH_QUERY:
        raise NotFound("There is no such batch query.")
    return job


def _result(item: Item, row: BatchQueryRow, answer: Answer | None) -> ResultRow:
    return ResultRow(item.id, item.lines, item.row_id, item.source_id, item.state, item.message, row.pseudonym, answer)


def _lines(db: Database, job: Job, names: Mapping[int, str], source_id: int | None) -> Iterator[QueryResultLine]:
    """Yield a line for each answer, of one server or all; the server is named only where several were asked."""
    asks_several = source_id is None and len(JobStore(db).nodes(job.id)) > 1
    for item, question, answer in QuestionStore(db).results(job.id):
        if source_id not in {None, item.source_id}:
            continue
        row = content.query_row(question)
        source = names.get(item.source_id, "") if asks_several else ""
        yield _found(row, answer, source) if answer else _not_found(row, item, source)


def _found(row: BatchQueryRow, answer: Answer, source: str) -> QueryResultLine:
    study, series = answer.study, answer.series
    return QueryResultLine(
        row.line,
        row.row_id,
        patient_id=study.patient_id,
        patient_name=study.patient_name,
        birth_date=study.birth_date,
        accession_number=study.accession_number,
        study_date=study.study_date,
        study_time=study.study_time,
        study_description=study.study_description,
        modalities=study.modalities if series is None else (series.modality,),
        instance_count=answer.instance_count,
        study_uid=study.study_uid,
        series_uid="" if series is None else series.series_uid,
        series_description="" if series is None else series.description,
        series_number="" if series is None else series.number,
        pseudonym=row.pseudonym,
        source=source,
    )


def _not_found(row: BatchQueryRow, item: Item, source: str) -> QueryResultLine:
    return QueryResultLine(
        row.line,
        row.row_id,
        outcome=item.message or "Nothing was found.",
        patient_id=row.patient_id,
        patient_name=row.patient_name,
        birth_date=dicom_date(row.birth_date),
        accession_number=row.accession_number,
        pseudonym=row.pseudonym,
        source=source,
    )
