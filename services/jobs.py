"""What people do with jobs: submit, watch, cancel, resume, retry, restart, delete.

Everything about a job is for its owner and for staff; to others it does not exist.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.nodes import NodeStore
from models.db.receipts import ReceiptStore
from models.db.scopes import ScopeStore
from models.domain.errors import BadRequest, NotFound, NotPermitted, ProfileInvalid
from models.domain.jobs import Item, Job, JobKind, JobProgress, State
from models.domain.nodes import Node, Server
from models.domain.people import Actor, Permission
from models.domain.receipts import Receipt
from models.domain.requests import TransferRequest
from models.settings import Settings
from services import profiles, pseudonyms

_MAY_ADD = {
    JobKind.SELECTIVE_TRANSFER: Permission.ADD_SELECTIVE_TRANSFER,
    JobKind.BATCH_TRANSFER: Permission.ADD_BATCH_TRANSFER,
}
_MAY_HURRY = {
    JobKind.SELECTIVE_TRANSFER: Permission.SELECTIVE_URGENT,
    JobKind.BATCH_TRANSFER: Permission.BATCH_URGENT,
}
_MAY_SHOW_IDENTITY = {
    JobKind.SELECTIVE_TRANSFER: Permission.SELECTIVE_UNPSEUDONYMIZED,
    JobKind.BATCH_TRANSFER: Permission.BATCH_UNPSEUDONYMIZED,
}


def submit(db: Database, settings: Settings, actor: Actor, request: TransferRequest) -> Job:
    """Accept a request as a pending job. Jobs of one trial share a linkage key; one without a trial gets its own.

    Patients that the request names get their pseudonyms at once. Raises BadRequest naming what is wrong with the
    request, its profile, or its pseudonyms in view of earlier jobs of the trial; NotPermitted for a right the actor
    lacks; WrongState when the trial was forgotten. Then nothing is left behind.
    """
    request.check()
    _check_rights(actor, request)
    _check_nodes(db, request)
    if request.keep_identity:
        with db.transaction():
            return JobStore(db).add(actor.name, request, ScopeStore(db).new())
    request = replace(request, profile=request.profile or settings.profile)
    digest = _policy_digest(settings, request.profile)
    with db.transaction():
        scopes = ScopeStore(db)
        trial = request.trial_protocol_id
        scope_id = scopes.for_trial(trial) if trial else scopes.new()
        studies = pseudonyms.bind_request(db, settings, scope_id, request.studies)
        return JobStore(db).add(actor.name, replace(request, studies=studies), scope_id, digest)


def get(db: Database, actor: Actor, job_id: int) -> Job:
    """The job; raises NotFound, also when it belongs to somebody else."""
    job = JobStore(db).get(job_id)
    if job.owner != actor.name and not actor.is_staff:
        raise NotFound("There is no such job.")
    return job


def list(
    db: Database,
    actor: Actor,
    states: Collection[State] | None = None,
    limit: int = 50,
    offset: int = 0,
    everybody: bool = False,
) -> tuple[Job, ...]:
    """The actor's jobs, newest first; those of everybody for staff who ask for them."""
    if everybody and not actor.is_staff:
        raise NotPermitted("Only staff may see the jobs of others.")
    return JobStore(db).list(None if everybody else actor.name, states, limit, offset)


def progress(db: Database, actor: Actor, job_id: int) -> JobProgress:
    """The job and how many of its items are in which state."""
    get(db, actor, job_id)
    return JobStore(db).progress(job_id)


def items(db: Database, actor: Actor, job_id: int) -> Sequence[Item]:
    """The items of a job in the order of the request."""
    get(db, actor, job_id)
    return JobStore(db).items(job_id)


def receipt(db: Database, actor: Actor, item_id: int) -> Receipt:
    """The receipt of one item; an empty one before its first attempt."""
    get(db, actor, JobStore(db).item(item_id).job_id)
    return ReceiptStore(db).load(item_id)


def receipts(db: Database, actor: Actor, job_id: int) -> dict[int, Receipt]:
    """The receipts of all items of a job, by the item's id."""
    store = ReceiptStore(db)
    return {item.id: store.load(item.id) for item in items(db, actor, job_id)}


def cancel(db: Database, actor: Actor, job_id: int) -> Job:
    """Stop a pending or running job; raises WrongState for any other."""
    return _for_owner(db, actor, job_id, JobStore(db).cancel)


def resume(db: Database, actor: Actor, job_id: int) -> Job:
    """Let the canceled items of a job go on; raises WrongState when there are none, or its trial was forgotten."""
    return _again(db, actor, job_id, JobStore(db).resume)


def retry(db: Database, actor: Actor, job_id: int) -> Job:
    """Try the failed items of a failed job again, sending only what is missing; raises WrongState for any other."""
    return _again(db, actor, job_id, JobStore(db).retry_failed)


def restart(db: Database, actor: Actor, job_id: int) -> Job:
    """Do a finished job again from the start, which only staff may; raises WrongState for an unfinished one."""
    get(db, actor, job_id)
    if not actor.is_staff:
        raise NotPermitted("Only staff may restart a job.")
    return _again(db, actor, job_id, JobStore(db).restart)


def delete(db: Database, actor: Actor, job_id: int) -> None:
    """Remove a job that has not begun; raises WrongState for any other."""
    get(db, actor, job_id)
    JobStore(db).delete(job_id)


def _for_owner(db: Database, actor: Actor, job_id: int, action: Callable[[int], Job]) -> Job:
    get(db, actor, job_id)
    return action(job_id)


def _again(db: Database, actor: Actor, job_id: int, action: Callable[[int], Job]) -> Job:
    ScopeStore(db).check_is_usable(get(db, actor, job_id).linkage_scope_id)
    return action(job_id)


def _policy_digest(settings: Settings, profile: str) -> str:
    try:
        return profiles.policy_now(settings, profile).digest
    except ProfileInvalid as error:
        raise BadRequest(f"profile: {error.message}") from error


def _check_rights(actor: Actor, request: TransferRequest) -> None:
    kind, rights = request.kind, actor.permissions
    problems: tuple[str, ...] = ()
    if _MAY_ADD[kind] not in rights:
        problems += (f"You may not submit a {kind.value.replace('_', ' ')}.",)
    if request.urgent and _MAY_HURRY[kind] not in rights:
        problems += ("You may not submit urgent jobs.",)
    if request.keep_identity and _MAY_SHOW_IDENTITY[kind] not in rights:
        problems += ("You may not transfer studies with their patients' identity.",)
    if problems:
        raise NotPermitted(" ".join(problems))


def _check_nodes(db: Database, request: TransferRequest) -> None:
    problems = (
        *_source_problems(_node(db, request.source_id)),
        *_destination_problems(_node(db, request.destination_id)),
    )
    if problems:
        raise BadRequest(" ".join(problems))


def _node(db: Database, node_id: int) -> Node | None:
    try:
        return NodeStore(db).get(node_id)
    except NotFound:
        return None


def _source_problems(node: Node | None) -> tuple[str, ...]:
    if node is None:
        return ("source: there is no such node.",)
    if not isinstance(node, Server):
        return ("source: a folder cannot be a source.",)
    can_find = node.patient_root_find_support or node.study_root_find_support or node.dicomweb_qido_support
    gets = node.patient_root_get_support or node.study_root_get_support or node.dicomweb_wado_support
    moves = node.patient_root_move_support or node.study_root_move_support
    if not can_find or not (gets or moves):
        return ("source: the server's settings do not allow to query and retrieve.",)
    return ()


def _destination_problems(node: Node | None) -> tuple[str, ...]:
    if node is None:
        return ("destination: there is no such node.",)
    if isinstance(node, Server) and not (node.store_scp_support or node.dicomweb_stow_support):
        return ("destination: the server's settings do not allow to store.",)
    return ()
