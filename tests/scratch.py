"""Where tests keep their files: in memory where there is room, since databases wait for the disk at every commit."""

import os
import shutil
import tempfile
from pathlib import Path

_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 4_000_000_000


def use_memory() -> None:
    """Let temporary files of this process and of those that it starts be in memory, unless ``TMPDIR`` says where."""
    if "TMPDIR" not in os.environ and _has_room():
        os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)


def _has_room() -> bool:
    try:
        return shutil.disk_usage(_MEMORY).free > _ROOM_BYTES and os.access(_MEMORY, os.W_OK)
    except OSError:
        return False
