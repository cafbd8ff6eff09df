"""What reviewers do with instances that are held: see them, release them, reject them.

No bytes of a held instance are kept. A released one is fetched again by the next attempt, which moves only what is
not at the destination yet.
"""

from collections.abc import Collection, Mapping

from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.receipts import ReceiptStore
from models.db.reviews import ReviewStore
from models.db.scopes import ScopeStore
from models.domain.audit import AuditAction
from models.domain.errors import BadRequest, NotFound, NotPermitted, WrongState
from models.domain.jobs import Item, Onlooker, State
from models.domain.people import Actor, Permission
from models.domain.receipts import REJECTED, Receipt, concerns, instances
from models.domain.reviews import Decision, HeldInstance
from services.audit import Tried, audited
from services.job_access import check_is_within_limit


def waiting(db: Database, actor: Actor) -> Mapping[int, int]:
    """How many instances are held, by the job's id; raises NotPermitted for who may not review."""
    if Permission.REVIEW_HELD not in actor.permissions:
        raise NotPermitted("You may not review held instances.")
    found = ReceiptStore(db).with_held()
    if actor.nodes_limit is None:
        return found
    within = JobStore(db).counts(found.keys(), Onlooker(actor.name, everybody=True, nodes=actor.nodes_limit))
    return {job_id: count for job_id, count in found.items() if job_id in within}


def held(db: Database, actor: Actor, job_id: int) -> tuple[HeldInstance, ...]:
    """The held instances of a job, for its owner, staff and reviewers; to others the job does not exist (NotFound)."""
    job = JobStore(db).get(job_id)
    if job.owner != actor.name and not actor.is_staff and Permission.REVIEW_HELD not in actor.permissions:
        raise NotFound("There is no such job.")
    check_is_within_limit(db, actor, job_id)
    held_of = ReceiptStore(db).held_of_job(job_id)
    return tuple(
        HeldInstance(job_id, item.id, item.position, item.study_uid, sop_uid, reason, item.source_id, item.target_id)
        for item in JobStore(db).items(job_id)
        for sop_uid, reason in sorted(held_of.get(item.id, {}).items())
    )


def release(db: Database, actor: Actor, item_id: int, sop_uids: Collection[str] | None, reason: str) -> Item:
    """Let held instances of an item pass (None: all of them), and return the item, which waits for an attempt.

    Raises NotPermitted, BadRequest (no reason, or instances that are not held), WrongState while a worker has the item
    or when its trial was forgotten. Each try is in the audit trail.
    """
    with audited(db, actor, AuditAction.RELEASE_HELD, Permission.REVIEW_HELD, reason) as tried:
        item, receipt, chosen = _chosen(db, actor, item_id, sop_uids, tried)
        ScopeStore(db).check_is_usable(JobStore(db).get(item.job_id).scope_id)
        for sop_uid in chosen:
            del receipt.held[sop_uid]
        ReceiptStore(db).amend(item_id, receipt)
        ReviewStore(db).add(item_id, chosen, Decision.RELEASED, actor.name)
        return JobStore(db).reopen_item(item_id)


def reject(db: Database, actor: Actor, item_id: int, sop_uids: Collection[str] | None, reason: str) -> Item:
    """Leave held instances of an item out for good (None: all of them); raises the same as ``release``."""
    with audited(db, actor, AuditAction.REJECT_HELD, Permission.REVIEW_HELD, reason) as tried:
        item, receipt, chosen = _chosen(db, actor, item_id, sop_uids, tried)
        for sop_uid in chosen:
            del receipt.held[sop_uid]
            receipt.left_out[sop_uid] = REJECTED
        ReceiptStore(db).amend(item_id, receipt)
        ReviewStore(db).add(item_id, chosen, Decision.REJECTED, actor.name)
        if item.state is State.WARNING:
            JobStore(db).describe(item_id, concerns(receipt))
        return JobStore(db).item(item_id)


def _chosen(
    db: Database, actor: Actor, item_id: int, sop_uids: Collection[str] | None, tried: Tried
) -> tuple[Item, Receipt, frozenset[str]]:
    """The item, which stays at rest, its receipt, and the instances that are meant."""
    known = JobStore(db).item(item_id)
    check_is_within_limit(db, actor, known.job_id)
    tried.subject = f"job {known.job_id}, item {known.position}"
    item = JobStore(db).at_rest(item_id)
    receipt = ReceiptStore(db).load(item_id)
    if not receipt.held:
        raise WrongState("No instance of this item is held.")
    chosen = frozenset(receipt.held if sop_uids is None else sop_uids)
    if not chosen or not chosen <= receipt.held.keys():
        raise BadRequest(f"Of these, {len(chosen - receipt.held.keys())} are not among the held instances of the item.")
    tried.subject += f", {instances(chosen)}"
    return item, receipt, chosen
