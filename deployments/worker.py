"""One worker of one machine. It keeps some of its places for urgent work and some for maintenance.

It takes one run of a job at a time, and leaves jobs that need what is not here to other machines (``choosing``).

Prefect's worker has one limit for all that it runs, so that long jobs could take all its places. Therefore this
process runs three of Prefect's workers: one for all queues, and two that serve some queues only. They cost one process
together, and Prefect's page shows each.
"""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass

from anyio.abc import TaskStatus
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import WorkerFlowRunResponse
from prefect.utilities.processutils import setup_signal_handlers_worker
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult

from deployments.choosing import Choice
from deployments.daemon import run
from dicom.files.spool import Spool
from models.db.engine import open_database
from models.domain.errors import AditError
from models.settings import settings
from services import reach
from services.deployment_plan import DeploymentPlan, planned
from services.orchestration import MAINTENANCE_QUEUE, URGENT
from services.worker_names import MAINTENANCE_LANE, URGENT_LANE, lane

URGENT_PLACES = 2
MAINTENANCE_PLACES = 2
_SWEEP_EVERY_S = 300.0


class ChoosingWorker(ProcessWorker):
    """Prefect's worker, except that it does not take all that waits."""

    choice: Choice

    @classmethod
    def __dispatch_key__(cls) -> str:
        """Another name in Prefect's register than that of its own class, whose type this one keeps."""
        return "adit"

    async def _get_scheduled_flow_runs(self) -> list[WorkerFlowRunResponse]:
        found = await super()._get_scheduled_flow_runs()
        chosen = await self.choice.of([response.flow_run for response in found], self.limiter.available_tokens)
        ids = {run.id for run in chosen}
        return [response for response in found if response.flow_run.id in ids]

    async def _submit_run(self, flow_run: FlowRun) -> None:
        with self.choice.taken(flow_run):
            await super()._submit_run(flow_run)

    async def run(
        self,
        flow_run: FlowRun,
        configuration: ProcessJobConfiguration,
        task_status: TaskStatus[int] | None = None,
    ) -> ProcessWorkerResult:
        """Run the flow as a process, to its end."""
        with self.choice.taken(flow_run):
            return await super().run(flow_run, configuration, task_status)


@dataclass(frozen=True, slots=True)
class Lane:
    """Places for the flow runs of some queues; of all when it names none."""

    name: str
    places: int
    queues: Collection[str] = ()


def lanes(plan: DeploymentPlan, name: str, places: int) -> Sequence[Lane]:
    """The places of a worker with this name, so many of them for whatever comes first."""
    queues = [queue.name for queue in plan.queues]
    urgent = [queue for queue in queues if queue.startswith(URGENT)]
    return (
        Lane(name, places),
        Lane(lane(name, URGENT_LANE), URGENT_PLACES, urgent),
        Lane(lane(name, MAINTENANCE_LANE), MAINTENANCE_PLACES, [MAINTENANCE_QUEUE]),
    )


def main(name: str, places: int) -> None:
    """Work until SIGTERM. Flow runs at work are left to whoever has started this program."""
    plan, db = planned(settings()), open_database(settings())
    choice = Choice(lambda job_id: reach.leaves_to_others(db, settings(), job_id, name))
    threading.Thread(target=_sweep_spool, name="spool", daemon=True).start()
    with suppress(asyncio.CancelledError, KeyboardInterrupt):
        asyncio.run(_work(plan.pool, lanes(plan, name, places), choice))


def _sweep_spool() -> None:
    """Remove what killed flow runs have left on this machine, at the start and every five minutes."""
    while True:
        with suppress(AditError):
            Spool(settings().spool_dir).sweep()
        time.sleep(_SWEEP_EVERY_S)


async def _work(pool: str, chosen: Sequence[Lane], choice: Choice) -> None:
    setup_signal_handlers_worker(os.getpid(), "the worker", print)
    async with asyncio.TaskGroup() as group:
        for lane in chosen:
            worker = ChoosingWorker(
                work_pool_name=pool,
                name=lane.name,
                work_queues=list(lane.queues),
                limit=lane.places,
                create_pool_if_not_found=False,
            )
            worker.choice = choice
            group.create_task(worker.start(printer=print))


if __name__ == "__main__":
    run(lambda: main(sys.argv[1], int(sys.argv[2])))
