"""A door in front of an archive that counts how many associations go through it at a time, and can be held."""

import contextlib
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.peers import Peer, free_port

_RELEASE = b"\x06\x00\x00\x00\x00\x04\x00\x00\x00\x00"
"""An A-RELEASE-RP: the association has ended, though the connection may last a moment longer."""
_ESTABLISHED = 1
"""State of a connection that neither side has closed (tcp_states.h), as the kernel knows it at once."""
_LOOK_EVERY_S = 0.02

Holds = Callable[[int, int], bool]


def never(_own_bytes: int, _all_bytes: int) -> bool:
    return False


def each_after(size_bytes: int) -> Holds:
    """Hold every association that has carried so much, so each stands in the middle of what it moves."""
    return lambda own_bytes, all_bytes: own_bytes > size_bytes


def all_after(size_bytes: int) -> Holds:
    """Hold everything as soon as all associations together have carried so much."""
    return lambda own_bytes, all_bytes: all_bytes > size_bytes


@dataclass
class Door:
    """What stands in an archive's place; ``most`` is the largest number of associations at a time.

    As long as ``holds`` says so of an association, nothing goes through it, in whatever time; it may be closed.
    """

    ae_title: str
    port: int
    url: str
    holds: Holds = never
    most: int = 0
    total: int = 0
    _open: dict[int, socket.socket] = field(default_factory=dict[int, socket.socket])
    _bytes: Counter[int] = field(default_factory=Counter[int])
    _counting: threading.Lock = field(default_factory=threading.Lock)

    @property
    def now(self) -> int:
        """How many associations there are at this moment."""
        return sum(_is_open(caller) for caller in [*self._open.values()])

    @property
    def held(self) -> int:
        """How many of them are held."""
        all_bytes = self._bytes.total()
        callers = [*self._open.items()]
        return sum(_is_open(caller) and self.holds(self._bytes[number], all_bytes) for number, caller in callers)

    def let_go(self) -> None:
        """Hold nothing any more."""
        self.holds = never

    def enter(self, caller: socket.socket) -> int:
        with self._counting:
            self.total += 1
            self._open[self.total] = caller
            self.most = max(self.most, self.now)
            return self.total

    def leave(self, number: int) -> None:
        with self._counting:
            self._open.pop(number, None)

    def pass_through(self, number: int, caller: socket.socket, size_bytes: int) -> None:
        """Wait until so much may go on; raises ConnectionError when the caller has gone meanwhile."""
        with self._counting:
            self._bytes[number] += size_bytes
        while self.holds(self._bytes[number], self._bytes.total()):
            if not _is_open(caller):
                raise ConnectionError
            time.sleep(_LOOK_EVERY_S)


@contextlib.contextmanager
def counted(archive: Peer, holds: Holds = never, host: str = "127.0.0.1", port: int = 0) -> Iterator[Door]:
    """Open a door in front of a running archive, at an address of this machine; ``port`` is that of an earlier one."""
    door = Door(archive.ae_title, port or free_port(), archive.url, holds)
    listener = socket.create_server((host, door.port))
    threading.Thread(target=_accept, args=(listener, archive.port, door), daemon=True).start()
    try:
        yield door
    finally:
        door.let_go()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _accept(listener: socket.socket, port: int, door: Door) -> None:
    with contextlib.suppress(OSError):
        while True:
            caller, _ = listener.accept()
            number = door.enter(caller)
            archive = socket.create_connection(("127.0.0.1", port))
            for sock in (caller, archive):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for is_answer in (False, True):
                threading.Thread(target=_relay, args=(caller, archive, is_answer, door, number), daemon=True).start()


def _relay(caller: socket.socket, archive: socket.socket, is_answer: bool, door: Door, number: int) -> None:
    source, target = (archive, caller) if is_answer else (caller, archive)
    end = b""
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            door.pass_through(number, caller, len(data))
            end = (end + data)[-len(_RELEASE) :]
            if is_answer and end == _RELEASE:
                door.leave(number)
            target.sendall(data)
    door.leave(number)
    for sock in (source, target):
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()


def _is_open(caller: socket.socket) -> bool:
    with contextlib.suppress(OSError):
        return caller.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _ESTABLISHED
    return False
