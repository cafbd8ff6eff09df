"""Plays Prefect's API on a loopback port, as far as those need it who only look at it."""

import base64
import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

AUTH = "adit:only-for-tests"


@dataclass
class PlayedPrefect:
    """What the API answers; tests change it while it runs."""

    port: int = 0
    is_ready: bool = True
    version: str = "3.8.8"
    has_pool: bool = True
    workers: dict[str, datetime] = field(default_factory=lambda: {"host-a": datetime.now(UTC)})
    deployments: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def answer(self, path: str) -> tuple[int, Any]:
        """Status and body."""
        self.asked.append(path)
        if path == "/api/ready":
            return (200, {}) if self.is_ready else (503, {})
        if path == "/api/admin/version":
            return 200, self.version
        if path == "/api/deployments/filter":
            return 200, self.deployments
        if path == "/api/work_pools/transfers":
            return (200, {"name": "transfers"}) if self.has_pool else (404, {})
        if path == "/api/work_pools/transfers/workers/filter":
            signs = [{"name": name, "last_heartbeat_time": at.isoformat()} for name, at in self.workers.items()]
            return (200, signs) if self.has_pool else (404, {})
        return 404, {}


@contextlib.contextmanager
def played_prefect(auth: str = AUTH) -> Iterator[PlayedPrefect]:
    """An API that asks for this user and password, except where Prefect does not."""
    played = PlayedPrefect()
    wanted = "Basic " + base64.b64encode(auth.encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self._answer()

        def log_message(self, *_arguments: object) -> None:
            pass

        def _answer(self) -> None:
            is_let_in = self.path == "/api/ready" or self.headers.get("authorization") == wanted
            status, body = played.answer(self.path) if is_let_in else (401, {})
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    played.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield played
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
