"""The check of a batch transfer: what would be moved, row by row, before anything is; and what has come of it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.questions import Asked, BatchFileStore, Question, QuestionStore
from models.domain.answers import CheckedRow, RowVerdict, Tally
from models.domain.audit import AuditAction
from models.domain.batch_requests import TRANSFER_LIMIT, BatchTransferRequest, check_size
from models.domain.batches import BatchTransferItem
from models.domain.errors import NotFound, NotPermitted
from models.domain.jobs import FINISHED, Job, JobKind, State
from models.domain.nodes import Folder
from models.domain.people import Actor
from models.domain.project import App
from models.domain.quotas import Usage
from models.domain.requests import StudyWish
from models.settings import Settings
from services import audit, idempotency, project, pseudonyms, quotas, trials
from services.batches import content, presence
from services.job_access import may_know_patients, visible
from services.submitting import check_may_convert, check_rights, chosen_profile, usable_nodes

_PATIENTS = "Its rows name patients. Only who submitted it may see them."


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a check has found so far. ``has_ended`` says that a transfer can be made of it.

    ``of`` holds how many studies have which verdict, and of the found ones about how much they are. ``waiting`` are
    studies that nobody has looked at yet. ``usage`` is that of a destination folder, None for a server, or for who may
    not see it. ``transfer_id`` is the job that was made of it.
    """

    job: Job
    of: Mapping[RowVerdict, Tally]
    waiting: int
    usage: Usage | None = None
    transfer_id: int | None = None

    @property
    def has_ended(self) -> bool:
        return self.job.state in FINISHED

    @property
    def instances(self) -> int:
        """How many instances would be moved, without those that the source does not count."""
        return self.of.get(RowVerdict.FOUND, Tally()).instances

    @property
    def size_bytes(self) -> int:
        """About how many bytes would be moved."""
        return self.of.get(RowVerdict.FOUND, Tally()).size_bytes

    @property
    def has_room(self) -> bool:
        """Whether the quota of the destination has room for about so much."""
        left = None if self.usage is None else self.usage.left_bytes
        return left is None or self.size_bytes <= left


def submit(
    db: Database, settings: Settings, actor: Actor, request: BatchTransferRequest, idempotency_key: str = ""
) -> Job:
    """Accept a batch transfer for its check, as a job with one item for the rows of each study.

    It begins at once, also where jobs of users wait for staff: nothing is moved before the transfer is submitted. Where
    the same request was accepted before under ``idempotency_key``, that job is returned.
    Raises BadRequest naming every field and line that cannot be as it is, also in view of pseudonyms of earlier jobs of
    the trial; NotPermitted, also for a trial that is used by others; AppLocked, UnderMaintenance; WrongState when the
    trial was forgotten. Then nothing is left behind.
    """
    check_size("rows", len(request.rows), TRANSFER_LIMIT, actor.is_staff)
    request.check()
    claim = idempotency.Claim(db, actor, idempotency_key, request)
    if (known := claim.earlier()) is not None:
        return known
    with audit.refusals_recorded(db, actor, AuditAction.SUBMIT_JOB, JobKind.BATCH_CHECK.value):
        check_rights(actor, request.head)
    project.check_open(db, actor, App.BATCH_TRANSFER)
    source, destination = usable_nodes(db, actor, request.source_id, request.destination_id)
    check_may_convert(settings, request.convert_to_nifti, destination)
    profile, _ = chosen_profile(settings, request.profile, request.keep_identity)
    if not request.keep_identity:
        trials.check_may_use(db, actor, request.trial_protocol_id, AuditAction.SUBMIT_JOB, JobKind.BATCH_CHECK.value)
        _rehearse(db, settings, request)
    store, files = QuestionStore(db), BatchFileStore(db)
    questions = store.sealed(
        Question(source.id, content.packed_transfer(item), destination.id, item.lines, row_id_of(item))
        for item in request.items
    )
    file = files.sealed(request.file) if request.file is not None else None
    with db.transaction():
        if (known := claim.earlier()) is not None:
            return known  # the same request has come twice at once, and the other one was faster
        head = replace(request.head, profile=profile)
        job = store.add(actor.name, head, questions, State.PENDING)
        if file is not None:
            files.keep(job.id, file)
        claim.keep(job)
        subject = f"job {job.id}: {job.kind.value} from {source.name} to {destination.name}, {len(request.rows)} rows"
        audit.record(db, actor, AuditAction.SUBMIT_JOB, subject + (" with identity" if job.keep_identity else ""))
        return job


def outcome(db: Database, actor: Actor, job_id: int) -> Outcome:
    """What a check has found so far; raises NotFound, also for a job that is no check."""
    job = the_check(db, actor, job_id)
    found = QuestionStore(db).tallies(job_id)
    made = JobStore(db).made_of(job_id)
    return Outcome(job, found.of, found.waiting, _usage(db, actor, job_id), None if made is None else made.id)


def rows(
    db: Database,
    actor: Actor,
    job_id: int,
    verdict: RowVerdict | None = None,
    limit: int | None = None,
    offset: int = 0,
) -> tuple[CheckedRow, ...]:
    """What a check says of the rows of each study, in the order of the file; those of one verdict, or all.

    Raises NotFound, and NotPermitted for all but the owner.
    """
    check_knows_patients(actor, the_check(db, actor, job_id))
    return tuple(_row(asked) for asked in QuestionStore(db).asked(job_id, verdict, limit, offset))


def count(db: Database, actor: Actor, job_id: int, verdict: RowVerdict | None = None) -> int:
    """How many the whole ``rows`` are."""
    the_check(db, actor, job_id)
    return QuestionStore(db).count_asked(job_id, verdict)


def the_check(db: Database, actor: Actor, job_id: int) -> Job:
    """The job, which is a check; raises NotFound."""
    job = visible(db, actor, job_id)
    if job.kind is not JobKind.BATCH_CHECK:
        raise NotFound("There is no such check.")
    return job


def check_knows_patients(actor: Actor, job: Job) -> None:
    """Raise NotPermitted for who may see the job, but not its patients."""
    if not may_know_patients(actor, job):
        raise NotPermitted(_PATIENTS)


def row_id_of(item: BatchTransferItem) -> str:
    """The row ids of all rows of a study, each once."""
    return ", ".join(dict.fromkeys(filter(None, item.row_ids)))


def verdict_of(asked: Asked) -> RowVerdict | None:
    """What the check says of an item; failed when it has ended without an answer, None as long as it has not."""
    if asked.checked is not None:
        return asked.checked.verdict
    return RowVerdict.FAILED if asked.item.state in FINISHED else None


def _row(asked: Asked) -> CheckedRow:
    item, wanted, checked = asked.item, content.transfer_item(asked.content), asked.checked
    row = CheckedRow(
        item.id,
        item.lines,
        item.row_id,
        verdict_of(asked),
        item.message,
        wanted.pseudonym,
        series_uids=wanted.series_uids,
    )
    if checked is None:
        return row
    return replace(
        row,
        sentence=checked.sentence,
        study=checked.study,
        series=checked.series,
        instance_count=checked.instance_count,
        size_bytes=checked.size_bytes,
    )


def _usage(db: Database, actor: Actor, job_id: int) -> Usage | None:
    destination = presence.destination_of(db, job_id)
    if not isinstance(destination, Folder):
        return None
    try:
        return quotas.usage(db, actor, destination.id)
    except NotFound:
        return None


def _rehearse(db: Database, settings: Settings, request: BatchTransferRequest) -> None:
    """Find the conflicts that the transfer would meet when it binds the patients of the file; names their lines."""
    wishes = [
        StudyWish(item.study_uid, item.patient_id, (), item.pseudonym, lines=item.lines) for item in request.items
    ]
    pseudonyms.rehearse_request(db, settings, request.trial_protocol_id, wishes)
