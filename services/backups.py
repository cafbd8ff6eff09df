"""Backups of our database: made while everything works, kept in a directory, and put back.

A backup is a file with a manifest beside it. It counts once its manifest is there, which comes last. The master key
is not in it. Prefect's database is never backed up: its flow runs are disposable, and jobs get new ones.
"""

import errno
import fcntl
import logging
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

from models.db import copies
from models.db.engine import Database
from models.domain.backups import Backup, DatabaseKind
from models.domain.errors import AditError, BadRequest, NoSpace, WriteFailed, WrongState
from models.settings import Settings
from services import manifests

log = logging.getLogger(__name__)

_SUFFIXES = {DatabaseKind.SQLITE: ".db", DatabaseKind.POSTGRESQL: ".dump"}
_PARTIAL = ".partial"


def directory(settings: Settings) -> Path:
    """Where backups are kept."""
    return settings.backup_dir or settings.data_dir / "backups"


def listed(settings: Settings) -> tuple[Backup, ...]:
    """The backups that are there, the newest first."""
    found = [_read(path) for path in directory(settings).glob("adit-*") if path.suffix in _SUFFIXES.values()]
    return tuple(sorted(filter(None, found), key=lambda backup: backup.made_at, reverse=True))


def make(settings: Settings) -> Path:
    """Copy the whole database into a new file, and return it; everything goes on working meanwhile.

    Nothing is left of one that could not be finished. Raises WrongState while another is being made, NotPermitted when
    the master key is not the database's, NoSpace, Unreadable when the database is damaged.
    """
    with _alone(settings) as place, _disk_errors_translated(place):
        _remove_unfinished(place)
        partial = place / f"{_PARTIAL}-data"
        try:
            return _made(settings, place, partial)
        finally:
            partial.unlink(missing_ok=True)
            manifests.path_of(partial).unlink(missing_ok=True)


def keep(settings: Settings, n: int) -> int:
    """Remove all backups but the newest ``n``, and return how many those were."""
    if n < 1:
        raise BadRequest("At least one backup has to be kept.")
    with _alone(settings) as place:
        old = listed(settings)[n:]
        for backup in old:
            manifests.path_of(backup.path).unlink()  # first, so that no manifest stands for a file that is gone
            backup.path.unlink()
        _sync(place)
    return len(old)


def _made(settings: Settings, place: Path, partial: Path) -> Path:
    db = Database(settings.url, settings.master_key.get_secret_value())
    try:
        db.check_key()
    finally:
        db.close()
    kind = copies.kind_of(settings.url)
    made_at = datetime.now(UTC)
    revision = copies.write(settings.url, partial, lambda size: _check_room(settings, place, size))
    _sync(partial)
    backup = Backup(
        path=_free_name(place, made_at, revision, kind),
        made_at=made_at,
        kind=kind,
        revision=revision,
        version=version("adit"),
        size_bytes=partial.stat().st_size,
        sha256=manifests.digest_of(partial),
        key=db.vault.fingerprint,
    )
    manifest = manifests.path_of(partial)
    manifests.write(backup, db.vault, manifest)
    partial.rename(backup.path)
    manifest.rename(manifests.path_of(backup.path))
    _sync(place)
    return backup.path


def _free_name(place: Path, made_at: datetime, revision: str, kind: DatabaseKind) -> Path:
    while True:
        path = place / f"adit-{made_at:%Y%m%dT%H%M%SZ}-{revision or 'empty'}-{kind.value}{_SUFFIXES[kind]}"
        if not path.exists():
            return path
        made_at += timedelta(seconds=1)


def _read(path: Path) -> Backup | None:
    try:
        return manifests.read(path)
    except AditError as error:
        log.warning("%s is no backup: %s", path.name, error.message)
        return None


def _remove_unfinished(place: Path) -> None:
    """What a process left that was killed: partial files, and data whose manifest did not come any more."""
    for path in place.iterdir():
        is_orphan = path.name.startswith("adit-") and path.suffix in _SUFFIXES.values()
        if path.name.startswith(_PARTIAL) or (is_orphan and not manifests.path_of(path).exists()):
            path.unlink()


def _check_room(settings: Settings, place: Path, size_bytes: int) -> None:
    """A backup must not fill the disk on which the database works."""
    free = shutil.disk_usage(place).free
    if free < size_bytes + settings.spool_reserve_mb * 1_000_000:
        raise NoSpace(
            f"The backup needs {size_bytes / 1e6:,.0f} MB, and {settings.spool_reserve_mb} MB have to stay free: "
            f"{place} has {free / 1e6:,.0f} MB."
        )


@contextmanager
def _alone(settings: Settings) -> Generator[Path]:
    """The directory, with nobody else at work in it."""
    place = directory(settings)
    with _disk_errors_translated(place):
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(place / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise WrongState(f"Another backup is being made in {place}. Wait for its end.") from None
        yield place
    finally:
        os.close(descriptor)


def _sync(path: Path) -> None:
    """Have the disk keep a file, or the names in a directory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        with suppress(OSError):
            os.close(descriptor)


@contextmanager
def _disk_errors_translated(place: Path) -> Generator[None]:
    try:
        yield
    except OSError as exc:
        raise _translation(exc, place) from exc


def _translation(exc: OSError, place: Path) -> AditError:
    if exc.errno in {errno.ENOSPC, errno.EDQUOT}:
        return NoSpace(f"The disk of {place} is full. Free some space.")
    return WriteFailed(f"{place} cannot be written ({errno.errorcode.get(exc.errno or 0, 'unknown error')}).")
