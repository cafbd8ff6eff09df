"""A value that a setting cannot have ends in an error that names the variable, and never the value."""

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic.fields import FieldInfo

from deployments import installation
from models.domain.errors import BadRequest
from models.settings import Settings
from tests.databases import MASTER_KEY

CHECKED = {
    "time_zone": "Mars/Base",
    "backup_cron": "sometimes",
    "master_key": "hidden-1",
    "database_url": "mysql://db.example.org/adit",
    "prefect_database_url": "sqlite:///prefect.db",
    "prefect_url": "prefect.example.org",
    "prefect_page_url": "prefect.example.org",
    "web_url": "adit.example.org",
    "smtp_url": "mail.example.org",
    "prefect_auth": "hidden-2",
    "metrics_token": "hidden",
    "calling_ae_title": "A" * 17,
    "receiver_ae_title": "A" * 17,
}


def wrong_values() -> list[Any]:
    found = [(name, value) for name, field in Settings.model_fields.items() for value in wrong_of(field)]
    return [*found, *CHECKED.items(), ("time_zone", "Europe")]


def wrong_of(field: FieldInfo) -> tuple[str, ...]:
    if field.annotation in (int, float):
        return "hidden-many", "-1"
    if field.annotation is bool:
        return ("hidden-perhaps",)
    return ("hidden-word",) if "Literal" in str(field.annotation) else ()


@pytest.mark.parametrize(("name", "value"), wrong_values())
def test_a_wrong_value_names_its_variable(a_data_dir: Path, name: str, value: str) -> None:
    os.environ |= {"ADIT_MASTER_KEY": MASTER_KEY, f"ADIT_{name.upper()}": value}
    with pytest.raises(BadRequest) as raised:
        installation.open_settings(a_data_dir)
    assert f"ADIT_{name.upper()}: " in raised.value.message
    assert "hidden" not in raised.value.message
