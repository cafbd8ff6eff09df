"""The Prefect server of one machine: its settings, how it is started, and whether it answers.

Whoever may use its API can run any program as our user, so it asks for user and password (``ADIT_PREFECT_AUTH``).
"""

import sys
from collections.abc import Mapping
from datetime import datetime

import httpx

from models.settings import Settings

POOL = "transfers"
WORKER = "adit"
_FLOW_RUNS_AT_A_TIME = 4
"""Flow runs of one worker. How much a server has to bear is limited by its association budget, not by this."""
_TIMEOUT_S = 5.0
_BATCHES = {
    "TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "EVENT_PERSISTER_READ_BATCH_SIZE": "100",
    "EVENT_PERSISTER_BATCH_SIZE": "200",
    "TRIGGERS_READ_BATCH_SIZE": "100",
}
"""With Prefect's own values its event queues fill up during a large job and drain for minutes (3.8.8)."""


def environment(settings: Settings) -> Mapping[str, str]:
    """The settings of the server and of its clients: everything in the data directory, nothing sent to Prefect."""
    home = settings.data_dir / "prefect"
    return {
        "PREFECT_HOME": str(home),
        "PREFECT_PROFILES_PATH": str(home / "profiles.toml"),
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(home / "ui"),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{home / 'prefect.db'}",
        "PREFECT_API_URL": settings.prefect_api_url,
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ui_url(settings),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PREFECT_CLIENT_MAX_RETRIES": "8",
        # a flow run ends when its last log lines are sent: with the default of 2 s that is a second after its work
        "PREFECT_LOGGING_TO_API_BATCH_INTERVAL": "0.2",
        **{f"PREFECT_SERVER_SERVICES_{name}": value for name, value in _BATCHES.items()},
        **_passwords(settings),
    }


def server_command(settings: Settings) -> tuple[str, ...]:
    """How the server is started, with its services and its page."""
    address = ("--host", settings.prefect_host, "--port", str(settings.prefect_port))
    return (sys.executable, "-m", "prefect", "server", "start", *address)


def worker_command() -> tuple[str, ...]:
    """How a worker is started that runs flows as processes of this machine."""
    limit = ("--limit", str(_FLOW_RUNS_AT_A_TIME))
    place = ("--pool", POOL, "--type", "process", "--name", WORKER)
    return (sys.executable, "-m", "prefect", "worker", "start", *place, *limit)


def ui_url(settings: Settings) -> str:
    """The address of Prefect's page."""
    return settings.prefect_ui_url


def is_ready(settings: Settings) -> bool:
    """Whether the server answers and has its database; it says so without a password."""
    try:
        return httpx.get(f"{settings.prefect_api_url}/ready", timeout=_TIMEOUT_S, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def has_worker(settings: Settings, since: datetime) -> bool:
    """Whether the worker of the pool has reported itself since a moment."""
    url = f"{settings.prefect_api_url}/work_pools/{POOL}/workers/filter"
    try:
        answer = httpx.post(url, json={}, auth=_auth(settings), timeout=_TIMEOUT_S, trust_env=False)
        heartbeats = [datetime.fromisoformat(worker["last_heartbeat_time"]) for worker in answer.json()]
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return False
    return any(heartbeat >= since for heartbeat in heartbeats)


def _passwords(settings: Settings) -> Mapping[str, str]:
    """User and password, for the server and for its clients; left out when empty, since Prefect would ask for that."""
    auth = settings.prefect_auth.get_secret_value()
    return {"PREFECT_SERVER_API_AUTH_STRING": auth, "PREFECT_API_AUTH_STRING": auth} if auth else {}


def _auth(settings: Settings) -> tuple[str, str] | None:
    user, colon, password = settings.prefect_auth.get_secret_value().partition(":")
    return (user, password) if colon else None
