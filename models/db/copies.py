"""Copies of the whole database in one file, of either kind."""

from collections.abc import Callable
from pathlib import Path

from sqlalchemy.engine import make_url

from models.db import sqlite_copies
from models.domain.backups import DatabaseKind
from models.domain.errors import Bug


def kind_of(url: str) -> DatabaseKind:
    """Which kind of database is at an address."""
    return DatabaseKind(make_url(url).get_backend_name())


def write(url: str, target: Path, check_room: Callable[[int], None]) -> str:
    """Copy the database as it is at one moment into a new file for this user only; returns the revision of its tables.

    Writers go on meanwhile. ``check_room`` is told how many bytes are about to be written, and raises NoSpace.
    """
    return sqlite_copies.write(sqlite_file(url), target, check_room)


def sqlite_file(url: str) -> Path:
    """The file of an SQLite database."""
    database = make_url(url).database
    if not database:
        raise Bug("An SQLite database without a file cannot be copied.")
    return Path(database)
