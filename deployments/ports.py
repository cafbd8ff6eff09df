"""Ports of this machine: which is free, what is taken, who listens."""

import socket
from pathlib import Path

from models.domain.errors import BadRequest

LOOPBACK = "127.0.0.1"
_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LISTEN = "0A"


def free_port() -> int:
    """A loopback port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]


def check_is_free(host: str, port: int, option: str) -> None:
    """Raise BadRequest, naming the option that chooses another port, when the port is in use."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as exc:
        raise BadRequest(
            f"Port {port} of {host} cannot be used. Choose another with {option} (0: any free one)."
        ) from exc


def is_listening(port: int) -> bool:
    """Whether something on this machine listens on the port; it is not disturbed by a connection (``man 5 proc``)."""
    return any(_is_listener(line.split(), port) for table in _TABLES if table.exists() for line in _rows(table))


def _rows(table: Path) -> list[str]:
    return table.read_text(encoding="ascii").splitlines()[1:]


def _is_listener(row: list[str], port: int) -> bool:
    return row[3] == _LISTEN and int(row[1].rpartition(":")[2], 16) == port
