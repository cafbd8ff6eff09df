"""Copies of the whole database in one file, of either kind, and the way back."""

import hashlib
import os
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection
from sqlalchemy.engine import make_url

from models.db import postgresql_dumps, revisions, sqlite_copies
from models.db.engine import Database
from models.domain.backups import Backup, DatabaseKind
from models.domain.errors import BadRequest, Bug, Unreadable

_FILES = ("", "-wal", "-shm", "-journal")
"""What belongs to an SQLite database, by the end of its name."""


def kind_of(url: str) -> DatabaseKind:
    """Which kind of database is at an address."""
    return DatabaseKind(make_url(url).get_backend_name())


def named(url: str) -> str:
    """The address of a database, without the password."""
    return make_url(url).render_as_string(hide_password=True)


def head() -> str:
    """The revision of the tables that this program needs."""
    return revisions.head()


def write(url: str, target: Path, check_room: Callable[[int], None]) -> str:
    """Copy the database as it is at one moment into a new file for this user only; returns the revision of its tables.

    Writers go on meanwhile. ``check_room`` is told how many bytes are about to be written, and raises NoSpace.
    """
    if kind_of(url) is DatabaseKind.SQLITE:
        return sqlite_copies.write(_file(url), target, check_room)
    return postgresql_dumps.write(url, target, check_room)


def check_fits(url: str, backup: Backup) -> None:
    """Raise BadRequest for a backup of another kind of database, WrongVersion for one of a newer version of ADIT."""
    if backup.kind is not kind_of(url):
        raise BadRequest(f"The backup is of {backup.kind.value}, and ADIT_DATABASE_URL names {kind_of(url).value}.")
    revisions.check_is_known(backup.revision)


def put_back(url: str, master_key: str, backup: Backup, finish: Callable[[Database], None]) -> None:
    """Replace everything in the database by a backup, brought to this version: at once, or not at all.

    ``finish`` gets the new state and changes what has to be changed before anybody sees it. Raises WrongState when a
    program still uses the database, NotPermitted when the master key is not the backup's, NoSpace, Unreadable.
    """
    if backup.kind is DatabaseKind.SQLITE:
        with _prepared(_file(url), master_key, backup, finish) as prepared:
            _swap(prepared, _file(url))
        return
    db = Database(url, master_key)
    try:
        with db.refilled(lambda connection: _refill(connection, backup)):
            finish(db)
    finally:
        db.close()


def _refill(connection: Connection, backup: Backup) -> None:
    postgresql_dumps.put_back(connection, backup.path)
    if revisions.revision_of(connection) != backup.revision:
        raise Unreadable("The backup does not hold the tables that it should, or they are of another schema.")


@contextmanager
def _prepared(live: Path, master_key: str, backup: Backup, finish: Callable[[Database], None]) -> Generator[Path]:
    """A file beside the live one that is what it shall become; it is removed in the end."""
    prepared = live.with_name(f".{live.name}.restoring")
    _remove(prepared)
    live.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        os.close(os.open(prepared, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        shutil.copyfile(backup.path, prepared)
        _check_is_the_same(prepared, backup)  # others may write where backups are kept, after one was looked at
        db = Database(f"sqlite:///{prepared}", master_key)
        try:
            db.migrate()
            finish(db)
        finally:
            db.close()
        sqlite_copies.check(prepared)
        yield prepared
    finally:
        _remove(prepared)


def _check_is_the_same(copy: Path, backup: Backup) -> None:
    with copy.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != backup.sha256:
            raise Unreadable(f"{backup.path} is not what it was when it was made. Take another backup.")


def _swap(prepared: Path, live: Path) -> None:
    """Put what was prepared in the live one's place; one that is damaged is moved aside instead of being written to."""
    try:
        sqlite_copies.put_back(prepared, live)
    except Unreadable:
        aside = f"{live}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        for end in _FILES:
            path = Path(f"{live}{end}")
            if path.exists():
                path.rename(f"{aside}{end}")
        sqlite_copies.put_back(prepared, live)


def _remove(database: Path) -> None:
    for end in _FILES:
        Path(f"{database}{end}").unlink(missing_ok=True)


def _file(url: str) -> Path:
    """The file of an SQLite database."""
    database = make_url(url).database
    if not database:
        raise Bug("An SQLite database without a file cannot be copied.")
    return Path(database)
