"""Gives patients their pseudonyms: one patient, one pseudonym within a trial or job, before anything is moved."""

import hmac
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from itertools import islice

from dicom.deid.identity import plain_id
from dicom.deid.keys import LinkageKey
from dicom.deid.needles import needles_of_study
from dicom.deid.residue import check_pseudonym
from models.db.engine import Database
from models.db.escrow import EscrowStore
from models.db.jobs import JobStore
from models.db.scopes import KEY_BYTES, ScopeStore
from models.domain.errors import BadRequest, IdentityConflict, NotFound, NotPermitted, ResidueFound
from models.domain.jobs import Item, Job, Lease
from models.domain.people import Actor
from models.domain.pseudonyms import CANDIDATES, Ledger
from models.domain.refs import StudyFound
from models.domain.requests import StudyWish, name_problems, refuse
from models.settings import Settings
from services import trials

_SHORTEST_TELLING_ID = 4
"""A shorter ID is in many pseudonyms by chance."""
_TRIES = 200
"""A generated pseudonym must not hold the patient ID, which very short IDs make likely."""


@dataclass(frozen=True, slots=True)
class _Patient:
    """A patient with the pseudonym that is wished, if any, and those that may be generated."""

    digest: str
    patient_id: str = field(repr=False)
    pseudonym: str
    candidates: tuple[str, ...]

    def entered(self, ledger: Ledger) -> str:
        if self.pseudonym:
            return ledger.give(self.digest, self.pseudonym)
        return ledger.generate(self.digest, self.candidates)


def linkage_key(db: Database, scope_id: int) -> LinkageKey:
    """The key of a scope; raises WrongState when it was forgotten."""
    return LinkageKey(ScopeStore(db).key(scope_id))


@dataclass(frozen=True, slots=True)
class Prepared:
    """Studies, and what can be told of their patients under a key before anybody is bound.

    ``patients``, ``telling`` (why a wished pseudonym cannot be) and ``sealed`` (IDs for the escrow) are by row.
    """

    key: bytes = field(repr=False)
    studies: Sequence[StudyWish]
    patients: Mapping[int, _Patient]
    telling: Mapping[int, str]
    sealed: Mapping[int, bytes]


def prepare(db: Database, settings: Settings, trial: str, studies: Sequence[StudyWish]) -> Prepared:
    """What ``bind_request`` needs; it takes seconds for a large request, in which others can write.

    ``trial`` is empty where the job gets a scope of its own. A new scope is to be given the key. Raises WrongState for
    a trial that was forgotten.
    """
    scope_id = _scope_of(db, trial)
    key = secrets.token_bytes(KEY_BYTES) if scope_id is None else ScopeStore(db).key(scope_id)
    return _prepared(db, settings, key, studies)


def bind_request(
    db: Database, settings: Settings, scope_id: int, prepared: Prepared, row_name: str = "Study"
) -> tuple[StudyWish, ...]:
    """Bind the patients that a request names, and return its studies with the pseudonyms they have by that.

    Studies whose patient is not named stay as they are: the source has to be asked first. Raises BadRequest with the
    rows that contradict one another or earlier jobs of the trial, called as ``row_name`` says; to be called in the
    transaction that adds the job.
    """
    key = ScopeStore(db).key(scope_id)
    if key != prepared.key:  # somebody else has made the scope in the meantime
        prepared = _prepared(db, settings, key, prepared.studies)
    with _ledger(db, scope_id, [*prepared.patients.values()]) as ledger:
        names = _entered(ledger, prepared, row_name)
    if settings.escrow:
        EscrowStore(db).keep(scope_id, {name: prepared.sealed[row] for row, name in names.items()})
    told = enumerate(prepared.studies, start=1)
    return tuple(replace(wish, pseudonym=names.get(row, wish.pseudonym)) for row, wish in told)


def rehearse_request(db: Database, settings: Settings, trial: str, studies: Sequence[StudyWish]) -> None:
    """Raise what ``prepare`` and ``bind_request`` would, without binding anybody and without holding anybody up."""
    prepared = prepare(db, settings, trial, studies)
    scope_id = _scope_of(db, trial)
    ledger = Ledger({})
    if scope_id is not None:
        ledger = ScopeStore(db).known(scope_id, *_concerned([*prepared.patients.values()]))
    _entered(ledger, prepared, "Study")


def bind_patients(
    db: Database, settings: Settings, actor: Actor, trial: str, patients: Sequence[tuple[str, str]]
) -> tuple[int, dict[str, str]]:
    """Bind patients to pseudonyms in the scope of a trial, for files that no job moves.

    ``patients`` are patient IDs with the pseudonym that is wished, empty where one is to be generated. Returns the
    scope's number and the pseudonym of each patient ID. Raises BadRequest naming rows, counted from 1; NotPermitted;
    WrongState when the trial was forgotten. Then nothing is bound.
    """
    if not actor.is_staff:
        raise NotPermitted("Only staff may pseudonymize files of this machine.")
    problems = [
        f"Row {row}: {problem}"
        for row, (patient_id, pseudonym) in enumerate(patients, start=1)
        for problem in name_problems(patient_id, pseudonym)
    ]
    if problems or not trial.strip():
        raise BadRequest(" ".join(problems) or "scope: the name of a trial is needed.")
    wishes = [StudyWish("", patient_id, (), pseudonym) for patient_id, pseudonym in patients]
    prepared = prepare(db, settings, trial.strip(), wishes)
    with db.transaction():
        scope_id = trials.scope(db, actor, trial.strip(), prepared.key)
        bound = bind_request(db, settings, scope_id, prepared, row_name="Row")
    return scope_id, {wish.patient_id: wish.pseudonym for wish in bound}


def bind_item(db: Database, settings: Settings, lease: Lease, job: Job, item: Item, study: StudyFound) -> Item:
    """Bind the patient of a study that the source lists, and return the item with its pseudonym.

    Raises IdentityConflict when the pseudonym or the patient is bound to another one, or when it cannot be told whose
    study it is; LeaseLost when another worker has the item.
    """
    scope_id = job.scope_id
    if plain_id(item.patient_id) and not plain_id(study.patient_id):
        raise IdentityConflict("The source lists the study without a patient ID, so nobody knows whose it is.")
    patient = _patient_of(linkage_key(db, scope_id), study, item.pseudonym)
    with db.transaction():
        return JobStore(db).set_pseudonym(lease, _bound(db, settings, scope_id, patient, study))


def bind_study(
    db: Database, settings: Settings, actor: Actor, trial: str, study: StudyFound, pseudonym: str = ""
) -> tuple[LinkageKey, str]:
    """Bind the patient of a study that the source lists, in the scope of a trial, for who is sent the study at once.

    Returns the key of the scope, made when the trial is new, and the pseudonym: the one that is wished, else the one
    that the patient has in the trial, else a generated one. Raises NotPermitted for a trial that is used by others,
    IdentityConflict as ``bind_item`` does, WrongState when the trial was forgotten.
    """
    with db.transaction():
        scope_id = trials.scope(db, actor, trial)
        key = linkage_key(db, scope_id)
        return key, _bound(db, settings, scope_id, _patient_of(key, study, pseudonym), study)


def key_without_trial(db: Database, actor: Actor, pseudonym: str) -> LinkageKey:
    """The key of what somebody is sent under a pseudonym that belongs to no trial.

    It follows from the master key, the person and the pseudonym. So they get the same UIDs each time, and what others
    get cannot be linked with it.
    """
    person = f"user\0{actor.user_id}" if actor.user_id is not None else f"name\0{actor.name}"
    message = f"{person}\0{pseudonym}".encode(errors="backslashreplace")
    return LinkageKey(hmac.digest(db.vault.key_for("linkage without trial"), message, "sha256"))


def check_tells_nobody(pseudonym: str, study: StudyFound) -> None:
    """Raise IdentityConflict when a wished pseudonym is made of what the source says of the patient."""
    try:
        check_pseudonym(pseudonym, needles_of_study(study))
    except ResidueFound as residue:
        raise IdentityConflict(f"{residue.message} Choose another one.") from None
    if _telling({1: _Patient("", plain_id(study.patient_id), pseudonym, ())}):
        raise IdentityConflict("The pseudonym holds the ID of the patient. Choose another one.")


def _bound(db: Database, settings: Settings, scope_id: int, patient: _Patient, study: StudyFound) -> str:
    """The pseudonym of a patient, bound in the transaction that is open.

    A wished one is checked before: a bound one cannot be taken back.
    """
    if patient.pseudonym:
        check_tells_nobody(patient.pseudonym, study)
    with _ledger(db, scope_id, [patient]) as ledger:
        pseudonym = patient.entered(ledger)
    if settings.escrow and patient.patient_id:
        escrow = EscrowStore(db)
        escrow.keep(scope_id, {pseudonym: escrow.sealed(patient.patient_id)})
    return pseudonym


def _telling(patients: Mapping[int, _Patient]) -> dict[int, str]:
    """By row, why a wished pseudonym would name a patient of the request: it holds an ID, in whatever case."""
    ids = {patient.patient_id.casefold() for patient in patients.values()}
    sizes = {len(patient_id) for patient_id in ids if len(patient_id) >= _SHORTEST_TELLING_ID}
    return {
        row: "It holds the ID of a patient of this request."
        for row, patient in patients.items()
        if patient.pseudonym and _holds_one(patient.pseudonym.casefold(), ids, sizes)
    }


def _holds_one(pseudonym: str, ids: Collection[str], sizes: Collection[int]) -> bool:
    pieces = (pseudonym[start : start + size] for size in sizes for start in range(len(pseudonym) - size + 1))
    return pseudonym in ids or any(piece in ids for piece in pieces)


def _scope_of(db: Database, trial: str) -> int | None:
    """The scope of a trial, None where it is yet to be made."""
    try:
        return ScopeStore(db).of_trial(trial) if trial else None
    except NotFound:
        return None


def _prepared(db: Database, settings: Settings, key: bytes, studies: Sequence[StudyWish]) -> Prepared:
    linkage = LinkageKey(key)
    patients = {
        row: _patient(linkage, wish.patient_id, wish.pseudonym)
        for row, wish in enumerate(studies, start=1)
        if plain_id(wish.patient_id)
    }
    escrow = EscrowStore(db)
    sealed = {row: escrow.sealed(one.patient_id) for row, one in patients.items()} if settings.escrow else {}
    return Prepared(key, studies, patients, _telling(patients), sealed)


def _entered(ledger: Ledger, prepared: Prepared, row_name: str) -> dict[int, str]:
    """By row, the pseudonyms that patients have now, given ones first; raises BadRequest with all that contradicts."""
    names = dict[int, str]()
    patients, conflicts = prepared.patients, dict(prepared.telling)
    for row in sorted(patients, key=lambda row: not patients[row].pseudonym):
        if row in conflicts:
            continue
        try:
            names[row] = patients[row].entered(ledger)
        except IdentityConflict as conflict:
            conflicts[row] = conflict.message
    if conflicts:
        called = {row: prepared.studies[row - 1].called(row, row_name) for row in sorted(conflicts)}
        refuse([f"{name}: pseudonym: {conflicts[row]}" for row, name in called.items()])
    return names


def _ledger(db: Database, scope_id: int, patients: Sequence[_Patient]) -> AbstractContextManager[Ledger]:
    return ScopeStore(db).ledger(scope_id, *_concerned(patients))


def _concerned(patients: Sequence[_Patient]) -> tuple[set[str], set[str]]:
    """The digests of patients, and the pseudonyms that they may get."""
    names = {name for patient in patients for name in (patient.pseudonym, *patient.candidates) if name}
    return {patient.digest for patient in patients}, names


def _patient(key: LinkageKey, patient_id: str, pseudonym: str) -> _Patient:
    candidates = () if pseudonym else tuple(islice(_candidates(key, patient_id), CANDIDATES))
    return _Patient(key.patient_digest(patient_id), plain_id(patient_id), pseudonym, candidates)


def _patient_of(key: LinkageKey, study: StudyFound, pseudonym: str) -> _Patient:
    """The patient of a study; one without an ID is known by the study alone, and then needs a given pseudonym."""
    if plain_id(study.patient_id):
        return _patient(key, study.patient_id, pseudonym)
    if not pseudonym:
        raise IdentityConflict("The source lists the study without a patient ID. Give it a pseudonym of its own.")
    return _Patient(key.digest("study-without-patient", study.study_uid).hex(), "", pseudonym, ())


def _candidates(key: LinkageKey, patient_id: str) -> Iterator[str]:
    own = plain_id(patient_id).casefold()
    for number in range(_TRIES):
        candidate = key.pseudonym(patient_id, number=number)
        if own not in candidate.casefold():
            yield candidate
