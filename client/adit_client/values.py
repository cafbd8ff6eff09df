"""What the server tells, and what it is told, as plain values. They are made by `adit_client.reading`.

Fields mean what the description of the API says (``/api/v1/openapi.json``); times are aware.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from os import PathLike
from typing import Literal, TypedDict, TypeVar

T = TypeVar("T")

NodeWish = int | str
"""A node by its id, name or AE title."""

Kind = Literal["selective_transfer", "batch_transfer"]

ENDED = frozenset({"canceled", "success", "warning", "failure"})
"""The states in which a job or an item has come to its end."""


# -- what is asked for -----------------------------------------------------------------------------


class PatientKeys(TypedDict, total=False):
    """By what patients are searched; ``*`` and ``?`` are wildcards, dates are YYYYMMDD or ranges of them."""

    patient_id: str
    patient_name: str
    birth_date: str


class StudyKeys(PatientKeys, total=False):
    """By what studies are searched; as those of patients."""

    study_uid: str
    accession_number: str
    study_date: str
    study_time: str
    study_description: str
    modalities: Sequence[str]


class PlanOptions(TypedDict, total=False):
    """What a plan depends on: the de-identification profile, or that everything stays as it is; and the kind of files.

    With ``convert_to_nifti`` a folder gets NIfTI files instead of DICOM files.
    """

    profile: str
    keep_identity: bool
    convert_to_nifti: bool


class TransferOptions(PlanOptions, total=False):
    """How studies are transferred. The trial is that of the client where none is named here."""

    trial_protocol_id: str
    trial_protocol_name: str
    urgent: bool
    send_finished_mail: bool


class BatchQueryOptions(TypedDict, total=False):
    """How a batch query is made; ``sheet`` names the sheet of the file to read."""

    sheet: str
    urgent: bool
    send_finished_mail: bool


class BatchTransferOptions(TransferOptions, total=False):
    """How a batch transfer is made. With ``generate_pseudonyms`` rows without a pseudonym get one."""

    sheet: str
    generate_pseudonyms: bool


class JobFilters(TypedDict, total=False):
    """Which jobs are meant: ``text`` is a part of trial or owner, or a job's number.

    ``of_groups`` adds those that a group shows to its members; ``everybody`` means all, and is for staff.
    """

    kind: str | Sequence[str]
    state: str | Sequence[str]
    owner: str
    trial: str
    text: str
    of_groups: bool
    everybody: bool


@dataclass(frozen=True)
class StudyWish:
    """One study to transfer; without ``series_uids`` all of it.

    Without a pseudonym the patient gets the one that they have in the trial, or else a generated one.
    """

    study_uid: str
    patient_id: str = field(default="", repr=False)
    series_uids: Sequence[str] = ()
    pseudonym: str = field(default="", repr=False)


# -- what is found ---------------------------------------------------------------------------------


class Found(list[T]):
    """What a search has found."""

    has_more: bool = False
    """Whether the archive has more than that, as far as it tells."""
    warnings: tuple[str, ...] = ()
    """What the server says about the search, such as that it does not match fuzzily."""


@dataclass(frozen=True)
class PatientFound:
    """A patient as the archive lists them."""

    patient_id: str
    patient_name: str = ""
    birth_date: str = ""
    sex: str = ""


@dataclass(frozen=True)
class StudyFound:
    """A study as the archive lists it; counts are None where it tells none."""

    study_uid: str
    patient_id: str = ""
    patient_name: str = ""
    birth_date: str = ""
    accession_number: str = ""
    study_date: str = ""
    study_time: str = ""
    study_description: str = ""
    modalities: tuple[str, ...] = ()
    series_count: int | None = None
    instance_count: int | None = None


@dataclass(frozen=True)
class SeriesFound:
    """A series as the archive lists it."""

    study_uid: str
    series_uid: str
    modality: str = ""
    number: str = ""
    description: str = ""
    instance_count: int | None = None


@dataclass(frozen=True)
class DownloadReceipt:
    """What the server says at the end of a download.

    ``expected`` is None where the archive cannot list its instances. ``left_out`` gives the reason for each instance
    that was not sent, by the SOP Instance UID that it would have had.
    """

    expected: int | None = None
    sent: int = 0
    left_out: Mapping[str, str] = field(default_factory=dict[str, str])


# -- plans -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PlannedSeries:
    """A series that would be moved; ``size_bytes`` is a rough estimate."""

    series: SeriesFound
    instance_count: int | None = None
    size_bytes: int = 0
    note: str = ""


@dataclass(frozen=True)
class LeftOutSeries:
    """A series that would not be moved, and why."""

    series: SeriesFound
    reason: str = ""


@dataclass(frozen=True)
class PlannedStudy:
    """What would become of one study; ``problem`` says why nothing of it could be moved."""

    study_uid: str
    study: StudyFound | None = None
    series: tuple[PlannedSeries, ...] = ()
    left_out: tuple[LeftOutSeries, ...] = ()
    problem: str = ""
    instance_count: int | None = None
    size_bytes: int = 0


@dataclass(frozen=True)
class Plan:
    """What a transfer would move, study by study, in the order of the wishes."""

    studies: tuple[PlannedStudy, ...]
    problems: tuple[str, ...] = ()
    instance_count: int | None = None
    size_bytes: int = 0
    has_room: bool = True


# -- jobs ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class JobNodes:
    """From where to where a job moves; without a destination it only looks."""

    source_id: int
    source: str
    destination_id: int | None = None
    destination: str = ""


@dataclass(frozen=True)
class Job:
    """A job as it was at this moment; ``counts`` says how many of its items are in which state.

    ``nodes``, ``actions`` and ``flow_run_url`` are told of one job only, not in lists of jobs.
    """

    id: int
    state: str
    kind: str = ""
    owner: str = ""
    urgent: bool = False
    message: str = ""
    trial_protocol_id: str = ""
    trial_protocol_name: str = ""
    profile: str = ""
    keep_identity: bool = False
    convert_to_nifti: bool = False
    send_finished_mail: bool = False
    created_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    nodes: tuple[JobNodes, ...] = ()
    actions: tuple[str, ...] = ()
    flow_run_url: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether nothing more happens by itself."""
        return self.state in ENDED


class Jobs(list[Job]):
    """A part of all jobs that are meant, newest first."""

    total: int = 0
    """How many there are in all."""


@dataclass(frozen=True)
class Item:
    """One study of a job. ``patient_id`` is empty for who neither owns the job nor may look identities up."""

    id: int
    state: str
    job_id: int = 0
    position: int = 0
    source_id: int = 0
    destination_id: int | None = None
    patient_id: str = ""
    study_uid: str = ""
    series_uids: tuple[str, ...] = ()
    pseudonym: str = ""
    attempts: int = 0
    message: str = ""
    error_code: str = ""
    not_before_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    actions: tuple[str, ...] = ()

    @property
    def has_ended(self) -> bool:
        """Whether nothing more happens by itself."""
        return self.state in ENDED


@dataclass(frozen=True)
class Receipt:
    """The proof of one item: SOP Instance UIDs of the source. ``expected`` is None where the source lists none.

    ``verdict`` is one of ``complete``, ``short``, ``surplus``, ``held`` and ``unknown``; only the first is a success.
    """

    item_id: int
    verdict: str
    job_id: int = 0
    position: int = 0
    state: str = ""
    study_uid: str = ""
    announced_count: int | None = None
    size_bytes: int = 0
    destination_confirms: bool = True
    expected: tuple[str, ...] | None = None
    received: tuple[str, ...] = ()
    stored: tuple[str, ...] = ()
    confirmed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    surplus: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict[str, str])
    left_out_series: Mapping[str, str] = field(default_factory=dict[str, str])
    held: Mapping[str, str] = field(default_factory=dict[str, str])
    refused: Mapping[str, str] = field(default_factory=dict[str, str])
    stored_with_warning: Mapping[str, str] = field(default_factory=dict[str, str])
    sha256: Mapping[str, str] = field(default_factory=dict[str, str])
    files: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def is_complete(self) -> bool:
        """Whether everything that was expected is proven to be at the destination."""
        return self.verdict == "complete"


@dataclass(frozen=True)
class HeldCount:
    """How many instances of a job wait for a review."""

    job_id: int
    count: int


@dataclass(frozen=True)
class Held:
    """An instance that waits for a review, and why: where it can be looked at, and where it would go."""

    item_id: int
    sop_uid: str
    reason: str = ""
    job_id: int = 0
    position: int = 0
    study_uid: str = ""
    source_id: int = 0
    destination_id: int = 0


# -- batch files -----------------------------------------------------------------------------------

BatchFile = bytes | str | PathLike[str] | tuple[str, bytes]
"""A spreadsheet: its path, its bytes, or a name with the bytes."""

BatchKind = Literal["query", "transfer"]
Verdict = Literal["found", "not_found", "ambiguous", "mismatch", "excluded", "already_there", "failed"]


@dataclass(frozen=True)
class FileProblem:
    """What is wrong in one place of a batch file. ``row`` is the line of the spreadsheet, 0 for the whole file.

    ``weight`` is ``error`` or ``warning``; only errors keep the file from being accepted.
    """

    row: int
    column: str
    sentence: str
    weight: str = "error"

    @property
    def is_error(self) -> bool:
        return self.weight == "error"

    def __str__(self) -> str:
        line = f"Line {self.row}" if self.row else "File"
        return f"{line}{f', {self.column}' if self.column else ''}: {self.sentence}"


class FileProblems(list[FileProblem]):
    """All that is wrong with a batch file."""

    is_good: bool = True
    """Whether the file would be accepted."""
    rows: int = 0
    """How many rows have no error."""
    sheets: tuple[str, ...] = ()
    """The sheets that may be chosen, the one that was read first."""


@dataclass(frozen=True)
class BatchResult:
    """A study or series that a server has for a row; or why there is none, then ``study`` is None."""

    item_id: int
    lines: tuple[int, ...] = ()
    row_id: str = ""
    source_id: int = 0
    state: str = ""
    message: str = ""
    pseudonym: str = field(default="", repr=False)
    study: StudyFound | None = None
    series: SeriesFound | None = None
    instance_count: int | None = None


@dataclass(frozen=True)
class Tally:
    """How many studies have a verdict, and of the found ones about how much they are."""

    studies: int = 0
    instances: int = 0
    size_bytes: int = 0
    uncounted: int = 0


@dataclass(frozen=True)
class CheckOutcome:
    """What a check has found: how many studies have which verdict, and how much would be moved.

    ``waiting`` are studies that nobody has looked at yet; ``transfer_id`` is the job that was made of the check.
    """

    job_id: int
    state: str = ""
    has_ended: bool = False
    verdicts: Mapping[str, Tally] = field(default_factory=dict[str, Tally])
    waiting: int = 0
    instances: int = 0
    size_bytes: int = 0
    has_room: bool = True
    transfer_id: int | None = None


@dataclass(frozen=True)
class CheckedRow:
    """What a check says of the rows of one study; ``verdict`` is None as long as nobody has looked."""

    item_id: int
    lines: tuple[int, ...] = ()
    row_id: str = ""
    verdict: str | None = None
    sentence: str = ""
    pseudonym: str = field(default="", repr=False)
    study: StudyFound | None = None
    series: tuple[SeriesFound, ...] = ()
    instance_count: int | None = None
    size_bytes: int = 0


# -- the owner of the token ------------------------------------------------------------------------


@dataclass(frozen=True)
class Token:
    """A token as it can be recognized. ``operations`` and ``nodes`` are None where there is no such limit."""

    id: int
    beginning: str = ""
    description: str = ""
    created_at: datetime | None = None
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    operations: tuple[str, ...] | None = None
    nodes: tuple[int, ...] | None = None
    request_count: int = 0
    answered_bytes: int = 0


@dataclass(frozen=True)
class NewToken:
    """A token that has just been made, with its secret, which nobody can see again."""

    token: Token
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Me:
    """The owner of the token that the client has, and what it may do."""

    username: str
    token: Token
    full_name: str = ""
    email: str = ""
    is_staff: bool = False
    is_superuser: bool = False
    permissions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Node:
    """A server or a folder that may be used; ``ae_title`` is empty for a folder."""

    id: int
    name: str
    ae_title: str = ""
    is_server: bool = True


@dataclass(frozen=True)
class Profile:
    """A de-identification profile that transfers can name; ``discloses`` says what an output still tells."""

    name: str
    title: str = ""
    summary: str = ""
    discloses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Nodes:
    """From where to where may be transferred."""

    sources: tuple[Node, ...] = ()
    destinations: tuple[Node, ...] = ()
