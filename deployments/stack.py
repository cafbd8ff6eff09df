"""Everything that `adit up` runs on one machine, in the order in which it has to be started."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime

import httpx

from deployments import installation, ports, prefect_server, processes
from deployments.root import ROOT
from deployments.supervisor import Program, Supervisor
from models.settings import Settings

STACK_VARIABLE = "ADIT_STACK"
"""Marks every process of a stack with its data directory, so that the next start finds those that lost theirs."""
_EVERY_ADDRESS = {"0.0.0.0", "::"}
_TIMEOUT_S = 5.0
_READY_WITHIN_S = 300.0
_KILLED_WITHIN_S = 5.0


def start(supervisor: Supervisor, settings: Settings) -> None:
    """Start the stack and return when it can take jobs.

    Migrates the database. Raises TimedOut or Unreachable when it cannot be brought up, Interrupted when it was told to
    stop, NotPermitted when the master key is not the database's.
    """
    begun_at = datetime.now(UTC)
    _lay_out(settings)
    supervisor.start(_program(settings, "prefect-server", *prefect_server.server_command(settings)))
    migrate(settings)
    for name in ("receiver", "dispatcher"):
        supervisor.start(_program(settings, name, *module(name)))
    supervisor.complete(_program(settings, "prefect-setup", *module("prefect_setup")), _READY_WITHIN_S)
    supervisor.start(_program(settings, "worker", *prefect_server.worker_command()))
    supervisor.start(_program(settings, "web", *module("web")))
    supervisor.wait_until(
        lambda: is_ready(settings, begun_at), _READY_WITHIN_S, "The start of worker, receiver and pages"
    )


def is_ready(settings: Settings, begun_at: datetime) -> bool:
    """Whether a stack that was begun at this moment can take jobs."""
    has_worker = prefect_server.has_worker(settings, begun_at)
    return has_worker and ports.is_listening(settings.receiver_port) and has_pages(settings)


def has_pages(settings: Settings) -> bool:
    """Whether the web process answers."""
    host = "127.0.0.1" if settings.web_host in _EVERY_ADDRESS else settings.web_host
    try:
        url = httpx.URL(scheme="http", host=host, port=settings.web_port, path="/health")
        return httpx.get(url, timeout=_TIMEOUT_S, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def end_leftovers(settings: Settings) -> None:
    """Kill processes that an earlier stack of this data directory has left because it was killed itself."""
    limit = time.monotonic() + _KILLED_WITHIN_S
    while (left := processes.started_with(STACK_VARIABLE, str(settings.data_dir))) and time.monotonic() < limit:
        processes.send(left, signal.SIGKILL)
        time.sleep(0.05)


def environment(settings: Settings) -> Mapping[str, str]:
    """What every process of the stack gets: all settings, so that none depends on the working directory."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ADIT_", "PREFECT_"))}
    not_by_proxy = [
        *filter(None, [inherited.get("NO_PROXY")]),
        _host_of(settings.prefect_server_url),
        "127.0.0.1",
        "localhost",
    ]
    return {
        **inherited,
        **installation.exported(settings),
        **prefect_server.environment(settings),
        STACK_VARIABLE: str(settings.data_dir),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), inherited.get("PYTHONPATH")])),
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
        "TMPDIR": str(settings.temporary_dir),
        "NO_PROXY": ",".join(not_by_proxy),
        "no_proxy": ",".join(not_by_proxy),
    }


def module(name: str) -> tuple[str, ...]:
    """How a program of this package is started."""
    return sys.executable, "-m", f"deployments.{name}"


def _host_of(url: str) -> str:
    return httpx.URL(url).host


def _lay_out(settings: Settings) -> None:
    """Make the directories. What processes left in the temporary one when they were killed is removed."""
    shutil.rmtree(settings.temporary_dir, ignore_errors=True)
    for directory in (settings.prefect_dir, settings.logs_dir, settings.temporary_dir):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)


def migrate(settings: Settings) -> None:
    """Bring our tables to this version, and make the first administrator.

    The imports take a second that the server's start has begun by now.
    """
    from models.db.engine import open_database
    from services.people import accounts

    database = open_database(settings)
    database.migrate()
    accounts.ensure_admin(database, settings)
    database.close()


def _program(settings: Settings, name: str, *command: str) -> Program:
    return Program(name, command, environment(settings), settings.logs_dir / f"{name}.log")
