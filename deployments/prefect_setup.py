"""Brings Prefect's work pool, its queues and the deployments of ``prefect.yaml`` to what they should be.

`adit up` runs it once at each start, in a process of its own beside the starting server, because importing Prefect and
the flows takes seconds. Through the API it takes 0.2 s; ``prefect deploy --all`` took 9 s and failed (3.8.8).
"""

import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import yaml
from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectNotFound
from prefect.utilities.callables import parameter_schema
from prefect.workers.process import ProcessWorker

from deployments import prefect_server
from models.domain.errors import BadRequest, TimedOut
from models.settings import Settings, settings

QUEUES = {"urgent": 1, "default": 2, "maintenance": 3}
"""Work queues and their priorities; 1 goes first."""
PREFECT_YAML = Path(__file__).resolve().parents[1] / "prefect.yaml"
_READY_WITHIN_S = 120.0
_DEPLOYMENT_KEYS = {"name", "description", "entrypoint", "tags", "work_pool"}
_WORK_POOL_KEYS = {"name", "work_queue_name"}
JOB_TEMPLATE: dict[str, Any] = {
    "job_configuration": {"command": shlex.join([sys.executable, "-m", "prefect.engine"])},
    "variables": {"type": "object", "properties": {}, "additionalProperties": False},
}
"""How the worker starts a flow run. There are no variables: a run or deployment cannot choose another command,
environment or directory. The worker adds ``env`` to whatever a template says of it (3.8.8), so this one is silent.
Naming the command also keeps the worker from resolving a workspace in further processes for each run.
"""


def main() -> None:
    """Set up the server as soon as it answers."""
    plans = planned_deployments()
    for plan in plans:
        _flow(plan["entrypoint"])  # the import takes longer than all the rest: do it while the server starts
    _wait_until_ready(settings())
    with get_client(sync_client=True) as client:
        set_up(client, plans)


def set_up(client: SyncPrefectClient, plans: Sequence[Mapping[str, Any]]) -> None:
    """Create or update pool, queues and deployments; done twice it changes nothing."""
    _set_up_pool(client)
    for name, priority in QUEUES.items():
        _set_up_queue(client, name, priority)
    for plan in plans:
        _deploy(client, plan)


def planned_deployments() -> Sequence[Mapping[str, Any]]:
    """The deployments of ``prefect.yaml``."""
    document = cast(dict[str, Any], yaml.safe_load(PREFECT_YAML.read_text(encoding="utf-8")))
    return document["deployments"]


def _wait_until_ready(settings: Settings) -> None:
    limit = time.monotonic() + _READY_WITHIN_S
    while not prefect_server.is_ready(settings):
        if time.monotonic() > limit:
            raise TimedOut(f"Prefect's server was not ready after {_READY_WITHIN_S:.0f} seconds.")
        time.sleep(0.1)


def _set_up_pool(client: SyncPrefectClient) -> None:
    pool = WorkPoolCreate(name=prefect_server.POOL, type=ProcessWorker.type, base_job_template=JOB_TEMPLATE)
    client.create_work_pool(pool, overwrite=True)


def _set_up_queue(client: SyncPrefectClient, name: str, priority: int) -> None:
    """Prefect keeps priorities unique in a pool by moving other queues back, so the order of the calls matters."""
    try:
        queue = client.read_work_queue_by_name(name, prefect_server.POOL)
    except ObjectNotFound:
        queue = client.create_work_queue(name, priority=priority, work_pool_name=prefect_server.POOL)
    if queue.priority != priority:
        client.update_work_queue(queue.id, priority=priority)


def _deploy(client: SyncPrefectClient, plan: Mapping[str, Any]) -> None:
    """Create the deployment, or bring an older one to the plan."""
    _check_is_understood(plan)
    flow = _flow(plan["entrypoint"])
    client.create_deployment(
        flow_id=client.create_flow_from_name(flow.name),
        name=plan["name"],
        description=plan.get("description"),
        tags=plan.get("tags", []),
        entrypoint=plan["entrypoint"],
        work_pool_name=plan["work_pool"]["name"],
        work_queue_name=plan["work_pool"]["work_queue_name"],
        parameter_openapi_schema=parameter_schema(flow).model_dump_for_openapi(),
        enforce_parameter_schema=True,
        pull_steps=[],
        job_variables={},
    )


def _check_is_understood(plan: Mapping[str, Any]) -> None:
    """Raise BadRequest for a key that would be left out without a word."""
    unknown = [*(plan.keys() - _DEPLOYMENT_KEYS), *(plan["work_pool"].keys() - _WORK_POOL_KEYS)]
    if unknown:
        raise BadRequest(f"prefect.yaml: {plan['name']}: adit up does not understand {', '.join(unknown)}.")


def _flow(entry_point: str) -> Flow[..., Any]:
    """The flow at a dotted entry point."""
    module, _, name = entry_point.rpartition(".")
    return cast(Flow[..., Any], getattr(import_module(module), name))


if __name__ == "__main__":
    main()
