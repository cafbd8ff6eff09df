"""Puts right what programs that died have left behind, here and in Prefect.

The dispatcher sees to jobs every second; this looks at what nobody else sees: flow runs that Prefect takes for alive
although their processes are dead, runs that wait for jobs which have ended, and chores that were killed. It also does
once what the dispatcher does, so that jobs go on, if slowly, when no dispatcher runs.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

from models.db.broadcasts import BroadcastStore
from models.db.chores import ChoreStore
from models.db.engine import Database
from models.db.idempotency import IdempotencyStore
from models.db.jobs import JobStore
from models.db.runs import RunStore
from models.settings import Settings
from services import dispatch, orchestration
from services.orchestration import DIED, Orchestration, RunState, UnendedRun

PATIENCE = timedelta(minutes=10)
"""Longer than any living run keeps silent, and than a worker needs to start one."""


def run(db: Database, settings: Settings) -> str:
    """Find what is dead, and end it; whatever it was at work on goes on by itself."""
    prefect = orchestration.of(settings)
    chores = len(ChoreStore(db).end_dead())
    crashed, withdrawn = _put_prefect_right(db, prefect)
    with dispatch.Duty(db) as duty:
        if duty.is_mine():
            dispatch.dispatch_once(db, settings, duty.is_mine)
    counts = {"killed chores": chores, "dead flow runs": crashed, "waiting runs of ended jobs": withdrawn}
    found = ", ".join(f"{words}: {count}" for words, count in counts.items() if count)
    return f"Ended what was left behind: {found}." if found else "Nothing was left behind."


def _put_prefect_right(db: Database, prefect: Orchestration) -> tuple[int, int]:
    """End the runs that are dead, and withdraw those that wait for nothing; how many there were of each."""
    crashed = withdrawn = 0
    runs = prefect.unended_runs()
    ended = _ended(db, {run.job_id for run in runs if run.state is RunState.WAITING and run.job_id is not None})
    for found in runs:
        if found.state is RunState.WAITING:
            if found.job_id in ended:
                prefect.withdraw(found.id)
                withdrawn += 1
        elif db.clock() - _heard_at(db, found) > PATIENCE:
            prefect.end_dead(found, DIED)
            crashed += 1
    return crashed, withdrawn


def _heard_at(db: Database, found: UnendedRun) -> datetime:
    """When something was last heard of a run, or when it got into its state if that was later."""
    last = _last_word(db, found)
    return max(found.since, last) if last else found.since


def _last_word(db: Database, found: UnendedRun) -> datetime | None:
    if found.chore:
        done = ChoreStore(db).of_flow_run(found.id)
        return db.clock() if done is not None and done.is_at_work(db.clock()) else None
    if found.broadcast_id is not None:
        return BroadcastStore(db).last_activity_at(found.broadcast_id)
    job_id = _job_id(db, found)
    if job_id is None:
        return None
    return RunStore(db).heard_at(found.id) or JobStore(db).last_activity_at(job_id)


def _ended(db: Database, job_ids: Collection[int]) -> Collection[int]:
    """Those of the jobs that have ended, or are gone, by one question however many there are."""
    if not job_ids:
        return ()
    return {*job_ids} - JobStore(db).unended()


def _job_id(db: Database, found: UnendedRun) -> int | None:
    """The job that a run works on, also where the run was started with a request, which became one."""
    if found.job_id is not None or not found.owner:
        return found.job_id
    kept = IdempotencyStore(db).find(found.owner, f"flow run {found.id}")
    return kept.job_id if kept else None
