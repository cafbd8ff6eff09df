"""Single programs of the stack, where somebody else supervises them: systemd, containers, a shell.

Each waits for what it needs, runs in the foreground, and ends on SIGTERM. `adit up` does not come this way.
"""

import os
import shutil
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

from deployments import prefect_server, stack
from deployments.daemon import StopRequest
from deployments.screen import say
from deployments.supervisor import Program, Supervisor
from models.db.engine import Database, open_database
from models.domain.errors import Interrupted, TimedOut, Unreachable
from models.settings import Settings

_WAIT_S = 180.0
"""Longer than databases and servers take to start; whoever supervises us then starts us again."""
_LOOK_EVERY_S = 1.0


def become(settings: Settings, name: str, *command: str) -> NoReturn:
    """Replace this process by a program of the stack: signals then reach it without a detour."""
    environment = _environment(settings, name)
    os.chdir(settings.data_dir)
    os.execve(command[0], command, environment)


def run_worker(settings: Settings, name: str, limit: int) -> int:
    """Run one worker of Prefect's pool until it ends or we are told to end; return its exit status.

    Flow runs at work are then asked to end as well, which gives back their items, and killed after 20 seconds.
    """
    name = name or socket.gethostname()
    await_tables(settings)
    _await("Prefect's server with the deployments of adit init", lambda: prefect_server.is_set_up(settings))
    command = prefect_server.worker_command(name, limit)
    environment = _environment(settings, f"worker-{name}")
    with Supervisor(say, settings.data_dir) as supervisor:
        return supervisor.see_out(Program("worker", command, environment, log=None))


def migrate(settings: Settings) -> None:
    """Bring our tables to this version as soon as the database answers, and make the first administrator."""
    database = open_database(settings)
    _await("the database", lambda: _answers(database))
    database.close()
    stack.migrate(settings)


def await_tables(settings: Settings) -> None:
    """Wait until the database has the tables of this version.

    Raises TimedOut, Interrupted by a signal, or NotPermitted when the master key is not the database's.
    """
    database = open_database(settings)
    _await("the tables of this version, which adit init makes", lambda: _answers(database) and database.is_current())
    database.check_key()
    database.close()


def _answers(database: Database) -> bool:
    try:
        database.is_current()
    except Unreachable:
        return False
    return True


def _await(what: str, condition: Callable[[], bool]) -> None:
    stop, limit = StopRequest(), time.monotonic() + _WAIT_S
    if condition():
        return
    say(f"Waiting for {what} ...")
    while not condition():
        if time.monotonic() > limit:
            raise TimedOut(f"Waited {_WAIT_S:.0f} seconds for {what}.")
        if stop.comes_within(_LOOK_EVERY_S):
            raise Interrupted("Stopped on request.")


def _environment(settings: Settings, name: str) -> Mapping[str, str]:
    """What `adit up` would give the program, with a temporary directory that it shares with no other."""
    temporary = _emptied(settings.temporary_dir / name.replace(os.sep, "-"))
    settings.prefect_dir.mkdir(exist_ok=True, mode=0o700)
    environment = {**stack.environment(settings), "TMPDIR": str(temporary)}
    del environment[stack.STACK_VARIABLE]  # an adit up on this data directory must not take it for a leftover
    return environment


def _emptied(directory: Path) -> Path:
    """What a program left in its temporary directory when it was killed is removed."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True, mode=0o700)
    return directory
