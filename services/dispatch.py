"""Sees to it that every job with work to do has a flow run, whatever has died in the meantime.

Submitting a job only writes it down. The dispatcher reads what is due and asks Prefect for runs, so a job is never
lost between the two, and a job whose worker was killed goes on as soon as its leases have run out.
"""

import logging
from datetime import timedelta

from models.db.engine import Database
from models.db.jobs import JobStore
from models.domain.errors import AditError, WrongState
from models.domain.jobs import Job
from models.settings import Settings
from services.orchestration import Orchestration, RunState, RunStatus

log = logging.getLogger(__name__)

STARTS_WITHIN = timedelta(minutes=2)
"""A worker that dies between taking a run and starting its process leaves it pending for ever; Prefect does not see."""


def dispatch_once(db: Database, settings: Settings) -> None:
    """Look at all jobs once and start what has to be started.

    An unreachable Prefect API is logged, not raised: the next look tries again.
    """
    jobs = JobStore(db)
    jobs.finish_canceled()
    orchestration = Orchestration(settings.prefect_api_url, settings.prefect_auth.get_secret_value())
    for job_id in jobs.due_jobs():
        try:
            jobs.fail_abandoned(job_id, settings.max_attempts)
            _see_to(db, orchestration, jobs.get(job_id), settings.lease_for)
        except AditError as error:
            log.warning("job %s could not be started: %s", job_id, error)


def _see_to(db: Database, orchestration: Orchestration, job: Job, lease_for: timedelta) -> None:
    jobs = JobStore(db)
    status = orchestration.status(job.flow_run_id) if job.flow_run_id else RunStatus(RunState.GONE, None)
    match status.state:
        case RunState.WAITING:
            return
        case RunState.CANCELED if job.run_requested_at is not None:
            _follow_cancellation(jobs, job)
            return
        case RunState.STARTING | RunState.RUNNING:
            patience = lease_for if status.state is RunState.RUNNING else max(lease_for, STARTS_WITHIN)
            if not _is_dead(db, job, status, patience):
                return
            orchestration.mark_crashed(job.flow_run_id, "The process of this run has ended without a word.")
        case _:
            pass
    run_id = orchestration.start_run(job)
    jobs.set_flow_run(job.id, run_id)
    log.info("job %s runs as flow run %s", job.id, run_id)


def _follow_cancellation(jobs: JobStore, job: Job) -> None:
    """A run that was canceled in Prefect's own UI cancels its job.

    Once the job is resumed it has no requested run any more, so the old cancellation does not count again.
    """
    try:
        jobs.cancel(job.id)
    except WrongState:
        return
    log.info("job %s was canceled in Prefect", job.id)


def _is_dead(db: Database, job: Job, status: RunStatus, patience: timedelta) -> bool:
    """Whether nothing has been heard of a running flow run for longer than ``patience``.

    A run that has just started, or is between two items, holds no lease for a moment.
    """
    heard = [moment for moment in (status.since, JobStore(db).last_activity_at(job.id)) if moment is not None]
    return not heard or db.clock() - max(heard) > patience
