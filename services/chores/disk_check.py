"""Measures folders and looks how much room disks have, and warns administrators once each time something fills up.

The dispatcher measures folders every ten minutes; one that was measured within the hour is not measured again here.
"""

import shutil
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from models.db.alarms import AlarmStore
from models.db.engine import Database
from models.db.signs import SignStore
from models.domain.errors import AditError, WriteFailed
from models.domain.nodes import Folder
from models.settings import Settings
from services import housekeeping, prefect_status
from services.alarms import watching
from services.post import notifications
from services.worker_names import machine_of

_MEASURED_WITHIN = timedelta(hours=1)
_ANSWERS_WITHIN_S = 300.0
"""A share that is gone may hang for ever; the others are looked at meanwhile."""
_REACHED_WITHIN = timedelta(hours=3)
"""What was measured since, may be on other machines only. The dispatcher measures large folders seldom."""
_GB = 1_000_000_000
_ROOM_AGAIN = 1.2
"""A disk has room again well above the threshold, or one that goes up and down would be told of again and again."""
_LONGEST = 40
"""So much of a machine's name stands in the name of an alarm."""
_ALARMS = "disk-"
_FOLDERS = f"{_ALARMS}folder-"
_PLACES = {"data": "the data directory", "spool": "the spool", "backups": "the backups"}


@dataclass(slots=True)
class _Look:
    """What was found at one place; ``free_bytes`` stays None where nobody answered."""

    key: str
    words: str
    path: Path
    folder: Folder | None = None
    free_bytes: int | None = None
    is_measured: bool = False
    thread: threading.Thread | None = field(default=None, repr=False)


def run(db: Database, settings: Settings) -> str:
    """Measure what is due, and warn; raises WriteFailed naming the folders that cannot be reached."""
    looks = [*_places(settings), *_folders(db)]
    _look_at_all(looks, lambda look: _look_at(db, look))
    for look in looks:
        if look.free_bytes is not None:
            _warn_of_disk(db, settings, look, look.free_bytes)
    _clear_what_is_gone(db, settings, looks)
    notifications.warn_of_full_folders(db, settings)
    return _told(db, settings, looks)


def _told(db: Database, settings: Settings, looks: Collection[_Look]) -> str:
    silent = [look for look in looks if look.free_bytes is None]
    elsewhere = _reached_elsewhere(db, settings, silent)
    if lost := [look.words for look in silent if look not in elsewhere]:
        raise WriteFailed(f"Cannot be reached: {', '.join(lost)}.")
    free_bytes, words = min((look.free_bytes, look.words) for look in looks if look.free_bytes is not None)
    measured = sum(look.is_measured for look in looks)
    told = f"{measured} folders measured. Least room: {words}, {free_bytes / _GB:.1f} GB free."
    if elsewhere:
        words = ", ".join(look.words for look in elsewhere)
        told += f" Measured within three hours, but out of reach of {_machine()}: {words}."
    return told


def _reached_elsewhere(db: Database, settings: Settings, silent: Iterable[_Look]) -> Collection[_Look]:
    """Those folders that another machine has measured lately: one may be mounted on some machines only."""
    since = db.clock() - _REACHED_WITHIN
    found = [look for look in silent if look.folder and look.folder.measured_at and look.folder.measured_at >= since]
    return found if found and _has_others(settings) else ()


def _has_others(settings: Settings) -> bool:
    """Whether workers live on other machines; also while nobody can tell."""
    try:
        return any(machine_of(name) != _machine() for name in prefect_status.alive(settings))
    except AditError:
        return True


def _places(settings: Settings) -> Iterable[_Look]:
    """Where this machine keeps what it works with."""
    paths = (settings.data_dir, settings.spool_dir, settings.backups_dir)
    for (place, words), path in zip(_PLACES.items(), paths, strict=True):
        yield _Look(_key(place, _machine()), f"{words} of {_machine()}", path)


def _folders(db: Database) -> Iterable[_Look]:
    for folder in housekeeping.folders(db):
        yield _Look(f"{_FOLDERS}{folder.id}", f"folder {folder.name}", folder.path, folder)


def _key(place: str, machine: str) -> str:
    return f"{_ALARMS}{place}-{machine[:_LONGEST]}"


def _machine() -> str:
    return socket.gethostname()


def _look_at_all(looks: Iterable[_Look], look_at: Callable[[_Look], None]) -> None:
    for look in looks:
        look.thread = threading.Thread(target=look_at, args=(look,), name=look.key, daemon=True)
        look.thread.start()
    end = time.monotonic() + _ANSWERS_WITHIN_S
    for look in looks:
        if look.thread:
            look.thread.join(max(end - time.monotonic(), 0))


def _look_at(db: Database, look: _Look) -> None:
    """Measure a folder if that is due, and see how much room its disk has; what cannot be reached stays unknown."""
    with suppress(AditError, OSError):
        folder = look.folder
        if folder is not None:
            is_due = folder.measured_at is None or db.clock() - folder.measured_at > _MEASURED_WITHIN
            look.is_measured = housekeeping.tend_folder(db, folder, is_due)
        look.free_bytes = shutil.disk_usage(_existing(look)).free


def _existing(look: _Look) -> Path:
    """A folder has to be there; what the installation makes itself when it needs it may be on the disk above."""
    if look.folder is not None:
        return look.path
    return next(path for path in (look.path, *look.path.absolute().parents) if path.exists())


def _warn_of_disk(db: Database, settings: Settings, look: _Look, free_bytes: int) -> None:
    threshold = settings.disk_warn_gb * _GB
    if free_bytes < threshold:
        least = f"ADIT_DISK_WARN_GB is {settings.disk_warn_gb:g}"
        text = f"Only {free_bytes / _GB:.1f} GB are free on the disk of {look.words} ({least})."
        watching.see(db, settings, look.key, f"A disk is nearly full: {look.words}", text)
    elif free_bytes >= threshold * _ROOM_AGAIN:
        watching.clear(db, settings, look.key)


def _clear_what_is_gone(db: Database, settings: Settings, looks: Iterable[_Look]) -> None:
    """End the alarms of folders that were deleted, and of machines of which nothing was heard for a week."""
    others = {name for name in AlarmStore(db).names() if name.startswith(_ALARMS)} - {look.key for look in looks}
    for name in others - _of_machines(db, settings, others):
        watching.clear(db, settings, name)


def _of_machines(db: Database, settings: Settings, names: Collection[str]) -> set[str]:
    """Those of the alarms that are for their own machines to end: these live, or nobody can tell.

    Nor can anybody where this machine is not known by its own name: then workers were given others.
    """
    found = {name: place for name in names for place in _PLACES if name.startswith(_key(place, ""))}
    heard_of = _heard_of(db, settings) if found else ()
    if _machine() not in heard_of:
        return {*found}
    return {name for name, place in found.items() if name in {_key(place, machine) for machine in heard_of}}


def _heard_of(db: Database, settings: Settings) -> Collection[str]:
    """The machines of workers and other programs heard of within a week; none while Prefect does not tell."""
    try:
        workers = prefect_status.workers(settings)
        return {*map(machine_of, workers), *(sign.machine for sign in SignStore(db).list())}
    except AditError:
        return ()
