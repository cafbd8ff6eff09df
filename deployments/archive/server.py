"""Listens and gives each association a thread."""

import contextlib
import socket
import threading
from pathlib import Path

from deployments.archive.index import Index
from deployments.archive.session import Destinations, Session
from deployments.archive.wire import Wire, WireError


class Archive:
    """A running archive. It listens from the moment it is made, on the loopback address unless told otherwise.

    Raises OSError when the port is taken or the directory cannot be used. Port 0 takes any free one: see ``port``.
    """

    def __init__(
        self, ae_title: str, port: int, directory: Path, destinations: Destinations, host: str = "127.0.0.1"
    ) -> None:
        self.index = Index(directory)
        self._ae_title = ae_title
        self._destinations = destinations
        self._wires: set[Wire] = set()
        self._threads: set[threading.Thread] = set()
        self._listener = socket.create_server((host, port), backlog=64)
        self.port: int = self._listener.getsockname()[1]

    def serve(self) -> None:
        """Take associations until ``stop``."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve_one, args=(connection,), daemon=True)
            self._threads.add(thread)
            thread.start()

    def stop(self) -> None:
        """Stop listening and break all associations. May be called from another thread."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for wire in list(self._wires):
            wire.close()
        for thread in list(self._threads):
            thread.join(5)

    def _serve_one(self, connection: socket.socket) -> None:
        wire = Wire(connection)
        self._wires.add(wire)
        try:
            Session(wire, self._ae_title, self.index, self._destinations).serve()
        except (WireError, OSError):
            pass  # the peer is gone; what it had stored is stored
        finally:
            wire.close()
            self._wires.discard(wire)
            self._threads.discard(threading.current_thread())
