"""Keeps linkage scopes: the keys under which patients are pseudonymized, and which pseudonym belongs to whom."""

import secrets
from collections.abc import Collection, Generator, Iterator
from contextlib import contextmanager

from sqlalchemy import Row, Select, delete, exists, insert, or_, select, update
from sqlalchemy.orm import Session

from models.db.engine import Database, Lock, hold, in_parts
from models.db.receipts import packed, unpacked
from models.db.tables import (
    AnswerRow,
    BatchFileRow,
    BindingRow,
    ItemRow,
    JobRow,
    QuestionRow,
    ReceiptRow,
    ScopeRow,
    TrialUserRow,
)
from models.domain.errors import NotFound, WrongState
from models.domain.jobs import FINISHED, JobKind
from models.domain.pseudonyms import Ledger, spelling

KEY_BYTES = 32


class ScopeStore:
    """Linkage keys, encrypted with the master key, and pseudonym bindings.

    Raises NotFound for a scope that there is not, WrongState for one that was forgotten.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    def for_trial(self, name: str, user: str, key: bytes = b"") -> int:
        """The id of the scope of a trial, made when the trial is new: one trial has one key.

        A new one gets ``user`` as its first, and ``key``, else one that is made here.
        """
        with self._db.transaction() as session:
            hold(session.connection(), Lock.SCOPES)
            known = session.scalar(select(ScopeRow.id).where(ScopeRow.name == name))
            if known is not None:
                return known
            scope_id = self._add(session, name, key)
            session.add(TrialUserRow(scope_id=scope_id, username=user, since_at=self._db.clock(), let_in_by=user))
            session.flush()
            return scope_id

    def new(self, key: bytes = b"") -> int:
        """The id of a new scope that is shared with no other job; it gets ``key``, else one that is made here."""
        with self._db.transaction() as session:
            return self._add(session, None, key)

    def of_trial(self, name: str) -> int:
        """The id of the scope of a trial; raises NotFound when no job has named it."""
        with self._db.reading() as session:
            known = session.scalar(select(ScopeRow.id).where(ScopeRow.name == name))
        if known is None:
            raise NotFound("There is no such trial.")
        return known

    def key(self, scope_id: int) -> bytes:
        """The secret linkage key of a scope; raises NotPermitted under a wrong master key."""
        with self._db.reading() as session:
            return self._db.vault.decrypt(usable(session.get(ScopeRow, scope_id)).key)

    def check_is_usable(self, scope_id: int) -> None:
        """Raise WrongState when the scope was forgotten, so that its jobs can do nothing any more."""
        with self._db.reading() as session:
            usable(session.get(ScopeRow, scope_id))

    @contextmanager
    def ledger(self, scope_id: int, patients: Collection[str], pseudonyms: Collection[str]) -> Generator[Ledger]:
        """Who has which pseudonym, among these patients (keyed digests) and pseudonyms.

        What is added to it is written when the block ends. Nobody else can bind in the scope in the meantime, so two
        workers never give one patient two pseudonyms.
        """
        with self._db.transaction() as session:
            usable(session.get(ScopeRow, scope_id, with_for_update=True, populate_existing=True))
            ledger = Ledger(dict(_bound(session, scope_id, patients, pseudonyms)))
            yield ledger
            added = [
                {"scope_id": scope_id, "patient_digest": patient, "pseudonym": name, "spelling": spelling(name)}
                for patient, name in ledger.added.items()
            ]
            if added:
                session.execute(insert(BindingRow), added)

    def known(self, scope_id: int, patients: Collection[str], pseudonyms: Collection[str]) -> Ledger:
        """The same, only to look: what is added to it is not kept."""
        with self._db.reading() as session:
            usable(session.get(ScopeRow, scope_id))
            return Ledger(dict(_bound(session, scope_id, patients, pseudonyms)))

    def has_bound(self, scope_id: int, pseudonym: str) -> bool:
        """Whether a patient of the scope has this pseudonym."""
        with self._db.reading() as session:
            bound = exists().where(BindingRow.scope_id == scope_id, BindingRow.pseudonym == pseudonym)
            return bool(session.scalar(select(bound)))

    def forget(self, scope_id: int, though_at_work: bool = False) -> None:
        """Destroy what could tell who is behind the pseudonyms of a scope; its number and its jobs stay.

        The key, the bindings, the escrow and its users are deleted, and of its checks what was asked, found and
        uploaded. The jobs' items lose their pseudonyms and row ids, and their receipts names and digests of files,
        since either would lead from a study at the source to the one at the destination. Raises WrongState while a job
        of the scope, or a check for it, has not ended; or, ``though_at_work``, leaves it to fail.
        """
        with self._db.transaction() as session:
            row = usable(session.get(ScopeRow, scope_id, with_for_update=True, populate_existing=True))
            of_scope = select(JobRow.id).where(JobRow.linkage_scope_id == scope_id)
            checks = _checks_for(scope_id, row.name)
            for jobs in (of_scope, checks):
                if not though_at_work and session.scalar(select(exists(jobs.where(JobRow.state.not_in(FINISHED))))):
                    raise WrongState("A job of this trial has not ended. Wait for it, or cancel it.")
            row.key, row.forgotten_at = b"", self._db.clock()
            session.execute(delete(BindingRow).where(BindingRow.scope_id == scope_id))
            session.execute(delete(TrialUserRow).where(TrialUserRow.scope_id == scope_id))
            for jobs in (of_scope, checks):
                session.execute(update(ItemRow).where(ItemRow.job_id.in_(jobs)).values(pseudonym="", row_id=""))
            _forget_asked(session, checks)
            items = select(ItemRow.id).where(ItemRow.job_id.in_(of_scope))
            for receipt in session.scalars(select(ReceiptRow).where(ReceiptRow.item_id.in_(items))):
                receipt.content = _without_files(receipt.content)

    def _add(self, session: Session, name: str | None, key: bytes) -> int:
        sealed = self._db.vault.encrypt(key or secrets.token_bytes(KEY_BYTES))
        row = ScopeRow(name=name, key=sealed, created_at=self._db.clock())
        session.add(row)
        session.flush()
        return row.id


def _checks_for(scope_id: int, trial: str | None) -> Select[int]:
    """The ids of checks of which transfers of the scope were made, and of all that name its trial."""
    made = select(JobRow.checked_by_job_id).where(JobRow.linkage_scope_id == scope_id)
    is_for = JobRow.id.in_(made.where(JobRow.checked_by_job_id.is_not(None)))
    if trial is not None:
        is_for = or_(is_for, JobRow.trial_protocol_id == trial)
    return select(JobRow.id).where(JobRow.kind == JobKind.BATCH_CHECK, is_for)


def _forget_asked(session: Session, checks: Select[int]) -> None:
    """Delete rows that name patients beside their pseudonyms, and the files that they came from."""
    items = select(ItemRow.id).where(ItemRow.job_id.in_(checks))
    session.execute(delete(QuestionRow).where(QuestionRow.item_id.in_(items)))
    session.execute(delete(AnswerRow).where(AnswerRow.item_id.in_(items)))
    session.execute(delete(BatchFileRow).where(BatchFileRow.job_id.in_(checks)))


def usable(row: ScopeRow | None) -> ScopeRow:
    """The scope; raises NotFound where there is none, WrongState when it was forgotten."""
    if row is None:
        raise NotFound("There is no such linkage scope.")
    if row.forgotten_at is not None:
        raise WrongState("This trial or job was forgotten: its linkage key is destroyed. Begin another trial.")
    return row


def _bound(
    session: Session, scope_id: int, patients: Collection[str], pseudonyms: Collection[str]
) -> Iterator[Row[str, str]]:
    spellings = {spelling(pseudonym) for pseudonym in pseudonyms}
    columns = select(BindingRow.patient_digest, BindingRow.pseudonym).where(BindingRow.scope_id == scope_id)
    for some in in_parts(patients):
        yield from session.execute(columns.where(BindingRow.patient_digest.in_(some))).all()
    for some in in_parts(spellings):
        yield from session.execute(columns.where(BindingRow.spelling.in_(some))).all()


def _without_files(content: bytes) -> bytes:
    receipt = unpacked(content)
    receipt.digests.clear()
    receipt.files.clear()
    return packed(receipt)
