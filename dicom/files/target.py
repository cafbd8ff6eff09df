"""Tells a destination folder that can take nothing at this time from trouble of one study in it."""

import os
import uuid
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from dicom.files.staging import STAGING
from dicom.files.trouble import code_of, is_full, writing
from models.domain.errors import FolderFull, FolderGone, NoSpace, WriteFailed

PRIVATE = 0o700
_PROBE = "probe"


@contextmanager
def at_folder(root: Path, name: str) -> Generator[None]:
    """Raise FolderFull or FolderGone for an OSError in the block, or WriteFailed where only this block has trouble.

    The texts have the folder's name, the log has its path.
    """
    try:
        with writing(root, f"folder {name}"):
            yield
    except NoSpace as full:
        raise _full(name) from full
    except WriteFailed as failed:
        if is_usable(root):
            raise
        raise FolderGone(f"The folder {name} cannot be written ({_code(failed)}).") from failed


def check(root: Path, name: str, needed_bytes: int = 1) -> None:
    """Raise FolderFull or FolderGone when a folder can take nothing, or its disk not so much."""
    with at_folder(root, name):
        _write_one_byte(root)
        disk = os.statvfs(root)
    if disk.f_blocks and disk.f_bavail * disk.f_frsize < needed_bytes:  # some file systems do not tell
        raise _full(name)


def is_there(root: Path) -> bool:
    """Whether a folder is there for this process to write to, as far as can be told without writing."""
    return os.access(f"{root}/", os.W_OK | os.X_OK)  # the slash: only a directory, and False for a share that is stale


def is_usable(root: Path) -> bool:
    """Whether anything can be written to a folder, apart from what its disk has room for."""
    try:
        _write_one_byte(root)
    except OSError as exc:
        return is_full(exc)
    return True


def _write_one_byte(root: Path) -> None:
    """A destination that is missing is not made: it may be a share that is gone.

    Machines that share the folder write files of their own: a share may refuse to open what another one removes.
    """
    staging = root / STAGING
    staging.mkdir(mode=PRIVATE, exist_ok=True)
    probe = staging / f"{_PROBE}-{uuid.uuid4().hex}"
    try:
        probe.write_bytes(b"0")
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


def _full(name: str) -> FolderFull:
    return FolderFull(f"The disk of the folder {name} has no room left.")


def _code(failed: WriteFailed) -> str:
    cause = failed.__cause__
    return code_of(cause) if isinstance(cause, OSError) else type(cause).__name__
