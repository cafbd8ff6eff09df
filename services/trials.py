"""Who may use a trial, which is to bind patients under its linkage key and to learn their pseudonyms: for every door.

Its protocol ID is no secret, so it is not enough to know it. Whoever is the first to name a trial uses it. So may then
whoever shares a group with a user, and whom staff lets in; staff itself may use all.
"""

from contextlib import AbstractContextManager, nullcontext

from models.db.engine import Database
from models.db.groups import GroupStore
from models.db.people import UserStore, spelling
from models.db.scopes import ScopeStore
from models.db.trials import TrialStore
from models.domain.audit import AuditAction
from models.domain.errors import BadRequest, NotFound, NotPermitted
from models.domain.people import Actor, Standing, operator
from models.domain.trials import Trial, TrialUser
from services import audit
from services.people import actors


def check_may_use(db: Database, actor: Actor, trial: str, action: AuditAction, subject: str) -> None:
    """Raise NotPermitted, which is recorded, for a trial that is used by others. A new one, or none, is open to all.

    Ask before anything is looked up under the trial. Raises WrongState for one that was forgotten.
    """
    with refusals_recorded(db, actor, trial, action, subject):
        scope_id = _known(db, trial)
        if scope_id is not None:
            _check(db, actor, trial, scope_id)


def refusals_recorded(
    db: Database, actor: Actor, trial: str, action: AuditAction, subject: str
) -> AbstractContextManager[None]:
    """Record the try when the block finds that others have made the trial their own; to be put around ``scope``."""
    if not trial:
        return nullcontext()
    return audit.refusals_recorded(db, actor, action, f"{subject} for the trial {trial}")


def scope(db: Database, actor: Actor, trial: str, key: bytes = b"") -> int:
    """The id of the scope of a trial that the actor uses from now on, made when the trial is new.

    A new one gets ``key``, else one that is made here. To be called in the transaction that binds patients in it: of
    two who name a new trial at once, the second meets the first one's. Raises as ``check_may_use`` does.
    """
    with db.transaction():
        scope_id = ScopeStore(db).for_trial(trial, actor.name, key)
        _check(db, actor, trial, scope_id)
        if not actor.is_staff:
            TrialStore(db).enter(scope_id, actor.name, actor.name)
        return scope_id


def scope_for_owner(db: Database, owner: str, trial: str) -> int | None:
    """The id of the scope of a trial, for a job that only looks what is bound in it; None for a new trial or none.

    Raises NotPermitted when the trial has become that of others since the job was submitted, or WrongState.
    """
    scope_id = _known(db, trial)
    if scope_id is not None:
        _check(db, _acting(db, owner), trial, scope_id)
    return scope_id


def list(db: Database, actor: Actor) -> tuple[Trial, ...]:
    """All trials with their users, by protocol ID; raises NotPermitted for others than staff."""
    _check_is_staff(actor)
    return TrialStore(db).list()


def get(db: Database, actor: Actor, trial_id: int) -> Trial:
    """One trial, by the number of its scope; raises NotPermitted or NotFound."""
    _check_is_staff(actor)
    return TrialStore(db).get(trial_id)


def named(db: Database, actor: Actor, protocol_id: str) -> Trial:
    """The trial with a protocol ID; raises NotPermitted or NotFound."""
    _check_is_staff(actor)
    return TrialStore(db).get(ScopeStore(db).of_trial(protocol_id))


def allow(db: Database, actor: Actor, trial_id: int, username: str) -> TrialUser:
    """Let somebody use a trial, and by that those who share a group with them. Who uses it already stays as they are.

    Raises NotPermitted, NotFound, BadRequest naming ``username``, or WrongState for a trial that was forgotten.
    """
    _check_is_staff_recorded(db, actor, trial_id)
    with db.transaction():
        trial, user = TrialStore(db).get(trial_id), _usable_account(db, username)
        if TrialStore(db).enter(trial_id, user, actor.name):
            audit.record(db, actor, AuditAction.CHANGE_TRIAL, f"trial {trial.protocol_id}: +user {user}")
        return _user_of(TrialStore(db).get(trial_id), user)


def remove(db: Database, actor: Actor, trial_id: int, username: str) -> None:
    """Take somebody out of a trial; they stay in by a group of theirs in which another user is. Jobs go on.

    Raises NotPermitted, or NotFound when they do not use it.
    """
    _check_is_staff_recorded(db, actor, trial_id)
    with db.transaction():
        trial = TrialStore(db).get(trial_id)
        user = _user_of(trial, username).username
        if TrialStore(db).remove(trial_id, user):
            audit.record(db, actor, AuditAction.CHANGE_TRIAL, f"trial {trial.protocol_id}: -user {user}")


def _known(db: Database, trial: str) -> int | None:
    """The scope of a trial, None where it is yet to be made."""
    try:
        return ScopeStore(db).of_trial(trial) if trial else None
    except NotFound:
        return None


def _check(db: Database, actor: Actor, trial: str, scope_id: int) -> None:
    ScopeStore(db).check_is_usable(scope_id)
    users = TrialStore(db)
    if actor.is_staff or users.has_user(scope_id, actor.name) or users.has_user_in(scope_id, actor.groups):
        return
    problem = f"the trial {trial} is used by others. Ask one of its users, or an administrator, to be let in."
    raise NotPermitted.of({"trial_protocol_id": problem})


def _acting(db: Database, owner: str) -> Actor:
    """The owner of a job as they are now. A name without an account is the shell's: no account ever gets such a one."""
    try:
        user = UserStore(db).by_name(owner)
    except NotFound:
        return operator(owner)
    return actors.of_user(user, GroupStore(db).rights(user.id))


def _usable_account(db: Database, username: str) -> str:
    """The exact name of an account; raises BadRequest unless somebody can sign in with it."""
    try:
        user = UserStore(db).by_name(username)
    except NotFound:
        raise BadRequest.of({"username": "there is no account with this name."}) from None
    if user.standing is not Standing.ACTIVE:
        raise BadRequest.of({"username": "this account is not active."})
    return user.username


def _user_of(trial: Trial, username: str) -> TrialUser:
    """The user of the trial with this name, in any case; raises NotFound."""
    for user in trial.users:
        if spelling(user.username) == spelling(username):
            return user
    raise NotFound("This trial has no user with this name.")


def _check_is_staff_recorded(db: Database, actor: Actor, trial_id: int) -> None:
    with audit.refusals_recorded(db, actor, AuditAction.CHANGE_TRIAL, f"trial number {trial_id}"):
        _check_is_staff(actor)


def _check_is_staff(actor: Actor) -> None:
    if not actor.is_staff:
        raise NotPermitted("Only staff may see who uses which trial, and change it.")
