"""The Prefect server of one machine: its settings, how it is started, and whether it answers.

Whoever may use its API can run any program as our user, so it asks for user and password (``ADIT_PREFECT_AUTH``).
"""

import sys
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

from models.domain.errors import AditError, Unreachable
from models.settings import Settings
from services import prefect_status

WORKER = "adit"
FLOW_RUNS_AT_A_TIME = 4
"""Flow runs of one worker. How much a server has to bear is limited by its association budget, not by this."""
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
    home = settings.prefect_dir
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
        **{f"PREFECT_SERVER_SERVICES_{name}": value for name, value in _BATCHES.items()},
        **_retention(settings),
        **({"PREFECT_API_SSL_CERT_FILE": str(settings.prefect_ca_file)} if settings.prefect_ca_file else {}),
        **_log_format(settings),
        **_passwords(settings),
    }


def server_command(settings: Settings) -> tuple[str, ...]:
    """How the server is started, with its services and its page."""
    address = ("--host", settings.prefect_host, "--port", str(settings.prefect_port))
    return (sys.executable, "-m", "deployments.prefect_program", "server", "start", *address)


def worker_command(name: str = WORKER, limit: int = FLOW_RUNS_AT_A_TIME) -> tuple[str, ...]:
    """How a worker is started that runs so many flows at a time, and some more for urgent work and maintenance."""
    return (sys.executable, "-m", "deployments.worker", name, str(limit))


def flow_run_command() -> tuple[str, ...]:
    """How a flow run is started, of which the environment tells the number (PREFECT__FLOW_RUN_ID)."""
    return (sys.executable, "-m", "deployments.flow_program")


def ui_url(settings: Settings) -> str:
    """The address of Prefect's page."""
    return settings.prefect_ui_url


def is_ready(settings: Settings) -> bool:
    """Whether the server answers and has its database; it says so without a password."""
    try:
        prefect_status.check_is_ready(settings)
    except AditError:
        return False
    return True


def is_set_up(settings: Settings) -> bool:
    """Whether the server has all that a worker needs; raises NotPermitted when it wants another password."""
    try:
        return prefect_status.has_pool(settings)
    except Unreachable:
        return False


def has_worker(settings: Settings, since: datetime) -> bool:
    """Whether a worker of the pool has reported itself since a moment."""
    try:
        return bool(prefect_status.alive(settings, since))
    except AditError:
        return False


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
