"""Describes the machine on which figures were measured."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from tests.peers import DCMTK, ORTHANC


def description() -> dict[str, str]:
    """What a reader needs to judge the figures; the load tells whether others were at work."""
    memory_kib = int(_line("/proc/meminfo", "MemTotal").split()[1])
    return {
        "processor": f"{os.cpu_count()} cores, {_line('/proc/cpuinfo', 'model name').partition(':')[2].strip()}",
        "memory": f"{memory_kib * 1024 / 1e9:.0f} GB",
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "libraries": ", ".join(f"{name} {version(name)}" for name in ("prefect", "pynetdicom", "pydicom", "dicognito")),
        "peers": f"Orthanc {_word(ORTHANC, 1)}, DCMTK {_word(str(DCMTK / 'echoscu'), 2)}",
        "load at the start": " ".join(f"{load:.1f}" for load in os.getloadavg()),
    }


def _line(path: str, begin: str) -> str:
    """The first line of a file of /proc that begins so, or an empty one where this kernel has none."""
    lines = Path(path).read_text().splitlines()
    return next((line for line in lines if line.startswith(begin)), ":")


def _word(program: str, position: int) -> str:
    """One word of what a program says about its version."""
    words = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout.split()
    return words[position] if len(words) > position else "unknown"
