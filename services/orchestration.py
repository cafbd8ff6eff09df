"""The one door to Prefect's API: starts flow runs for jobs and broadcasts and tells what has become of them."""

from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar, cast
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterName,
    DeploymentFilterTags,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Crashed

from models.domain.errors import Bug, NotFound, NotPermitted, PeerError, Unreachable
from models.domain.jobs import Job, JobKind
from models.domain.mails import Broadcast
from models.settings import Settings

T = TypeVar("T")

RECOVERED_QUEUE = "recovered"
"""For what goes on after a worker has died; it goes before everything else."""
MAINTENANCE_QUEUE = "maintenance"
URGENT = "urgent-"
"""With this begin the queues of urgent jobs."""
BROADCAST_DEPLOYMENT = "broadcast/broadcast"
DIED = "The process of this run has ended without a word."
"""What Prefect is told of a run that is dead."""
OURS = "adit"
"""The tag of the deployments that were made from ``prefect.yaml``."""
AT_A_TIME = 50
"""Runs of which Prefect is asked together: 50 ms for each alone were minutes for thousands that wait."""
_PAGE = 200
_AT_WORK = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)


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


GONE = RunStatus(RunState.GONE, None)


@dataclass(frozen=True, slots=True)
class UnendedRun:
    """A flow run of one of our deployments that is not at an end, and what it works on.

    ``chore`` is empty unless it does one. ``owner`` is whose request it works on, if it was started with one.
    """

    id: str
    state: RunState
    is_canceling: bool
    since: datetime
    job_id: int | None
    broadcast_id: int | None
    chore: str
    owner: str


def in_parts(ids: Sequence[T], goes_on: Callable[[], bool]) -> Iterator[Sequence[T]]:
    """Yield the ids, ``AT_A_TIME`` together, until ``goes_on`` says no, which is asked before each part."""
    for first in range(0, len(ids), AT_A_TIME):
        if not goes_on():
            return
        yield ids[first : first + AT_A_TIME]


def of(settings: Settings) -> "Orchestration":
    """Prefect's API as the settings say."""
    return Orchestration(settings.prefect_api_url, settings.prefect_auth.get_secret_value())


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
        key = f"adit-job-{_told_apart(job.id, job.created_at)}-after-{job.flow_run_id or 'none'}"
        return self._start(job.kind.deployment, {"job_id": job.id}, key, queue)

    def start_run_beside(self, job: Job, others: Sequence[str]) -> str:
        """Ask for a flow run that works on the job beside these, and return its id, as ``start_run`` does.

        The run may have ended already, when it was asked for beside the same ones before.
        """
        which = sha256(" ".join(others).encode()).hexdigest()
        return self._start(
            job.kind.deployment,
            {"job_id": job.id},
            f"adit-job-{_told_apart(job.id, job.created_at)}-beside-{which}",
            queue_of(job),
        )

    def start_broadcast(self, broadcast: Broadcast) -> str:
        """Ask for a flow run that sends a broadcast's mails, and return the run's id, as ``start_run`` does."""
        which = _told_apart(broadcast.id, broadcast.created_at)
        key = f"adit-broadcast-{which}-after-{broadcast.flow_run_id or 'none'}"
        return self._start(BROADCAST_DEPLOYMENT, {"broadcast_id": broadcast.id}, key, MAINTENANCE_QUEUE)

    def unended_runs(self) -> list[UnendedRun]:
        """The runs of our deployments that are at work, and those that wait and are for jobs."""
        ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[OURS]))
        names = [kind.deployment.partition("/")[2] for kind in JobKind]
        of_jobs = DeploymentFilter(name=DeploymentFilterName(any_=names))
        with self._client() as client:
            return [
                *_unended_runs(client, _in_states(*_AT_WORK), ours),
                *_unended_runs(client, _in_states(StateType.SCHEDULED), of_jobs),
            ]

    def end_dead(self, run: UnendedRun, message: str) -> None:
        """Tell Prefect that a run's process is dead: it has crashed, or is canceled now if that was wanted."""
        state: State[Any] = Cancelled(message=message) if run.is_canceling else Crashed(message=message)
        with self._client() as client, suppress(ObjectNotFound):
            client.set_flow_run_state(UUID(run.id), state, force=True)

    def _start(self, deployment_name: str, parameters: Mapping[str, Any], key: str, queue: str) -> str:
        with self._client() as client:
            try:
                deployment = client.read_deployment_by_name(deployment_name)
            except ObjectNotFound as exc:
                raise NotFound(f"Prefect has no deployment {deployment_name}. Start the stack again.") from exc
            run = client.create_flow_run_from_deployment(
                deployment.id, parameters=dict(parameters), idempotency_key=key, work_queue_name=queue
            )
        return str(run.id)

    def status(self, flow_run_id: str) -> RunStatus:
        """What has become of a flow run."""
        with self._client() as client:
            try:
                run = client.read_flow_run(UUID(flow_run_id))
            except ObjectNotFound:
                return GONE
        return _run_status(run)

    def statuses(self, flow_run_ids: Collection[str]) -> Mapping[str, RunStatus]:
        """What has become of up to 200 flow runs, by one question; those that are gone are absent. More raise Bug."""
        if len(flow_run_ids) > _PAGE:
            raise Bug(f"Prefect tells of {_PAGE} flow runs at a time, and was asked for {len(flow_run_ids)}.")
        wanted = FlowRunFilter(id=FlowRunFilterId(any_=[UUID(run_id) for run_id in flow_run_ids]))
        if not flow_run_ids:
            return {}
        with self._client() as client:
            runs = client.read_flow_runs(flow_run_filter=wanted, sort=FlowRunSort.ID_DESC, limit=_PAGE)
        return {str(run.id): _run_status(run) for run in runs}

    def mark_crashed(self, flow_run_id: str, message: str) -> None:
        """Tell Prefect that a run's process is dead, which it cannot know when the worker died with it."""
        with self._client() as client, suppress(ObjectNotFound):
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


def _told_apart(number: int, created_at: datetime) -> str:
    """After a restore a number is given once more, and Prefect remembers who had it first."""
    return f"{number}-{created_at.astimezone(UTC):%Y%m%dT%H%M%S%f}"


def _in_states(*states: StateType) -> FlowRunFilter:
    return FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(states))))


def _unended_runs(client: SyncPrefectClient, chosen: FlowRunFilter, of: DeploymentFilter) -> list[UnendedRun]:
    """All of them, however many there are."""
    found: list[UnendedRun] = []
    while True:
        page = client.read_flow_runs(
            flow_run_filter=chosen,
            deployment_filter=of,
            sort=FlowRunSort.ID_DESC,
            limit=_PAGE,
            offset=len(found),
        )
        found += map(_unended, page)
        if len(page) < _PAGE:
            return found


def _unended(run: FlowRun) -> UnendedRun:
    request: object = run.parameters.get("request")
    owner: object = cast("dict[str, object]", request).get("owner") if isinstance(request, dict) else None
    state = run.state
    return UnendedRun(
        id=str(run.id),
        state=RunState.RUNNING if state and state.is_cancelling() else _run_state(state),
        is_canceling=state is not None and state.is_cancelling(),
        since=state.timestamp if state else datetime.now(UTC),
        job_id=_number(run.parameters.get("job_id")),
        broadcast_id=_number(run.parameters.get("broadcast_id")),
        chore=str(run.parameters.get("name") or ""),
        owner=str(owner or ""),
    )


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None


def queue_of(job: Job) -> str:
    """The work queue in which runs for a job wait."""
    return queue_for(job.kind, job.urgent)


def queue_for(kind: JobKind, urgent: bool) -> str:
    """The work queue for jobs of a kind; a check asks as a batch query does, and waits with those."""
    asked = JobKind.BATCH_QUERY if kind is JobKind.BATCH_CHECK else kind
    return f"{URGENT if urgent else ''}{asked.value.replace('_', '-')}"


def _run_status(run: FlowRun) -> RunStatus:
    since = run.state.timestamp if run.state else None
    return RunStatus(_run_state(run.state), since, run.work_queue_name or "")


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
