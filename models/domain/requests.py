"""What a person asks for, checked for shape here and for rights in ``services``."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import islice

from models.domain.errors import BadRequest
from models.domain.jobs import JobKind
from models.domain.refs import is_uid

_FORBIDDEN = re.compile(r"[\\\x00-\x1f\x7f]")
_WILDCARD = re.compile(r"[*?]")
_FIELDS_TOLD = 100
"""Nobody reads more at once, and ten thousand rows can be wrong alike."""
_FIELD = re.compile(r"(?P<field>((?:Study|Line|Row) \d+: )?\w+): ")

SELECTIVE_LIMIT = 10
"""How many studies one selective transfer may move, unless staff asks for it."""


@dataclass(frozen=True, slots=True)
class StudyWish:
    """One study to move; ``series_uids`` empty means all of it, ``patient_id`` empty means whoever it belongs to.

    An empty ``pseudonym`` means that of the patient, if there is one in the linkage scope, else a generated one.
    ``expected_bytes`` is about how much will arrive, as far as it is known; a folder's quota must have room for it.
    ``lines`` and ``row_id`` say where it stood in a batch file. ``planned_count`` is how many instances a check saw;
    a study that has another number by then ends with a warning.
    """

    study_uid: str
    patient_id: str = ""
    series_uids: tuple[str, ...] = ()
    pseudonym: str = ""
    expected_bytes: int = 0
    lines: tuple[int, ...] = ()
    row_id: str = ""
    planned_count: int | None = None

    def called(self, row: int, word: str = "Study") -> str:
        """How to call it in a sentence about it: by its line in the file, else by its row, counted from 1."""
        return f"Line {self.lines[0]}" if self.lines else f"{word} {row}"


@dataclass(frozen=True, slots=True)
class JobHead:
    """What a job is besides its items. ``generate_pseudonyms`` is for checks: their transfers may go without."""

    kind: JobKind
    trial_protocol_id: str = ""
    trial_protocol_name: str = ""
    urgent: bool = False
    profile: str = ""
    keep_identity: bool = False
    send_finished_mail: bool = False
    project_name: str = ""
    project_description: str = ""
    ethics_application_id: str = ""
    generate_pseudonyms: bool = False
    checked_by_job_id: int | None = None
    convert_to_nifti: bool = False


@dataclass(frozen=True, slots=True)
class TransferRequest:
    """A selective or batch transfer, as wished.

    ``profile`` names the de-identification profile; empty means that of the settings. With ``keep_identity`` nothing
    is pseudonymized, which has to be asked for in so many words. ``checked_by_job_id`` is the check whose findings the
    studies are; one check gives one transfer, however often it is asked for. With ``convert_to_nifti`` a folder gets
    NIfTI files instead of DICOM files.
    """

    kind: JobKind
    source_id: int
    destination_id: int
    studies: tuple[StudyWish, ...]
    trial_protocol_id: str = ""
    trial_protocol_name: str = ""
    urgent: bool = False
    profile: str = ""
    keep_identity: bool = False
    send_finished_mail: bool = False
    project_name: str = ""
    project_description: str = ""
    ethics_application_id: str = ""
    checked_by_job_id: int | None = None
    convert_to_nifti: bool = False

    @property
    def head(self) -> JobHead:
        """What its job is besides its items."""
        return JobHead(**{each.name: getattr(self, each.name) for each in fields(JobHead) if hasattr(self, each.name)})

    def check(self) -> None:
        """Raise BadRequest naming every field that cannot be as it is; rows are counted from 1.

        Among the rules: one patient cannot have two pseudonyms, nor two patients one pseudonym, in one request.
        """
        problems = [*trial_problems(self.trial_protocol_id, self.trial_protocol_name), *_study_problems(self.studies)]
        problems += _identity_problems(self) if self.keep_identity else _pseudonym_problems(self.studies)
        if self.kind.only_asks:
            problems.append("kind: a job of this kind moves nothing.")
        if not self.studies:
            problems.append("studies: at least one is needed.")
        if self.source_id == self.destination_id:
            problems.append("destination: it is the source.")
        refuse(problems)


def refuse(problems: Sequence[str]) -> None:
    """Raise BadRequest when there are problems, each a sentence behind the field's name and a colon.

    The field of a study is told with its row, as in ``Study 2: pseudonym``, and that of a file with its ``Line 2``. Of
    very many fields the first are told, and how many more there are.
    """
    by_field: dict[str, list[str]] = defaultdict(list)
    for problem in problems:
        found = _FIELD.match(problem)
        field = found["field"] if found else "request"
        by_field[field].append(problem[found.end() :] if found else problem)
    if by_field:
        told = {field: " ".join(sentences) for field, sentences in islice(by_field.items(), _FIELDS_TOLD)}
        if (left := len(by_field) - len(told)) > 0:
            told["request"] = f"{left} more of its fields are wrong, too."
        raise BadRequest.of(told)


def name_problems(patient_id: str, pseudonym: str) -> list[str]:
    """Return what is wrong with a patient ID and the pseudonym that is wished for it; both may be empty."""
    found = [text_problem("patient_id", patient_id), text_problem("pseudonym", pseudonym)]
    if _WILDCARD.search(patient_id):
        found.append("patient_id: wildcards are not allowed.")
    if _WILDCARD.search(pseudonym) or "^" in pseudonym or "=" in pseudonym:
        found.append("pseudonym: none of * ? ^ = is allowed.")
    return [problem for problem in found if problem]


def trial_problems(protocol_id: str, protocol_name: str) -> list[str]:
    """Return what is wrong with the ID and the name of a trial protocol; both may be empty."""
    found = [text_problem("trial_protocol_id", protocol_id), text_problem("trial_protocol_name", protocol_name)]
    return [problem for problem in found if problem]


def pattern_problem(name: str, text: str, limit: int = 64) -> str:
    """Return what is wrong with a text that must match as it is, or nothing: wildcards would match others, too."""
    return text_problem(name, text, limit) or (f"{name}: wildcards are not allowed." if _WILDCARD.search(text) else "")


def text_problem(name: str, text: str, limit: int = 64) -> str:
    """Return what is wrong with a text that goes to archives, or nothing."""
    if len(text) > limit:
        return f"{name}: longer than {limit} characters."
    if _FORBIDDEN.search(text):
        return f"{name}: backslashes and control characters are not allowed."
    if text != text.strip():
        return f"{name}: spaces at the ends are not allowed."
    return ""


def _study_problems(studies: tuple[StudyWish, ...]) -> list[str]:
    problems: list[str] = []
    patient_ids = {wish.patient_id.casefold() for wish in studies if wish.patient_id}
    for row, wish in enumerate(studies, start=1):
        found = name_problems(wish.patient_id, wish.pseudonym)
        if wish.pseudonym.casefold() in patient_ids:
            found.append("pseudonym: it is the ID of a patient of this request.")
        if not is_uid(wish.study_uid):
            found.append("study_uid: not a DICOM UID.")
        if not all(is_uid(uid) for uid in wish.series_uids):
            found.append("series_uids: not all are DICOM UIDs.")
        problems += [f"{wish.called(row)}: {problem}" for problem in found]
    repeated = [uid for uid, count in Counter(wish.study_uid for wish in studies).items() if count > 1]
    rows = [row for row, wish in enumerate(studies, start=1) if wish.study_uid in repeated]
    if rows:
        problems.append(f"study_uid: the same study stands in rows {', '.join(map(str, rows))}.")
    return problems


def _identity_problems(request: TransferRequest) -> list[str]:
    rows = [str(row) for row, wish in enumerate(request.studies, start=1) if wish.pseudonym]
    problems = [f"pseudonym: none, since the identity is kept (rows {', '.join(rows)})."] if rows else []
    if request.profile:
        problems.append("profile: none, since the identity is kept.")
    return problems


def _pseudonym_problems(studies: tuple[StudyWish, ...]) -> list[str]:
    """An empty pseudonym is none of its own: it becomes the one that the patient has in another row."""
    patients: dict[str, set[str]] = defaultdict(set)
    pseudonyms: dict[str, set[str]] = defaultdict(set)
    for wish in studies:
        if wish.patient_id and wish.pseudonym:
            patients[wish.pseudonym].add(wish.patient_id)
            pseudonyms[wish.patient_id].add(wish.pseudonym)
    problems: list[str] = []
    for row, wish in enumerate(studies, start=1):
        if wish.pseudonym and len(patients[wish.pseudonym]) > 1:
            problems.append(f"{wish.called(row)}: pseudonym: it is given to more than one patient.")
        if wish.pseudonym and len(pseudonyms[wish.patient_id]) > 1:
            problems.append(f"{wish.called(row)}: pseudonym: the same patient has another one in this request.")
    return problems
