"""The one door to Prefect's API: starts flow runs for jobs and broadcasts and tells what has become of them."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from http import HTTPStatus
from typing import Any, NamedTuple
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import State
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed

from models.domain.errors import NotFound, NotPermitted, PeerError, Unreachable
from models.domain.jobs import Job, JobKind
from models.domain.mails import Broadcast

RECOVERED_QUEUE = "recovered"
"""For what goes on after a worker has died; it goes before everything else."""
MAINTENANCE_QUEUE = "maintenance"
URGENT = "urgent-"
"""With this begin the queues of urgent jobs."""
BROADCAST_DEPLOYMENT = "broadcast/broadcast"


class RunState(StrEnum):
    """What Prefect says of a flow run, as far as it matters to a job."""

    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    CANCELED = "canceled"
    CRASHED = "crashed"
    ENDED = "ended"
    GONE = "gone"


class RunStatus(NamedTuple):
    """A flow run's state, since when it has it (None for a run that is gone), and the work queue it stands in."""

    state: RunState
    since: datetime | None
    queue: str = ""


class Orchestration:
    """Prefect's API at one address; ``auth`` is its user:password, if it has one.

    Raises Unreachable when it does not answer, NotPermitted when it wants another password.
    """

    def __init__(self, api_url: str, auth: str = "") -> None:
        self._api_url = api_url
        self._auth = auth or None

    def start_run(self, job: Job, queue: str) -> str:
        """Ask for a flow run that works on the job and waits in this queue, and return the run's id.

        Asked again for the same job before the job knows of its new run, Prefect answers with the same run. Raises
        NotFound when the deployment is missing.
        """
        key = f"adit-job-{job.id}-after-{job.flow_run_id or 'none'}"
        return self._start(job.kind.deployment, {"job_id": job.id}, key, queue)

    def start_run_beside(self, job: Job, others: Sequence[str]) -> str:
        """Ask for a flow run that works on the job beside these, and return its id, as ``start_run`` does."""
        which = sha256(" ".join(others).encode()).hexdigest()
        return self._start(job.kind.deployment, {"job_id": job.id}, f"adit-job-{job.id}-beside-{which}", queue_of(job))

    def start_broadcast(self, broadcast: Broadcast) -> str:
        """Ask for a flow run that sends a broadcast's mails, and return the run's id, as ``start_run`` does."""
        key = f"adit-broadcast-{broadcast.id}-after-{broadcast.flow_run_id or 'none'}"
        return self._start(BROADCAST_DEPLOYMENT, {"broadcast_id": broadcast.id}, key, MAINTENANCE_QUEUE)

    def _start(self, deployment_name: str, parameters: dict[str, int], key: str, queue: str) -> str:
        with self._client() as client:
            try:
                deployment = client.read_deployment_by_name(deployment_name)
            except ObjectNotFound as exc:
                raise NotFound(f"Prefect has no deployment {deployment_name}. Start the stack again.") from exc
            run = client.create_flow_run_from_deployment(
                deployment.id, parameters=parameters, idempotency_key=key, work_queue_name=queue
            )
        return str(run.id)

    def status(self, flow_run_id: str) -> RunStatus:
        """What has become of a flow run."""
        with self._client() as client:
            try:
                run = client.read_flow_run(UUID(flow_run_id))
            except ObjectNotFound:
                return RunStatus(RunState.GONE, None)
        since = run.state.timestamp if run.state else None
        return RunStatus(_run_state(run.state), since, run.work_queue_name or "")

    def mark_crashed(self, flow_run_id: str, message: str) -> None:
        """Tell Prefect that a run's process is dead, which it cannot know when the worker died with it."""
        with self._client() as client:
            client.set_flow_run_state(UUID(flow_run_id), Crashed(message=message), force=True)

    def withdraw(self, flow_run_id: str) -> None:
        """Delete a run that waits for a worker; one that a worker has taken up this moment ends before it begins."""
        with self._client() as client, suppress(ObjectNotFound):
            client.delete_flow_run(UUID(flow_run_id))

    @contextmanager
    def _client(self) -> Generator[SyncPrefectClient]:
        try:
            with SyncPrefectClient(api=self._api_url, auth_string=self._auth) as client:
                yield client
        except httpx.HTTPStatusError as exc:
            if exc.response.status_code == HTTPStatus.UNAUTHORIZED:
                raise NotPermitted("Prefect's API wants another password. Check ADIT_PREFECT_AUTH.") from exc
            if exc.response.status_code < 500:
                raise PeerError(f"Prefect's API refused a request (HTTP {exc.response.status_code}).") from exc
            raise Unreachable("Prefect's API is not ready. Check the Prefect server.") from exc
        except (httpx.HTTPError, RuntimeError) as exc:
            raise Unreachable("Prefect's API does not answer. Check that the Prefect server is running.") from exc


def queue_of(job: Job) -> str:
    """The work queue in which runs for a job wait."""
    return queue_for(job.kind, job.urgent)


def queue_for(kind: JobKind, urgent: bool) -> str:
    """The work queue for jobs of a kind; a check asks as a batch query does, and waits with those."""
    asked = JobKind.BATCH_QUERY if kind is JobKind.BATCH_CHECK else kind
    return f"{URGENT if urgent else ''}{asked.value.replace('_', '-')}"


def _run_state(state: State[Any] | None) -> RunState:
    if state is None or state.is_scheduled():
        return RunState.WAITING
    if state.is_pending():
        return RunState.STARTING
    if state.is_cancelled() or state.is_cancelling():
        return RunState.CANCELED
    if state.is_crashed():
        return RunState.CRASHED
    if state.is_final():
        return RunState.ENDED
    return RunState.RUNNING
