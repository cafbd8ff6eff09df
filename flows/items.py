"""Works through the items of a job, several at a time, as long as there are any that are due."""

import logging
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from pathlib import Path

from prefect.client.schemas.objects import State as RunState
from prefect.runtime import flow_run

from dicom.quiet import silence_libraries
from flows import final_states
from flows.lane import Halt, Lane
from flows.requests import RequestedTransfer, accepted
from flows.steps import Way, as_task, starter
from flows.transfer_study import transfer_study
from models.db.engine import Database, open_database
from models.domain.errors import AditError, BadRequest, Bug, LeaseLost
from models.domain.jobs import Item, JobKind, Lease
from models.settings import Settings, settings
from services import faults, log_ids, reach, sharing, work

log = logging.getLogger(__name__)

_STEPS_OF_A_LANE = 5
"""Threads: three steps of an item work at the same time; one that is stopped may wait for its next try beside them."""


def run_transfer(kind: JobKind, job_id: int | None, request: RequestedTransfer | None) -> RunState[None]:
    """Work on a job until none of its items is due, and say how the job stands as the flow run's final state.

    May run any number of times and at the same time elsewhere: each item is leased to one worker at a time. A request
    that is refused ends as a failed run that says why.
    """
    silence_libraries()
    db = open_database(settings())
    try:
        db.check_is_current()
        job_id = _job_id(db, kind, job_id, request)
    except AditError as error:
        return final_states.refusal(error)
    with sharing.at_work(db, job_id, str(flow_run.get_id())):
        work_through(db, settings(), job_id, folders=reach.folders_here(db, job_id))
    return final_states.of_job(db, job_id)


def work_through(
    db: Database, options: Settings, job_id: int, way: Way = as_task, folders: Collection[Path] = ()
) -> None:
    """Claim and transfer item after item, in as many lanes as the settings allow and the job can use.

    Ends early when one of the folders is gone, so that the rest is left to other machines. A fault that is not the
    item's own holds up none of the others; it is raised when they have ended. SIGTERM gives up what is at work.
    """
    count = min(options.items_at_a_time, work.unended(db, job_id))
    if not count:
        return
    halt = Halt()
    with (
        log_ids.carrying(job_id=job_id),
        ThreadPoolExecutor(count * _STEPS_OF_A_LANE, "step") as steps,
        ThreadPoolExecutor(count, "lane") as threads,
    ):
        lane = Lane(db, options, starter(steps, way), halt, options.stream_mb * 1_000_000 // count, folders)
        try:
            ends = [threads.submit(copy_context().run, _work, lane, job_id) for _ in range(count)]
            wait(ends)
        except BaseException:
            halt.call()
            raise
    for end in ends:
        end.result()


def _work(lane: Lane, job_id: int) -> None:
    """Work in one lane until nothing is due; raise the first fault at the end."""
    first_fault: Exception | None = None
    while (claim := _next(lane, job_id)) is not None:
        item, lease = claim
        with log_ids.carrying(item_id=item.id):
            fault = _transferred(lane, item, lease)
        first_fault = first_fault or fault
    if first_fault is not None:
        raise first_fault


def _transferred(lane: Lane, item: Item, lease: Lease) -> Exception | None:
    """Transfer an item; the fault that it met, if it met one that is not its own.

    Prefect keeps what a flow raises, and libraries quote values: what is not ours is told by its kind and a reference.
    """
    try:
        transfer_study(lane, item, lease)
    except LeaseLost:
        log.warning("item %s is left to another worker", item.id)
    except AditError as fault:
        log.error("item %s met a fault: %s", item.id, fault.code)
        return fault.with_traceback(None)  # whose frames would keep the attempt
    except Exception as fault:
        return Bug(f"{type(fault).__name__} at item {item.id}; the log has it as fault {faults.record(fault)}.")
    return None


def _next(lane: Lane, job_id: int) -> tuple[Item, Lease] | None:
    if lane.halt.is_called or lane.has_lost_a_folder:
        return None
    return work.claim_next(lane.db, job_id, lane.settings.lease_for, lane.settings.max_attempts)


def _job_id(db: Database, kind: JobKind, job_id: int | None, request: RequestedTransfer | None) -> int:
    match job_id, request:
        case int(), None:
            return work.job_of_kind(db, job_id, kind).id
        case None, RequestedTransfer():
            return accepted(db, settings(), kind, request, str(flow_run.get_id())).id
        case _:
            raise BadRequest("Give either the number of a job, or a request.")
