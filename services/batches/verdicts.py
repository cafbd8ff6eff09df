"""The file that somebody uploaded, given back with a verdict for each row: what was found, and what became of it."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.questions import BatchFileStore, QuestionStore
from models.domain.answers import RowVerdict
from models.domain.audit import AuditAction
from models.domain.batches import BatchKind
from models.domain.errors import NotFound
from models.domain.jobs import Item, Job, JobKind, State
from models.domain.people import Actor
from services import audit, nodes
from services.batch_files import annotating
from services.batch_files.limits import limits_of
from services.batch_files.reading import read_table
from services.batch_files.writing import Download
from services.batches.checks import check_knows_patients, verdict_of
from services.job_access import visible

_WORDS: Mapping[RowVerdict, str] = {
    RowVerdict.FOUND: "Found",
    RowVerdict.NOT_FOUND: "Not found",
    RowVerdict.AMBIGUOUS: "Ambiguous",
    RowVerdict.MISMATCH: "Another patient",
    RowVerdict.EXCLUDED: "Excluded",
    RowVerdict.ALREADY_THERE: "Already there",
    RowVerdict.FAILED: "Failed",
}
_STATES: Mapping[State, str] = {
    State.PENDING: "Waiting",
    State.IN_PROGRESS: "In progress",
    State.CANCELED: "Canceled",
    State.SUCCESS: "Done",
    State.WARNING: "Done with a warning",
    State.FAILURE: "Failed",
}


def file(db: Database, actor: Actor, job_id: int) -> Download:
    """The file of a batch query, of a check, or of the transfer made of it, with a verdict behind each row.

    Each download stands in the audit trail. Raises NotFound for a job that was not made of a file, NotPermitted for all
    but the owner.
    """
    job = visible(db, actor, job_id)
    with audit.refusals_recorded(db, actor, AuditAction.DOWNLOAD, f"file of job {job.id}"):
        check_knows_patients(actor, job)
    uploaded = BatchFileStore(db).load(job.checked_by_job_id or job.id)
    kind = BatchKind.QUERY if job.kind is JobKind.BATCH_QUERY else BatchKind.TRANSFER
    table = read_table(uploaded.content, limits_of(kind, is_staff=True), uploaded.sheet)
    made = annotating.annotated(table, (), by_line(db, job), f"{job.kind.value}_job_{job.id}")
    audit.record(db, actor, AuditAction.DOWNLOAD, f"file of job {job.id}")
    return made


def has_file(db: Database, job: Job) -> bool:
    """Whether there is a file to give back."""
    return BatchFileStore(db).has(job.checked_by_job_id or job.id)


def by_line(db: Database, job: Job) -> Mapping[int, str]:
    """The verdict of each line of the job's file, as a sentence; raises NotFound for a job without lines."""
    match job.kind:
        case JobKind.BATCH_QUERY:
            return _joined(_of_query(db, job))
        case JobKind.BATCH_CHECK:
            return dict(_of_check(db, job.id))
        case JobKind.BATCH_TRANSFER if job.checked_by_job_id is not None:
            left_out = {line: f"Left out. {verdict}" for line, verdict in _of_check(db, job.checked_by_job_id)}
            return left_out | dict(_of_transfer(db, job))
        case _:
            raise NotFound("This job was not made of a file.")


def _of_query(db: Database, job: Job) -> Iterator[tuple[int, str]]:
    """Yield what each server said to each line."""
    items = JobStore(db).items(job.id)
    names = nodes.names(db)
    asks_several = len({item.source_id for item in items}) > 1
    for item in items:
        name = f"{names.get(item.source_id, '?')}: " if asks_several else ""
        yield from ((line, name + _sentence(item)) for line in item.lines)


def _of_check(db: Database, job_id: int) -> Iterator[tuple[int, str]]:
    for asked in QuestionStore(db).asked(job_id):
        verdict = verdict_of(asked)
        word = _STATES[asked.item.state] if verdict is None else _WORDS[verdict]
        said = asked.checked.sentence if asked.checked else asked.item.message
        yield from ((line, f"{word}. {said}".strip()) for line in asked.item.lines)


def _of_transfer(db: Database, job: Job) -> Iterator[tuple[int, str]]:
    for item in JobStore(db).items(job.id):
        yield from ((line, _sentence(item)) for line in item.lines)


def _sentence(item: Item) -> str:
    return f"{_STATES[item.state]}. {item.message}".strip()


def _joined(said: Iterator[tuple[int, str]]) -> Mapping[int, str]:
    found: dict[int, list[str]] = defaultdict(list)
    for line, sentence in said:
        found[line].append(sentence)
    return {line: " ".join(sentences) for line, sentences in found.items()}
