"""What the worker makes of the work pool's template."""

from typing import Any

import anyio
import pytest
from prefect.workers.process import ProcessJobConfiguration

from deployments.prefect_setup import JOB_TEMPLATE


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
