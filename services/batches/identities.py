"""Tells at the check whether a patient and a pseudonym can be named by a transfer at all, which would be refused."""

from dataclasses import replace

from models.db.engine import Database
from models.db.scopes import ScopeStore
from models.domain.answers import CheckedStudy, RowVerdict
from models.domain.batches import BatchTransferItem
from models.domain.errors import IdentityConflict
from models.domain.refs import StudyFound
from models.domain.requests import name_problems
from services import pseudonyms


def look(db: Database, scope_id: int | None, item: BatchTransferItem, found: CheckedStudy) -> CheckedStudy:
    """The same, or a mismatch where the source's patient ID, or the pseudonym, is one that a transfer cannot have.

    ``scope_id`` is that of the trial, None when it is new or there is none. Nothing is bound by looking.
    """
    if found.verdict is not RowVerdict.FOUND or found.study is None:
        return found
    problem = _problem(db, scope_id, item, found.study)
    return replace(found, verdict=RowVerdict.MISMATCH, sentence=problem) if problem else found


def _problem(db: Database, scope_id: int | None, item: BatchTransferItem, study: StudyFound) -> str:
    if problems := name_problems(study.patient_id, ""):
        _, _, problem = problems[0].partition(": ")
        return f"The patient ID at the source cannot be used: {problem}"
    if not item.pseudonym:
        return ""
    try:
        pseudonyms.check_tells_nobody(item.pseudonym, study)
        _check_is_free(db, scope_id, study.patient_id or item.patient_id, item.pseudonym)
    except IdentityConflict as conflict:
        return conflict.message
    return ""


def _check_is_free(db: Database, scope_id: int | None, patient_id: str, pseudonym: str) -> None:
    """Raise IdentityConflict when earlier jobs of the trial bound the patient, or the pseudonym, to another one."""
    if scope_id is not None and patient_id:
        digest = pseudonyms.linkage_key(db, scope_id).patient_digest(patient_id)
        ScopeStore(db).known(scope_id, {digest}, {pseudonym}).give(digest, pseudonym)
