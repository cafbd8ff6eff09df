"""A worker keeps places for urgent work and for maintenance."""

from pathlib import Path

from deployments.worker import lanes
from services.deployment_plan import planned
from services.orchestration import MAINTENANCE_QUEUE
from tests.samples import some_settings


def test_some_places_take_urgent_work_only_and_some_maintenance_only(tmp_path: Path) -> None:
    everything, urgent, maintenance = lanes(planned(some_settings(tmp_path)), "w", 4)
    assert (everything.name, everything.places, list(everything.queues)) == ("w", 4, [])
    assert urgent.places > 0
    assert set(urgent.queues) == {
        f"urgent-{kind}" for kind in ("selective-transfer", "batch-query", "batch-transfer", "mass-transfer")
    }
    assert maintenance.places > 0
    assert list(maintenance.queues) == [MAINTENANCE_QUEUE]
    assert len({everything.name, urgent.name, maintenance.name}) == 3
