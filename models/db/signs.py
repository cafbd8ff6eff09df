"""Keeps signs of life of long-running programs, by program and machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select

from models.db.engine import Database
from models.db.tables import SignRow

_KEPT_FOR = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Sign:
    """When a program was last heard of."""

    program: str
    machine: str
    version: str
    started_at: datetime
    seen_at: datetime


class SignStore:
    """The last sign of each program."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def give(self, program: str, machine: str, version: str, started_at: datetime) -> None:
        """Say that a program lives; those that have been silent for a week are forgotten."""
        now = self._db.clock()
        with self._db.transaction() as session:
            session.execute(delete(SignRow).where(SignRow.seen_at < now - _KEPT_FOR))
            session.merge(
                SignRow(program=program, machine=machine, version=version, started_at=started_at, seen_at=now)
            )

    def withdraw(self, program: str, machine: str, started_at: datetime) -> None:
        """Say that a program has ended as it should; another one that has begun since keeps its sign."""
        mine = (SignRow.program == program, SignRow.machine == machine, SignRow.started_at == started_at)
        with self._db.transaction() as session:
            session.execute(delete(SignRow).where(*mine))

    def list(self) -> Sequence[Sign]:
        """All signs, by program and machine."""
        with self._db.reading() as session:
            rows = session.scalars(select(SignRow).order_by(SignRow.program, SignRow.machine))
            return [Sign(row.program, row.machine, row.version, row.started_at, row.seen_at) for row in rows]
