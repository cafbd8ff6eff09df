"""What the worker makes of the work pool's template, the server of its settings, and the setup of its password."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from prefect.settings.models.server.services import ServerServicesDBVacuumSettings
from prefect.workers.process import ProcessJobConfiguration

from deployments import prefect_setup
from deployments.prefect_server import environment
from deployments.prefect_setup import JOB_TEMPLATE
from models.domain.errors import NotPermitted
from tests.played_prefect import played_prefect
from tests.samples import some_settings


@pytest.mark.parametrize(
    "variables",
    [
        {"command": "id", "env": {"PYTHONPATH": "/tmp"}, "working_dir": "/tmp"},
        {"env.PYTHONPATH": "/tmp", "name": "{{ command }}"},
        {},
    ],
)
def test_variables_of_a_run_change_neither_command_nor_environment_nor_directory(variables: dict[str, Any]) -> None:
    async def prepared() -> ProcessJobConfiguration:
        return await ProcessJobConfiguration.from_template_and_values(JOB_TEMPLATE, variables, client=object())  # type: ignore[arg-type]

    configuration = anyio.run(prepared)
    assert configuration.command == JOB_TEMPLATE["job_configuration"]["command"]
    assert (configuration.env, configuration.working_dir, configuration.name) == ({}, None, None)


@pytest.mark.parametrize(("days", "kinds"), [(30, {"events", "flow_runs", "orphans"}), (0, {"events"})])
def test_the_server_deletes_flow_runs_that_ended_long_ago(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int, kinds: set[str]
) -> None:
    for name, value in environment(some_settings(tmp_path, keep_runs_days=days)).items():
        monkeypatch.setenv(name, value)
    understood = ServerServicesDBVacuumSettings()
    assert understood.enabled_vacuum_types == kinds
    assert not days or understood.retention_period == timedelta(days=days)


def test_a_wrong_password_is_told_before_anything_is_set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with played_prefect() as prefect:
        chosen = some_settings(tmp_path, prefect_port=prefect.port, prefect_auth="adit:another-password")
        monkeypatch.setattr(prefect_setup, "settings", lambda: chosen)
        with pytest.raises(NotPermitted, match="Check ADIT_PREFECT_AUTH") as raised:
            prefect_setup.main()
    assert "another-password" not in str(raised.value)
