"""Brings Prefect's work pool, its queues and the deployments of ``prefect.yaml`` to what they should be.

`adit deploy` is this program; `adit up` runs it once at each start, in a process of its own beside the starting server,
because importing Prefect and the flows takes seconds. Through the API it takes 0.2 s; ``prefect deploy --all`` took
9 s and failed (3.8.8).
"""

import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any, cast

from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.objects import WorkQueue
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.client.schemas.sorting import DeploymentSort
from prefect.exceptions import ObjectNotFound
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import validate
from prefect.workers.process import ProcessWorker
from pydantic import ValidationError

from deployments import prefect_server
from deployments.daemon import run
from models.domain.errors import BadRequest, TimedOut
from models.domain.jobs import JobKind
from models.settings import settings
from services import prefect_status
from services.chores.roster import CHORES
from services.deployment_plan import PREFECT_YAML, DeploymentPlan, PlannedDeployment, PlannedQueue, Schedule, planned
from services.orchestration import BROADCAST_DEPLOYMENT, MAINTENANCE_QUEUE, OURS, RECOVERED_QUEUE, queue_for

_FILE = PREFECT_YAML.name
_CHORE = "flows.chore.chore"
_FORMER_QUEUE = "urgent"
_READY_WITHIN_S = 120.0
_AT_MOST = 200
JOB_TEMPLATE: dict[str, Any] = {
    "job_configuration": {"command": shlex.join(prefect_server.flow_run_command())},
    "variables": {"type": "object", "properties": {}, "additionalProperties": False},
}
"""How the worker starts a flow run. There are no variables: a run or deployment cannot choose another command,
environment or directory. The worker adds ``env`` to whatever a template says of it (3.8.8), so this one is silent.
Naming the command also keeps the worker from resolving a workspace in further processes for each run.
"""


def main() -> None:
    """Set up the server as soon as it answers, and say what was changed.

    Raises TimedOut when it does not answer, NotPermitted when it wants another password, BadRequest for a wrong plan.
    """
    plan = planned(settings())
    check_flows(plan)  # the import takes longer than all the rest: do it while the server starts
    _wait_until_ready()
    prefect_status.has_pool(settings())  # unlike readiness, that takes the password
    with get_client(sync_client=True) as client:
        for line in set_up(client, plan):
            print(line, flush=True)


def set_up(client: SyncPrefectClient, plan: DeploymentPlan) -> list[str]:
    """Create or update pool, queues and deployments, and tell what was done; done twice it changes nothing.

    What somebody has paused in Prefect stays paused.
    """
    done = [*_set_up_pool(client, plan), *_set_up_queues(client, plan)]
    left = 0
    for deployment in plan.deployments:
        told = [*_deploy(client, plan.pool, deployment)]
        done += told
        left += not told
    done += _remove_others(client, plan)
    return [*done, f"{left} of {len(plan.deployments)} deployments are as they should be." if left else "Deployed."]


def check_flows(plan: DeploymentPlan) -> None:
    """Raise BadRequest, naming the entry, unless each flow is there and takes what it gets, and jobs find theirs."""
    found = {deployment.name: _checked(deployment) for deployment in plan.deployments}
    for kind in JobKind:
        for queue in (queue_for(kind, urgent=False), queue_for(kind, urgent=True)):
            _check_has_queue(plan, queue)
    _check_has_queue(plan, RECOVERED_QUEUE)
    _check_has_queue(plan, MAINTENANCE_QUEUE)
    for wanted in (*(kind.deployment for kind in JobKind), BROADCAST_DEPLOYMENT):
        flow, _, name = wanted.partition("/")
        if name not in found:
            raise BadRequest(f"{_FILE}: the deployment {name} is missing.")
        if found[name].name != flow:
            raise BadRequest(
                f"{_FILE}: deployment {name}: entrypoint: the flow there is {found[name].name}, not {flow}."
            )


def _check_has_queue(plan: DeploymentPlan, name: str) -> None:
    if name not in {queue.name for queue in plan.queues}:
        raise BadRequest(f"{_FILE}: work pool {plan.pool}: the queue {name} is missing.")


def _checked(wanted: PlannedDeployment) -> Flow[..., Any]:
    """The flow of a deployment; raises BadRequest when there is none, or when it could not be run like this."""
    place = f"{_FILE}: deployment {wanted.name}"
    try:
        flow = _imported(wanted.entrypoint)
    except (ImportError, AttributeError) as exc:
        raise BadRequest(f"{place}: entrypoint: there is no {wanted.entrypoint}.") from exc
    if not isinstance(flow, Flow):
        raise BadRequest(f"{place}: entrypoint: {wanted.entrypoint} is no flow.")
    flow = cast(Flow[..., Any], flow)
    known = parameter_schema(flow).model_dump_for_openapi()
    if unknown := [str(name) for name in wanted.parameters if name not in known.get("properties", {})]:
        raise BadRequest(f"{place}: parameters: {flow.name} has no {', '.join(unknown)}.")
    # what has no times is started with parameters of its own
    is_started_by_others = wanted.schedule is None
    for error in validate(dict(wanted.parameters), known, ignore_required=is_started_by_others):
        name = ".".join(map(str, error.path))
        # its words, without the value
        words = error.message if error.validator == "required" else f"{name} is not what {flow.name} takes"
        raise BadRequest(f"{place}: parameters: {words}.")
    _check_chore(place, wanted)
    if wanted.schedule is not None:
        _check_times(place, wanted.schedule)
    return flow


def _check_chore(place: str, wanted: PlannedDeployment) -> None:
    """Pages and alarms look for a chore under the name of its deployment."""
    if wanted.entrypoint != _CHORE or wanted.parameters.get("name") == wanted.name in CHORES:
        return
    if wanted.name in CHORES:
        raise BadRequest(f"{place}: parameters: name: {wanted.name} is needed.")
    raise BadRequest(f"{place}: there is no such chore. There are: {', '.join(CHORES)}.")


def _check_times(place: str, schedule: Schedule) -> None:
    """Prefect understands some crontabs in another way than we do, or not at all."""
    try:
        _schedule(schedule)
    except ValidationError as exc:
        raise BadRequest(f"{place}: schedules: {schedule.cron!r} is no crontab for Prefect.") from exc


def _wait_until_ready() -> None:
    limit = time.monotonic() + _READY_WITHIN_S
    while not prefect_server.is_ready(settings()):
        if time.monotonic() > limit:
            raise TimedOut(f"Prefect's server was not ready after {_READY_WITHIN_S:.0f} seconds.")
        time.sleep(0.1)


def _set_up_pool(client: SyncPrefectClient, plan: DeploymentPlan) -> Iterator[str]:
    try:
        pool = client.read_work_pool(plan.pool)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=plan.pool, type=ProcessWorker.type, base_job_template=JOB_TEMPLATE))
        yield f"Created the work pool {plan.pool}."
        return
    if pool.base_job_template != JOB_TEMPLATE:
        client.update_work_pool(plan.pool, WorkPoolUpdate(base_job_template=JOB_TEMPLATE))
        yield f"Changed the work pool {plan.pool}: how runs are started."
    if pool.is_paused:
        yield f"The work pool {plan.pool} is paused in Prefect: nothing begins."


def _set_up_queues(client: SyncPrefectClient, plan: DeploymentPlan) -> Iterator[str]:
    """Prefect keeps priorities unique in a pool by moving other queues back, so the order of the calls matters."""
    for queue in plan.queues:
        yield from _set_up_queue(client, plan.pool, queue)
    with suppress(ObjectNotFound):
        former = client.read_work_queue_by_name(_FORMER_QUEUE, plan.pool)
        if not _is_used(client, former):
            client.delete_work_queue_by_id(former.id)
            yield f"Removed the queue {former.name}, which earlier versions used."


def _set_up_queue(client: SyncPrefectClient, pool: str, wanted: PlannedQueue) -> Iterator[str]:
    values: dict[str, Any] = {"priority": wanted.priority, "concurrency_limit": wanted.concurrency_limit}
    try:
        queue = client.read_work_queue_by_name(wanted.name, pool)
    except ObjectNotFound:
        client.create_work_queue(wanted.name, work_pool_name=pool, **values)
        yield f"Created the queue {wanted.name}."
        return
    changed = {name: value for name, value in values.items() if getattr(queue, name) != value}
    if changed:
        client.update_work_queue(queue.id, **changed)
        yield f"Changed the queue {wanted.name}: {_words(changed)}."
    if queue.is_paused:
        yield f"The queue {wanted.name} is paused in Prefect: nothing of it begins."


def _is_used(client: SyncPrefectClient, queue: WorkQueue) -> bool:
    """Whether runs stand in a queue that are not at an end: they would lose their place."""
    body = {
        "work_pool_queues": {"id": {"any_": [str(queue.id)]}},
        "flow_runs": {"state": {"type": {"any_": ["SCHEDULED", "PENDING", "RUNNING", "CANCELLING"]}}},
    }
    return int(client.request("POST", "/flow_runs/count", json=body).json()) > 0


def _deploy(client: SyncPrefectClient, pool: str, wanted: PlannedDeployment) -> Iterator[str]:
    """Create the deployment, or bring an older one to the plan; nothing is told of one that is as it should be."""
    flow = _flow(wanted.entrypoint)
    values = _values(flow, pool, wanted)
    try:
        present = client.read_deployment_by_name(f"{flow.name}/{wanted.name}")
    except ObjectNotFound:
        _create(client, flow, wanted, values)
        yield f"Created the deployment {wanted.name}."
        return
    now = {**_present(present), "schedules": _schedules_of(present)}
    then = {**values, "schedules": [wanted.schedule] if wanted.schedule else []}
    changed = [name for name, value in then.items() if now[name] != value]
    if changed:
        _create(client, flow, wanted, values)
        yield f"Changed the deployment {wanted.name}: {', '.join(name.replace('_', ' ') for name in changed)}."
    if present.paused:
        yield f"The deployment {wanted.name} is paused in Prefect: it does not run at its times."


def _create(
    client: SyncPrefectClient, flow: Flow[..., Any], wanted: PlannedDeployment, values: Mapping[str, Any]
) -> None:
    client.create_deployment(
        flow_id=client.create_flow_from_name(flow.name),
        name=wanted.name,
        schedules=[_schedule(wanted.schedule)] if wanted.schedule else [],
        **values,
    )


def _values(flow: Flow[..., Any], pool: str, wanted: PlannedDeployment) -> dict[str, Any]:
    return {
        "description": wanted.description,
        "tags": sorted({*wanted.tags, OURS}),
        "entrypoint": wanted.entrypoint,
        "work_pool_name": pool,
        "work_queue_name": wanted.queue,
        "parameters": dict(wanted.parameters),
        "concurrency_limit": wanted.concurrency_limit,
        "parameter_openapi_schema": parameter_schema(flow).model_dump_for_openapi(),
        "enforce_parameter_schema": True,
        "pull_steps": [],
        "job_variables": {},
    }


def _present(deployment: DeploymentResponse) -> dict[str, Any]:
    """The same of a deployment that is there."""
    limit = deployment.global_concurrency_limit
    return {
        **{
            name: getattr(deployment, name)
            for name in (
                *("description", "entrypoint", "work_pool_name", "work_queue_name", "parameters"),
                *("parameter_openapi_schema", "enforce_parameter_schema", "job_variables"),
            )
        },
        "tags": sorted(deployment.tags),
        "concurrency_limit": limit.limit if limit else None,
        "pull_steps": deployment.pull_steps or [],
    }


def _schedules_of(deployment: DeploymentResponse) -> list[object]:
    """The times of a deployment that is there, as the plan would tell them; others as they are."""
    return [
        Schedule(one.schedule.cron, one.schedule.timezone or "", one.active)
        if isinstance(one.schedule, CronSchedule)
        else one
        for one in deployment.schedules
    ]


def _schedule(wanted: Schedule) -> DeploymentScheduleCreate:
    times = CronSchedule(cron=wanted.cron, timezone=wanted.time_zone)
    return DeploymentScheduleCreate(schedule=times, active=wanted.is_active)


def _remove_others(client: SyncPrefectClient, plan: DeploymentPlan) -> Iterator[str]:
    """Remove what was deployed from an earlier ``prefect.yaml``; deployments of others are left alone."""
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[OURS]))
    for deployment in client.read_deployments(deployment_filter=ours, sort=DeploymentSort.NAME_ASC, limit=_AT_MOST):
        if plan.deployment(deployment.name) is None:
            client.delete_deployment(deployment.id)
            yield f"Removed the deployment {deployment.name}, which prefect.yaml has no more."


def _words(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items())


def _flow(entry_point: str) -> Flow[..., Any]:
    """The flow at a dotted entry point."""
    return cast(Flow[..., Any], _imported(entry_point))


def _imported(entry_point: str) -> object:
    module, _, name = entry_point.rpartition(".")
    return getattr(import_module(module), name)


if __name__ == "__main__":
    run(main)
