"""What one row of a batch file asks of one server: the rules, over a finder that somebody else opens and closes.

Nothing here knows of jobs. Sentences never quote a row or an answer: they stand unencrypted beside the item.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date

from dicom.deid.identity import plain_id
from dicom.network.matching import matches_date, matches_name, matches_text
from dicom.network.ports import Finder
from models.domain.answers import Answer, CheckedStudy, RowVerdict
from models.domain.batches import BatchQueryRow, BatchTransferItem
from models.domain.errors import Ambiguous, DataError, IdentityConflict, NotFound
from models.domain.nodes import Server
from models.domain.refs import (
    PatientFound,
    PatientQuery,
    SeriesFound,
    StudyFound,
    StudyQuery,
    StudyRef,
    dicom_date,
    known_total,
)
from services import planning
from services.searching import sizes
from services.searching.previewing import counted

INDISTINCT = "The studies belong to several patients with this name and birth date."
SEVERAL_NAMES = "The studies of this patient ID have different names, so they may belong to several patients."
OTHERS_LEFT_OUT = "Studies with this patient ID, but another name or birth date than the row says, are left out."
CUT = "The server gave as many answers as it gives at most, so there may be more."


@dataclass(frozen=True, slots=True)
class Answered:
    """What a server has answered to one row, with what to be careful about."""

    answers: tuple[Answer, ...]
    counts_series: bool
    warnings: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """How much was found, and what to be careful about."""
        count = len(self.answers)
        kind = "series" if self.counts_series else "study" if count == 1 else "studies"
        return " ".join([f"{count} {kind} found.", *self.warnings])


def ask(server: Server, finder: Finder, row: BatchQueryRow) -> Answered:
    """What the server has for a row of a batch query, by study date, the series of a study by number.

    First the patients, then their studies, one question for each modality, then series where the row asks for some.
    Raises NotFound for a patient that the server does not know, IdentityConflict for one with another name or birth
    date than the row says, Ambiguous when nothing in the row tells people under one ID apart, PeerError kinds.
    """
    found: dict[str, StudyFound] = {}
    others: set[str] = set()
    most = 0
    for patient in _patients(server, finder, row):
        listed = [*finder.find_studies(_study_query(row, patient))]
        most = max(most, len(listed))
        of_id = {study.study_uid: study for study in listed if _is_of(patient, study)}
        named = {uid: study for uid, study in of_id.items() if _is_named(row, study)}
        if row.birth_date is None:
            _check_one_person(patient, named.values())
        others |= of_id.keys() - named.keys()
        found |= named
    studies = sorted(found.values(), key=lambda study: (study.study_date, study.study_time, study.study_uid))
    answers = tuple(_with_series(finder, row, studies)) if row.asks_for_series else tuple(map(Answer, studies))
    warnings = [*_warnings(server, most, studies, answers), *([OTHERS_LEFT_OUT] if others else [])]
    return Answered(answers, row.asks_for_series, tuple(warnings))


def check(
    server: Server,
    finder: Finder,
    item: BatchTransferItem,
    excluded_modalities: Collection[str] = (),
    without_volumes: Collection[str] = (),
) -> CheckedStudy:
    """What would become of the rows of one study at its transfer, as far as its source tells.

    The same rules as at the transfer itself say which series are left out. Costs a C-FIND for the study, one for its
    series, and one for each series that the source does not count. Raises PeerError kinds.
    """
    try:
        ref = _resolved(server, finder, item)
        found = planning.outline(server, finder, ref, item.series_uids, excluded_modalities, without_volumes)
    except NotFound as error:
        return CheckedStudy(RowVerdict.NOT_FOUND, error.message)
    except Ambiguous as error:
        return CheckedStudy(RowVerdict.AMBIGUOUS, error.message)
    except IdentityConflict as error:
        return CheckedStudy(RowVerdict.MISMATCH, error.message)
    except DataError as error:
        return CheckedStudy(RowVerdict.FAILED, error.message)
    if not found.taken:
        return CheckedStudy(RowVerdict.EXCLUDED, found.nothing_left, found.study)
    series = tuple(counted(finder, found.ref, one) for one in found.taken)
    return CheckedStudy(
        RowVerdict.FOUND,
        _told(series, len(found.left_out)),
        found.study,
        series,
        known_total(one.instance_count for one in series),
        sum(sizes.estimated_bytes(one, one.instance_count) for one in series),
    )


def is_there(finder: Finder, study_uid: str, wanted: Sequence[SeriesFound]) -> bool:
    """Whether a destination has all of these series, which carry the UIDs they have there, with all their instances.

    A series that either side does not count is not known to be there. Raises PeerError kinds.
    """
    present = {one.series_uid: one.instance_count or 0 for one in finder.find_series(StudyRef(study_uid))}
    return bool(wanted) and all(
        one.instance_count and present.get(one.series_uid, 0) >= one.instance_count for one in wanted
    )


def _patients(server: Server, finder: Finder, row: BatchQueryRow) -> tuple[PatientFound, ...]:
    if not row.patient_id:
        named = PatientQuery(patient_name=row.patient_name, birth_date=dicom_date(row.birth_date))
        found = tuple(one for one in finder.find_patients(named) if _is_told_by_name(row, one))
        if not found:
            raise NotFound("The server knows no patient with this name and birth date.")
        return found
    wanted = plain_id(row.patient_id)
    by_id = PatientQuery(patient_id=row.patient_id)
    same = [one for one in finder.find_patients(by_id) if plain_id(one.patient_id) == wanted]
    if not same:
        raise NotFound("The server knows no patient with this ID.")
    if not any(_is_named(row, one) for one in same):  # or another person of this ID was listed
        exact = replace(by_id, patient_name=row.patient_name, birth_date=dicom_date(row.birth_date))
        same = [one for one in finder.find_patients(exact) if plain_id(one.patient_id) == wanted]
    named = [one for one in same if _is_named(row, one)]
    if not named:
        raise IdentityConflict("The patient with this ID has another name or birth date at the server.")
    return (named[0],)


def _is_named(row: BatchQueryRow, found: PatientFound | StudyFound) -> bool:
    """Whether name and birth date are those of the row; what either does not say is no contradiction."""
    is_same_name = matches_name(row.patient_name, found.patient_name)
    return is_same_name and matches_date(dicom_date(row.birth_date), found.birth_date)


def _check_one_person(patient: PatientFound, studies: Collection[StudyFound]) -> None:
    """Raise Ambiguous where one ID stands for people born on different days; finders yield each ID only once."""
    if len({one.birth_date for one in (patient, *studies) if one.birth_date}) > 1:
        raise Ambiguous("The server has several birth dates under this patient ID. Name the one that is meant.")


def _has_several_names(studies: Sequence[StudyFound]) -> bool:
    """Whether people under one ID have names that are not only spelled differently; a marriage does that, too."""
    first: dict[str, str] = {}
    for study in (one for one in studies if one.patient_name.strip()):
        known = first.setdefault(plain_id(study.patient_id), study.patient_name)
        if not matches_name(known, study.patient_name) and not matches_name(study.patient_name, known):
            return True
    return False


def _is_told_by_name(row: BatchQueryRow, patient: PatientFound) -> bool:
    """Whether name and birth date say who it is; a patient of whom the server tells neither may be anybody."""
    return bool(patient.patient_name and patient.birth_date) and _is_named(row, patient)


def _study_query(row: BatchQueryRow, patient: PatientFound) -> StudyQuery:
    return StudyQuery(
        patient_id=patient.patient_id,
        patient_name="" if row.patient_id else row.patient_name,
        birth_date="" if row.patient_id else dicom_date(row.birth_date),
        accession_number=row.accession_number,
        study_date=_span(row.from_date, row.until_date),
        study_description=row.study_description,
        modalities=row.modalities,
    )


def _is_of(patient: PatientFound, study: StudyFound) -> bool:
    """IDs are compared exactly: archives that do not care about case would list those of others."""
    return plain_id(study.patient_id) == plain_id(patient.patient_id)


def _with_series(finder: Finder, row: BatchQueryRow, studies: Sequence[StudyFound]) -> Iterator[Answer]:
    numbers = {int(number) for number in row.series_numbers}
    for study in studies:
        series = finder.find_series(StudyRef(study.study_uid, study.patient_id))
        chosen = {one.series_uid: one for one in series if _is_wanted(one, row.series_description, numbers)}
        for one in sorted(chosen.values(), key=_by_number):
            yield Answer(study, one)


def _is_wanted(series: SeriesFound, description: str, numbers: Collection[int]) -> bool:
    """A series without a description or number is no answer to a question for one."""
    has_description = not description or (bool(series.description) and matches_text(description, series.description))
    return has_description and (not numbers or _number(series) in numbers)


def _number(series: SeriesFound) -> int | None:
    try:
        return int(series.number)
    except ValueError:
        return None


def _by_number(series: SeriesFound) -> tuple[bool, int, str]:
    number = _number(series)
    return number is None, number or 0, series.series_uid


def _warnings(server: Server, most: int, studies: Sequence[StudyFound], answers: Sequence[Answer]) -> Iterator[str]:
    if len({plain_id(answer.study.patient_id) for answer in answers}) > 1:
        yield INDISTINCT
    if _has_several_names(studies):
        yield SEVERAL_NAMES
    if most >= server.max_search_results:
        yield CUT


def _resolved(server: Server, finder: Finder, item: BatchTransferItem) -> StudyRef:
    """The study that the rows mean; one without a UID is looked for by what the rows tell of it."""
    if item.study_uid:
        return StudyRef(item.study_uid, item.patient_id)
    query = StudyQuery(
        patient_id=item.patient_id,
        accession_number=item.accession_number,
        study_date=dicom_date(item.study_date),
        modalities=item.modalities,
    )
    if server.needs_patient and not item.patient_id:
        raise DataError("This server can only be asked for the studies of a patient. Add the patient ID.")
    fitting = {study.study_uid: study for study in finder.find_studies(query) if _fits(item, study)}
    found = {uid: study for uid, study in fitting.items() if _has_modality(finder, item, study)}
    if not found:
        raise NotFound("The source has no study that fits what the row says.")
    if len(found) > 1:
        raise Ambiguous(f"{len(found)} studies of the source fit what the row says. Name one by its StudyInstanceUID.")
    (study,) = found.values()
    return StudyRef(study.study_uid, study.patient_id)


def _fits(item: BatchTransferItem, study: StudyFound) -> bool:
    """An empty answer to what the row names is no reason to move a study that may be another one."""
    is_of_patient = not item.patient_id or plain_id(study.patient_id) == plain_id(item.patient_id)
    has_number = not item.accession_number or study.accession_number.strip() == item.accession_number
    return is_of_patient and has_number and (item.study_date is None or study.study_date == dicom_date(item.study_date))


def _has_modality(finder: Finder, item: BatchTransferItem, study: StudyFound) -> bool:
    """Whether the study has one of the modalities that the row names; its series tell where the study does not.

    Costs a C-FIND there. Servers ignore ModalitiesInStudy, or leave it empty (optional, PS3.4 table C.6-5).
    """
    if not item.modalities:
        return True
    ref = StudyRef(study.study_uid, study.patient_id)
    present = study.modalities or [series.modality for series in finder.find_series(ref)]
    return not set(item.modalities).isdisjoint(present)


def _told(series: Sequence[SeriesFound], left_out: int) -> str:
    total = known_total(one.instance_count for one in series)
    instances = (
        "an unknown number of instances" if total is None else "1 instance" if total == 1 else f"{total} instances"
    )
    told = f"{instances} in {len(series)} series.".capitalize()
    return f"{told} {left_out} series of excluded modalities stay behind." if left_out else told


def _span(first: date | None, last: date | None) -> str:
    return f"{dicom_date(first)}-{dicom_date(last)}" if first or last else ""
