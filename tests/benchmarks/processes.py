"""Measures processes: CPU seconds and peak memory, our own and those of other programs (Linux's /proc)."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.benchmarks.rounds import Run, RunError

_TICKS = os.sysconf("SC_CLK_TCK")
_TIMED = """
import json, os, sys, time
started = time.perf_counter()
sink = [(os.POSIX_SPAWN_OPEN, descriptor, os.devnull, os.O_WRONLY, 0) for descriptor in (1, 2)]
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=sink)
_, status, usage = os.wait4(pid, 0)
wall = time.perf_counter() - started
print(json.dumps([os.waitstatus_to_exitcode(status), wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss]))
"""
"""Starts a program from a small process, because a child's peak memory in the kernel's books begins with that of
the process it was born from."""


def run_program(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> Run:
    """Run a program to its end and measure it; raises RunError when it says that it failed."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _TIMED, *map(str, command)],
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        check=True,
    )
    code, wall_s, cpu_s, rss_kib = json.loads(done.stdout)
    if code:
        raise RunError(f"{Path(command[0]).name} ended with {code}")
    return Run(wall_s, cpu_s, peak_rss_mb=rss_kib * 1024 / 1e6)


def one_after_another(runs: Sequence[Run]) -> Run:
    """Several programs of one pipeline as one run: times add up, memory does not."""
    return Run(
        sum(run.wall_s for run in runs),
        sum(run.cpu_s or 0 for run in runs),
        peak_rss_mb=max(run.peak_rss_mb or 0 for run in runs),
    )


def cpu_s(pid: int) -> float:
    """User and system time of a living process with all its threads, without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def own_peak_rss_mb() -> float:
    """The most memory that this process has held at a time since its program was started."""
    return peak_rss_mb(os.getpid())


def peak_rss_mb(pid: int) -> float:
    """The most memory that a living process has held at a time."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM"))
    return int(peak) * 1024 / 1e6


def machine_cpu_s() -> float:
    """What all processes of the machine have used since it was started, in seconds of one core."""
    user, nice, system, _idle, _waiting, interrupts, soft, *_ = Path("/proc/stat").read_text().split()[1:9]
    return sum(map(int, (user, nice, system, interrupts, soft))) / _TICKS
