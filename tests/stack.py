"""The whole stack as a user starts it, `adit up`, in a directory of its own, for acceptance tests."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from models.domain.jobs import FINISHED, Job
from tests.installation import TESTER, Installation
from tests.peers import free_port
from tests.waiting import wait_until

UP_TIMEOUT_S = 500


@dataclass
class Stack:
    """A running `adit up` and the installation it works for."""

    installation: Installation
    process: subprocess.Popen[bytes]
    prefect_port: int
    log: Path

    def pids(self, *words: str) -> list[int]:
        """Living processes of this stack whose command line holds all the words."""
        return [
            pid
            for pid, command in processes_of(self.installation.settings.data_dir)
            if all(w in command for w in words)
        ]

    def kill_workers(self) -> None:
        """SIGKILL the worker and the flow runs that it has started."""
        victims = [*self.pids("deployments.worker"), *self.pids("deployments.flow_program")]
        assert victims, "no worker is running"
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def wait_until(self, condition: Callable[[], object], what: str, timeout_s: float = UP_TIMEOUT_S) -> None:
        """Wait for something to come true while the stack runs."""

        def is_so() -> bool:
            if condition():
                return True
            assert self.process.poll() is None, f"adit up has ended: {self.tail()}"
            return False

        wait_until(is_so, what, timeout_s, self.tail)

    def wait_for_end(self, job: Job, timeout_s: float = UP_TIMEOUT_S) -> None:
        from services import jobs

        self.wait_until(
            lambda: jobs.get(self.installation.db, TESTER, job.id).state in FINISHED, "the end of the job", timeout_s
        )

    def stored(self, job: Job) -> int:
        """How many instances the receipts of a job say are stored."""
        return sum(len(self.installation.receipt(item).stored) for item in self.installation.items(job))

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]


def processes_of(directory: Path) -> Iterator[tuple[int, str]]:
    """Processes that were started with this data directory in their environment, but not this one."""
    marker = f"ADIT_DATA_DIR={directory}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if marker in (entry / "environ").read_bytes().split(b"\0"):
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if command:
                    yield int(entry.name), command


@contextlib.contextmanager
def stack(directory: Path, **options: object) -> Iterator[Stack]:
    """Start `adit up` and wait until it says that it is ready; end it with SIGTERM."""
    installation = Installation(directory, **options)
    settings = installation.settings
    prefect_port = free_port()
    log = directory / "up.log"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("ADIT_", "PREFECT_"))},
        "ADIT_DATA_DIR": str(directory),
        "ADIT_MASTER_KEY": settings.master_key.get_secret_value(),
        "ADIT_PREFECT_PORT": str(prefect_port),
        "ADIT_RECEIVER_PORT": str(settings.receiver_port),
        "ADIT_WEB_PORT": str(free_port()),
        "ADIT_SPOOL_RESERVE_MB": "1",
        **{f"ADIT_{name.upper()}": str(value) for name, value in options.items()},
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "deployments.cli", "up"], env=environment, stdout=output, stderr=output
        )
    running = Stack(installation, process, prefect_port, log)
    try:
        running.wait_until(lambda: "ADIT is ready" in log.read_text(errors="replace"), "readiness")
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(240)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
