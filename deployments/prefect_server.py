"""The Prefect server of one machine: its settings, how it is started, and whether it answers.

Whoever may use its API can run any program as our user, so it asks for user and password (``ADIT_PREFECT_AUTH``).
"""

import ssl
import sys
from collections.abc import Mapping
from datetime import datetime, timedelta
from http import HTTPStatus
from pathlib import Path

import httpx

from models.domain.errors import NotPermitted
from models.settings import Settings

POOL = "transfers"
WORKER = "adit"
FLOW_RUNS_AT_A_TIME = 4
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
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": settings.prefect_database,
        "PREFECT_API_URL": settings.prefect_api_url,
        "PREFECT_SERVER_UI_API_URL": f"{ui_url(settings)}/api",
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
        **_retention(settings),
        **({"PREFECT_API_SSL_CERT_FILE": str(settings.prefect_ca_file)} if settings.prefect_ca_file else {}),
        **_log_format(settings),
        **_passwords(settings),
    }


def server_command(settings: Settings) -> tuple[str, ...]:
    """How the server is started, with its services and its page."""
    address = ("--host", settings.prefect_host, "--port", str(settings.prefect_port))
    return (sys.executable, "-m", "prefect", "server", "start", *address)


def worker_command(name: str = WORKER, limit: int = FLOW_RUNS_AT_A_TIME) -> tuple[str, ...]:
    """How a worker is started that runs so many flows at a time, and some more for urgent work and maintenance."""
    return (sys.executable, "-m", "deployments.worker", name, str(limit))


def ui_url(settings: Settings) -> str:
    """The address of Prefect's page."""
    return settings.prefect_ui_url


def is_ready(settings: Settings) -> bool:
    """Whether the server answers and has its database; it says so without a password."""
    try:
        with _client(settings) as client:
            return client.get("/ready").is_success
    except httpx.HTTPError:
        return False


def is_set_up(settings: Settings) -> bool:
    """Whether the server has all that a worker needs; raises NotPermitted when it wants another password."""
    try:
        with _client(settings) as client:
            status = client.get(f"/work_pools/{POOL}").status_code
    except httpx.HTTPError:
        return False
    if status == HTTPStatus.UNAUTHORIZED:
        raise NotPermitted("Prefect's API wants another password. Check ADIT_PREFECT_AUTH.")
    return status == HTTPStatus.OK


def has_worker(settings: Settings, since: datetime, name: str = "") -> bool:
    """Whether a worker of the pool, or that of a name, has reported itself since a moment."""
    recent = {"workers": {"last_heartbeat_time": {"after_": since.isoformat()}}}
    try:
        with _client(settings) as client:
            answer = client.post(f"/work_pools/{POOL}/workers/filter", json=recent)
        names = {worker["name"] for worker in answer.json()}
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return False
    return name in names if name else bool(names)


def _client(settings: Settings) -> httpx.Client:
    """A client of the server's API that trusts the certificates of the settings, and goes through no proxy."""
    trusted = ssl.create_default_context(cafile=settings.prefect_ca_file) if settings.prefect_ca_file else True
    return httpx.Client(
        base_url=settings.prefect_api_url, auth=_auth(settings), verify=trusted, timeout=_TIMEOUT_S, trust_env=False
    )


def _log_format(settings: Settings) -> Mapping[str, str]:
    """Where Prefect finds how to log, if that is not its own way."""
    if settings.log_format == "text":
        return {}
    return {"PREFECT_LOGGING_SETTINGS_PATH": str(Path(__file__).with_name("prefect_logging.yaml"))}


def _passwords(settings: Settings) -> Mapping[str, str]:
    """User and password, for the server and for its clients; left out when empty, since Prefect would ask for that."""
    auth = settings.prefect_auth.get_secret_value()
    return {"PREFECT_SERVER_API_AUTH_STRING": auth, "PREFECT_API_AUTH_STRING": auth} if auth else {}


def _retention(settings: Settings) -> Mapping[str, str]:
    """The server deletes old flow runs itself, once an hour, some hundred at a time; without this it keeps them all."""
    if not settings.keep_runs_days:
        return {}
    seconds = timedelta(days=settings.keep_runs_days).total_seconds()
    return {
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(int(seconds)),
    }


def _auth(settings: Settings) -> tuple[str, str] | None:
    user, colon, password = settings.prefect_auth.get_secret_value().partition(":")
    return (user, password) if colon else None
