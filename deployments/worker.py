"""One worker of one machine. It keeps some of its places for urgent work and some for maintenance.

Prefect's worker has one limit for all that it runs, so that long jobs could take all its places. Therefore this
process runs three of Prefect's workers: one for all queues, and two that serve some queues only. They cost one process
together, and Prefect's page shows each.
"""

import asyncio
import os
import sys
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass

from prefect.utilities.processutils import setup_signal_handlers_worker
from prefect.workers.process import ProcessWorker

from models.settings import settings
from services.deployment_plan import DeploymentPlan, planned
from services.orchestration import MAINTENANCE_QUEUE, URGENT

URGENT_PLACES = 2
MAINTENANCE_PLACES = 2


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
        Lane(f"{name}-urgent", URGENT_PLACES, urgent),
        Lane(f"{name}-maintenance", MAINTENANCE_PLACES, [MAINTENANCE_QUEUE]),
    )


def main(name: str, places: int) -> None:
    """Work until SIGTERM. Flow runs at work are left to whoever has started this program."""
    plan = planned(settings())
    with suppress(asyncio.CancelledError, KeyboardInterrupt):
        asyncio.run(_work(plan.pool, lanes(plan, name, places)))


async def _work(pool: str, chosen: Sequence[Lane]) -> None:
    setup_signal_handlers_worker(os.getpid(), "the worker", print)
    async with asyncio.TaskGroup() as group:
        for lane in chosen:
            worker = ProcessWorker(
                work_pool_name=pool,
                name=lane.name,
                work_queues=list(lane.queues),
                limit=lane.places,
                create_pool_if_not_found=False,
            )
            group.create_task(worker.start(printer=print))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
