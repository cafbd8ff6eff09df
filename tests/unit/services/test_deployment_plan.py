"""prefect.yaml says where and when, in words that are understood or refused."""

from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import yaml

from models.domain.errors import BadRequest
from models.domain.jobs import JobKind
from models.settings import Settings
from services import deployment_plan
from services.deployment_plan import DeploymentPlan, Schedule
from services.orchestration import MAINTENANCE_QUEUE, RECOVERED_QUEUE, queue_for
from tests.samples import some_settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return some_settings(tmp_path, backup_cron="15 4 * * 1-5", backup_enabled=False, time_zone="Europe/Paris")


@pytest.fixture
def a_plan(settings: Settings) -> DeploymentPlan:
    return deployment_plan.planned(settings)


def changed(tmp_path: Path, **deployment: Any) -> Path:
    """A copy of the file whose first deployment has further keys."""
    document = yaml.safe_load(deployment_plan.PREFECT_YAML.read_text())
    document["deployments"][0].update(deployment)
    path = tmp_path / "prefect.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def test_queues_have_the_priorities_of_kind_and_urgency(a_plan: DeploymentPlan) -> None:
    names = [queue.name for queue in sorted(a_plan.queues, key=lambda queue: queue.priority)]
    order = ["selective-transfer", "batch-query", "batch-transfer", "mass-transfer"]
    assert names == [RECOVERED_QUEUE, *(f"urgent-{kind}" for kind in order), *order, MAINTENANCE_QUEUE]
    assert [queue.priority for queue in a_plan.queues] == list(range(1, len(names) + 1))


def test_every_kind_of_job_waits_in_a_queue_of_the_plan(a_plan: DeploymentPlan) -> None:
    names = {queue.name for queue in a_plan.queues}
    for kind in JobKind:
        assert {queue_for(kind, urgent=False), queue_for(kind, urgent=True)} <= names
        deployment = a_plan.deployment(kind.deployment.partition("/")[2])
        assert deployment is not None
        assert deployment.queue == queue_for(kind, urgent=False), "a run that is started by hand waits with the others"


def test_mass_work_has_a_queue_with_a_limit(a_plan: DeploymentPlan) -> None:
    limits = {queue.name: queue.concurrency_limit for queue in a_plan.queues}
    assert limits["mass-transfer"] == 2
    assert not any(limit for name, limit in limits.items() if name != "mass-transfer")


def test_times_of_backups_come_from_the_settings(a_plan: DeploymentPlan) -> None:
    backup = a_plan.deployment("backup")
    assert backup is not None
    assert backup.schedule == Schedule("15 4 * * 1-5", "Europe/Paris", is_active=False)


def test_a_key_that_is_not_understood_is_refused(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="selective-transfer: retries is not understood"):
        deployment_plan.planned(settings, changed(tmp_path, retries=3))


@pytest.mark.parametrize(
    ("schedule", "complaint"),
    [
        ({"cron": "61 * * * *"}, "no times of a crontab"),
        ({"cron": "* * * * *", "timezone": "Mars/Base"}, "no time zone"),
        ({"cron": "* * * * *", "every": 3}, "every is not understood"),
        ({"cron": "{{ no_such_setting }}"}, "no setting no_such_setting"),
    ],
)
def test_a_schedule_that_is_none_is_refused(
    settings: Settings, tmp_path: Path, schedule: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(BadRequest, match=complaint):
        deployment_plan.planned(settings, changed(tmp_path, schedules=[schedule]))


def test_a_queue_that_is_missing_is_refused(settings: Settings, tmp_path: Path) -> None:
    wrong = {"name": "transfers", "work_queue_name": "express"}
    with pytest.raises(BadRequest, match="no queue express"):
        deployment_plan.planned(settings, changed(tmp_path, work_pool=wrong))


def test_a_schedule_knows_its_times_across_a_change_of_the_clocks() -> None:
    daily = Schedule("30 5 * * *", "Europe/Berlin")
    noon = datetime(2026, 3, 29, 12, tzinfo=UTC)
    assert [f"{time:%d %H:%M}" for time in islice(daily.before(noon), 2)] == ["29 05:30", "28 05:30"]
    assert next(daily.after(noon)) - next(daily.before(noon)) == (noon - noon.replace(day=28))
