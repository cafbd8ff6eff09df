"""Reads ``prefect.yaml`` as a person may have mistyped it: whatever is wrong is told in one line that names the entry.

What it means is ``deployment_plan``'s; whether the flows exist that it names, only a process that may import Prefect
can tell.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, cast

import yaml
from cronsim import CronSim, CronSimError
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails

from models.domain.errors import BadRequest, reason_of
from models.settings import Settings, is_time_zone
from services.prefect_status import POOL

_SETTING = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_CRON_FIELDS = 5
_WORDS = {
    "extra_forbidden": " is not understood",
    "missing": " is missing",
    "model_type": ": these are no keys with values",
    "too_long": ": one is enough",
    "too_short": ": one is needed",
}
"""How we call what pydantic has found; else its own words stand behind the place."""
_LISTS = {"work_pools": "work pool", "queues": "queue", "deployments": "deployment"}


def _filled(value: Any, info: ValidationInfo) -> Any:
    """A value with the settings in the places that are kept for them."""
    if isinstance(value, dict):
        return {key: _filled(inner, info) for key, inner in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_filled(inner, info) for inner in cast("list[Any]", value)]
    named = _SETTING.fullmatch(value) if isinstance(value, str) else None
    if named is None:
        return value
    if named[1] not in Settings.model_fields:
        raise ValueError(f"there is no setting {named[1]}")
    return getattr(cast(Settings, info.context), named[1])


_Text = Annotated[str, BeforeValidator(_filled)]
_Name = Annotated[str, Field(pattern=r"^\w[\w .-]*$", max_length=100), BeforeValidator(_filled)]
_Limit = Annotated[int, Field(ge=0, le=10_000), BeforeValidator(_filled)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class WrittenQueue(_Entry):
    """A queue of the pool."""

    name: _Name
    concurrency_limit: _Limit | None = None


class WrittenPool(_Entry):
    """The work pool, with its queues by priority."""

    name: _Name
    queues: Annotated[list[WrittenQueue], Field(min_length=1)]


class _Place(_Entry):
    name: _Name
    work_queue_name: _Name


class WrittenTimes(_Entry):
    """When a flow is run; without a time zone, in that of the settings."""

    cron: _Text
    timezone: _Text | None = None
    active: Annotated[bool, BeforeValidator(_filled)] = True

    @field_validator("cron")
    @classmethod
    def _comes(cls, value: str) -> str:
        if len(value.split()) != _CRON_FIELDS:
            raise ValueError("not of the form minute hour day month weekday, such as 30 1 * * *")
        try:
            moment = next(CronSim(value, datetime.now(UTC)), None)
        except CronSimError:
            raise ValueError(f"{value!r} are no times of a crontab") from None
        if moment is None:
            raise ValueError(f"{value!r} never comes")
        return value

    @field_validator("timezone")
    @classmethod
    def _is_a_known_zone(cls, value: str | None) -> str | None:
        if value is not None and not is_time_zone(value):
            raise ValueError("no time zone, such as Europe/Berlin")
        return value


class WrittenDeployment(_Entry):
    """One flow and where it waits for a worker."""

    name: _Name
    entrypoint: _Text
    work_pool: _Place
    description: _Text = ""
    tags: list[_Text] = []
    parameters: Annotated[dict[str, Any], BeforeValidator(_filled)] = {}
    schedules: Annotated[list[WrittenTimes], Field(max_length=1)] = []
    concurrency_limit: _Limit | None = None

    @field_validator("entrypoint")
    @classmethod
    def _is_dotted(cls, value: str) -> str:
        if "." not in value or not all(part.isidentifier() for part in value.split(".")):
            raise ValueError("not of the form flows.module.function")
        return value


class PlanFile(_Entry):
    """All that stands there, with the settings in their places."""

    name: Any = None
    prefect_version: Annotated[Any, Field(alias="prefect-version")] = None
    pull: None = None
    work_pools: Annotated[list[WrittenPool], Field(min_length=1, max_length=1)]
    deployments: Annotated[list[WrittenDeployment], Field(min_length=1)]


def read(path: Path, settings: Settings) -> PlanFile:
    """What the file says; raises BadRequest, naming the file and the entry, for whatever is wrong with it."""
    document = _document(path)
    try:
        found = PlanFile.model_validate(document, context=settings)
    except ValidationError as exc:
        raise BadRequest(" ".join(_sentence(path, document, error) for error in exc.errors())) from None
    if wrong := next(_contradictions(found), None):
        raise BadRequest(f"{path.name}: {wrong}")
    return found


class _KeyTwice(yaml.MarkedYAMLError):
    """A key that stands twice in one place, where YAML's reader would keep the last without a word."""


class _Loader(yaml.SafeLoader):
    """Python's simple types, each key once."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key in keys:
            if (first := next(one for one in keys if one.value == key.value)) is not key:
                raise _KeyTwice(
                    problem=f"the key {key.value}", context_mark=first.start_mark, problem_mark=key.start_mark
                )
        return node


def _document(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except OSError as exc:
        raise BadRequest(f"{path} cannot be read: {reason_of(exc)}.") from exc
    except _KeyTwice as exc:
        first, again = (mark.line + 1 if mark else 0 for mark in (exc.context_mark, exc.problem_mark))
        raise BadRequest(f"{path.name}: {exc.problem} of line {first} stands there again in line {again}.") from None
    except yaml.MarkedYAMLError as exc:
        where = f" in line {exc.problem_mark.line + 1}" if exc.problem_mark else ""
        raise BadRequest(f"{path.name}: this is no YAML{where}: {exc.problem or exc.context}.") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise BadRequest(f"{path.name}: this is no YAML, or not in UTF-8.") from None


def _contradictions(found: PlanFile) -> Iterator[str]:
    """What is wrong with entries that are right, each by itself."""
    (pool,) = found.work_pools
    if pool.name != POOL:
        yield f"the work pool is called {pool.name}, and the programs ask for {POOL}."
    for name in _twice(queue.name for queue in pool.queues):
        yield f"the queue {name} stands there twice."
    for name in _twice(deployment.name for deployment in found.deployments):
        yield f"the deployment {name} stands there twice."
    queues = {queue.name for queue in pool.queues}
    for deployment in found.deployments:
        if deployment.work_pool.name != pool.name:
            yield f"{deployment.name}: there is no work pool {deployment.work_pool.name}."
        if deployment.work_pool.work_queue_name not in queues:
            yield f"{deployment.name}: there is no queue {deployment.work_pool.work_queue_name}."


def _twice(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def _sentence(path: Path, document: object, error: ErrorDetails) -> str:
    """The file, the entry and the key, and what is wrong with it; the value may be a setting, and is left out."""
    place = ": ".join([path.name, *_steps(document, error["loc"])])
    if (words := _WORDS.get(error["type"])) is not None:
        return f"{place}{words}."
    message = error["msg"].removeprefix("Value error, ")
    return f"{place}: {message[:1].lower()}{message[1:]}."


def _steps(document: object, location: Sequence[int | str]) -> Iterator[str]:
    """How people call the places on the way to an error: entries of a list by their names, if they have any."""
    value: Any = document
    for number, step in enumerate(location):
        value = _within(value, step)
        if isinstance(step, int):
            called = _LISTS.get(str(location[number - 1]), "number")
            name = _within(value, "name")
            yield f"{called} {name if isinstance(name, str) else step + 1}"
        elif step not in _LISTS or number == len(location) - 1:
            yield step


def _within(value: Any, step: int | str) -> Any:
    try:
        return value[step]
    except (LookupError, TypeError):
        return None
