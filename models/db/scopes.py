"""Keeps linkage scopes: the keys under which patients are pseudonymized, and which pseudonym belongs to whom."""

import secrets

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from models.db.engine import Database, Lock, hold
from models.db.tables import BindingRow, ScopeRow
from models.domain.errors import IdentityConflict, NotFound

KEY_BYTES = 32


class ScopeStore:
    """Linkage keys, encrypted with the master key, and pseudonym bindings."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def for_trial(self, name: str) -> int:
        """The id of the scope of a trial, made when the trial is new: one trial has one key."""
        with self._db.transaction() as session:
            hold(session.connection(), Lock.SCOPES)
            known = session.scalar(select(ScopeRow.id).where(ScopeRow.name == name))
            return known if known is not None else self._add(session, name)

    def new(self) -> int:
        """The id of a new scope that is shared with no other job."""
        with self._db.transaction() as session:
            return self._add(session, None)

    def key(self, scope_id: int) -> bytes:
        """The secret linkage key of a scope; raises NotFound, or NotPermitted under a wrong master key."""
        with self._db.reading() as session:
            key = session.scalar(select(ScopeRow.key).where(ScopeRow.id == scope_id))
        if key is None:
            raise NotFound("There is no such linkage scope.")
        return self._db.vault.decrypt(key)

    def bind(self, scope_id: int, patient_digest: str, pseudonym: str) -> None:
        """Tie a patient to a pseudonym for good; doing it again changes nothing.

        ``patient_digest`` is a keyed digest of the patient ID. Raises IdentityConflict when the patient has another
        pseudonym in this scope or the pseudonym belongs to another patient.
        """
        with self._db.transaction() as session:
            if session.get(ScopeRow, scope_id, with_for_update=True) is None:
                raise NotFound("There is no such linkage scope.")
            if not _is_bound(session, scope_id, patient_digest, pseudonym):
                session.add(BindingRow(scope_id=scope_id, patient_digest=patient_digest, pseudonym=pseudonym))

    def _add(self, session: Session, name: str | None) -> int:
        key = self._db.vault.encrypt(secrets.token_bytes(KEY_BYTES))
        row = ScopeRow(name=name, key=key, created_at=self._db.clock())
        session.add(row)
        session.flush()
        return row.id


def _is_bound(session: Session, scope_id: int, patient_digest: str, pseudonym: str) -> bool:
    touches = or_(BindingRow.patient_digest == patient_digest, BindingRow.pseudonym == pseudonym)
    for row in session.scalars(select(BindingRow).where(BindingRow.scope_id == scope_id, touches)):
        if row.patient_digest != patient_digest:
            raise IdentityConflict("The pseudonym already belongs to another patient of this trial or job.")
        if row.pseudonym != pseudonym:
            raise IdentityConflict("The patient already has another pseudonym in this trial or job.")
        return True
    return False
