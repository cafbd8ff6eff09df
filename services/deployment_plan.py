"""What ``prefect.yaml`` says: which flow runs where and when, in which queues runs wait. Asks nobody else."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from cronsim import CronSim, CronSimError

from models.domain.errors import BadRequest
from models.settings import Settings

PREFECT_YAML = Path(__file__).resolve().parents[1] / "prefect.yaml"
_TOP_KEYS = {"prefect-version", "name", "pull", "work_pools", "deployments"}
_POOL_KEYS = {"name", "queues"}
_QUEUE_KEYS = {"name", "concurrency_limit"}
_DEPLOYMENT_KEYS = {
    *("name", "description", "entrypoint", "tags", "work_pool"),
    *("parameters", "schedules", "concurrency_limit"),
}
_WORK_POOL_KEYS = {"name", "work_queue_name"}
_SCHEDULE_KEYS = {"cron", "timezone", "active"}
_SETTING = re.compile(r"\{\{\s*(\w+)\s*\}\}")


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

    Raises BadRequest for a key that would be left out without a word, and for a schedule that is none.
    """
    document = _filled(_document(path, path.stat().st_mtime_ns), settings)
    _check_keys("the file", document, _TOP_KEYS)
    pools = document["work_pools"]
    if len(pools) != 1:
        raise BadRequest(f"prefect.yaml: one work pool is needed, not {len(pools)}.")
    (pool,) = pools
    _check_keys(pool["name"], pool, _POOL_KEYS)
    queues = tuple(_queue(found, priority) for priority, found in enumerate(pool["queues"], 1))
    plan = DeploymentPlan(pool["name"], queues, tuple(_deployment(one, settings) for one in document["deployments"]))
    _check_queues(plan)
    return plan


@lru_cache(maxsize=1)
def _document(path: Path, _changed_at_ns: int) -> Any:
    """What the file holds, parsed once as long as nobody changes it: pages and the dispatcher ask again and again."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _queue(found: Mapping[str, Any], priority: int) -> PlannedQueue:
    _check_keys(found["name"], found, _QUEUE_KEYS)
    return PlannedQueue(found["name"], priority, found.get("concurrency_limit"))


def _deployment(found: Mapping[str, Any], settings: Settings) -> PlannedDeployment:
    name = found["name"]
    _check_keys(name, found, _DEPLOYMENT_KEYS)
    _check_keys(name, found["work_pool"], _WORK_POOL_KEYS)
    schedules = found.get("schedules", [])
    if len(schedules) > 1:
        raise BadRequest(f"prefect.yaml: {name}: one schedule is enough.")
    return PlannedDeployment(
        name=name,
        entrypoint=found["entrypoint"],
        queue=found["work_pool"]["work_queue_name"],
        description=found.get("description", ""),
        tags=tuple(found.get("tags", ())),
        parameters=found.get("parameters", {}),
        schedule=_schedule(name, schedules[0], settings) if schedules else None,
        concurrency_limit=found.get("concurrency_limit"),
    )


def _schedule(name: str, found: Mapping[str, Any], settings: Settings) -> Schedule:
    _check_keys(name, found, _SCHEDULE_KEYS)
    schedule = Schedule(found["cron"], found.get("timezone", settings.time_zone), found.get("active", True))
    try:
        schedule.after(datetime.now(UTC))
    except CronSimError as exc:
        raise BadRequest(f"prefect.yaml: {name}: {schedule.cron!r} are no times of a crontab.") from exc
    except (ValueError, ZoneInfoNotFoundError) as exc:
        raise BadRequest(f"prefect.yaml: {name}: {schedule.time_zone!r} is no time zone.") from exc
    return schedule


def _check_queues(plan: DeploymentPlan) -> None:
    known = {queue.name for queue in plan.queues}
    for deployment in plan.deployments:
        if deployment.queue not in known:
            raise BadRequest(f"prefect.yaml: {deployment.name}: there is no queue {deployment.queue}.")


def _check_keys(name: str, found: Mapping[str, Any], known: Collection[str]) -> None:
    unknown = [key for key in found if key not in known]
    if unknown:
        raise BadRequest(f"prefect.yaml: {name}: {', '.join(unknown)} is not understood.")


def _filled(value: Any, settings: Settings) -> Any:
    """The document with the settings that it names in their places."""
    if isinstance(value, dict):
        return {key: _filled(inner, settings) for key, inner in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_filled(inner, settings) for inner in cast("list[Any]", value)]
    named = _SETTING.fullmatch(value) if isinstance(value, str) else None
    if named is None:
        return value
    if named[1] not in type(settings).model_fields:
        raise BadRequest(f"prefect.yaml: there is no setting {named[1]}.")
    return getattr(settings, named[1])
