"""Where studies on their way into a folder are kept out of sight, and how what nobody works on goes away again."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from dicom.files.trouble import NOT_SUPPORTED, writing

STAGING = ".adit-staging"
_ASIDE = "aside"


def sweep_staging(destination: Path, alive: Callable[[str], bool]) -> int:
    """Remove what is staged under keys that are not alive; return how many keys were removed.

    Raises WriteFailed.
    """
    count = 0
    with writing(destination, "folder"):
        staging = destination / STAGING
        for path in list(staging.iterdir()) if staging.is_dir() else []:
            if not alive(path.name):  # asked one by one: to remove one may take minutes
                clear(destination, path)
                count += 1
    return count


def clear(destination: Path, root: Path) -> None:
    """Remove what is staged under a key, but what is published nowhere else is first put back to its place."""
    with suppress(FileNotFoundError):
        for attempt in list(root.iterdir()):
            put_back(destination, attempt)
    remove(root)


def set_aside(destination: Path, attempt: Path, place: Path) -> Path:
    """Move a published study out of sight, in one step, to below the folder of an attempt, and return where it is.

    Its path tells where it belongs: ``<attempt>/aside/<depth of the place>/<place>``. Raises FileNotFoundError when the
    attempt's folder is gone, since somebody has taken it over.
    """
    within = place.relative_to(destination)
    aside = attempt / _ASIDE
    aside.mkdir(exist_ok=True)
    hidden = aside / str(len(within.parts)) / within
    hidden.parent.mkdir(parents=True, exist_ok=True)
    place.rename(hidden)
    return hidden


def put_back(destination: Path, attempt: Path) -> None:
    """Return what an attempt has set aside to its place, whose new study has never come; where it has, remove it."""
    aside = attempt / _ASIDE
    for level in list(aside.iterdir()) if aside.is_dir() else []:
        for hidden in _at_depth(level, int(level.name)):
            place = destination / hidden.relative_to(level)
            place.parent.mkdir(parents=True, exist_ok=True)
            if renamed(hidden, place):
                flush_folder(place.parent)
            else:
                remove(hidden)


def renamed(folder: Path, place: Path) -> bool:
    """Move a folder; False when another one is at its place that is not empty."""
    try:
        folder.rename(place)
    except OSError as exc:
        if exc.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True


def flush_folder(folder: Path) -> None:
    """Make renames in a folder durable, where the file system knows how."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as exc:
        if exc.errno not in NOT_SUPPORTED:
            raise
    finally:
        os.close(descriptor)


def _at_depth(folder: Path, depth: int) -> Iterator[Path]:
    if depth == 0:
        yield folder
        return
    for child in list(folder.iterdir()):
        yield from _at_depth(child, depth - 1)


def remove(folder: Path) -> None:
    """Remove a folder with all that is in it, if it is there."""
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)
