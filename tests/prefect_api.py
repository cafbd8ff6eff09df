"""A real Prefect server on a free loopback port, with the settings of `adit up`, for tests that talk to its API."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from cryptography.fernet import Fernet
from prefect.client.orchestration import SyncPrefectClient

from deployments.prefect_server import environment, is_ready, server_command
from models.settings import Settings
from tests.peers import end, free_port
from tests.waiting import wait_until

AUTH = "tester:only-for-tests"
"""User and password of the server."""


@contextlib.contextmanager
def prefect_server(directory: Path) -> Iterator[int]:
    """Run a Prefect server whose database is in the directory; yields its port."""
    key = Fernet.generate_key().decode()
    settings = Settings(data_dir=directory, master_key=key, prefect_port=free_port(), prefect_auth=AUTH)  # type: ignore[arg-type]
    (directory / "prefect").mkdir(parents=True)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    command = [*server_command(settings), "--no-ui"]
    with (directory / "prefect.log").open("wb") as log:
        process = subprocess.Popen(command, env={**inherited, **environment(settings)}, stdout=log, stderr=log)
    try:
        _wait_until_ready(settings, process)
        yield settings.prefect_port
    finally:
        end(process)


def client_of(api_url: str) -> SyncPrefectClient:
    """A client that knows the password."""
    return SyncPrefectClient(api=api_url, auth_string=AUTH)


def _wait_until_ready(settings: Settings, process: subprocess.Popen[bytes]) -> None:
    wait_until(lambda: is_ready(settings) or process.poll() is not None, "the Prefect server")
    assert process.poll() is None, "the Prefect server has ended"
