"""What a person asks for with a batch file: to look studies up, or to move them, which begins with a check."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields

from models.domain.batches import WHOLE_NUMBER, BatchQueryRow, BatchTransferItem, BatchTransferRow, grouped
from models.domain.errors import BadRequest
from models.domain.jobs import JobKind
from models.domain.pseudonyms import spelling
from models.domain.refs import is_uid
from models.domain.requests import JobHead, name_problems, pattern_problem, refuse, text_problem, trial_problems

QUERY_LIMIT, TRANSFER_LIMIT, STAFF_LIMIT = 1_000, 500, 100_000
"""How many rows a batch query and a batch transfer of users may have, and those of staff."""
PROJECT_LIMITS: Mapping[str, int] = {
    "project_name": 150,
    "project_description": 2_000,
    "ethics_application_id": 100,
}
"""How long the answers about the project may be. All are needed: they say why patient data is moved."""


@dataclass(frozen=True, slots=True)
class BatchFile:
    """A batch file as it was uploaded; it is kept encrypted, so that verdicts can be written into it.

    ``sheet`` is the one that its rows were read from, empty for the first.
    """

    name: str = field(repr=False)
    content: bytes = field(repr=False)
    sheet: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class BatchQueryRequest:
    """A batch query, as wished: each row is asked of each source. ``file`` is what the rows were read from."""

    rows: tuple[BatchQueryRow, ...]
    source_ids: tuple[int, ...]
    project_name: str
    project_description: str
    file: BatchFile | None = None
    urgent: bool = False
    send_finished_mail: bool = False

    @property
    def head(self) -> JobHead:
        """What its job is besides its items."""
        return JobHead(
            kind=JobKind.BATCH_QUERY,
            urgent=self.urgent,
            send_finished_mail=self.send_finished_mail,
            project_name=self.project_name.strip(),
            project_description=self.project_description.strip(),
        )

    def check(self) -> None:
        """Raise BadRequest naming every field and line that cannot be as it is."""
        problems = [*_project_problems(self), *_sequence_problems("rows", len(self.rows))]
        problems += _sequence_problems("sources", len(self.source_ids))
        if len(set(self.source_ids)) != len(self.source_ids):
            problems.append("sources: the same server is named twice.")
        problems += [f"Line {row.line}: {problem}" for row in self.rows for problem in _query_problems(row)]
        refuse(problems)


@dataclass(frozen=True, slots=True)
class BatchTransferRequest:
    """A batch transfer, as wished, before its check. ``file`` is what the rows were read from.

    A row without a pseudonym needs one of three things: a trial, whose patients may have one; the word that pseudonyms
    may be generated; or that the identity is kept.
    """

    rows: tuple[BatchTransferRow, ...]
    source_id: int
    destination_id: int
    project_name: str
    project_description: str
    ethics_application_id: str
    file: BatchFile | None = None
    trial_protocol_id: str = ""
    trial_protocol_name: str = ""
    profile: str = ""
    keep_identity: bool = False
    generate_pseudonyms: bool = False
    urgent: bool = False
    send_finished_mail: bool = False
    convert_to_nifti: bool = False

    @property
    def head(self) -> JobHead:
        """What the job of its check is besides its items; the transfer takes it over."""
        known = {each.name: getattr(self, each.name) for each in fields(JobHead) if hasattr(self, each.name)}
        known |= {name: str(getattr(self, name)).strip() for name in PROJECT_LIMITS}
        return JobHead(kind=JobKind.BATCH_CHECK, **known)

    @property
    def items(self) -> tuple[BatchTransferItem, ...]:
        """The rows, those of one study together."""
        return grouped(self.rows)

    def check(self) -> None:
        """Raise BadRequest naming every field and line that cannot be as it is, also in view of the other lines."""
        problems = [*_project_problems(self), *_sequence_problems("rows", len(self.rows))]
        problems += trial_problems(self.trial_protocol_id, self.trial_protocol_name)
        if self.source_id == self.destination_id:
            problems.append("destination: it is the source.")
        if self.keep_identity and self.profile:
            problems.append("profile: none, since the identity is kept.")
        problems += [f"Line {row.line}: {problem}" for row in self.rows for problem in _transfer_problems(row)]
        problems += [f"Line {line}: {problem}" for line, problem in self._identity_problems()]
        refuse(problems)

    def _identity_problems(self) -> Iterator[tuple[int, str]]:
        if self.keep_identity:
            yield from ((row.line, _KEPT) for row in self.rows if row.pseudonym)
            return
        if not (self.trial_protocol_id or self.generate_pseudonyms):
            of_patient = {row.patient_id for row in self.rows if row.pseudonym and row.patient_id}
            of_study = {row.study_key for row in self.rows if row.pseudonym}
            for row in self.rows:
                if not row.pseudonym and row.patient_id not in of_patient and row.study_key not in of_study:
                    yield row.line, PSEUDONYM_NEEDED
        yield from _contradictions(self.rows)


_KEPT = "pseudonym: none, since the identity is kept."
PSEUDONYM_NEEDED = "pseudonym: it is needed. Name a trial, or let pseudonyms be generated, to go without."


def patient_contradictions(patients: Mapping[int, tuple[str, str, tuple[object, ...]]]) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file that contradict others about patients, with what is wrong.

    ``patients`` holds the patient ID (may be empty), the pseudonym (may be empty) and the study of each line.
    """
    pseudonyms, names = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
    owners, of_study = defaultdict[tuple[object, ...], set[str]](set), defaultdict[tuple[object, ...], set[str]](set)
    for patient_id, pseudonym, study in patients.values():
        if patient_id:
            owners[study].add(patient_id)
        if pseudonym:
            of_study[study].add(pseudonym)
        if patient_id and pseudonym:
            pseudonyms[patient_id].add(pseudonym)
            names[spelling(pseudonym)].add(patient_id)
    ids = {patient_id.casefold() for patient_id, _, _ in patients.values() if patient_id}
    for line, (patient_id, pseudonym, study) in patients.items():
        if len(owners[study]) > 1:
            yield line, "patient_id: the same study stands in another line with another patient."
        if patient_id and len(pseudonyms[patient_id]) > 1:
            yield line, "pseudonym: the same patient has another one in another line."
        elif pseudonym and len(of_study[study]) > 1:
            yield line, "pseudonym: the same study has another one in another line."
        if pseudonym and len(names[spelling(pseudonym)]) > 1:
            yield line, "pseudonym: it is given to more than one patient."
        if pseudonym and pseudonym.casefold() in ids:
            yield line, "pseudonym: it is the ID of a patient of this file."


def _contradictions(rows: tuple[BatchTransferRow, ...]) -> Iterator[tuple[int, str]]:
    return patient_contradictions({row.line: (row.patient_id, row.pseudonym, row.study_key) for row in rows})


def check_size(field_name: str, count: int, limit: int, is_staff: bool) -> None:
    """Raise BadRequest for more rows, or studies, than somebody may have in one job."""
    most = STAFF_LIMIT if is_staff else limit
    if count > most:
        raise BadRequest.of({field_name: f"at most {most:,} in one job, these are {count:,}."})


def _project_problems(request: BatchQueryRequest | BatchTransferRequest) -> Iterator[str]:
    for name, limit in PROJECT_LIMITS.items():
        if not hasattr(request, name):
            continue
        text = str(getattr(request, name)).strip()
        if not text:
            yield f"{name}: it is needed."
        elif len(text) > limit:
            yield f"{name}: longer than {limit} characters."
        elif "\0" in text:
            yield f"{name}: control characters are not allowed."


def _sequence_problems(name: str, count: int) -> list[str]:
    return [] if count else [f"{name}: at least one is needed."]


def _query_problems(row: BatchQueryRow) -> Iterator[str]:
    """The rules that a query needs to be one about a patient; those of spelling are for who reads the file."""
    yield from name_problems(row.patient_id, row.pseudonym)
    if not row.patient_id and not (row.patient_name and row.birth_date):
        yield "patient_id: it is needed, or both name and birth date."
    if not row.accession_number and not row.modalities:
        yield "accession_number: it is needed, or a modality."
    yield from _found(pattern_problem("patient_name", row.patient_name, 324))
    yield from _found(pattern_problem("accession_number", row.accession_number, 32))
    yield from _found(text_problem("study_description", row.study_description))
    yield from _found(text_problem("series_description", row.series_description))
    if row.from_date and row.until_date and row.from_date > row.until_date:
        yield "until_date: it is before the first day."
    if not all(_is_modality(modality) for modality in row.modalities):
        yield "modalities: abbreviations such as CT or MR, of at most 16 letters and digits."
    if not all(WHOLE_NUMBER.fullmatch(number) for number in row.series_numbers):
        yield "series_numbers: not all are whole numbers."


def _transfer_problems(row: BatchTransferRow) -> Iterator[str]:
    yield from name_problems(row.patient_id, row.pseudonym)
    yield from _found(pattern_problem("accession_number", row.accession_number, 32))
    if row.study_uid and not is_uid(row.study_uid):
        yield "study_uid: not a DICOM UID."
    if not all(is_uid(uid) for uid in row.series_uids):
        yield "series_uids: not all are DICOM UIDs."
    if not row.study_uid and not row.accession_number and not (row.patient_id and row.study_date):
        yield "study_uid: it is needed, or an accession number, or a patient ID and a study date."
    if not all(_is_modality(modality) for modality in row.modalities):
        yield "modalities: abbreviations such as CT or MR, of at most 16 letters and digits."


def _found(problem: str) -> list[str]:
    return [problem] if problem else []


def _is_modality(text: str) -> bool:
    return 0 < len(text) <= 16 and text.isascii() and text.replace("_", "").isalnum()
