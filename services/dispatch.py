"""Sees to it that every job and broadcast with work to do has a flow run, whatever has died in the meantime.

Submitting one only writes it down. The dispatcher reads what is due and asks Prefect for runs, so a job is never
lost between the two, and a job whose worker was killed goes on as soon as its leases have run out.
"""

import logging
import secrets
import socket
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import datetime, timedelta
from time import monotonic
from typing import Self

from models.db.broadcasts import BroadcastStore
from models.db.duties import DutyStore
from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.runs import RunStore
from models.domain.errors import AditError, NotFound, NotPermitted, Unreachable
from models.domain.jobs import Job, State
from models.domain.mails import Broadcast
from models.settings import Settings
from services import folder_holds, log_ids, orchestration, sharing
from services.orchestration import DIED, GONE, RECOVERED_QUEUE, Orchestration, RunState, RunStatus, in_parts, queue_of
from services.post import mails

log = logging.getLogger(__name__)

_CLOCKS_DIFFER = timedelta(seconds=5)
"""At most so far may Prefect's clock be behind ours."""
_DUTY, _DUTY_LASTS = "dispatch", timedelta(seconds=10)
_LEFT_FOR_S = 5.0
"""Longer than it takes one that stands by to ask for the duty, which it does every second."""
BROADCAST_SPEAKS_WITHIN = timedelta(minutes=2)
"""Between two mails. A run that is taken for dead and is not does no harm: each mail is claimed before it is sent."""


class Duty:
    """That of dispatching, as one process has it or not; a context at whose end another one may have it at once.

    Any number of dispatchers may run, on several machines. One works, the others stand by until it ends, is silent,
    or leaves it to them. With Prefect servers of their own they would otherwise start runs for the same job in turns.
    """

    def __init__(self, db: Database) -> None:
        self._duties, self._holder = DutyStore(db), f"{socket.gethostname()[:40]}-{secrets.token_hex(8)}"
        self._was_mine: bool | None = None
        self._left_until = monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._give_back()

    @property
    def is_anothers(self) -> bool:
        """Whether another process had it when this one asked last."""
        return self._was_mine is False

    def is_mine(self) -> bool:
        """Whether this process may dispatch now, and for ten seconds from now."""
        if monotonic() < self._left_until:
            return False
        mine = self._duties.take(_DUTY, self._holder, _DUTY_LASTS)
        if mine is not self._was_mine:
            log.info("dispatching" if mine else "another dispatcher is at work; this one stands by")
        self._was_mine = mine
        return mine

    def leave(self) -> None:
        """Let another one have it, if one stands by; without one this process has it again after some seconds."""
        self._left_until = monotonic() + _LEFT_FOR_S
        self._give_back()

    def _give_back(self) -> None:
        with suppress(AditError):
            self._duties.give_back(_DUTY, self._holder)


def dispatch_once(db: Database, settings: Settings, goes_on: Callable[[], bool] = lambda: True) -> bool:
    """Look at all jobs and broadcasts once, start what has to be started, and say whether nothing was in the way.

    An unreachable Prefect API is logged, not raised, and ends the look: the next one tries again. ``goes_on`` is asked
    again and again during a look at many jobs, which ends early when it says no.
    """
    JobStore(db).finish_canceled()
    folder_holds.appoint(db)
    prefect = orchestration.of(settings)
    try:
        _see_to_jobs(db, settings, prefect, goes_on)
        sharing.end_silent(db, prefect, settings.lease_for, goes_on)
        if mails.has_server(settings):
            _dispatch_broadcasts(db, prefect, goes_on)
    except AditError as error:
        log.warning("jobs could not be started: %s", error)
        return False
    return True


def _see_to_jobs(db: Database, settings: Settings, prefect: Orchestration, goes_on: Callable[[], bool]) -> None:
    for some in in_parts(JobStore(db).due_jobs(), goes_on):
        _see_to_some(db, settings, prefect, some)


def _see_to_some(db: Database, settings: Settings, prefect: Orchestration, job_ids: Collection[int]) -> None:
    found = {job_id: job for job_id in job_ids if (job := _without_abandoned(db, settings, job_id)) is not None}
    statuses = prefect.statuses({job.flow_run_id for job in found.values() if job.flow_run_id})
    for job in found.values():
        with log_ids.carrying(job_id=job.id):
            try:
                status = statuses.get(job.flow_run_id, GONE)
                _see_to(db, prefect, job, status, settings.lease_for)
            except (Unreachable, NotPermitted):
                raise
            except AditError as error:
                log.warning("job %s could not be started: %s", job.id, error)


def _without_abandoned(db: Database, settings: Settings, job_id: int) -> Job | None:
    """The job, after items whose worker died in the last attempt have failed; None for one that is gone."""
    jobs = JobStore(db)
    try:
        job = jobs.get(job_id)
        if job.state is State.IN_PROGRESS and jobs.fail_abandoned(job_id, settings.max_attempts):
            return jobs.get(job_id)
    except NotFound:
        return None
    return job


def _dispatch_broadcasts(db: Database, prefect: Orchestration, goes_on: Callable[[], bool]) -> None:
    broadcasts = BroadcastStore(db)
    for broadcast_id in broadcasts.due():
        if not goes_on():
            return
        try:
            _see_to_broadcast(db, prefect, broadcasts.get(broadcast_id))
        except (Unreachable, NotPermitted):
            raise
        except AditError as error:
            log.warning("broadcast %s could not be started: %s", broadcast_id, error)


def _see_to(db: Database, prefect: Orchestration, job: Job, status: RunStatus, lease_for: timedelta) -> None:
    jobs = JobStore(db)
    if _was_canceled_since(job, status):
        sharing.follow_cancellation(db, job)
        return
    if status.state is RunState.WAITING:
        if status.queue in {"", queue_of(job), RECOVERED_QUEUE} or sharing.has_begun(prefect, job.flow_run_id):
            return
        prefect.withdraw(job.flow_run_id)  # the job was made urgent, or not urgent any more, since
    else:
        heard_at = RunStore(db).heard_at(job.flow_run_id) or jobs.last_activity_at(job.id)
        silence = _silence(db, status, heard_at)
        if _is_in_hand(prefect, job.flow_run_id, status, silence, lease_for):
            return
    has_died = status.state in {RunState.CRASHED, RunState.RUNNING, RunState.STARTING}
    run_id = prefect.start_run(job, RECOVERED_QUEUE if has_died else queue_of(job))
    jobs.set_flow_run(job.id, run_id)
    log.info("job %s runs as flow run %s", job.id, run_id)


def _was_canceled_since(job: Job, status: RunStatus) -> bool:
    """Whether somebody canceled the job in Prefect after its run was asked for.

    After a restore, Prefect may answer with a run that it began for the same job in the time that is gone.
    """
    if status.state is not RunState.CANCELED or job.run_requested_at is None:
        return False
    return status.since is None or status.since > job.run_requested_at - _CLOCKS_DIFFER


def _see_to_broadcast(db: Database, prefect: Orchestration, broadcast: Broadcast) -> None:
    broadcasts = BroadcastStore(db)
    status = _status(prefect, broadcast.flow_run_id)
    if status.state is RunState.CANCELED:
        broadcasts.cancel(broadcast.id, "Canceled in Prefect.")
        log.info("broadcast %s was canceled in Prefect", broadcast.id)
        return
    silence = _silence(db, status, broadcasts.last_activity_at(broadcast.id))
    if _is_in_hand(prefect, broadcast.flow_run_id, status, silence, BROADCAST_SPEAKS_WITHIN):
        return
    run_id = prefect.start_broadcast(broadcast)
    broadcasts.set_flow_run(broadcast.id, run_id)
    log.info("broadcast %s runs as flow run %s", broadcast.id, run_id)


def _status(prefect: Orchestration, flow_run_id: str) -> RunStatus:
    return prefect.status(flow_run_id) if flow_run_id else GONE


def _silence(db: Database, status: RunStatus, last_activity_at: datetime | None) -> timedelta:
    """For how long nothing has been heard of a run.

    One that has just started, or is between two items, holds no lease for a moment.
    """
    heard = [moment for moment in (status.since, last_activity_at) if moment is not None]
    return db.clock() - max(heard) if heard else timedelta.max


def _is_in_hand(
    prefect: Orchestration, flow_run_id: str, status: RunStatus, silence: timedelta, patience: timedelta
) -> bool:
    """Whether a run will go on with its work; one that has been silent for too long is dead, and Prefect is told so."""
    if status.state is RunState.WAITING:
        return True
    if status.state not in {RunState.STARTING, RunState.RUNNING}:
        return False
    if silence <= sharing.patience_with(status, patience):
        return True
    prefect.mark_crashed(flow_run_id, DIED)
    return False
