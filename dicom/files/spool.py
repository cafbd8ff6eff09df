"""The worker's local folder for data in transit. It holds patient data, so only we may read it, and it is swept."""

import errno
import fcntl
import os
import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from dicom.files.trouble import writing

PRIVATE = 0o700


@dataclass(frozen=True, slots=True)
class Workspace:
    """A directory for files that another program has to find by their names.

    It is swept once nobody has ``lock`` open any more; a program that is given it keeps the directory as long as it
    runs, also when whoever started it has died.
    """

    path: Path
    lock: int


class Spool:
    """A folder with three places.

    ``inbox`` is for what a receiver takes in, ``scratch`` for files without a name, ``workspaces`` for files that have
    to have one.

    Made when missing, readable by our own user only. It must be on a disk of this machine.

    Raises WriteFailed when it cannot be made.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.inbox = root / "inbox"
        self.scratch = root / "scratch"
        self.workspaces = root / "workspaces"
        with writing(root, "spool"):
            for place in (root, self.inbox, self.scratch, self.workspaces):
                place.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
                place.chmod(PRIVATE)

    def check_room(self, needed_bytes: int, reserve_bytes: int = 0) -> None:
        """Raise NoSpace unless so much can be written and the reserve is still free afterwards."""
        with writing(self.root, "spool"):
            disk = os.statvfs(self.root)
            if disk.f_bavail * disk.f_frsize < needed_bytes + reserve_bytes:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    @contextmanager
    def workspace(self) -> Generator[Workspace]:
        """A new directory, removed with all that is in it when the context is left."""
        path = self.workspaces / uuid4().hex
        with writing(self.root, "spool"), self._exclusive():
            path.mkdir(mode=PRIVATE)
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield Workspace(path, lock)
        finally:
            shutil.rmtree(path, ignore_errors=True)
            os.close(lock)

    def sweep(self) -> int:
        """Remove what processes that died have left in ``scratch`` and ``workspaces``; return how many there were.

        Files in ``scratch`` have no name, or lose it at once, so a name that no living process of this machine has
        open tells of one that died. So does a workspace that nobody has locked. The inbox is swept by its owner.
        """
        return self._sweep_scratch() + self._sweep_workspaces()

    def _sweep_workspaces(self) -> int:
        with writing(self.root, "spool"), self._exclusive():
            dead = [path for path in self.workspaces.iterdir() if not _is_locked(path)]
            for path in dead:
                shutil.rmtree(path)
        return len(dead)

    @contextmanager
    def _exclusive(self) -> Generator[None]:
        """Nobody else makes a workspace or sweeps them: one that is new is not locked at once."""
        directory = os.open(self.workspaces, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX)
            yield
        finally:
            os.close(directory)

    def _sweep_scratch(self) -> int:
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


def _is_locked(path: Path) -> bool:
    """Whether a living process holds the lock of a directory."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(directory)
    return False


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
