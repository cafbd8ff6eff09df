"""What ``prefect.yaml`` says: which flow runs where and when, in which queues runs wait. Asks nobody else."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim

from models.domain.errors import BadRequest, reason_of
from models.settings import Settings
from services import plan_file
from services.plan_file import PlanFile, WrittenDeployment, WrittenTimes

PREFECT_YAML = Path(__file__).resolve().parents[1] / "prefect.yaml"


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a flow is run: the fields of a crontab, in a time zone; one that is not active says when it would be."""

    cron: str
    time_zone: str
    is_active: bool = True

    @property
    def words(self) -> str:
        """How people say it; a crontab's own words where that is not simple."""
        minute, hour, *days = self.cron.split()
        if days != ["*", "*", "*"]:
            return f"{self.cron} (crontab)"
        if minute.startswith("*/") and hour == "*":
            return f"every {minute.removeprefix('*/')} minutes"
        if minute.isdecimal() and hour == "*":
            return f"every hour at minute {int(minute)}"
        if minute.isdecimal() and hour.isdecimal():
            return f"every day at {int(hour):02}:{int(minute):02}"
        return f"{self.cron} (crontab)"

    def after(self, moment: datetime) -> Iterator[datetime]:
        """The times that come next, the first one first."""
        return CronSim(self.cron, moment.astimezone(ZoneInfo(self.time_zone)))

    def before(self, moment: datetime) -> Iterator[datetime]:
        """The times that have passed, the last one first."""
        return CronSim(self.cron, moment.astimezone(ZoneInfo(self.time_zone)), reverse=True)


@dataclass(frozen=True, slots=True)
class PlannedQueue:
    """A queue of the work pool; priority 1 goes first. The limit is for the runs of all workers at the same time."""

    name: str
    priority: int
    concurrency_limit: int | None = None


@dataclass(frozen=True, slots=True)
class PlannedDeployment:
    """One flow, where it waits for a worker and when it is run."""

    name: str
    entrypoint: str
    queue: str
    description: str = ""
    tags: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])
    schedule: Schedule | None = None
    concurrency_limit: int | None = None


@dataclass(frozen=True, slots=True)
class DeploymentPlan:
    """The one work pool with its queues, and all deployments."""

    pool: str
    queues: tuple[PlannedQueue, ...]
    deployments: tuple[PlannedDeployment, ...]

    def deployment(self, name: str) -> PlannedDeployment | None:
        """The deployment with this name, if there is one."""
        return next((one for one in self.deployments if one.name == name), None)


def planned(settings: Settings, path: Path = PREFECT_YAML) -> DeploymentPlan:
    """The plan of this installation, whose settings stand where the file has ``{{ name }}``.

    Raises BadRequest, naming the file and the entry, for whatever is wrong with it. Programs ask before they begin;
    one that goes on asks for ``complaint`` first, since somebody may be changing the file.
    """
    plan, wrong = _looked_at(settings, path)
    if plan is None:
        raise BadRequest(wrong)
    return plan


def complaint(settings: Settings, path: Path = PREFECT_YAML) -> str:
    """What is wrong with the file; empty when nothing is."""
    _, wrong = _looked_at(settings, path)
    return wrong


def _looked_at(settings: Settings, path: Path) -> tuple[DeploymentPlan | None, str]:
    try:
        found = path.stat()
    except OSError as error:
        return None, f"{path} cannot be read: {reason_of(error)}."
    stamp = found.st_mtime_ns, found.st_size
    return _understood(path, stamp, settings)  # pyright: ignore[reportArgumentType]  (frozen models have a hash)


@lru_cache(maxsize=1)
def _understood(path: Path, _stamp: tuple[int, int], settings: Settings) -> tuple[DeploymentPlan | None, str]:
    """The plan, or what is wrong, read once as long as nobody changes it: pages and alarms ask again and again."""
    try:
        return _plan(plan_file.read(path, settings), settings), ""
    except BadRequest as error:
        return None, error.message


def _plan(found: PlanFile, settings: Settings) -> DeploymentPlan:
    (pool,) = found.work_pools
    queues = (
        PlannedQueue(queue.name, priority, queue.concurrency_limit) for priority, queue in enumerate(pool.queues, 1)
    )
    return DeploymentPlan(pool.name, tuple(queues), tuple(_deployment(one, settings) for one in found.deployments))


def _deployment(found: WrittenDeployment, settings: Settings) -> PlannedDeployment:
    return PlannedDeployment(
        name=found.name,
        entrypoint=found.entrypoint,
        queue=found.work_pool.work_queue_name,
        description=found.description,
        tags=tuple(found.tags),
        parameters=found.parameters,
        schedule=next((_schedule(times, settings) for times in found.schedules), None),
        concurrency_limit=found.concurrency_limit,
    )


def _schedule(found: WrittenTimes, settings: Settings) -> Schedule:
    return Schedule(found.cron, found.timezone or settings.time_zone, found.active)
