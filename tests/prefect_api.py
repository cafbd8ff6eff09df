"""A real Prefect server on a free loopback port, for tests that talk to its API."""

import contextlib
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.peers import end, free_port

READY_WITHIN_S = 120


@contextlib.contextmanager
def prefect_server(directory: Path) -> Iterator[int]:
    """Run a Prefect server whose database is in the directory; yields its port."""
    port = free_port()
    home = directory / "prefect"
    home.mkdir(parents=True)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
        "PREFECT_HOME": str(home),
        "PREFECT_PROFILES_PATH": str(home / "profiles.toml"),
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(home / "ui"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (directory / "prefect.log").open("wb") as log:
        process = subprocess.Popen([*command, "--no-ui"], env=environment, stdout=log, stderr=log)
    try:
        _wait_until_ready(port, process)
        yield port
    finally:
        end(process)


def _wait_until_ready(port: int, process: subprocess.Popen[bytes]) -> None:
    limit = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < limit:
        assert process.poll() is None, "the Prefect server has ended"
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/api/ready", timeout=5):
            return
        time.sleep(0.2)
    raise AssertionError("the Prefect server did not get ready")
