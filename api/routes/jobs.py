"""Jobs: what would be moved, submitting, looking, and doing something to them."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Header, Path, Query
from pydantic import Field

from api.access import Caller, needs
from api.context import Context, Here
from api.routes.search import document
from api.routing import Route, SlowRoute
from api.schemas.jobs import (
    Hurry,
    ItemDetails,
    ItemShown,
    JobDetails,
    JobShown,
    JobWished,
    Plan,
    PlanWished,
    ReceiptShown,
    Wished,
    fields_of,
)
from api.schemas.jobs import Route as Way
from api.schemas.shapes import Number, Page, Paging, Part, Text
from api.streams import Stream
from models.db.engine import Database
from models.domain.jobs import Job, JobKind, State
from models.domain.people import Actor
from models.domain.tokens import Operation
from services import jobs, nodes
from services.searching import search
from services.searching.search import Stop

router = APIRouter(prefix="/v1", tags=["jobs"], route_class=Route)
slow_router = APIRouter(prefix="/v1", tags=["jobs"], route_class=SlowRoute)

Reader = Annotated[Caller, Depends(needs(Operation.READ))]
Planner = Annotated[Caller, Depends(needs(Operation.SEARCH))]
Mover = Annotated[Caller, Depends(needs(Operation.TRANSFER))]
JobId = Annotated[Number, Path()]
ItemId = Annotated[Number, Path()]
Key = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        max_length=255,
        pattern=r"^[ -~]*$",
        description="A text of your own. The same request under the same key is accepted once, for a week.",
    ),
]
_Kinds = Annotated[list[JobKind], Field(fail_fast=True)]
_States = Annotated[list[State], Field(fail_fast=True)]
MOST_RECEIPTS = 100


@slow_router.post("/jobs/plan", response_model=Plan)
def plan(here: Here, caller: Planner, wished: PlanWished) -> Stream:
    """What a job would move, and what it would leave out and why. Nothing is accepted by that."""
    ends = _ends(here, caller, wished)
    wishes = [study.wish() for study in wished.studies]
    stop = Stop()

    def told() -> Plan:
        found = search.preview(
            here.db,
            here.settings,
            caller.actor,
            *ends,
            wishes,
            wished.profile,
            wished.keep_identity,
            stop,
            wished.convert_to_nifti,
        )
        return Plan.of(found)

    return document(here, caller, told, stop, *ends)


@router.post("/jobs", status_code=201)
def submit(here: Here, caller: Mover, wished: JobWished, idempotency_key: Key = "") -> JobDetails:
    """Have a request accepted as a job. With a key it may be sent again without becoming another job."""
    request = wished.request(*_ends(here, caller, wished))
    job = jobs.submit(here.db, here.settings, caller.actor, request, idempotency_key=idempotency_key.strip())
    return details(here, caller.actor, job.id)


@router.get("/jobs")
def list_jobs(
    here: Here,
    caller: Reader,
    part: Part,
    kind: Annotated[_Kinds | None, Query(description="Only of these kinds.")] = None,
    state: Annotated[_States | None, Query(description="Only in these states.")] = None,
    owner: Annotated[Text, Query(description="Only of this person, as far as the caller sees their jobs.")] = "",
    trial: Annotated[Text, Query(description="Only of this trial.")] = "",
    text: Annotated[Text, Query(description="A part of trial or owner, or a job's number.")] = "",
    of_groups: Annotated[bool, Query(description="Also those that a group shows to its members.")] = False,
    everybody: Annotated[bool, Query(description="All jobs; for staff.")] = False,
) -> Page[JobShown]:
    """Jobs, newest first: the caller's own, unless others are asked for."""
    filters = jobs.Filters(
        states=state, kinds=kind, owner=owner, trial=trial, text=text, of_groups=of_groups, everybody=everybody
    )
    found = jobs.list(here.db, caller.actor, part.limit, part.offset, **filters)
    counts = jobs.counts(here.db, caller.actor, [job.id for job in found])
    return Page(
        results=[JobShown.of(job, counts.get(job.id, {})) for job in found],
        total=jobs.count(here.db, caller.actor, **filters),
    )


@router.get("/jobs/{job_id}")
def show_job(here: Here, caller: Reader, job_id: JobId) -> JobDetails:
    """One job, with what the caller may do to it as it is now."""
    return details(here, caller.actor, job_id)


@router.get("/jobs/{job_id}/items")
def list_items(
    here: Here,
    caller: Reader,
    job_id: JobId,
    part: Part,
    state: Annotated[_States | None, Query(description="Only in these states.")] = None,
) -> Page[ItemShown]:
    """The items of a job in the order of the request."""
    found = jobs.items(here.db, caller.actor, job_id, state, part.limit, part.offset)
    counts = jobs.progress(here.db, caller.actor, job_id).counts
    total = sum(count for each, count in counts.items() if not state or each in state)
    return Page(results=[ItemShown.model_validate(item) for item in found], total=total)


@router.get("/jobs/{job_id}/receipts")
def list_receipts(here: Here, caller: Reader, job_id: JobId, part: Part) -> Page[ReceiptShown]:
    """The receipts of a job's items, at most 100 at a time; one is empty before the first attempt of its item."""
    part = Paging(limit=min(part.limit, MOST_RECEIPTS), offset=part.offset)
    found = jobs.receipts(here.db, caller.actor, job_id, part.limit, part.offset)
    total = sum(jobs.progress(here.db, caller.actor, job_id).counts.values())
    return Page(results=[ReceiptShown.of(item, receipt) for item, receipt in found], total=total)


@router.post("/jobs/{job_id}/verify")
def verify(here: Here, caller: Mover, job_id: JobId) -> JobDetails:
    """Let an unverified job begin; for staff."""
    return _changed(here, caller, jobs.verify, job_id)


@router.post("/jobs/{job_id}/cancel")
def cancel(here: Here, caller: Mover, job_id: JobId) -> JobDetails:
    """Stop a job that waits or runs."""
    return _changed(here, caller, jobs.cancel, job_id)


@router.post("/jobs/{job_id}/resume")
def resume(here: Here, caller: Mover, job_id: JobId) -> JobDetails:
    """Let the canceled items of a job go on."""
    return _changed(here, caller, jobs.resume, job_id)


@router.post("/jobs/{job_id}/retry")
def retry(here: Here, caller: Mover, job_id: JobId) -> JobDetails:
    """Try the failed items of a failed job again, sending only what is missing."""
    return _changed(here, caller, jobs.retry, job_id)


@router.post("/jobs/{job_id}/restart")
def restart(here: Here, caller: Mover, job_id: JobId) -> JobDetails:
    """Do a finished job again from the start; for staff."""
    return _changed(here, caller, jobs.restart, job_id)


@router.post("/jobs/{job_id}/hurry")
def hurry(here: Here, caller: Mover, job_id: JobId, wished: Annotated[Hurry | None, Body()] = None) -> JobDetails:
    """Make a job urgent, or with ``{"urgent": false}`` not urgent any more."""
    jobs.hurry(here.db, caller.actor, job_id, (wished or Hurry()).urgent)
    return details(here, caller.actor, job_id)


@router.delete("/jobs/{job_id}", status_code=204)
def delete(here: Here, caller: Mover, job_id: JobId) -> None:
    """Remove a job of which nothing has begun."""
    jobs.delete(here.db, caller.actor, job_id)


@router.get("/items/{item_id}")
def show_item(here: Here, caller: Reader, item_id: ItemId) -> ItemDetails:
    """One item, with what the caller may do to it as it is now."""
    return _item(here, caller.actor, item_id)


@router.get("/items/{item_id}/receipt")
def show_receipt(here: Here, caller: Reader, item_id: ItemId) -> ReceiptShown:
    """The receipt of one item; an empty one before its first attempt."""
    item = jobs.item(here.db, caller.actor, item_id)
    return ReceiptShown.of(item, jobs.receipt(here.db, caller.actor, item_id))


@router.post("/items/{item_id}/cancel")
def cancel_item(here: Here, caller: Mover, item_id: ItemId) -> ItemDetails:
    """Cancel an item that waits; the others of its job go on."""
    jobs.cancel_item(here.db, caller.actor, item_id)
    return _item(here, caller.actor, item_id)


@router.post("/items/{item_id}/reset")
def reset_item(here: Here, caller: Mover, item_id: ItemId) -> ItemDetails:
    """Do an item that has ended again from the start."""
    jobs.reset_item(here.db, caller.actor, item_id)
    return _item(here, caller.actor, item_id)


@router.delete("/items/{item_id}", status_code=204)
def delete_item(here: Here, caller: Mover, item_id: ItemId) -> None:
    """Remove an item that waits from its job."""
    jobs.delete_item(here.db, caller.actor, item_id)


def _ends(here: Context, caller: Caller, wished: Wished) -> tuple[int, int]:
    source = nodes.chosen_source(here.db, caller.actor, wished.source)
    destination = nodes.chosen_destination(here.db, caller.actor, wished.destination)
    return source.id, destination.id


def _changed(here: Context, caller: Caller, change: Callable[[Database, Actor, int], Job], job_id: int) -> JobDetails:
    change(here.db, caller.actor, job_id)
    return details(here, caller.actor, job_id)


def details(here: Context, actor: Actor, job_id: int) -> JobDetails:
    """What is shown of one job."""
    progress = jobs.progress(here.db, actor, job_id)
    names = nodes.names(here.db)
    ways = [
        Way(
            source_id=source,
            source=names.get(source, ""),
            destination_id=target,
            destination=names.get(target or 0, ""),
        )
        for source, target in sorted(jobs.nodes(here.db, actor, job_id), key=str)
    ]
    return JobDetails(
        **fields_of(progress.job, progress.counts),
        nodes=ways,
        actions=sorted(jobs.actions(here.db, actor, progress.job)),
        flow_run_url=jobs.flow_run_url(here.settings, progress.job) if actor.is_staff else "",
    )


def _item(here: Context, actor: Actor, item_id: int) -> ItemDetails:
    item = jobs.item(here.db, actor, item_id)
    return ItemDetails.of_item(item, jobs.item_actions(here.db, actor, item))
