"""Remembers which request was accepted under which Idempotency-Key, and as which job. Only digests are kept."""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, select, text
from sqlalchemy.orm import Session

from models.db.engine import Database
from models.db.tables import IdempotencyRow
from models.domain.errors import WrongState


@dataclass(frozen=True, slots=True)
class Kept:
    """What was accepted under a key: the digest of the request, and the job."""

    request_digest: str
    job_id: int


class IdempotencyStore:
    """Idempotency keys by owner: the same key of two people is two keys."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def find(self, owner: str, key: str) -> Kept | None:
        """What was accepted under this key, if anything was."""
        with self._db.reading() as session:
            row = self._row(session, owner, key)
            return Kept(row.request_digest, row.job_id) if row else None

    def claim(self, owner: str, key: str) -> Kept | None:
        """The same as ``find``; inside a transaction nobody else gets to know the key before it has ended."""
        with self._db.reading() as session:
            self._hold(session.connection(), owner, key)
            row = self._row(session, owner, key)
            return Kept(row.request_digest, row.job_id) if row else None

    def keep(self, owner: str, key: str, request_digest: str, job_id: int) -> None:
        """Remember it; call it in the transaction that adds the job.

        Raises WrongState, and so undoes the job, when somebody else was faster with this key.
        """
        with self._db.transaction() as session:
            if self._row(session, owner, key):
                raise WrongState("Another request with this Idempotency-Key has just been accepted.")
            session.add(
                IdempotencyRow(
                    owner=owner,
                    key_digest=self.digest_of(key),
                    request_digest=request_digest,
                    job_id=job_id,
                    created_at=self._db.clock(),
                )
            )
            session.flush()

    def digest_of(self, words: str) -> str:
        """The keyed digest of a request: it tells nothing of the patients in it, and nobody else can compute it."""
        key = self._db.vault.key_for("idempotency")
        return hmac.new(key, words.encode("utf-8", "replace"), hashlib.sha256).hexdigest()

    def sweep(self, kept_before: datetime) -> int:
        """Forget keys that are older, and return how many."""
        with self._db.transaction() as session:
            old = delete(IdempotencyRow).where(IdempotencyRow.created_at < kept_before)
            return len(session.execute(old.returning(IdempotencyRow.id)).all())

    def _hold(self, connection: Connection, owner: str, key: str) -> None:
        """Wait for who has the key now. SQLite needs none of it: it has one writer at a time."""
        if connection.dialect.name == "postgresql":
            number = int(self.digest_of(f"{owner}\0{key}")[:15], 16)
            connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})

    def _row(self, session: Session, owner: str, key: str) -> IdempotencyRow | None:
        mine = IdempotencyRow.owner == owner, IdempotencyRow.key_digest == self.digest_of(key)
        return session.scalar(select(IdempotencyRow).where(*mine))
