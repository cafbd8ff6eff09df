"""A door in front of an archive that counts how many associations go through it at a time."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.peers import Peer, free_port

_RELEASED = 0x06
"""First byte of an A-RELEASE-RP: the association has ended, though the connection may last a moment longer."""


@dataclass
class Door:
    """What stands in an archive's place; ``most`` is the largest number of associations at a time."""

    ae_title: str
    port: int
    url: str
    most: int = 0
    total: int = 0
    _open: set[int] = field(default_factory=set[int])
    _counting: threading.Lock = field(default_factory=threading.Lock)

    @property
    def now(self) -> int:
        """How many associations there are at this moment."""
        return len(self._open)

    def enter(self) -> int:
        with self._counting:
            self.total += 1
            self._open.add(self.total)
            self.most = max(self.most, len(self._open))
            return self.total

    def leave(self, number: int) -> None:
        with self._counting:
            self._open.discard(number)


@contextlib.contextmanager
def counted(archive: Peer) -> Iterator[Door]:
    """Open a door in front of a running archive."""
    door = Door(archive.ae_title, free_port(), archive.url)
    listener = socket.create_server(("127.0.0.1", door.port))
    threading.Thread(target=_accept, args=(listener, archive.port, door), daemon=True).start()
    try:
        yield door
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _accept(listener: socket.socket, port: int, door: Door) -> None:
    with contextlib.suppress(OSError):
        while True:
            caller, _ = listener.accept()
            number = door.enter()
            archive = socket.create_connection(("127.0.0.1", port))
            for sock in (caller, archive):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for pair in ((caller, archive, False), (archive, caller, True)):
                threading.Thread(target=_relay, args=(*pair, door, number), daemon=True).start()


def _relay(source: socket.socket, target: socket.socket, is_answer: bool, door: Door, number: int) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            if is_answer and data[-10] == _RELEASED and data[-9:-4] == b"\0\0\0\0\4":
                door.leave(number)
            target.sendall(data)
    door.leave(number)
    for sock in (source, target):
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()
