"""Who may see a job, and who may do what to it in which state: the one place, for every door.

Owners and staff do things to a job. Members of a group that shows jobs of that kind to its members see each other's.
To all others a job does not exist.
"""

from dataclasses import dataclass

from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.scopes import ScopeStore
from models.domain.audit import AuditAction
from models.domain.errors import NotFound, NotPermitted, Refused, WrongState
from models.domain.job_actions import Stand, check_allows, check_item_allows
from models.domain.job_rights import MAY_ADD, MAY_HURRY, MAY_SEE, MAY_SHOW_IDENTITY
from models.domain.jobs import Item, ItemAction, Job, JobAction, JobKind, Onlooker
from models.domain.people import Actor
from models.domain.project import App
from services import audit, project

_STAFF_ONLY = frozenset({JobAction.VERIFY, JobAction.RESTART})
_BEGINS = frozenset({JobAction.VERIFY, JobAction.RESUME, JobAction.RETRY, JobAction.RESTART})
"""What lets work begin: not while the application is locked, nor once the job's linkage key was destroyed."""


def onlooker(actor: Actor) -> Onlooker:
    """What jobs the actor sees."""
    is_shown_some = not actor.permissions.isdisjoint(MAY_SEE.values())
    groups = actor.groups if is_shown_some else frozenset[int]()
    return Onlooker(actor.name, groups, actor.is_superuser, everybody=actor.is_staff, nodes=actor.nodes_limit)


def visible(db: Database, actor: Actor, job_id: int) -> Job:
    """The job; raises NotFound, also when it is not the actor's to see."""
    jobs = JobStore(db)
    job = jobs.get(job_id)
    if not _may_change(actor, job) and not jobs.is_seen(job_id, onlooker(actor)):
        raise NotFound("There is no such job.")
    check_is_within_limit(db, actor, job_id)
    return job


def check_is_within_limit(db: Database, actor: Actor, job_id: int) -> None:
    """Raise NotFound for a job that names a node which the actor's token must not touch."""
    within = Onlooker(actor.name, everybody=True, nodes=actor.nodes_limit)
    if actor.nodes_limit is not None and not JobStore(db).is_seen(job_id, within):
        raise NotFound("There is no such job.")


def may_know_patients(actor: Actor, job: Job) -> bool:
    """Whether patient IDs of the job, and what servers answer about patients, are for the actor to see.

    The right to the escrow does not show them: ``escrow.look_up`` asks for a reason, and records each patient.
    """
    is_at_the_shell = actor.is_superuser and actor.user_id is None
    return actor.name == job.owner or is_at_the_shell


def may_know_studies(actor: Actor, job: Job) -> bool:
    """Whether the source's UIDs are for the actor to see: beside a pseudonym they lead back to who it stands for."""
    return _may_change(actor, job)


def visible_item(db: Database, actor: Actor, item_id: int) -> tuple[Job, Item]:
    """The item and its job; raises NotFound, also when that is not the actor's to see."""
    item = JobStore(db).item(item_id)
    try:
        return visible(db, actor, item.job_id), item
    except NotFound:
        raise NotFound("There is no such item.") from None


def actions(db: Database, actor: Actor, job: Job) -> frozenset[JobAction]:
    """What the actor may do to the job as it is now."""
    if not _may_change(actor, job):
        return frozenset()
    view = _view(db, actor, job)
    return frozenset(action for action in JobAction if _refusal(actor, view, action) is None)


def item_actions(db: Database, actor: Actor, item: Item) -> frozenset[ItemAction]:
    """What the actor may do to one item as it is now."""
    job = visible(db, actor, item.job_id)
    if not _may_change(actor, job):
        return frozenset()
    view = _view(db, actor, job, item)
    return frozenset(action for action in ItemAction if _item_refusal(view, item, action) is None)


def permitted(db: Database, actor: Actor, job_id: int, action: JobAction) -> Job:
    """The job, which lets the actor do so.

    Raises NotFound for a job that is not the actor's to see, NotPermitted (which is recorded), WrongState, or what
    ``project.check_open`` raises.
    """
    job = visible(db, actor, job_id)
    recorded = AuditAction.DELETE_JOB if action is JobAction.DELETE else AuditAction.CHANGE_JOB
    with audit.refusals_recorded(db, actor, recorded, f"job {job.id}: {action.value}"):
        _check_may_change(actor, job)
        if refusal := _refusal(actor, _view(db, actor, job), action):
            raise refusal
    return job


def permitted_item(db: Database, actor: Actor, item_id: int, action: ItemAction) -> Item:
    """The item, which lets the actor do so; raises as ``permitted`` does."""
    job, item = visible_item(db, actor, item_id)
    subject = f"job {job.id}, item {item.position}: {action.value}"
    with audit.refusals_recorded(db, actor, AuditAction.CHANGE_JOB, subject):
        _check_may_change(actor, job)
        if refusal := _item_refusal(_view(db, actor, job, item), item, action):
            raise refusal
    return item


@dataclass(frozen=True, slots=True)
class _View:
    """A job as the actor finds it: how it, or one item of it, stands, and why nothing of it may begin now, if so."""

    kind: JobKind
    stand: Stand
    closed: Refused | None


def _view(db: Database, actor: Actor, job: Job, item: Item | None = None) -> _View:
    return _View(job.kind, JobStore(db).stand(job.id, item and item.id), _why_closed(db, actor, job))


def _why_closed(db: Database, actor: Actor, job: Job) -> Refused | None:
    try:
        project.check_open(db, actor, App.of(job.kind))
        if job.linkage_scope_id is not None:
            ScopeStore(db).check_is_usable(job.linkage_scope_id)
        _check_rights_are_left(db, actor, job)
    except Refused as refusal:
        return refusal
    return None


def _check_rights_are_left(db: Database, actor: Actor, job: Job) -> None:
    """Owners who lost a right since do not use it again through an old job. Staff acts in the owner's name."""
    if actor.is_staff:
        return
    needed = {MAY_ADD[job.kind], *([MAY_SHOW_IDENTITY[job.kind]] if job.keep_identity else [])}
    may_use = all(
        actor.access.may_read(source) and (target is None or actor.access.may_write(target))
        for source, target in JobStore(db).nodes(job.id)
    )
    if not needed <= actor.permissions or not may_use:
        raise NotPermitted("You have lost a right that this job needs, or the access to its source or destination.")


def _may_change(actor: Actor, job: Job) -> bool:
    return actor.is_staff or job.owner == actor.name


def _check_may_change(actor: Actor, job: Job) -> None:
    if not _may_change(actor, job):
        raise NotPermitted("You may see this job; only its owner and staff may do something to it.")


def _refusal(actor: Actor, job: _View, action: JobAction) -> Refused | None:
    if action in _STAFF_ONLY and not actor.is_staff:
        return NotPermitted(f"Only staff may {action.value} a job.")
    if action is JobAction.HURRY and MAY_HURRY[job.kind] not in actor.permissions:
        return NotPermitted("You may not make jobs urgent.")
    if action in _BEGINS and job.closed is not None:
        return job.closed
    try:
        check_allows(action, job.stand)
    except WrongState as refusal:
        return refusal
    return None


def _item_refusal(job: _View, item: Item, action: ItemAction) -> Refused | None:
    if action is ItemAction.RESET and job.closed is not None:
        return job.closed
    try:
        check_item_allows(action, item.state, job.stand)
    except WrongState as refusal:
        return refusal
    return None
