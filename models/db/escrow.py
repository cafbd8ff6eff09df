"""Keeps, where the settings ask for it, which patient ID is behind a pseudonym; encrypted with the master key."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Select, insert, select

from models.db.engine import Database, in_parts
from models.db.tables import BindingRow, EscrowRow
from models.domain.errors import NotFound


class EscrowStore:
    """Patient IDs behind the pseudonyms of linkage scopes. Who may read them is for ``services`` to decide."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def sealed(self, patient_id: str) -> bytes:
        """A patient ID encrypted, which is done before the transaction where there are many."""
        return self._db.vault.encrypt(patient_id.encode())

    def keep(self, scope_id: int, patient_ids: Mapping[str, bytes]) -> None:
        """Keep the sealed patient ID of each of these bound pseudonyms, unless there is one already."""
        with self._db.transaction() as session:
            now = self._db.clock()
            for some in in_parts(patient_ids):
                entries = [
                    {"binding_id": binding_id, "ciphertext": patient_ids[pseudonym], "kept_at": now}
                    for binding_id, pseudonym in session.execute(_without_entry(scope_id, some)).all()
                ]
                if entries:
                    session.execute(insert(EscrowRow), entries)

    def patient_id(self, scope_id: int, pseudonym: str) -> str:
        """The patient ID behind a pseudonym; raises NotFound when none was kept."""
        wanted = (
            select(EscrowRow.ciphertext)
            .join(BindingRow, BindingRow.id == EscrowRow.binding_id)
            .where(BindingRow.scope_id == scope_id, BindingRow.pseudonym == pseudonym)
        )
        with self._db.reading() as session:
            sealed = session.scalar(wanted)
        if sealed is None:
            raise NotFound("Nothing was kept in escrow for this pseudonym.")
        return self._db.vault.decrypt(sealed).decode()


def _without_entry(scope_id: int, pseudonyms: Sequence[str]) -> Select[int, str]:
    return (
        select(BindingRow.id, BindingRow.pseudonym)
        .outerjoin(EscrowRow, EscrowRow.binding_id == BindingRow.id)
        .where(BindingRow.scope_id == scope_id, BindingRow.pseudonym.in_(pseudonyms), EscrowRow.binding_id.is_(None))
    )
