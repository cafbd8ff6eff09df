"""Lets several machines share a large job: further flow runs work on its items beside the first one.

Each run claims item after item, so nothing has to be divided up beforehand, and a run may come or go at any moment.
Workers take at most one run of a job at a time; one that no machine has room for waits in Prefect's queue.
"""

import logging
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta

from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.runs import Run, RunStore
from models.domain.errors import AditError, NotFound, NotPermitted, Unreachable, WrongState
from models.domain.jobs import FINISHED, Job, JobKind
from models.settings import Settings
from services import prefect_status, worker_names
from services.beating import beating
from services.orchestration import DIED, GONE, RECOVERED_QUEUE, Orchestration, RunState, RunStatus, in_parts, queue_of

log = logging.getLogger(__name__)

STARTS_WITHIN = timedelta(minutes=2)
"""A worker that dies between taking a run and starting its process leaves it pending for ever; Prefect does not see."""
SHARED = [kind for kind in JobKind if not kind.only_asks]
"""Questions are asked by one run: how many a server answers at a time is the limit, not a machine."""
_BEAT_S = 2.0
_OVER = frozenset({RunState.CANCELED, RunState.CRASHED, RunState.ENDED})
"""Prefect answers with such a run, too, when it is asked for the same once more."""


def share_out(db: Database, orchestration: Orchestration, settings: Settings) -> None:
    """Ask for one further run for each job that can use one more machine; raises Unreachable or NotPermitted.

    It can when more items wait than its runs hold, as many as a run takes up at a time, and there is another machine.
    """
    waiting = RunStore(db).waiting(SHARED)
    beyond = {job_id: count for job_id, count in waiting.items() if count >= settings.items_at_a_time}
    if not beyond:
        return
    count = len(machines(settings))
    if count < 2:
        return
    for job_id, left in beyond.items():
        runs = RunStore(db).of_job(job_id)
        if len(runs) < min(count, 1 + left // settings.items_at_a_time):
            _ask(db, orchestration, JobStore(db).get(job_id), runs)


def machines(settings: Settings) -> Collection[str]:
    """The machines whose workers live, as far as Prefect has heard of them."""
    return worker_names.without_lanes(prefect_status.alive(settings))


def end_silent(
    db: Database, orchestration: Orchestration, patience: timedelta, goes_on: Callable[[], bool] = lambda: True
) -> None:
    """Tell Prefect which runs have died, and forget them; one that waits for a worker is left alone as long as it may.

    Without this, the run of a machine that is lost would be at work for ever in Prefect's eyes as long as others go on
    with its job. Ends early when ``goes_on`` says no; raises Unreachable or NotPermitted at once.
    """
    for some in in_parts(RunStore(db).silent(patience), goes_on):
        _see_to_some(db, orchestration, some, patience)


def has_begun(orchestration: Orchestration, flow_run_id: str) -> bool:
    """Whether a run that waited some moments ago does so no more."""
    return orchestration.status(flow_run_id).state is not RunState.WAITING


def _see_to_some(db: Database, orchestration: Orchestration, runs: Collection[Run], patience: timedelta) -> None:
    statuses = orchestration.statuses({run.flow_run_id for run in runs})
    for run in runs:
        try:
            _see_to(db, orchestration, run, statuses.get(run.flow_run_id, GONE), patience)
        except (Unreachable, NotPermitted):
            raise
        except NotFound:
            RunStore(db).forget(run.flow_run_id)
        except AditError as error:
            log.warning("flow run %s could not be looked after: %s", run.flow_run_id, error)


def follow_cancellation(db: Database, job: Job) -> None:
    """Cancel the job of a run that was canceled in Prefect's own UI.

    Once the job is resumed it has no requested run any more, so the old cancellation does not count again.
    """
    try:
        JobStore(db).cancel(job.id)
    except WrongState:
        return
    log.info("job %s was canceled in Prefect", job.id)


@contextmanager
def at_work(db: Database, job_id: int, flow_run_id: str) -> Generator[None]:
    """Say that the run is alive as long as the context is open; one that ends by an exception just falls silent."""
    runs = RunStore(db)
    with beating(f"run-of-job-{job_id}", _BEAT_S, lambda: runs.hear(job_id, flow_run_id), at_once=True):
        yield
    with suppress(AditError):  # else it falls silent, and is forgotten later, as when a late word follows
        runs.forget(flow_run_id)


def _ask(db: Database, orchestration: Orchestration, job: Job, others: Collection[Run]) -> None:
    period = f"{db.clock():%Y%m%dT%H%M}"[:-1]  # ten minutes, so that there are never many to look at
    known = [period, *sorted(run.flow_run_id for run in others)]
    run_id = orchestration.start_run_beside(job, known)
    while orchestration.status(run_id).state in _OVER:  # it was beside the same ones before
        known.append(run_id)
        run_id = orchestration.start_run_beside(job, known)
    RunStore(db).ask(job.id, run_id)
    log.info("job %s is shared with flow run %s", job.id, run_id)


def _see_to(db: Database, orchestration: Orchestration, run: Run, status: RunStatus, patience: timedelta) -> None:
    job = JobStore(db).get(run.job_id)
    if status.state is RunState.CANCELED and _counts(job, run):
        follow_cancellation(db, job)
    elif status.state is RunState.WAITING:
        if job.state not in FINISHED and status.queue in {"", queue_of(job), RECOVERED_QUEUE}:
            return
        if has_begun(orchestration, run.flow_run_id):
            return
        orchestration.withdraw(run.flow_run_id)
    elif status.state in {RunState.STARTING, RunState.RUNNING}:
        if db.clock() - _since(run, status) <= patience_with(status, patience):
            return
        orchestration.mark_crashed(run.flow_run_id, DIED)
        log.warning("flow run %s of job %s has died", run.flow_run_id, job.id)
    RunStore(db).forget(run.flow_run_id)


def _counts(job: Job, run: Run) -> bool:
    """Whether the run was asked for since the job was last submitted, resumed or retried."""
    return job.run_requested_at is not None and run.asked_at >= job.run_requested_at


def _since(run: Run, status: RunStatus) -> datetime:
    """When something was last heard of a run; the one that has just begun has not spoken yet."""
    return max(moment for moment in (run.asked_at, run.heard_at, status.since) if moment is not None)


def patience_with(status: RunStatus, patience: timedelta) -> timedelta:
    """How long a run may be silent: one whose process is being started says nothing for a while."""
    return max(patience, STARTS_WITHIN) if status.state is RunState.STARTING else patience
