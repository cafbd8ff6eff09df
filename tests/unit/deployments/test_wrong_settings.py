"""A value that a setting cannot have ends in an error that names the variable, and never the value."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from annotated_types import Le
from pydantic.fields import FieldInfo

from deployments import installation, prefect_server
from models.domain.errors import BadRequest
from models.settings import Settings
from services.chores import retention
from services.people import sessions
from tests.databases import MASTER_KEY, Clock, sqlite_database
from tests.samples import some_settings

HUGE = "9" * 23
URLS = {
    "web_url": "https",
    "prefect_url": "http",
    "prefect_page_url": "https",
    "oidc_issuer": "https",
    "smtp_url": "smtp",
}
DATABASES = {"database_url": "postgresql+psycopg", "prefect_database_url": "postgresql+asyncpg"}
HOSTS = ("receiver_host", "prefect_host", "web_host")
MAIL_ADDRESSES = ("mail_from", "support_email", "admin_email", "admin_user_email")
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
    return [*found, *CHECKED.items(), ("time_zone", "Europe"), *wrong_addresses(), *WORDS]


def wrong_addresses() -> Iterator[tuple[str, str]]:
    for name, scheme in (URLS | DATABASES).items():
        for port in ("0", "65536", HUGE, "hidden-port", "-1"):
            yield name, f"{scheme}://hidden.example.org:{port}"
        yield name, f"{scheme}://hidden host"
        yield name, f"{scheme}://10.1.2.999"
        yield name, f"{scheme}://[::1"
    for name in URLS:
        yield name, "https://"
    for name in HOSTS:
        yield from ((name, wrong) for wrong in ("hidden host", "10.1.2.999", "https://hidden", "hidden:80", "h" * 64))
    for name in MAIL_ADDRESSES:
        words = ("hidden", "hidden words", "hidden@", "a@x.org, hidden@x.org", "hidden@x.org\n", f"{'x' * 65}@x.org")
        yield from ((name, wrong) for wrong in words)


WORDS = [
    ("database_url", "postgresql+psycopg://adit@db.example.org/adit?port=65536"),
    ("mail_from", "hidden <nobody>"),
    ("admin_email", "Ada <hidden@example.org>"),
    ("registration_domains", "example.org, hidden words"),
    ("webhook_http_hosts", "example.org; hidden.example.org"),
    ("web_proxies", "hidden.example.org"),
    ("web_proxies", "10.1.2.3/8"),
    ("web_proxies", "10.1.2.3,"),
    ("exclude_modalities", "PR;SR"),
    ("exclude_modalities", "PR SR HIDDEN TOO LONG"),
    ("oidc_name", "x" * 101),
]


def wrong_of(field: FieldInfo) -> tuple[str, ...]:
    if field.annotation in (int, float):
        return "hidden-many", "-1", HUGE, "9" * 5000, "1e300", "inf", "nan", next_of(field)
    if field.annotation is bool:
        return ("hidden-perhaps",)
    return ("hidden-word",) if "Literal" in str(field.annotation) else ()


def next_of(field: FieldInfo) -> str:
    """The number above the highest one that is taken; every number has one."""
    (highest,) = (rule.le for rule in field.metadata if isinstance(rule, Le))
    return str(int(highest) + 1)  # type: ignore[call-overload]


@pytest.mark.parametrize(("name", "value"), wrong_values())
def test_a_wrong_value_names_its_variable(a_data_dir: Path, name: str, value: str) -> None:
    os.environ |= {"ADIT_MASTER_KEY": MASTER_KEY, f"ADIT_{name.upper()}": value}
    with pytest.raises(BadRequest) as raised:
        installation.open_settings(a_data_dir)
    assert f"ADIT_{name.upper()}: " in raised.value.message
    assert "hidden" not in raised.value.message.lower() and "\n" not in raised.value.message


def test_the_highest_numbers_overflow_nothing(a_data_dir: Path) -> None:
    numbers = [(name, field) for name, field in Settings.model_fields.items() if field.annotation in (int, float)]
    highest = {name: rule.le for name, field in numbers for rule in field.metadata if isinstance(rule, Le)}
    assert len(highest) == len(numbers) > 15
    chosen = some_settings(a_data_dir, **highest)
    database = sqlite_database(a_data_dir, Clock())
    assert database.clock() - chosen.lease_for < database.clock() < database.clock() + chosen.retry_wait * 1000
    assert sessions.find(database, chosen, "nobody") is None
    retention.run(database, chosen)
    assert prefect_server.environment(chosen)
    database.close()
