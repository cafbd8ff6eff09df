"""Making a batch transfer of its check: what was found is moved as it was found, once."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from dicom.deid.identity import plain_id
from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.questions import Asked, QuestionStore
from models.domain.answers import RowVerdict
from models.domain.audit import AuditAction
from models.domain.batch_requests import PSEUDONYM_NEEDED, patient_contradictions
from models.domain.batches import BatchTransferItem
from models.domain.errors import BadRequest, NotPermitted
from models.domain.jobs import Job, JobKind
from models.domain.people import Actor
from models.domain.refs import SeriesFound, StudyFound, known_total
from models.domain.requests import StudyWish, TransferRequest, refuse
from models.settings import Settings
from services import audit, submitting
from services.batches import content
from services.batches.checks import row_id_of, the_check, verdict_of
from services.searching import sizes

_WORDS = {
    RowVerdict.NOT_FOUND: "not found",
    RowVerdict.AMBIGUOUS: "ambiguous",
    RowVerdict.MISMATCH: "of another patient or pseudonym than can be",
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
    submitting.check_has_ended(job)
    asked = tuple(QuestionStore(db).asked(check_id))
    taken = {RowVerdict.FOUND, *([RowVerdict.ALREADY_THERE] if again else [])} - set(leave_out)
    _check_verdicts(asked, taken, leave_out)
    parts = tuple(_Part(one, content.transfer_item(one.content)) for one in asked)
    wishes = _named(job, parts, _wishes([part for part in parts if part.verdict in taken]))
    return submitting.submit(db, settings, actor, _request(db, job, wishes))


@dataclass(frozen=True, slots=True)
class _Part:
    """The rows of one study, with what the check says of it."""

    asked: Asked
    item: BatchTransferItem

    @property
    def verdict(self) -> RowVerdict | None:
        return verdict_of(self.asked)

    @property
    def study_uid(self) -> str:
        """The study that the rows turned out to mean, or that they name."""
        return self._study.study_uid if self._study else self.item.study_uid

    @property
    def patient_id(self) -> str:
        """Whose study it is, as the source says, else the rows; empty where neither does."""
        return (self._study.patient_id if self._study else "") or self.item.patient_id

    @property
    def series(self) -> tuple[SeriesFound, ...]:
        """What would be moved."""
        return self.asked.checked.series if self.asked.checked else ()

    @property
    def _study(self) -> StudyFound | None:
        return self.asked.checked.study if self.asked.checked else None


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


def _wishes(taken: Sequence[_Part]) -> tuple[StudyWish, ...]:
    """What to move, the rows of one study together: some may have named it by its UID, others by what it is.

    Raises BadRequest for lines that contradict one another, which may show only when studies and patients are known.
    """
    said = {part.item.lines[0]: (part.patient_id, part.item.pseudonym, (part.study_uid,)) for part in taken}
    refuse([f"Line {line}: {problem}" for line, problem in patient_contradictions(said)])
    by_study: dict[str, list[_Part]] = defaultdict(list)
    for part in taken:
        by_study[part.study_uid].append(part)
    return tuple(_wish(study_uid, of_study) for study_uid, of_study in by_study.items())


def _wish(study_uid: str, parts: Sequence[_Part]) -> StudyWish:
    """One whole-study row among them takes the study whole; its count is then the one that counts."""
    whole = [part for part in parts if not part.item.series_uids]
    series = {one.series_uid: one for part in whole[:1] or parts for one in part.series}
    return StudyWish(
        study_uid,
        patient_id=next((part.patient_id for part in parts if part.patient_id), ""),
        series_uids=() if whole else tuple(dict.fromkeys(uid for part in parts for uid in part.item.series_uids)),
        pseudonym=next((part.item.pseudonym for part in parts if part.item.pseudonym), ""),
        expected_bytes=sum(sizes.estimated_bytes(one, one.instance_count) for one in series.values()),
        lines=tuple(sorted(line for part in parts for line in part.item.lines)),
        row_id=", ".join(dict.fromkeys(filter(None, (row_id_of(part.item) for part in parts)))),
        planned_count=known_total(one.instance_count for one in series.values()),
    )


def _named(check: Job, parts: Sequence[_Part], wishes: Sequence[StudyWish]) -> tuple[StudyWish, ...]:
    """The same with the pseudonyms that the file gives in any of its lines, also in those that are left out.

    Raises BadRequest for a patient whom it gives several, or none although nobody said that one may be generated.
    """
    if check.keep_identity:
        return tuple(wishes)
    may_lack, given = bool(check.trial_protocol_id) or check.generate_pseudonyms, _given(parts)
    found = [{wish.pseudonym} if wish.pseudonym else _of(given, wish.patient_id, wish.study_uid) for wish in wishes]
    told = list(zip(wishes, found, strict=True))
    problems = [f"{wish.called(0)}: {_SEVERAL}" for wish, names in told if len(names) > 1]
    problems += [f"{wish.called(0)}: {PSEUDONYM_NEEDED}" for wish, names in told if not names and not may_lack]
    refuse(problems)
    return tuple(replace(wish, pseudonym=next(iter(names), "")) for wish, names in told)


def _given(parts: Sequence[_Part]) -> Mapping[str, set[str]]:
    """The pseudonyms by patient ID and by study."""
    found = defaultdict[str, set[str]](set)
    for part in parts:
        if part.item.pseudonym:
            found[f"patient {plain_id(part.patient_id)}"].add(part.item.pseudonym)
            found[f"study {part.study_uid}"].add(part.item.pseudonym)
    return found


def _of(given: Mapping[str, set[str]], patient_id: str, study_uid: str) -> set[str]:
    keys = [f"study {study_uid}", *([f"patient {plain_id(patient_id)}"] if plain_id(patient_id) else [])]
    return {pseudonym for key in keys for pseudonym in given.get(key, ())}


_SEVERAL = "pseudonym: other lines give this patient more than one."


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
        convert_to_nifti=check.convert_to_nifti,
    )
