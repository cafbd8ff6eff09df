"""What people do to jobs and items. Who may do what in which state is told by ``services.job_access``.

Each change stands in the audit trail, in one transaction with it.
"""

from collections.abc import Callable

from models.db.engine import Database
from models.db.jobs import JobStore
from models.domain.audit import AuditAction
from models.domain.jobs import Item, ItemAction, Job, JobAction
from models.domain.people import Actor
from services import audit
from services.job_access import permitted, permitted_item


def verify(db: Database, actor: Actor, job_id: int) -> Job:
    """Let an unverified job begin, which only staff may; raises WrongState for any other."""
    return _change(db, actor, job_id, JobAction.VERIFY, JobStore(db).verify)


def hurry(db: Database, actor: Actor, job_id: int, urgent: bool = True) -> Job:
    """Make a job that has not ended urgent, or not urgent any more, which needs the right to urgent jobs.

    A flow run that was asked for and still waits for a worker is exchanged by the dispatcher for one in the other
    queue; one that has begun goes on where it is. Raises WrongState for a job that has ended.
    """
    permitted(db, actor, job_id, JobAction.HURRY)
    with db.transaction():
        jobs = JobStore(db)
        was_urgent = jobs.get(job_id).urgent
        job = jobs.hurry(job_id, urgent)
        if urgent is not was_urgent:
            audit.record(db, actor, AuditAction.CHANGE_JOB, f"job {job_id}: {'urgent' if urgent else 'not urgent'}")
        return job


def cancel(db: Database, actor: Actor, job_id: int) -> Job:
    """Stop a pending or running job; raises WrongState for any other."""
    return _change(db, actor, job_id, JobAction.CANCEL, JobStore(db).cancel)


def resume(db: Database, actor: Actor, job_id: int) -> Job:
    """Let the canceled items of a job go on; raises WrongState when there are none, or its trial was forgotten."""
    return _change(db, actor, job_id, JobAction.RESUME, JobStore(db).resume)


def retry(db: Database, actor: Actor, job_id: int) -> Job:
    """Try the failed items of a failed job again, sending only what is missing; raises WrongState for any other."""
    return _change(db, actor, job_id, JobAction.RETRY, JobStore(db).retry_failed)


def restart(db: Database, actor: Actor, job_id: int) -> Job:
    """Do a finished job again from the start, which only staff may; raises WrongState for an unfinished one."""
    return _change(db, actor, job_id, JobAction.RESTART, JobStore(db).restart)


def delete(db: Database, actor: Actor, job_id: int) -> None:
    """Remove a job that has not begun, or with all that it has found one that only asked and has ended.

    Raises WrongState for any other, when something of it was delivered, and for a check of which a transfer was made.
    """
    job = permitted(db, actor, job_id, JobAction.DELETE)
    with db.transaction():
        JobStore(db).delete(job_id)
        audit.record(db, actor, AuditAction.DELETE_JOB, f"job {job.id}: {job.kind.value} of {job.owner}")


def reset_item(db: Database, actor: Actor, item_id: int) -> Item:
    """Do an item that has ended again from the start, without its receipt and reviews; raises WrongState for others."""
    item = permitted_item(db, actor, item_id, ItemAction.RESET)
    with db.transaction():
        again = JobStore(db).reset_item(item_id)
        audit.record(db, actor, AuditAction.CHANGE_JOB, f"job {item.job_id}, item {item.position}: reset")
        return again


def cancel_item(db: Database, actor: Actor, item_id: int) -> Item:
    """Cancel an item that waits; the others of its job go on. Raises WrongState for one that does not wait.

    A worker that takes it up at the same moment keeps it, or finds it canceled: never both.
    """
    item = permitted_item(db, actor, item_id, ItemAction.CANCEL)
    with db.transaction():
        canceled = JobStore(db).cancel_item(item_id)
        audit.record(db, actor, AuditAction.CHANGE_JOB, f"job {item.job_id}, item {item.position}: canceled")
        return canceled


def delete_item(db: Database, actor: Actor, item_id: int) -> Job:
    """Remove an item that waits from its job, and return the job, which may have ended by that.

    Raises WrongState for an item that does not wait, of which something was delivered, or that is the only one.
    """
    item = permitted_item(db, actor, item_id, ItemAction.DELETE)
    with db.transaction():
        job = JobStore(db).delete_item(item_id)
        audit.record(db, actor, AuditAction.CHANGE_JOB, f"job {item.job_id}, item {item.position}: deleted")
        return job


def _change(db: Database, actor: Actor, job_id: int, action: JobAction, change: Callable[[int], Job]) -> Job:
    permitted(db, actor, job_id, action)
    with db.transaction():
        job = change(job_id)
        audit.record(db, actor, AuditAction.CHANGE_JOB, f"job {job_id}: {action.value}")
        return job
