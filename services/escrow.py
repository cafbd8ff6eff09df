"""The way back from a pseudonym to its patient, for those who may go it, and its end: forgetting a trial."""

import re

from models.db.engine import Database
from models.db.escrow import EscrowStore
from models.db.jobs import JobStore
from models.db.scopes import ScopeStore
from models.domain.audit import AuditAction
from models.domain.errors import BadRequest, NotFound
from models.domain.people import Actor, Permission
from services.audit import Tried, audited

Place = str | int
"""Where a pseudonym is valid: the protocol ID of a trial, or the number of a job without one."""


def look_up(db: Database, actor: Actor, place: Place, pseudonym: str, reason: str) -> str:
    """The patient ID behind a pseudonym.

    Every try is in the audit trail, also those that fail. Raises NotPermitted, BadRequest (no reason, or one that
    names the patient), NotFound, WrongState (the trial was forgotten).
    """
    action, right = AuditAction.LOOK_UP_IDENTITY, Permission.READ_ESCROW
    with audited(db, actor, action, right, reason, _named(db, place)) as tried:
        scope_id = _scope_of(db, place)
        ScopeStore(db).check_is_usable(scope_id)
        if not ScopeStore(db).has_bound(scope_id, pseudonym):
            raise NotFound("Nobody has this pseudonym in this trial or job.")
        tried.subject += f", pseudonym {pseudonym}"
        patient_id = EscrowStore(db).patient_id(scope_id, pseudonym)
        _check_names_nobody(tried, patient_id)
        return patient_id


def forget(db: Database, actor: Actor, place: Place, reason: str) -> bool:
    """Destroy the linkage key of a trial or job with all that leads from its pseudonyms to patients, for good.

    What was transferred stays where it is, and copies of our database stay as they are. Afterwards the trial's jobs
    cannot go on, and no job can be added to it. Returns whether the database's own log of earlier states is empty, too.
    Raises NotPermitted, BadRequest, NotFound, WrongState (a job has not
    ended, or it was forgotten before).
    """
    action, right = AuditAction.FORGET_SCOPE, Permission.FORGET_SCOPE
    with audited(db, actor, action, right, reason, _named(db, place)):
        ScopeStore(db).forget(_scope_of(db, place))
    return db.empty_log()


def _check_names_nobody(tried: Tried, patient_id: str) -> None:
    """The trail must not become a second escrow."""
    if re.search(rf"(?<!\w){re.escape(patient_id)}(?!\w)", tried.reason, re.IGNORECASE):
        tried.reason = "(it named the patient)"
        raise BadRequest("reason: it must not name the patient.")


def _scope_of(db: Database, place: Place) -> int:
    if isinstance(place, str):
        return ScopeStore(db).of_trial(place)
    job = JobStore(db).get(place)
    if job.trial_protocol_id and not job.keep_identity:
        raise BadRequest("The job belongs to a trial. Name the trial.")
    if job.linkage_scope_id is None:
        raise BadRequest("The job only asks servers; it gives nobody a pseudonym.")
    return job.linkage_scope_id


def _named(db: Database, place: Place) -> str:
    """What a trial or job that there is is called in the trail; what there is none of may be a patient's name."""
    try:
        if isinstance(place, str):
            ScopeStore(db).of_trial(place)
            return f"trial {place}"
        return f"job {JobStore(db).get(place).id}"
    except NotFound:
        return ""
