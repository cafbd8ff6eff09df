"""Tests whether a folder can take studies: it is there, can be written, has space, and is nobody else's.

A share that is gone answers nothing at all, so everything is asked in a thread that is left behind if need be.
"""

import errno
import getpass
import os
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from models.db.engine import Database
from models.db.nodes import NodeStore
from models.domain.errors import NoSpace, WriteFailed, reason_of
from models.domain.nodes import Folder
from models.domain.quotas import in_bytes, readable
from models.settings import Settings
from services import own_directories
from services.checks.findings import Finding, checked
from services.patience import soon

_PATIENCE_S = 10.0
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def findings(db: Database, settings: Settings, folder: Folder) -> tuple[Finding, ...]:
    """What is true of a folder as it is configured; a file is made in it and removed again."""
    others = [
        node for node in NodeStore(db).list(with_credentials=False) if isinstance(node, Folder) and node.id != folder.id
    ]
    there = checked("Directory", lambda: _usable(settings, folder.path))
    if not there.is_ok:
        return (there,)
    return (
        there,
        checked("Writing", lambda: _soon(lambda: _write(folder.path))),
        checked("Free space", lambda: _soon(lambda: _free_space(folder))),
        checked("Other folders", lambda: _soon(lambda: _shared(folder, others))),
    )


def _soon(check: Callable[[], str]) -> str:
    return soon(check, _PATIENCE_S)


def _usable(settings: Settings, path: Path) -> str:
    """What is said of a directory that is there and not one of our own."""
    told = _soon(lambda: _is_there(path))
    if found := own_directories.problem(settings, path):
        raise WriteFailed(f"It cannot be used: {found}")
    return told


def _is_there(path: Path) -> str:
    try:
        path.stat()
    except OSError as exc:
        raise WriteFailed(f"It cannot be found: {_reason(exc)}. Is the share mounted?") from exc
    if not path.is_dir():
        raise WriteFailed("This is a file, not a directory.")
    return f"It is there{', a mounted file system' if path.is_mount() else ''}."


def _write(path: Path) -> str:
    file = path / f".adit-test-{secrets.token_hex(8)}"
    try:
        with file.open("xb") as opened:
            opened.write(b"A test of this folder. It can be removed.\n")
            opened.flush()
            os.fsync(opened.fileno())
        file.unlink()
    except OSError as exc:
        with suppress(OSError):
            file.unlink()
        raise WriteFailed(f"The user {_user()} cannot write here: {_reason(exc)}.") from exc
    return f"The user {_user()} can make and remove files. Workers on other machines need the same path."


def _free_space(folder: Folder) -> str:
    try:
        usage = shutil.disk_usage(folder.path)
    except OSError as exc:
        raise WriteFailed(f"The free space cannot be told: {_reason(exc)}.") from exc
    told = f"{readable(usage.free)} of {readable(usage.total)} are free"
    if not usage.free:
        raise NoSpace(f"{told}. Free some space.")
    quota = in_bytes(folder.quota_gb)
    if quota is not None and quota > usage.total:
        raise NoSpace(f"{told}: the quota of {readable(quota)} is more than the disk can hold.")
    return f"{told}."


def _shared(folder: Folder, others: list[Folder]) -> str:
    """Folders within one another would count each other's files."""
    own = _real(folder.path)
    for other in others:
        theirs = _real(other.path)
        if own == theirs:
            raise WriteFailed(f"The folder {other.name} is the same directory: each counts the other's files.")
        if own in theirs.parents or theirs in own.parents:
            raise WriteFailed(f"The folder {other.name} lies within it, or around it: one counts the other's files.")
    return "No other folder uses this directory."


def _real(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return path


def _reason(error: OSError) -> str:
    if error.errno in _FULL:
        return "no space left"
    return reason_of(error)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.geteuid())
