"""A Prefect server of the benchmark's own: started as `adit up` starts it, on a free port and without a trace after."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.fernet import Fernet

from deployments.prefect_server import environment, is_ready, server_command
from models.settings import Settings
from tests.peers import end, free_port

_READY_S = 120


@dataclass(frozen=True, slots=True)
class PrefectServer:
    """A running server: the environment in which flows find it, its process group, and its database."""

    environment: Mapping[str, str]
    pid: int
    database: Path


@contextmanager
def prefect_server(directory: Path) -> Generator[PrefectServer]:
    """Run a server."""
    settings = Settings(
        data_dir=directory,
        master_key=Fernet.generate_key().decode(),
        prefect_host="127.0.0.1",
        prefect_port=free_port(),
        prefect_auth="benchmark:of-one-run",
    )
    variables = environment(settings)
    Path(variables["PREFECT_HOME"]).mkdir(parents=True)
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            server_command(settings),
            env={**os.environ, **variables},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait_until_ready(settings, process)
        yield PrefectServer(variables, process.pid, Path(variables["PREFECT_HOME"]) / "prefect.db")
    finally:
        end(process)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _wait_until_ready(settings: Settings, process: "subprocess.Popen[bytes]") -> None:
    give_up_at = time.monotonic() + _READY_S
    while not is_ready(settings):
        if process.poll() is not None:
            raise RuntimeError(f"The Prefect server ended with {process.returncode}.")
        if time.monotonic() > give_up_at:
            raise RuntimeError(f"The Prefect server was not ready after {_READY_S} s.")
        time.sleep(0.2)
