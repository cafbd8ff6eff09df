"""A real HTTP server on a free loopback port that keeps what it is told, for tests of webhooks."""

import contextlib
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.waiting import wait_until


@dataclass
class Told:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def content(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass
class Listener:
    """A running server. ``answer`` decides about each request: a status, and a ``Location`` for redirects.

    While ``hangs`` is set it takes requests and never answers.
    """

    port: int = 0
    scheme: str = "http"
    told: list[Told] = field(default_factory=list)
    answer: Callable[[Told], int] = lambda told: 204
    location: str = ""
    hangs: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/adit?for=tests"

    def wait_for(self, count: int) -> list[Told]:
        """What was told, as soon as it is so much."""
        wait_until(lambda: len(self.told) >= count, f"request {count}", told=lambda: f"{len(self.told)} have come.")
        return self.told[:]


@contextlib.contextmanager
def listener(port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[Listener]:
    """Run a server; with ``tls`` it speaks TLS."""
    known = Listener(scheme="https" if tls else "http")

    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            told = Told(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            known.told.append(told)
            if known.hangs.is_set():
                known.over.wait(300)
                return
            self.send_response(known.answer(told))
            if known.location:
                self.send_header("Location", known.location)
            self.send_header("Content-Length", "6")
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(b"secret")

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Answering)
    server.daemon_threads = True
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    known.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield known
    finally:
        known.over.set()
        server.shutdown()
        server.server_close()
        thread.join(30)
