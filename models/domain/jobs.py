"""Jobs and items: their states, the one table of allowed moves, and the job status derived from the items."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from models.domain.errors import Bug, WrongState
from models.domain.pace import Pace


class JobKind(StrEnum):
    """What a job does; the deployment that runs it carries the same name with dashes."""

    SELECTIVE_TRANSFER = "selective_transfer"
    BATCH_TRANSFER = "batch_transfer"
    BATCH_QUERY = "batch_query"
    BATCH_CHECK = "batch_check"
    """Looks up what a batch transfer would move; the transfer is made of what it has found."""

    @property
    def only_asks(self) -> bool:
        """Whether its items are questions to servers, and nothing is moved."""
        return self in {JobKind.BATCH_QUERY, JobKind.BATCH_CHECK}

    @property
    def deployment(self) -> str:
        """Prefect's ``flow/deployment`` name for this kind."""
        name = self.value.replace("_", "-")
        return f"{name}/{name}"


class State(StrEnum):
    """States of jobs and items; items are never ``unverified`` and never ``canceling``."""

    UNVERIFIED = "unverified"
    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    CANCELING = "canceling"
    CANCELED = "canceled"
    SUCCESS = "success"
    WARNING = "warning"
    FAILURE = "failure"


FINISHED = frozenset({State.CANCELED, State.SUCCESS, State.WARNING, State.FAILURE})

JOB_MOVES: Mapping[State, frozenset[State]] = {
    State.UNVERIFIED: frozenset({State.PENDING}),
    State.PENDING: frozenset({State.IN_PROGRESS, *FINISHED}),
    State.IN_PROGRESS: frozenset({State.CANCELING, State.PENDING, *FINISHED}),
    State.CANCELING: frozenset({State.CANCELED}),
    State.CANCELED: frozenset({State.PENDING}),
    State.SUCCESS: frozenset({State.PENDING}),
    State.WARNING: frozenset({State.PENDING}),
    State.FAILURE: frozenset({State.PENDING}),
}
"""Every move a job may make. Back to pending means resume (canceled), retry (failure) or restart; from pending to an
end, that what still waited was canceled or deleted.
"""

ITEM_MOVES: Mapping[State, frozenset[State]] = {
    State.PENDING: frozenset({State.IN_PROGRESS, State.CANCELED}),
    State.IN_PROGRESS: frozenset({State.PENDING, State.SUCCESS, State.WARNING, State.FAILURE, State.CANCELED}),
    State.CANCELED: frozenset({State.PENDING}),
    State.SUCCESS: frozenset({State.PENDING}),
    State.WARNING: frozenset({State.PENDING}),
    State.FAILURE: frozenset({State.PENDING}),
}
"""Every move an item may make. In progress to pending: a failed attempt that will be repeated."""


def check_job_move(old: State, new: State) -> None:
    """Raise WrongState unless a job may go from ``old`` to ``new``."""
    if new not in JOB_MOVES[old]:
        raise WrongState(f"A job that is {old.value} cannot become {new.value}.")


def check_item_move(old: State, new: State) -> None:
    """Raise WrongState unless an item may go from ``old`` to ``new``."""
    if new not in ITEM_MOVES.get(old, frozenset()):
        raise WrongState(f"An item that is {old.value} cannot become {new.value}.")


class JobAction(StrEnum):
    """What a person can do to a job."""

    VERIFY = "verify"
    HURRY = "hurry"
    CANCEL = "cancel"
    RESUME = "resume"
    RETRY = "retry"
    RESTART = "restart"
    DELETE = "delete"


class ItemAction(StrEnum):
    """What a person can do to one item."""

    CANCEL = "cancel"
    RESET = "reset"
    DELETE = "delete"


def derived_state(current: State, items: Iterable[State]) -> State:
    """The state of a job whose items have these states.

    A job that has begun stays in progress until its last item has ended, and a job that is being canceled stays so:
    the status never flips back while it runs.
    """
    counts = Counter(items)
    if current is State.UNVERIFIED:
        return State.UNVERIFIED
    if counts[State.IN_PROGRESS]:
        return State.CANCELING if current is State.CANCELING else State.IN_PROGRESS
    if counts[State.PENDING]:
        begun = current in {State.IN_PROGRESS, State.CANCELING}
        return current if begun else State.PENDING
    if current is State.CANCELING:
        return State.CANCELED
    if counts[State.FAILURE]:
        return State.FAILURE
    if counts[State.WARNING]:
        return State.WARNING
    if counts[State.CANCELED] and not counts[State.SUCCESS]:
        return State.CANCELED
    return State.SUCCESS


def summary(items: Iterable[State]) -> str:
    """One sentence for the person who looks at a finished job."""
    counts = Counter(items)
    total = sum(counts.values())
    if not total:
        return "There was nothing to transfer."
    for state, words in _WORDS.items():
        if counts[state] == total:
            return f"All items {words}." if total > 1 else f"The item {_SINGLE[state]}."
    parts = [
        f"1 {_SINGLE[state]}" if counts[state] == 1 else f"{counts[state]} {_WORDS[state]}"
        for state in _WORDS
        if counts[state]
    ]
    return f"Of {total} items {', '.join(parts)}."


_WORDS = {
    State.SUCCESS: "succeeded",
    State.WARNING: "have warnings",
    State.FAILURE: "failed",
    State.CANCELED: "were canceled",
    State.PENDING: "are waiting",
    State.IN_PROGRESS: "are running",
}
_SINGLE = {
    State.SUCCESS: "succeeded",
    State.WARNING: "has warnings",
    State.FAILURE: "failed",
    State.CANCELED: "was canceled",
    State.PENDING: "is waiting",
    State.IN_PROGRESS: "is running",
}


@dataclass(frozen=True, slots=True)
class Item:
    """One study, or chosen series of it, to move; or one question to a server, whose text stands elsewhere, encrypted.

    ``pseudonym`` is empty as long as it is not known (one that is generated needs the patient), and when the identity
    is kept. ``destination_id`` is None for a question of a batch query. ``lines`` and ``row_id`` say where it stood in
    a batch file. ``planned_count`` is how many instances a check saw, None where there was none or it could not tell.
    """

    id: int
    job_id: int
    position: int
    state: State
    source_id: int
    destination_id: int | None
    patient_id: str
    study_uid: str
    series_uids: tuple[str, ...]
    pseudonym: str
    attempts: int
    message: str
    error_code: str
    not_before_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    lines: tuple[int, ...] = ()
    row_id: str = ""
    planned_count: int | None = None

    @property
    def target_id(self) -> int:
        """The destination of an item that moves something; raises Bug for a question."""
        if self.destination_id is None:
            raise Bug("A question has no destination.")
        return self.destination_id


@dataclass(frozen=True, slots=True)
class Job:
    """An accepted request. ``linkage_scope_id`` names the key under which its patients are pseudonymized.

    It is None for a job that only asks. ``checked_by_job_id`` is the check that a batch transfer was made of.
    ``generate_pseudonyms`` says of a check that patients to whom its file gives none may get one.

    ``profile`` and ``policy_digest`` say by which rules, as they were when the job was accepted; both are empty when
    ``keep_identity`` is set, and in jobs that are older than profiles.
    ``flow_run_id`` is empty and ``run_requested_at`` None until a flow run was asked for, and again after the job was
    resumed, retried or restarted. ``emptied_at`` is when what names patients was removed, so that nothing can be done
    again. With ``convert_to_nifti`` its folder gets NIfTI files.
    """

    id: int
    kind: JobKind
    state: State
    owner: str
    urgent: bool
    message: str
    trial_protocol_id: str
    trial_protocol_name: str
    linkage_scope_id: int | None
    flow_run_id: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    run_requested_at: datetime | None = None
    profile: str = ""
    policy_digest: str = ""
    keep_identity: bool = False
    send_finished_mail: bool = False
    project_name: str = ""
    project_description: str = ""
    ethics_application_id: str = ""
    generate_pseudonyms: bool = False
    checked_by_job_id: int | None = None
    emptied_at: datetime | None = None
    convert_to_nifti: bool = False

    @property
    def scope_id(self) -> int:
        """The linkage scope of a job that moves something; raises Bug for one that only asks."""
        if self.linkage_scope_id is None:
            raise Bug("A job that only asks has no linkage scope.")
        return self.linkage_scope_id


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on one item until the lease runs out; ``token`` fences off those who held it before."""

    item_id: int
    token: str


@dataclass(frozen=True, slots=True)
class JobProgress:
    """A job with how many of its items are in which state; with ``pace`` as long as it runs and that can be told."""

    job: Job
    counts: Mapping[State, int]
    pace: Pace | None = None


@dataclass(frozen=True, slots=True)
class Onlooker:
    """Somebody who looks at jobs: sees their own, and of members of ``groups`` those of kinds that a group shows.

    ``is_shown_all`` is for superusers, to whom every group of theirs shows every kind; ``everybody`` for staff. With
    ``nodes``, none that names any other node.
    """

    name: str
    groups: frozenset[int] = frozenset()
    is_shown_all: bool = False
    everybody: bool = False
    nodes: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs are meant. None and empty mean all; ``text`` is a part of trial or owner, or the job's number."""

    owner: str | None = None
    states: Collection[State] | None = None
    kinds: Collection[JobKind] | None = None
    trial: str = ""
    text: str = ""


EVERY_JOB = JobFilter()
