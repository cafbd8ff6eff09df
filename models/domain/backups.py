"""What a backup says of itself."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path


class DatabaseKind(StrEnum):
    """Which database a backup was made of; the other kind cannot take it."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


@dataclass(frozen=True, slots=True)
class Backup:
    """A copy of the database in one file, with what its manifest says of it.

    ``revision`` is that of the tables, ``version`` that of the program that made it. ``key`` is the fingerprint of the
    master key, without which nobody can use what is in it.
    """

    path: Path
    made_at: datetime
    kind: DatabaseKind
    revision: str
    version: str
    size_bytes: int
    sha256: str
    key: str


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """How many tokens, accounts and trials were revoked, deactivated and forgotten again after a restore.

    ``trial_users`` says how often somebody was taken out of a trial again.
    """

    tokens: int
    accounts: int
    trials: int
    trial_users: int


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore has done. ``withdrawn`` is None where it could not see what was withdrawn since the backup."""

    backup: Backup
    revision: str
    sessions: int
    withdrawn: Withdrawn | None
