"""Machines of their own, as network namespaces on one bridge: each has its own address, processes and data directory.

Needs root. The test's own process is on the bridge, too, with the address of the machine ``centre``, where everything
runs that there is once: PostgreSQL, Prefect's server, the dispatcher. Archives run there as well.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
_PREFIX = "adit-t"


@dataclass
class Machine:
    """A host; ``namespace`` is empty for the centre."""

    name: str
    address: str
    directory: Path
    environment: Mapping[str, str]
    namespace: str = ""
    _programs: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def run(self, *command: str, timeout_s: float = 180) -> "subprocess.CompletedProcess[str]":
        """Run `adit` with a command to its end."""
        return subprocess.run(
            self._adit(*command), env=self.environment, cwd=self.directory, capture_output=True, text=True,
            timeout=timeout_s, check=False,
        )  # fmt: skip

    def start(self, *command: str) -> "subprocess.Popen[bytes]":
        """Start `adit` with a command that goes on until it is ended."""
        with self.log(command[0]).open("ab") as log:
            process = subprocess.Popen(
                self._adit(*command), env=self.environment, cwd=self.directory, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self._programs[f"{command[0]} {process.pid}"] = process
        return process

    @property
    def centre_address(self) -> str:
        return f"{self.address.rpartition('.')[0]}.1"

    def log(self, program: str) -> Path:
        return self.directory / f"{program}.log"

    def pids(self, *words: str) -> list[int]:
        """Living processes of this machine whose command line holds all the words."""
        return [pid for pid, command in _processes(self.directory) if all(word in command for word in words)]

    def kill(self, *words: str) -> None:
        """SIGKILL every process whose command line holds all the words."""
        victims = self.pids(*words)
        assert victims, f"nothing runs on {self.name} with {words}"
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._reap()

    def cut_link(self) -> None:
        """Take the machine off the network: nobody hears that anything of it has ended."""
        _ip("link", "set", f"{self.namespace}-v", "down")

    def mend_link(self) -> None:
        _ip("link", "set", f"{self.namespace}-v", "up")

    def end(self) -> None:
        """End what is left, politely first."""
        for process in reversed(self._programs.values()):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        limit = time.monotonic() + 30
        while self.pids() and time.monotonic() < limit:
            self._reap()
            time.sleep(0.05)
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self._programs.values():
            process.wait(240)

    def _reap(self) -> None:
        for process in self._programs.values():
            process.poll()

    def _adit(self, *command: str) -> list[str]:
        inside = ["ip", "netns", "exec", self.namespace] if self.namespace else []
        return [*inside, sys.executable, "-m", "deployments.cli", *command]


@dataclass
class Network:
    """A bridge with the centre on it, and the machines that were added."""

    directory: Path
    number: int
    settings: Mapping[str, str] = field(default_factory=dict)
    machines: list[Machine] = field(default_factory=list)

    def address(self, host: int) -> str:
        return f"10.{self.number // 200 + 210}.{self.number % 200}.{host}"

    @property
    def bridge(self) -> str:
        return f"{_PREFIX}{self.number}"

    def centre(self, **settings: object) -> Machine:
        """The machine on which the test runs."""
        return self._machine("centre", self.address(1), "", settings)

    def machine(self, name: str, **settings: object) -> Machine:
        """A machine in a network namespace of its own."""
        host = len(self.machines) + 2
        namespace = f"{self.bridge}-{host}"
        _ip("netns", "add", namespace)
        outside, inside = f"{namespace}-v", f"{namespace}-w"
        _ip("link", "add", outside, "type", "veth", "peer", "name", inside)
        _ip("link", "set", outside, "master", self.bridge, "up")
        _ip("link", "set", inside, "netns", namespace)
        for words in (["addr", "add", f"{self.address(host)}/24", "dev", inside], ["link", "set", inside, "up"]):
            _ip("-n", namespace, *words)
        _ip("-n", namespace, "link", "set", "lo", "up")
        return self._machine(name, self.address(host), namespace, settings)

    def _machine(self, name: str, address: str, namespace: str, settings: Mapping[str, object]) -> Machine:
        directory = self.directory / name
        directory.mkdir()
        own = {"data_dir": directory, **settings}
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("ADIT_", "PREFECT_"))},
            "PYTHONPATH": str(REPOSITORY),
            **self.settings,
            **{f"ADIT_{key.upper()}": str(value) for key, value in own.items()},
        }
        machine = Machine(name, address, directory, environment, namespace)
        self.machines.append(machine)
        return machine


@contextlib.contextmanager
def network(directory: Path) -> Iterator[Network]:
    """A bridge of a network that nothing else uses; at the end nothing of it is left."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    made = Network(directory, os.getpid() % 8000)
    _remove(made.bridge)
    try:
        _ip("link", "add", made.bridge, "type", "bridge")
    except subprocess.CalledProcessError:
        pytest.skip("this machine lets nobody make a bridge")
    try:
        _ip("addr", "add", f"{made.address(1)}/24", "dev", made.bridge)
        _ip("link", "set", made.bridge, "up")
        yield made
    finally:
        for machine in reversed(made.machines):
            machine.end()
        _remove(made.bridge)


def _remove(bridge: str) -> None:
    """The namespaces of a bridge with all that is in them, and the bridge itself."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    for line in listed.splitlines():
        namespace = line.split()[0]
        if namespace.startswith(f"{bridge}-"):
            _ip("netns", "del", namespace)
    subprocess.run(["ip", "link", "del", bridge], capture_output=True, check=False)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _processes(directory: Path) -> Iterator[tuple[int, str]]:
    """Processes that were started with this data directory in their environment."""
    marker = f"ADIT_DATA_DIR={directory}".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if marker in (entry / "environ").read_bytes().split(b"\0"):
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    if command:
                        yield int(entry.name), command
