"""The worker's local folder for data in transit. It holds patient data, so only we may read it, and it is swept."""

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from dicom.files.trouble import writing

PRIVATE = 0o700


class Spool:
    """A folder with two places: ``inbox`` for what a receiver takes in, ``scratch`` for files without a name.

    Made when missing, readable by our own user only. It must be on a disk of this machine.

    Raises WriteFailed when it cannot be made.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.inbox = root / "inbox"
        self.scratch = root / "scratch"
        with writing(root, "spool"):
            for place in (root, self.inbox, self.scratch):
                place.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
                place.chmod(PRIVATE)

    def check_room(self, needed_bytes: int, reserve_bytes: int = 0) -> None:
        """Raise NoSpace unless so much can be written and the reserve is still free afterwards."""
        with writing(self.root, "spool"):
            disk = os.statvfs(self.root)
            if disk.f_bavail * disk.f_frsize < needed_bytes + reserve_bytes:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def sweep(self) -> int:
        """Remove the files in ``scratch`` that no living process of this machine has open; return how many.

        Files there have no name, or lose it at once, so a name tells of a process that died. The inbox is swept
        by its owner.
        """
        named = list(_files(self.scratch))
        held = _open_files()
        swept = 0
        for path in named:
            with writing(self.root, "spool"), suppress(FileNotFoundError):
                status = path.stat(follow_symlinks=False)
                if (status.st_dev, status.st_ino) not in held:
                    path.unlink()
                    swept += 1
        return swept

    def leftovers(self) -> list[Path]:
        """Every file in the spool, sorted."""
        return sorted(_files(self.root))


def _files(root: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(root):
        yield from (Path(folder, name) for name in names)


def _open_files() -> set[tuple[int, int]]:
    """Device and inode of every file that a process we may look into has open (``man 5 proc``, /proc/pid/fd)."""
    held: set[tuple[int, int]] = set()
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            status = descriptor.stat()
            held.add((status.st_dev, status.st_ino))
    return held
