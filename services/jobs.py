"""Jobs, for those who may see them: submitting them, looking at them, and doing something to them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TypedDict, Unpack

from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.receipts import ReceiptStore
from models.domain.errors import NotPermitted
from models.domain.jobs import Item, Job, JobFilter, JobKind, JobProgress, Onlooker, State
from models.domain.people import Actor
from models.domain.receipts import Receipt, ReceiptSummary, ReceiptTotals
from models.domain.requests import TransferRequest
from models.settings import Settings
from services import holding
from services.job_access import (
    actions,
    item_actions,
    may_know_patients,
    may_know_studies,
    onlooker,
    visible,
    visible_item,
)
from services.job_actions import (
    cancel,
    cancel_item,
    delete,
    delete_item,
    hurry,
    reset_item,
    restart,
    resume,
    retry,
    verify,
)

__all__ = [
    "Filters",
    "actions",
    "at_work",
    "cancel",
    "cancel_item",
    "count",
    "counts",
    "delete",
    "delete_item",
    "flow_run_url",
    "get",
    "hurry",
    "item",
    "item_actions",
    "items",
    "list",
    "nodes",
    "overview",
    "progress",
    "receipt",
    "receipt_summaries",
    "receipt_totals",
    "receipts",
    "reset_item",
    "restart",
    "resume",
    "retry",
    "submit",
    "verify",
]


def submit(
    db: Database,
    settings: Settings,
    actor: Actor,
    request: TransferRequest,
    idempotency_key: str = "",
    flow_run_id: str = "",
) -> Job:
    """Accept a request as a job, as ``services.submitting.submit`` does."""
    from services import submitting  # with pydicom and the rules of profiles: who only looks at jobs waits for neither

    return submitting.submit(db, settings, actor, request, idempotency_key, flow_run_id)


def get(db: Database, actor: Actor, job_id: int) -> Job:
    """The job; raises NotFound, also when it is not the actor's to see.

    Here and in lists, the message of a job that has not ended says why something of it is held back, if it is.
    """
    return holding.told_jobs(db, [visible(db, actor, job_id)])[0]


class Filters(TypedDict, total=False):
    """Which jobs are meant; without any, the actor's own in every state.

    ``of_groups`` adds those that a group shows to its members, ``everybody``, for staff, all; ``owner`` leaves those of
    one person. ``trial`` is a protocol ID, ``text`` a part of trial or owner, or a job's number.
    """

    states: Collection[State] | None
    kinds: Collection[JobKind] | None
    owner: str
    trial: str
    text: str
    of_groups: bool
    everybody: bool


def list(db: Database, actor: Actor, limit: int = 50, offset: int = 0, **filters: Unpack[Filters]) -> tuple[Job, ...]:
    """The jobs that are meant and that the actor may see, newest first; raises NotPermitted for ``everybody``."""
    wanted, seen_by = _meant(actor, filters)
    return tuple(holding.told_jobs(db, JobStore(db).list(wanted, limit, offset, seen_by)))


def count(db: Database, actor: Actor, **filters: Unpack[Filters]) -> int:
    """How many jobs the whole ``list`` with these filters has."""
    return JobStore(db).count(*_meant(actor, filters))


def counts(db: Database, actor: Actor, job_ids: Collection[int]) -> Mapping[int, Mapping[State, int]]:
    """How many items of each of these jobs are in which state, by one question; jobs of strangers are left out."""
    return JobStore(db).counts(job_ids, seen_by=onlooker(actor))


def overview(db: Database, actor: Actor) -> Mapping[JobKind, Mapping[State, int]]:
    """How many jobs of everybody there are of each kind in each state; raises NotPermitted for others than staff."""
    if not actor.is_staff:
        raise NotPermitted("Only staff may see the job overview.")
    return JobStore(db).overview()


def at_work(db: Database, actor: Actor) -> int:
    """How many items workers have now; under maintenance none in the end. Raises NotPermitted for all but staff."""
    if not actor.is_staff:
        raise NotPermitted("Only staff may see the job overview.")
    return JobStore(db).at_work()


def progress(db: Database, actor: Actor, job_id: int) -> JobProgress:
    """The job and how many of its items are in which state."""
    visible(db, actor, job_id)
    found = JobStore(db).progress(job_id)
    return replace(found, job=holding.told_jobs(db, [found.job])[0])


def nodes(db: Database, actor: Actor, job_id: int) -> frozenset[tuple[int, int | None]]:
    """Source and destination of the job's items, None for a batch query, which moves nothing.

    ``services.nodes.names`` tells the names behind the ids.
    """
    visible(db, actor, job_id)
    return JobStore(db).nodes(job_id)


def items(
    db: Database,
    actor: Actor,
    job_id: int,
    states: Collection[State] | None = None,
    limit: int | None = None,
    offset: int = 0,
) -> Sequence[Item]:
    """The items of a job in the order of the request; None means every state, or all of them.

    Patient IDs are empty for all but the owner: beside the pseudonyms they would be an escrow without its rules. So are
    the owner's own names of rows, which may be anything, and, for who sees the job as a member of a group, the source's
    UIDs. The message of one that waits says why it is held back, if it is.
    """
    job = visible(db, actor, job_id)
    return [
        _shown(actor, job, each) for each in holding.told_items(db, JobStore(db).items(job_id, states, limit, offset))
    ]


def item(db: Database, actor: Actor, item_id: int) -> Item:
    """One item, as ``items`` shows it; raises NotFound, also when its job is not to be seen."""
    job, found = visible_item(db, actor, item_id)
    return _shown(actor, job, holding.told_items(db, [found])[0])


def receipt(db: Database, actor: Actor, item_id: int) -> Receipt:
    """The receipt of one item; an empty one before its first attempt.

    Raises NotPermitted for who may see the job but not the source's UIDs, which a receipt lists.
    """
    _check_knows_studies(actor, visible_item(db, actor, item_id)[0])
    return ReceiptStore(db).load(item_id)


def receipts(
    db: Database, actor: Actor, job_id: int, limit: int | None = None, offset: int = 0
) -> Sequence[tuple[Item, Receipt]]:
    """The items of a job, as ``items`` gives them, each with its receipt; raises as ``receipt`` does."""
    _check_knows_studies(actor, visible(db, actor, job_id))
    found = items(db, actor, job_id, None, limit, offset)
    known = ReceiptStore(db).of_items([item.id for item in found])
    return [(item, known.get(item.id) or Receipt()) for item in found]


def receipt_summaries(
    db: Database, actor: Actor, job_id: int, shown: Collection[Item] | None = None
) -> Mapping[int, ReceiptSummary]:
    """The counts of the receipts of a job's items (None: all), by the item's id; absent before the first attempt.

    They cost one question and no unpacking, whatever the number of instances.
    """
    visible(db, actor, job_id)
    if shown is None:
        return ReceiptStore(db).summaries_of_job(job_id)
    return ReceiptStore(db).summaries({item.id for item in shown if item.job_id == job_id})


def receipt_totals(db: Database, actor: Actor, job_id: int) -> ReceiptTotals:
    """How many instances of the whole job are stored, and how many are held."""
    visible(db, actor, job_id)
    return ReceiptStore(db).totals(job_id)


def flow_run_url(settings: Settings, job: Job) -> str:
    """The address of the page of the job's flow run in Prefect; empty before it has one."""
    return f"{settings.prefect_ui_url}/runs/flow-run/{job.flow_run_id}" if job.flow_run_id else ""


def _shown(actor: Actor, job: Job, item: Item) -> Item:
    """The item without what the actor must not know of it."""
    if not may_know_studies(actor, job):
        item = replace(item, study_uid="", series_uids=())
    return item if may_know_patients(actor, job) else replace(item, patient_id="", row_id="")


def _check_knows_studies(actor: Actor, job: Job) -> None:
    if not may_know_studies(actor, job):
        raise NotPermitted(
            "A receipt lists the images of the source. Only who submitted the job, and staff, may see it."
        )


def _meant(actor: Actor, filters: Filters) -> tuple[JobFilter, Onlooker]:
    everybody, of_groups = filters.get("everybody", False), filters.get("of_groups", False)
    if everybody and not actor.is_staff:
        raise NotPermitted("Only staff may see the jobs of others.")
    owner = filters.get("owner", "")
    whose = owner or (None if everybody or of_groups else actor.name)
    wanted = JobFilter(
        whose, filters.get("states"), filters.get("kinds"), filters.get("trial", ""), filters.get("text", "").strip()
    )
    is_about_groups = of_groups and not everybody and not owner
    return wanted, replace(onlooker(actor), everybody=actor.is_staff and not is_about_groups)
