"""The supervisor keeps programs running and leaves nothing behind. Real processes, in a supervisor of their own."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SLEEPS = "import time; time.sleep(600)"
LEAVES_A_CHILD = (
    "import subprocess, sys, time; "
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True); "
    "time.sleep(600)"
)
IGNORES_SIGTERM = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open('deaf', 'w').close(); time.sleep(600)"
)
ENDS_AT_ONCE = "raise SystemExit(3)"


@dataclass
class Running:
    """A supervisor at work."""

    process: "subprocess.Popen[bytes]"
    directory: Path
    marker: str

    @property
    def reports(self) -> list[str]:
        path = self.directory / "reports"
        return path.read_text().splitlines() if path.exists() else []

    def below(self) -> set[int]:
        """Its processes, however deep; found by the environment that they have inherited."""
        found = set()
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if self.marker.encode() in (entry / "environ").read_bytes().split(b"\0"):
                    found.add(int(entry.name))
        return found - {self.process.pid}

    def wait_for(self, condition: Callable[[], bool]) -> None:
        limit = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < limit, self.reports
            time.sleep(0.02)


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start(grace_s: float = 20, **programs: str) -> Running:
        plan = tmp_path / "plan.json"
        plan.write_text(json.dumps({"programs": programs, "grace_s": grace_s}))
        name, value = "SUPERVISED_IN", str(tmp_path)
        environment = {**os.environ, "PYTHONPATH": str(ROOT), name: value}
        command = [sys.executable, str(Path(__file__).parent / "supervised.py"), str(plan)]
        running = Running(subprocess.Popen(command, env=environment), tmp_path, f"{name}={value}")
        started.append(running)
        return running

    yield start
    for running in started:
        running.process.kill()
        running.process.wait()
        for pid in running.below():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_a_program_that_was_killed_is_started_again(supervise: Callable[..., Running]) -> None:
    running = supervise(sleeper=SLEEPS)
    running.wait_for(lambda: len(running.below()) == 1)
    (first,) = running.below()
    os.kill(first, signal.SIGKILL)
    running.wait_for(lambda: running.below() not in (set(), {first}))
    assert running.reports == ["sleeper: killed by SIGKILL; it starts again in 0.05 s"]


def test_a_program_that_always_fails_is_started_with_growing_delay(supervise: Callable[..., Running]) -> None:
    running = supervise(failing=ENDS_AT_ONCE)
    running.wait_for(lambda: len(running.reports) >= 3)
    assert running.reports[:3] == [
        f"failing: ended with status 3; it starts again in {delay} s" for delay in ("0.05", "0.1", "0.2")
    ]


def test_what_a_killed_program_had_started_is_ended_before_it_starts_again(supervise: Callable[..., Running]) -> None:
    running = supervise(worker=LEAVES_A_CHILD)
    running.wait_for(lambda: len(running.below()) == 2)
    before = running.below()
    worker = min(before)
    os.kill(worker, signal.SIGKILL)
    running.wait_for(lambda: not before & running.below() and len(running.below()) == 2)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_every_process_and_the_supervisor(
    supervise: Callable[..., Running], number: signal.Signals
) -> None:
    running = supervise(worker=LEAVES_A_CHILD, other=SLEEPS)
    running.wait_for(lambda: len(running.below()) == 3)
    running.process.send_signal(number)
    assert running.process.wait(15) == 0
    assert running.below() == set()
    assert running.reports == []


def test_a_program_that_does_not_want_to_end_is_killed_after_the_time_of_grace(
    supervise: Callable[..., Running], tmp_path: Path
) -> None:
    running = supervise(grace_s=0.5, deaf=IGNORES_SIGTERM)
    running.wait_for((tmp_path / "deaf").exists)
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(15) == 0
    assert running.below() == set()


def test_programs_end_when_the_supervisor_is_killed(supervise: Callable[..., Running]) -> None:
    running = supervise(one=SLEEPS, two=SLEEPS)
    running.wait_for(lambda: len(running.below()) == 2)
    running.process.kill()
    running.process.wait()
    running.wait_for(lambda: running.below() == set())


COMPLETES = """
import os, sys
from pathlib import Path
from deployments.supervisor import Program, Supervisor
from models.domain.errors import Unreachable

log = Path("setup.log").absolute()
with Supervisor(print, Path.cwd()) as supervisor:
    try:
        supervisor.complete(Program("setup", (sys.executable, "-c", sys.argv[1]), dict(os.environ), log), 60)
    except Unreachable as error:
        print(error.message)
"""


@pytest.mark.parametrize(
    ("code", "words"), [("print('why\\n'); exit(2)", " why"), ("exit(2)", "")], ids=["words", "none"]
)
def test_the_last_words_of_a_program_that_has_failed_are_told(tmp_path: Path, code: str, words: str) -> None:
    log = tmp_path / "setup.log"
    log.write_text("words of an earlier one\n")
    command = [sys.executable, "-c", COMPLETES, code]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    told = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    assert told == f"setup: ended with status 2.{words} See {log}.\n"
