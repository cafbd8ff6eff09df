"""`adit deploy` brings a real Prefect server to what prefect.yaml says, tells what it did, and leaves others alone."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import WorkQueueFilter
from prefect.client.schemas.sorting import DeploymentSort
from prefect.flows import flow

from deployments.prefect_setup import set_up
from models.settings import Settings
from services.deployment_plan import DeploymentPlan, PlannedDeployment, Schedule, planned
from tests.prefect_api import AUTH, client_of
from tests.prefect_api import prefect_server as a_prefect_server
from tests.samples import some_settings


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    directory = tmp_path_factory.mktemp("server")
    with a_prefect_server(directory) as port:
        yield some_settings(Path(directory), prefect_port=port, prefect_auth=AUTH)


@pytest.fixture
def client(settings: Settings) -> Iterator[SyncPrefectClient]:
    with client_of(settings.prefect_api_url) as client:
        yield client


@pytest.fixture
def a_plan(settings: Settings) -> DeploymentPlan:
    return planned(settings)


def with_changed(plan: DeploymentPlan, name: str, **changes: object) -> DeploymentPlan:
    found = [replace(one, **changes) if one.name == name else one for one in plan.deployments]  # type: ignore[arg-type]
    return replace(plan, deployments=tuple(found))


def schedule_of(client: SyncPrefectClient, name: str) -> Schedule:
    (found,) = client.read_deployment_by_name(name).schedules
    return Schedule(found.schedule.cron, found.schedule.timezone, found.active)  # type: ignore[union-attr]


def test_an_empty_server_gets_everything_and_the_second_time_nothing_is_changed(
    client: SyncPrefectClient, a_plan: DeploymentPlan
) -> None:
    client.create_deployment(client.create_flow(flow(name="own")(lambda: None)), "somebody-elses", tags=["chore"])
    told = set_up(client, a_plan)
    assert told[0] == "Created the work pool transfers."
    assert {f"Created the deployment {one.name}." for one in a_plan.deployments} <= set(told)
    queues = {
        queue.name: queue for queue in client.read_work_queues("transfers", WorkQueueFilter(), limit=50, offset=0)
    }
    assert [queues[one.name].priority for one in a_plan.queues] == [one.priority for one in a_plan.queues]
    assert queues["mass-transfer"].concurrency_limit == 2
    count = len(a_plan.deployments)
    assert set_up(client, a_plan) == [f"{count} of {count} deployments are as they should be."]
    assert client.read_deployment_by_name("own/somebody-elses")


def test_what_the_plan_changes_is_changed_and_told(client: SyncPrefectClient, a_plan: DeploymentPlan) -> None:
    set_up(client, a_plan)
    mass = [replace(queue, concurrency_limit=5) if queue.name == "mass-transfer" else queue for queue in a_plan.queues]
    other = with_changed(replace(a_plan, queues=tuple(mass)), "batch-query", queue="batch-transfer")
    nightly = Schedule("0 3 * * *", "Europe/Berlin")
    other = with_changed(other, "broadcast", schedule=nightly, parameters={"broadcast_id": 1}, concurrency_limit=1)
    told = set_up(client, other)
    assert "Changed the queue mass-transfer: concurrency limit 5." in told
    assert "Changed the deployment batch-query: work queue name." in told
    assert "Changed the deployment broadcast: parameters, concurrency limit, schedules." in told
    assert schedule_of(client, "broadcast/broadcast") == nightly
    inactive = with_changed(other, "broadcast", schedule=replace(nightly, is_active=False))
    assert "Changed the deployment broadcast: parameters, concurrency limit, schedules." in set_up(client, a_plan)
    assert client.read_deployment_by_name("broadcast/broadcast").schedules == []
    set_up(client, inactive)
    assert not schedule_of(client, "broadcast/broadcast").is_active
    set_up(client, a_plan)
    assert len(set_up(client, a_plan)) == 1


def test_what_the_plan_has_no_more_is_removed_if_it_was_ours(client: SyncPrefectClient, a_plan: DeploymentPlan) -> None:
    more = PlannedDeployment("old-name", "flows.broadcast.broadcast", "maintenance")
    set_up(client, replace(a_plan, deployments=(*a_plan.deployments, more)))
    client.create_deployment(client.create_flow(flow(name="own")(lambda: None)), "old-name")
    assert "Removed the deployment old-name, which prefect.yaml has no more." in set_up(client, a_plan)
    names = {found.name for found in client.read_deployments(sort=DeploymentSort.NAME_ASC, limit=100)}
    assert {"old-name", *(one.name for one in a_plan.deployments)} <= names, "the one of somebody else is still there"
    assert client.read_deployment_by_name("own/old-name")


def test_what_somebody_has_paused_in_prefect_stays_paused_and_is_told(
    client: SyncPrefectClient, a_plan: DeploymentPlan
) -> None:
    set_up(client, a_plan)
    deployment = client.read_deployment_by_name("broadcast/broadcast")
    client.pause_deployment(deployment.id)
    changed = with_changed(a_plan, "broadcast", description="Other words.")
    assert "The deployment broadcast is paused in Prefect: it does not run at its times." in set_up(client, changed)
    assert client.read_deployment_by_name("broadcast/broadcast").paused


def test_a_queue_of_earlier_versions_goes_once_nothing_waits_in_it(
    client: SyncPrefectClient, a_plan: DeploymentPlan
) -> None:
    set_up(client, a_plan)
    client.create_work_queue("urgent", work_pool_name="transfers", priority=1)
    deployment = client.read_deployment_by_name("selective-transfer/selective-transfer")
    run = client.create_flow_run_from_deployment(deployment.id, parameters={"job_id": 1}, work_queue_name="urgent")
    set_up(client, a_plan)
    assert client.read_work_queue_by_name("urgent", "transfers")
    client.delete_flow_run(run.id)
    assert "Removed the queue urgent, which earlier versions used." in set_up(client, a_plan)
    order = sorted(
        client.read_work_queues("transfers", WorkQueueFilter(), limit=50, offset=0), key=lambda queue: queue.priority
    )
    assert [queue.name for queue in order if queue.name != "default"] == [queue.name for queue in a_plan.queues]
