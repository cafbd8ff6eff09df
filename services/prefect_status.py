"""Whether Prefect's server answers, and which workers it has heard of: for processes that must not import Prefect.

What is asked is small and has short time-outs. Raises Unreachable when the server does not answer, NotPermitted when
it wants another password.
"""

import ssl
import time
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import httpx

from models.domain.errors import NotPermitted, Unreachable
from models.settings import Settings

POOL = "transfers"
HEARD_WITHIN = timedelta(minutes=2)
"""Workers report themselves every 30 seconds; one that has been silent for so long is gone."""
_REMEMBERED_FOR = timedelta(days=7)
_TIMEOUT_S = 3.0
_AGAIN, _BUSY_S = 4, 0.5


def check_is_ready(settings: Settings) -> None:
    """Raise Unreachable unless the server answers and has its database; it says so without a password."""
    _asked(settings, "GET", "/ready")


def workers(settings: Settings) -> Mapping[str, datetime]:
    """When each worker of our pool was heard of last, by its name; those that were silent for a week are left out."""
    since = datetime.now(UTC) - _REMEMBERED_FOR
    recent = {"workers": {"last_heartbeat_time": {"after_": since.isoformat()}}}
    told: Any = _asked(settings, "POST", f"/work_pools/{POOL}/workers/filter", recent).json()
    try:
        return {worker["name"]: _moment(worker["last_heartbeat_time"]) for worker in told}
    except (KeyError, TypeError, ValueError) as exc:
        raise Unreachable("What answers in the place of Prefect's API is something else.") from exc


def alive(settings: Settings, since: datetime | None = None) -> Collection[str]:
    """The names of the workers that live, as far as their signs tell: heard of since a moment, or lately."""
    return living(workers(settings), since)


def living(heard: Mapping[str, datetime], since: datetime | None = None) -> Collection[str]:
    """Which of these ``workers`` live, told in the same way."""
    heard_since = since or datetime.now(UTC) - HEARD_WITHIN
    return {name for name, heard_at in heard.items() if heard_at >= heard_since}


def has_worker(settings: Settings) -> bool:
    """Whether any worker lives."""
    return bool(alive(settings))


def version(settings: Settings) -> str:
    """The version of the server."""
    told: Any = _asked(settings, "GET", "/admin/version").json()
    return str(told)


def deployments(settings: Settings) -> Mapping[str, Mapping[str, Any]]:
    """What the server knows of each deployment, by its name."""
    told: Any = _asked(settings, "POST", "/deployments/filter").json()
    return {deployment["name"]: deployment for deployment in told}


def next_run_at(settings: Settings, deployment_id: str) -> datetime | None:
    """When the next run of a deployment is planned; None when none is."""
    wanted = {
        "flow_runs": {"deployment_id": {"any_": [deployment_id]}, "state": {"type": {"any_": ["SCHEDULED"]}}},
        "sort": "EXPECTED_START_TIME_ASC",
        "limit": 1,
    }
    told: Any = _asked(settings, "POST", "/flow_runs/filter", wanted).json()
    return _moment(told[0]["expected_start_time"]) if told else None


def start(settings: Settings, deployment_id: str) -> str:
    """Ask for a run of a deployment now, with the parameters that it has; the run's id."""
    once = {"idempotency_key": str(uuid4())}  # the call may have to be sent again
    told: Any = _asked(settings, "POST", f"/deployments/{deployment_id}/create_flow_run", once).json()
    return str(told["id"])


def has_pool(settings: Settings) -> bool:
    """Whether the server has our work pool."""
    with _client(settings) as client:
        return _sent(client, "GET", f"/work_pools/{POOL}").status_code == HTTPStatus.OK


def _asked(settings: Settings, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
    with _client(settings) as client:
        answer = _sent(client, method, path, body)
        for _ in range(_AGAIN):
            if answer.status_code != HTTPStatus.SERVICE_UNAVAILABLE or path == "/ready":
                break
            time.sleep(_BUSY_S)  # its database is busy with many runs at once
            answer = _sent(client, method, path, body)
    if not answer.is_success:
        raise Unreachable(f"Prefect's API is not ready (HTTP {answer.status_code}). Check the Prefect server.")
    return answer


def _sent(client: httpx.Client, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
    try:
        answer = client.request(method, path, json=(body or {}) if method == "POST" else None)
    except httpx.HTTPError as exc:
        raise Unreachable("Prefect's API does not answer. Check that the Prefect server is running.") from exc
    if answer.status_code == HTTPStatus.UNAUTHORIZED:
        raise NotPermitted("Prefect's API wants another password. Check ADIT_PREFECT_AUTH.")
    return answer


def _client(settings: Settings) -> httpx.Client:
    """A client that trusts the certificates of the settings, and goes through no proxy."""
    is_secured = settings.prefect_api_url.startswith("https://")  # reading the authorities takes 30 ms
    trusted = ssl.create_default_context(cafile=settings.prefect_ca_file) if settings.prefect_ca_file else is_secured
    user, colon, password = settings.prefect_auth.get_secret_value().partition(":")
    return httpx.Client(
        base_url=settings.prefect_api_url,
        auth=(user, password) if colon else None,
        verify=trusted,
        timeout=_TIMEOUT_S,
        trust_env=False,
    )


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
