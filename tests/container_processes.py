"""The services of compose.yaml as processes of this machine: the same commands, settings and health checks.

What differs is said in ``_adapted``: addresses and ports are of the loopback, and the data directory is the test's.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from deployments import docker
from tests.databases import POSTGRESQL, Cluster
from tests.peers import end, free_port
from tests.waiting import wait_until

ROOT = docker.ROOT
PATIENCE_S = 600
_PLACEHOLDER = re.compile(r"\$\{\w+:-([^}]*)\}")


@dataclass
class Containers:
    """A workspace with its ``.env``, and what has been started in it."""

    workspace: Path
    database_port: int
    ports: Mapping[str, int] = field(default_factory=lambda: {name: free_port() for name in ("4200", "8000", "11112")})
    started: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def service(self, name: str) -> dict[str, Any]:
        services: dict[str, Any] = yaml.safe_load(docker.BASE.read_text())["services"]
        return services[name]

    def environment(self, name: str) -> dict[str, str]:
        """What the service's processes get; settings of the ``.env`` come by the file, as in a container."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("ADIT_", "PREFECT_"))}
        own = {key: self._adapted(str(value)) for key, value in self.service(name)["environment"].items()}
        return {**inherited, **own, "PYTHONPATH": str(ROOT), "ADIT_SPOOL_RESERVE_MB": "1"}

    def start(self, name: str) -> None:
        command = [sys.executable, "-m", "deployments.cli", *map(self._adapted, self.service(name)["command"])]
        with self.log(name).open("ab") as log:
            self.started[name] = subprocess.Popen(
                command, cwd=self.workspace, env=self.environment(name), stdout=log, stderr=log
            )

    def is_healthy(self, name: str) -> bool:
        """What the service's health check says."""
        words = self.service(name)["healthcheck"]["test"][1:]
        program = [sys.executable if words[0] == "python" else words[0], *words[1:]]
        asked = subprocess.run(
            program,
            cwd=self.workspace,
            env=self.environment(name),
            capture_output=True,
            check=False,
            timeout=PATIENCE_S,
        )
        return asked.returncode == 0

    def wait_until_healthy(self, *names: str) -> None:
        for name in names:
            wait_until(partial(self._gets_healthy, name), f"health of {name}", PATIENCE_S, partial(self.tail, name))

    def _gets_healthy(self, name: str) -> bool:
        if self.started[name].poll() is not None:  # what it waits for took too long
            self.start(name)
        return self.is_healthy(name)

    def complete(self, name: str) -> None:
        """Start a service that ends by itself; as the compose file says, again when it has failed."""

        def is_complete() -> bool:
            self.start(name)
            return self.started[name].wait(PATIENCE_S) == 0

        told = lambda: f"{self.tail(name)} {self.tail('prefect-server')}"  # noqa: E731
        wait_until(is_complete, f"the completion of {name}", PATIENCE_S, told)

    def call(self, *words: str) -> str:
        """Run the command in the workspace, as an administrator does."""
        command = [sys.executable, "-m", "deployments.cli", *words]
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(self.workspace)}
        return subprocess.run(
            command, cwd=self.workspace, env=environment, check=True, capture_output=True, text=True
        ).stdout

    def log(self, name: str) -> Path:
        return self.workspace / f"{name}.log"

    def tail(self, name: str) -> str:
        return self.log(name).read_text(errors="replace")[-2000:]

    def _adapted(self, value: str) -> str:
        value = _PLACEHOLDER.sub(lambda match: match[1], value)
        hosts = [("@postgres/", f"@127.0.0.1:{self.database_port}/"), ("//prefect-server:", "//127.0.0.1:")]
        for old, new in [
            *hosts,
            ("0.0.0.0", "127.0.0.1"),
            ("/data", str(self.workspace / "data")),
            ("/mnt", str(self.workspace)),
        ]:
            value = value.replace(old, new)
        return re.sub(r"\b(4200|8000|11112)\b", lambda match: str(self.ports[match[0]]), value)


@contextmanager
def containers(workspace: Path, cluster: Cluster, database_port: int) -> Iterator[Containers]:
    """Nothing is started yet; at the end everything is asked to stop, the last first."""
    made = Containers(workspace, database_port)
    cluster.execute("CREATE DATABASE adit")
    script = docker.CONTAINERS / "create-prefect-database.sh"
    environment = {"PATH": f"{POSTGRESQL}:{os.environ['PATH']}", "PGHOST": "127.0.0.1", "PGPORT": str(database_port)}
    subprocess.run([script], env={**environment, "POSTGRES_USER": "adit"}, check=True)
    try:
        yield made
    finally:
        for process in reversed(made.started.values()):
            end(process)
