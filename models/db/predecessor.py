"""What the database that a backup is going to replace knows better: what was taken away since the backup was made."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from models.db import revisions
from models.db.engine import Database, in_parts
from models.db.scopes import ScopeStore
from models.db.tables import ApiTokenRow, AuditRow, ScopeRow, SealRow, TrialUserRow, UserRow
from models.domain.backups import Withdrawn
from models.domain.errors import AditError

_SINCE_REVISION = "0005"
"""Earlier tables had no tokens."""
_TRIAL_USERS_SINCE = "0013"


@dataclass(frozen=True, slots=True)
class Predecessor:
    """What counts in the database that is replaced.

    ``seal`` is another one in each database that was begun anew, so it says whether a backup was made of this one.
    ``last_digest`` is where its audit trail ends. ``trial_users`` are by the scope of each trial; it is empty where
    trials had none yet.
    """

    seal: bytes
    tokens: frozenset[str]
    deactivated: frozenset[str]
    forgotten: frozenset[tuple[int, datetime]]
    trial_users: Mapping[tuple[int, datetime], frozenset[str]]
    last_digest: str


def look(db: Database) -> Predecessor | None:
    """What is in the database now; None where nothing is, or nothing that can be read."""
    try:
        with db.reading() as session:
            revision = revisions.revision_of(session.connection())
            if revision < _SINCE_REVISION:
                return None
            forgotten = select(ScopeRow.id, ScopeRow.created_at).where(ScopeRow.forgotten_at.is_not(None))
            newest = select(AuditRow.digest).order_by(AuditRow.id.desc()).limit(1)
            return Predecessor(
                seal=session.scalar(select(SealRow.ciphertext)) or b"",
                tokens=frozenset(session.scalars(select(ApiTokenRow.digest))),
                deactivated=frozenset(session.scalars(select(UserRow.username_key).where(~UserRow.is_active))),
                forgotten=frozenset((row.id, row.created_at) for row in session.execute(forgotten)),
                trial_users=_trial_users(session) if revision >= _TRIAL_USERS_SINCE else {},
                last_digest=session.scalar(newest) or "",
            )
    except AditError:
        return None


def withdraw(db: Database, before: Predecessor) -> Withdrawn | None:
    """Take away again what was taken away before; None when the database was not made from that one.

    Tokens that had been revoked are removed, accounts deactivated, trials forgotten, and people taken out of trials.
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
        return Withdrawn(len(revoked), len(active), len(forgotten), _take_out(session, before.trial_users))


def _trial_users(session: Session) -> Mapping[tuple[int, datetime], frozenset[str]]:
    found: dict[tuple[int, datetime], set[str]] = {}
    wanted = select(ScopeRow.id, ScopeRow.created_at, TrialUserRow.username).outerjoin(TrialUserRow)
    for number, created_at, username in session.execute(wanted.where(ScopeRow.name.is_not(None))):
        found.setdefault((number, created_at), set()).update({username} - {None})
    return {scope: frozenset(users) for scope, users in found.items()}


def _take_out(session: Session, before: Mapping[tuple[int, datetime], frozenset[str]]) -> int:
    """Remove users whom trials did not have any more, and return how many."""
    count = 0
    for scope, users in _trial_users(session).items():
        gone = users - before.get(scope, users)
        of_trial = TrialUserRow.scope_id == scope[0]
        for some in in_parts(gone):
            session.execute(delete(TrialUserRow).where(of_trial, TrialUserRow.username.in_(some)))
        count += len(gone)
    return count
