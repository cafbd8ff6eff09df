"""Whether a program still works on this machine, for what supervises it: ``python -m deployments.alive web``.

Nothing is called dead because something else that it needs does not answer: starting it again would not help, and
would end the transfers of a worker.
"""

import socket
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from deployments import installation, ports, prefect_server, stack
from models.db.engine import open_database
from models.db.signs import SignStore
from models.domain.errors import AditError
from models.settings import Settings
from services import prefect_status, worker_names

_SILENT_FOR = timedelta(seconds=120)
"""Programs give signs every 10 seconds."""


def main(program: str) -> None:
    """End with status 0 when the program works, 1 when it does not, or cannot for want of right settings."""
    try:
        is_alive = PROGRAMS[program](installation.open_settings())
    except AditError as error:
        sys.exit(f"{program}: {error.message}")
    print(f"{program}: {'works' if is_alive else 'does not work'}")
    sys.exit(0 if is_alive else 1)


def _gives_signs(settings: Settings, program: str) -> bool:
    database = open_database(settings)
    try:
        signs = SignStore(database).list()
    except AditError:
        return True
    finally:
        database.close()
    mine = (sign for sign in signs if (sign.program, sign.machine) == (program, socket.gethostname()))
    return any(sign.seen_at > datetime.now(UTC) - _SILENT_FOR for sign in mine)


def _is_worker_alive(settings: Settings) -> bool:
    """Whether a worker of this machine lives; nobody can tell while Prefect does not answer."""
    try:
        names = prefect_status.alive(settings)
    except AditError:
        return True
    return socket.gethostname() in map(worker_names.machine_of, names)


PROGRAMS: Mapping[str, Callable[[Settings], bool]] = {
    "web": stack.has_pages,
    "prefect-server": prefect_server.is_ready,
    "dispatcher": lambda settings: _gives_signs(settings, "dispatcher"),
    "receiver": lambda settings: ports.is_listening(settings.receiver_port),
    "worker": _is_worker_alive,
}

if __name__ == "__main__":
    main(*sys.argv[1:])
