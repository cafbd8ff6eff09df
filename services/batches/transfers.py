"""Making a batch transfer of its check: what was found is moved as it was found, once."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.questions import Asked, QuestionStore
from models.domain.answers import RowVerdict
from models.domain.audit import AuditAction
from models.domain.batch_requests import patient_contradictions
from models.domain.batches import BatchTransferItem
from models.domain.errors import BadRequest, NotPermitted
from models.domain.jobs import FINISHED, Job, JobKind
from models.domain.people import Actor
from models.domain.refs import StudyFound
from models.domain.requests import StudyWish, TransferRequest, refuse
from models.settings import Settings
from services import audit, submitting
from services.batches import content
from services.batches.checks import row_id_of, the_check, verdict_of

_WORDS = {
    RowVerdict.NOT_FOUND: "not found",
    RowVerdict.AMBIGUOUS: "ambiguous",
    RowVerdict.MISMATCH: "of another patient than the file says",
    RowVerdict.EXCLUDED: "of excluded modalities only",
    RowVerdict.ALREADY_THERE: "at the destination already",
    RowVerdict.FAILED: "not looked up",
}


def submit(
    db: Database,
    settings: Settings,
    actor: Actor,
    check_id: int,
    leave_out: Collection[RowVerdict] = (),
    again: bool = False,
) -> Job:
    """Accept the transfer of what a check has found; asked again for the same check, it returns the same job.

    Studies that were not found, or not as the file says, have to be left out in so many words, by their verdicts.
    ``again`` moves also those that are at the destination already. The items keep what the check saw: study, patient,
    series and how many instances, so that a study which is another by then is noticed.

    Raises BadRequest while the check has not ended, for verdicts that are not left out, and what
    ``services.submitting.submit`` raises; NotPermitted for all but the owner of the check.
    """
    job = the_check(db, actor, check_id)
    with audit.refusals_recorded(db, actor, AuditAction.SUBMIT_JOB, f"{JobKind.BATCH_TRANSFER.value} of job {job.id}"):
        if job.owner != actor.name:
            raise NotPermitted("Only who submitted the check may transfer what it has found.")
    if (made := JobStore(db).made_of(check_id)) is not None:
        return made
    if job.state not in FINISHED:
        raise BadRequest.of({"check": "it has not ended yet. Wait for it, or cancel it."})
    asked = tuple(QuestionStore(db).asked(check_id))
    taken = {RowVerdict.FOUND, *([RowVerdict.ALREADY_THERE] if again else [])} - set(leave_out)
    _check_verdicts(asked, taken, leave_out)
    return submitting.submit(db, settings, actor, _request(db, job, _wishes(asked, taken)))


@dataclass(frozen=True, slots=True)
class _Part:
    """The rows of one study, with the study that they turned out to mean."""

    asked: Asked
    item: BatchTransferItem
    study: StudyFound


def _check_verdicts(asked: Sequence[Asked], taken: Collection[RowVerdict], leave_out: Collection[RowVerdict]) -> None:
    counts = defaultdict[RowVerdict, int](int)
    for one in asked:
        counts[verdict_of(one) or RowVerdict.FAILED] += 1
    open_ones = [verdict for verdict in _WORDS if counts[verdict] and verdict not in {*taken, *leave_out}]
    if open_ones:
        told = ", ".join(f"{counts[verdict]} {_WORDS[verdict]}" for verdict in open_ones)
        raise BadRequest.of({"leave_out": f"{told}. Say that these shall be left out, or correct the file."})
    if not any(counts[verdict] for verdict in taken):
        raise BadRequest.of({"rows": "nothing is left to transfer."})


def _wishes(asked: Sequence[Asked], taken: Collection[RowVerdict]) -> tuple[StudyWish, ...]:
    """What to move, the rows of one study together: some may have named it by its UID, others by what it is.

    Raises BadRequest for lines that contradict one another, which may show only when studies and patients are known.
    """
    parts = [
        _Part(one, content.transfer_item(one.content), one.checked.study)
        for one in asked
        if one.checked is not None and one.checked.study is not None and one.checked.verdict in taken
    ]
    said = {
        part.item.lines[0]: (
            part.study.patient_id or part.item.patient_id,
            part.item.pseudonym,
            (part.study.study_uid,),
        )
        for part in parts
    }
    refuse([f"Line {line}: {problem}" for line, problem in patient_contradictions(said)])
    by_study: dict[str, list[_Part]] = defaultdict(list)
    for part in parts:
        by_study[part.study.study_uid].append(part)
    return tuple(_wish(study_uid, of_study) for study_uid, of_study in by_study.items())


def _wish(study_uid: str, parts: Sequence[_Part]) -> StudyWish:
    """One whole-study row among them takes the study whole; its count is then the one that counts."""
    whole = [part for part in parts if not part.item.series_uids]
    chosen = whole[:1] or parts
    series = {one.series_uid: one for part in chosen if part.asked.checked for one in part.asked.checked.series}
    counts = [one.instance_count for one in series.values()]
    known = [count for count in counts if count is not None]
    return StudyWish(
        study_uid,
        patient_id=next((part.study.patient_id for part in parts if part.study.patient_id), parts[0].item.patient_id),
        series_uids=() if whole else tuple(dict.fromkeys(uid for part in parts for uid in part.item.series_uids)),
        pseudonym=next((part.item.pseudonym for part in parts if part.item.pseudonym), ""),
        expected_bytes=max(part.asked.checked.size_bytes for part in chosen if part.asked.checked)
        if whole
        else sum(part.asked.checked.size_bytes for part in chosen if part.asked.checked),
        lines=tuple(sorted(line for part in parts for line in part.item.lines)),
        row_id=", ".join(dict.fromkeys(filter(None, (row_id_of(part.item) for part in parts)))),
        planned_count=sum(known) if len(known) == len(counts) else None,
    )


def _request(db: Database, check: Job, wishes: tuple[StudyWish, ...]) -> TransferRequest:
    ((source_id, destination_id),) = JobStore(db).nodes(check.id)
    assert destination_id is not None
    return TransferRequest(
        JobKind.BATCH_TRANSFER,
        source_id,
        destination_id,
        wishes,
        trial_protocol_id=check.trial_protocol_id,
        trial_protocol_name=check.trial_protocol_name,
        urgent=check.urgent,
        profile=check.profile,
        keep_identity=check.keep_identity,
        send_finished_mail=check.send_finished_mail,
        project_name=check.project_name,
        project_description=check.project_description,
        ethics_application_id=check.ethics_application_id,
        checked_by_job_id=check.id,
    )
