"""How much of mapped files this process has in memory (``man 5 proc``: RssFile and RssShmem of /proc/pid/status)."""

import os
from pathlib import Path

from dicom.mapping import mapped

MAPPED_BYTES = 64 << 20
MOST_BYTES = 16 << 20
"""How much of such a file, and of all libraries that are looked into meanwhile, may be in memory at a time."""


def resident_bytes() -> int:
    lines = (line.split() for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines())
    return sum(int(line[1]) << 10 for line in lines if line[0] in {"RssFile:", "RssShmem:"})


def a_mapped_file(directory: Path) -> memoryview:
    """A large file of bytes that are never twice the same for long, without a name."""
    path = directory / "large"
    block = os.urandom(1 << 20)
    with path.open("wb") as file:
        for number in range(MAPPED_BYTES >> 20):
            file.write(number.to_bytes(8, "big") + block[8:])
    with path.open("rb") as file:
        path.unlink()
        return mapped(file)
