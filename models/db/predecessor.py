"""What the database that a backup is going to replace knows better: what was taken away since the backup was made."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select, update

from models.db import revisions
from models.db.engine import Database, in_parts
from models.db.scopes import ScopeStore
from models.db.tables import ApiTokenRow, AuditRow, ScopeRow, SealRow, UserRow
from models.domain.backups import Withdrawn
from models.domain.errors import AditError

_SINCE_REVISION = "0005"
"""Earlier tables had no tokens."""


@dataclass(frozen=True, slots=True)
class Predecessor:
    """What counts in the database that is replaced.

    ``seal`` is another one in each database that was begun anew, so it says whether a backup was made of this one.
    ``last_digest`` is where its audit trail ends.
    """

    seal: bytes
    tokens: frozenset[str]
    deactivated: frozenset[str]
    forgotten: frozenset[tuple[int, datetime]]
    last_digest: str


def look(db: Database) -> Predecessor | None:
    """What is in the database now; None where nothing is, or nothing that can be read."""
    try:
        with db.reading() as session:
            if revisions.revision_of(session.connection()) < _SINCE_REVISION:
                return None
            forgotten = select(ScopeRow.id, ScopeRow.created_at).where(ScopeRow.forgotten_at.is_not(None))
            newest = select(AuditRow.digest).order_by(AuditRow.id.desc()).limit(1)
            return Predecessor(
                seal=session.scalar(select(SealRow.ciphertext)) or b"",
                tokens=frozenset(session.scalars(select(ApiTokenRow.digest))),
                deactivated=frozenset(session.scalars(select(UserRow.username_key).where(~UserRow.is_active))),
                forgotten=frozenset((row.id, row.created_at) for row in session.execute(forgotten)),
                last_digest=session.scalar(newest) or "",
            )
    except AditError:
        return None


def withdraw(db: Database, before: Predecessor) -> Withdrawn | None:
    """Take away again what was taken away before; None when the database was not made from that one.

    Tokens that had been revoked are removed, accounts deactivated, trials forgotten.
    """
    with db.transaction() as session:
        if session.scalar(select(SealRow.ciphertext)) != before.seal:
            return None
        revoked = set(session.scalars(select(ApiTokenRow.digest))) - before.tokens
        for some in in_parts(revoked):
            session.execute(delete(ApiTokenRow).where(ApiTokenRow.digest.in_(some)))
        active = set(session.scalars(select(UserRow.username_key).where(UserRow.is_active))) & before.deactivated
        for some in in_parts(active):
            session.execute(update(UserRow).where(UserRow.username_key.in_(some)).values(is_active=False))
        kept = select(ScopeRow.id, ScopeRow.created_at).where(ScopeRow.forgotten_at.is_(None))
        forgotten = [row.id for row in session.execute(kept) if (row.id, row.created_at) in before.forgotten]
        for scope_id in forgotten:
            ScopeStore(db).forget(scope_id, though_at_work=True)
        return Withdrawn(len(revoked), len(active), len(forgotten))
