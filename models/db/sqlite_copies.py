"""Copies an SQLite database while others write to it, and puts a copy back in one transaction."""

import os
import sqlite3
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from models.domain.errors import AditError, NoSpace, NotFound, PeerBusy, Unreadable, WriteFailed, WrongState

_BUSY_TIMEOUT_S = 30.0
_DAMAGED = {"SQLITE_CORRUPT", "SQLITE_NOTADB"}


def write(source: Path, target: Path, check_room: Callable[[int], None]) -> str:
    """Copy the database as it is at one moment into a new file for this user only; returns its revision.

    Writers go on meanwhile. The copy is checked, and is one file that needs no log beside it. ``check_room`` gets the
    bytes that it will have. Raises NotFound when there is no database, Unreadable when it is damaged, NoSpace.
    """
    if not source.exists():
        raise NotFound(f"There is no database in {source}.")
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with _translated(source), closing(_opened(source)) as live, closing(_opened(target)) as copy:
        (pages,), (page_bytes,) = (
            live.execute("PRAGMA page_count").fetchall(),
            live.execute("PRAGMA page_size").fetchall(),
        )
        check_room(pages[0] * page_bytes[0])
        live.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")
        _check(copy, source)
        return _revision(copy)


def put_back(copy: Path, target: Path) -> None:
    """Replace all that is in a database by what is in a copy, at once or not at all.

    Raises WrongState when somebody else uses the database, Unreadable when it is damaged, NoSpace.
    """
    with suppress(FileExistsError):
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with _translated(target), closing(_opened(copy)) as wanted, closing(_opened(target)) as live:
        _be_alone(live)
        wanted.backup(live)


def _opened(path: Path) -> sqlite3.Connection:
    """Without Python's own transactions."""
    return sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)


def check(path: Path) -> None:
    """Raise Unreadable unless every page and every reference in a database is as it should be."""
    with _translated(path), closing(_opened(path)) as connection:
        _check(connection, path)


def _check(connection: sqlite3.Connection, path: Path) -> None:
    found = [row[0] for row in connection.execute("PRAGMA integrity_check(1)")]
    if found != ["ok"] or connection.execute("PRAGMA foreign_key_check").fetchone():
        raise _damaged(path)


def _revision(connection: sqlite3.Connection) -> str:
    tables = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'")
    if tables.fetchone() is None:
        return ""
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(row[0]) if row else ""


def _be_alone(connection: sqlite3.Connection) -> None:
    """Leave WAL mode, which SQLite allows only to who is alone; programs set it again when they start."""
    connection.execute("PRAGMA busy_timeout=2000")
    try:
        connection.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.OperationalError as exc:
        if exc.sqlite_errorname.startswith("SQLITE_BUSY"):
            raise WrongState("Another program uses the database. Stop all programs of ADIT first.") from None
        raise


@contextmanager
def _translated(path: Path) -> Generator[None]:
    try:
        yield
    except sqlite3.Error as exc:
        raise _translation(exc, path) from None


def _translation(exc: sqlite3.Error, path: Path) -> AditError:
    code = getattr(exc, "sqlite_errorname", "no code")
    if code == "SQLITE_FULL":
        return NoSpace("The disk is full. Free some space.")
    if code in _DAMAGED:
        return _damaged(path)
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return PeerBusy(f"The database is busy ({code}).")
    return WriteFailed(f"The database could not be copied ({code}).")


def _damaged(path: Path) -> Unreadable:
    return Unreadable(f"The database in {path} is damaged.")
