"""Counts what a folder holds, in steps, so that whoever counts can say in between that they are still at it."""

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from dicom.files.staging import STAGING
from dicom.files.trouble import writing

_EVERY = 1000
"""How many entries of a folder are looked at between two steps: a slow share takes seconds for them."""


@dataclass(slots=True)
class Contents:
    """What was counted so far; ``unreadable`` folders could not be listed, and what is in them is not counted."""

    size_bytes: int = 0
    files: int = 0
    unreadable: int = 0
    _seen: set[tuple[int, int]] = field(default_factory=set[tuple[int, int]], repr=False)

    def add(self, file: os.stat_result) -> None:
        """Count a file; one with several names counts once."""
        if file.st_nlink > 1:
            inode = (file.st_dev, file.st_ino)
            if inode in self._seen:
                return
            self._seen.add(inode)
        self.files += 1
        self.size_bytes += file.st_size


def count(destination: Path, name: str, skips: Callable[[str], bool]) -> Iterator[Contents]:
    """Count the files below a folder, and yield the count, always the same, now and then; in the end it is complete.

    What is staged does not count under keys that ``skips`` names. The walk ends where another file system is mounted,
    so snapshots that are shown there do not count. Links are not followed, and what vanishes meanwhile is left out.

    Raises WriteFailed, which tells the folder's name, when that or its disk cannot be read.
    """

    def is_skipped(path: Path) -> bool:
        return path.parent == destination / STAGING and skips(path.name)

    with writing(destination, f"folder {name}"):
        device = destination.stat().st_dev
        found, waiting = Contents(), [destination]
        while waiting:
            folder = waiting.pop()
            for number, (path, status) in enumerate(_entries(folder, found, may_skip=folder != destination)):
                if stat.S_ISREG(status.st_mode):
                    found.add(status)
                elif stat.S_ISDIR(status.st_mode) and status.st_dev == device and not is_skipped(path):
                    waiting.append(path)
                if number % _EVERY == _EVERY - 1:
                    yield found
            yield found


def _entries(folder: Path, found: Contents, may_skip: bool) -> Iterable[tuple[Path, os.stat_result]]:
    """What is in a folder; nothing when it has vanished or we may not list it, unless it has to be there."""
    try:
        entries = os.scandir(folder)
    except (FileNotFoundError, PermissionError) as exc:
        if not may_skip:
            raise
        found.unreadable += isinstance(exc, PermissionError)
        return
    with entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                yield Path(entry.path), entry.stat(follow_symlinks=False)
