"""Backups of our database: made while everything works, kept in a directory, and put back.

A backup is a file with a manifest beside it, which is there before the file gets its name. The master key is not in it.
Prefect's database is never backed up: its flow runs are disposable, and jobs get new ones.
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

from models.db import copies, predecessor
from models.db.engine import Database
from models.db.predecessor import Predecessor
from models.db.quotas import QuotaStore
from models.db.sessions import LinkStore, SessionStore
from models.db.vault import Vault
from models.domain.audit import AuditAction
from models.domain.backups import Backup, DatabaseKind, Restored
from models.domain.errors import AditError, BadRequest, NoSpace, NotFound, WriteFailed, WrongState
from models.domain.people import Actor, operator
from models.settings import Settings
from services import audit, manifests

log = logging.getLogger(__name__)

_SUFFIXES = {DatabaseKind.SQLITE: ".db", DatabaseKind.POSTGRESQL: ".dump"}
_PARTIAL = ".partial"
_SYSTEM = operator("(system)")


def database(settings: Settings) -> str:
    """Which database it is, without the password."""
    return copies.named(settings.url)


def listed(settings: Settings) -> tuple[Backup, ...]:
    """The backups that are there, the newest first."""
    found = [_read(path) for path in settings.backups_dir.glob("adit-*") if path.suffix in _SUFFIXES.values()]
    return tuple(sorted(filter(None, found), key=lambda backup: backup.made_at, reverse=True))


def make(settings: Settings) -> Path:
    """Copy the whole database into a new file, and return it; everything goes on working meanwhile.

    Nothing is left of one that could not be finished. Raises WrongState while another is being made, NotPermitted when
    the master key is not the database's, NotFound when there is nothing in it, NoSpace, Unreadable when it is damaged.
    """
    with _alone(settings) as place, _disk_errors_translated(place):
        _remove_unfinished(place)
        partial = place / f"{_PARTIAL}-data"
        try:
            return _made(settings, place, partial)
        finally:
            partial.unlink(missing_ok=True)
            manifests.path_of(partial).unlink(missing_ok=True)


def chosen(settings: Settings, name: str = "") -> Backup:
    """The backup that a path or a name in the directory means, or the newest; raises NotFound, BadRequest, Unreadable.

    Its manifest may be named as well. Nobody has looked whether it fits yet.
    """
    if not name:
        if there := listed(settings):
            return there[0]
        raise NotFound(f"There is no backup in {settings.backups_dir}.")
    for path in (Path(name), settings.backups_dir / name):
        found = [path.with_suffix(suffix) for suffix in (path.suffix, *_SUFFIXES.values())]
        for data in found:
            if data.suffix in _SUFFIXES.values() and data.is_file():
                return manifests.read(data.absolute())
    raise NotFound(f"There is no backup {name}.")


def check(settings: Settings, backup: Backup) -> None:
    """Raise unless the backup is whole and fits this installation.

    BadRequest for one of another kind of database, WrongVersion for one of a newer version, NotPermitted for one of
    another master key, Unreadable for one that was changed.
    """
    copies.check_fits(settings.url, backup)
    manifests.check(backup, Vault(settings.master_key.get_secret_value()))


def restore(settings: Settings, path: Path, actor: Actor = _SYSTEM) -> Restored:
    """Put a backup in the place of all that is in the database, at once or not at all, and bring it to this version.

    All programs have to be stopped. Everybody is signed out, and links in mails are void. What the present database
    knows to be withdrawn since the backup was made stays so: tokens, accounts, trials. Folders are measured anew.
    Jobs go on where they were, and find by their receipts and the destinations what is there already.

    Raises what ``check`` raises, WrongState while a program uses the database, NoSpace.
    """
    backup = manifests.read(path)
    check(settings, backup)
    before = _predecessor(settings)
    told: list[Restored] = []
    with _alone(settings), _disk_errors_translated(settings.data_dir):
        copies.put_back(
            settings.url,
            settings.master_key.get_secret_value(),
            backup,
            lambda db: told.append(_finish(db, backup, before, actor)),
        )
    return told[0]


def keep(settings: Settings, n: int) -> int:
    """Remove all backups but the newest ``n``, and return how many those were."""
    if n < 1:
        raise BadRequest("At least one backup has to be kept.")
    with _alone(settings) as place, _disk_errors_translated(place):
        old = listed(settings)[n:]
        for backup in old:
            backup.path.unlink()
            manifests.path_of(backup.path).unlink()
        _sync(place)
    return len(old)


def _predecessor(settings: Settings) -> Predecessor | None:
    db = Database(settings.url, settings.master_key.get_secret_value())
    try:
        return predecessor.look(db)
    finally:
        db.close()


def _finish(db: Database, backup: Backup, before: Predecessor | None, actor: Actor) -> Restored:
    """Change what must not be as it was, before anybody sees the database."""
    with db.transaction():
        sessions = SessionStore(db).end_everybodys()
        LinkStore(db).void_all()
        QuotaStore(db).forget_measured()
        withdrawn = predecessor.withdraw(db, before) if before else None
        ended_with = f"; the trail it replaced ended with {before.last_digest}" if before and before.last_digest else ""
        made_at = f"{backup.made_at:%Y-%m-%d %H:%M:%S} UTC"
        audit.record(db, actor, AuditAction.RESTORE_BACKUP, f"backup of {made_at}{ended_with}")
    return Restored(backup, copies.head(), sessions, withdrawn)


def _made(settings: Settings, place: Path, partial: Path) -> Path:
    db = Database(settings.url, settings.master_key.get_secret_value())
    try:
        db.check_key()
    finally:
        db.close()
    kind = copies.kind_of(settings.url)
    made_at = datetime.now(UTC)
    revision = copies.write(settings.url, partial, lambda size: _check_room(settings, place, size))
    if not revision:
        raise NotFound("There is nothing in the database to be backed up.")
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
    manifest.rename(manifests.path_of(backup.path))
    partial.rename(backup.path)
    _sync(place)
    return backup.path


def _free_name(place: Path, made_at: datetime, revision: str, kind: DatabaseKind) -> Path:
    while True:
        path = place / f"adit-{made_at:%Y%m%dT%H%M%SZ}-{revision}-{kind.value}{_SUFFIXES[kind]}"
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
    """Remove what a process left that was killed."""
    for path in place.glob(f"{_PARTIAL}*"):
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
    place = settings.backups_dir
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
