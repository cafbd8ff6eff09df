"""Measures folders and looks how much room disks have, and warns administrators once each time something fills up.

The dispatcher measures folders every ten minutes; one that was measured within the hour is not measured again here.
"""

import shutil
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from models.db.engine import Database
from models.domain.errors import AditError, WriteFailed
from models.domain.nodes import Folder
from models.settings import Settings
from services import backups, housekeeping
from services.alarms import watching
from services.post import notifications

_MEASURED_WITHIN = timedelta(hours=1)
_ANSWERS_WITHIN_S = 300.0
"""A share that is gone may hang for ever; the others are looked at meanwhile."""
_GB = 1_000_000_000
_ROOM_AGAIN = 1.2
"""A disk has room again well above the threshold, or one that goes up and down would be told of again and again."""


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
    notifications.warn_of_full_folders(db, settings)
    if lost := [look.words for look in looks if look.free_bytes is None]:
        raise WriteFailed(f"Cannot be reached: {', '.join(lost)}.")
    tightest = min(looks, key=lambda look: look.free_bytes or 0)
    measured = sum(look.is_measured for look in looks)
    return f"{measured} folders measured. Least room: {tightest.words}, {(tightest.free_bytes or 0) / _GB:.1f} GB free."


def _places(settings: Settings) -> Iterable[_Look]:
    """Where this machine keeps what it works with."""
    yield _Look("disk-data", "the data directory", settings.data_dir)
    yield _Look("disk-spool", "the spool", settings.spool_dir)
    yield _Look("disk-backups", "the backups", backups.directory(settings))


def _folders(db: Database) -> Iterable[_Look]:
    for folder in housekeeping.folders(db):
        yield _Look(f"disk-folder-{folder.id}", f"folder {folder.name}", folder.path, folder)


def _look_at_all(looks: Iterable[_Look], look_at: Callable[[_Look], None]) -> None:
    for look in looks:
        look.thread = threading.Thread(target=look_at, args=(look,), name=look.key, daemon=True)
        look.thread.start()
    for look in looks:
        if look.thread:
            look.thread.join(_ANSWERS_WITHIN_S)


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
