"""Works through the items of a job, one after the other, as long as there are any that are due."""

import logging

from prefect.client.schemas.objects import State as RunState
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from dicom.quiet import silence_libraries
from flows.requests import RequestedTransfer, accepted
from flows.steps import Start, as_task
from flows.transfer_study import transfer_study
from models.db.engine import Database, open_database
from models.domain.errors import AditError, BadRequest, LeaseLost
from models.domain.jobs import JobKind, JobProgress, State, summary
from models.settings import Settings, settings
from services import work

log = logging.getLogger(__name__)


def run_transfer(kind: JobKind, job_id: int | None, request: RequestedTransfer | None) -> RunState[None]:
    """Work on a job until none of its items is due, and say how the job stands as the flow run's final state.

    May run any number of times and at the same time elsewhere: each item is leased to one worker at a time. A request
    that is refused ends as a failed run that says why.
    """
    silence_libraries()
    db = open_database(settings())
    try:
        job_id = _job_id(db, kind, job_id, request)
    except AditError as error:
        return Failed(message=f"{error.code}: {error.message}")
    work_through(db, settings(), job_id)
    return _final_state(work.progress(db, job_id))


def work_through(db: Database, options: Settings, job_id: int, start: Start = as_task) -> None:
    """Claim and transfer item after item."""
    while (claim := work.claim_next(db, job_id, options.lease_for, options.max_attempts)) is not None:
        item, lease = claim
        try:
            transfer_study(db, options, item, lease, start)
        except LeaseLost:
            log.warning("item %s was taken over by another worker", item.id)


def _job_id(db: Database, kind: JobKind, job_id: int | None, request: RequestedTransfer | None) -> int:
    match job_id, request:
        case int(), None:
            return job_id
        case None, RequestedTransfer():
            return accepted(db, settings(), kind, request, str(flow_run.get_id())).id
        case _:
            raise BadRequest("Give either the number of a job, or a request.")


def _final_state(progress: JobProgress) -> RunState[None]:
    message = summary(state for state, count in progress.counts.items() for _ in range(count))
    if progress.counts.get(State.FAILURE):
        return Failed(message=message)
    return Completed(message=message)
