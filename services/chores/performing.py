"""Does a chore and writes down what has become of it, whoever asks: a flow of Prefect at its time, or the shell.

No page imports this: chores know Prefect.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from models.db.chores import ChoreStore
from models.db.engine import Database
from models.domain.audit import AuditAction
from models.domain.chores import ChoreOutcome, ChoreRun
from models.domain.errors import AditError, NotPermitted
from models.domain.people import Actor
from models.settings import Settings
from services import audit, faults
from services.beating import beating
from services.chores import backup, disk_check, expiry, recovery, retention, spool_sweep
from services.chores.roster import chore, subject

log = logging.getLogger(__name__)

ALIVE_FOR = timedelta(seconds=90)
_SIGN_EVERY_S = 20.0
RUNS: Mapping[str, Callable[[Database, Settings], str]] = {
    "disk-check": disk_check.run,
    "backup": backup.run,
    "recovery": recovery.run,
    "spool-sweep": spool_sweep.run,
    "retention": retention.run,
    "expiry": expiry.run,
}
"""Each returns in a sentence what it did, without patients, and may raise."""
_STOPPED = "It was told to stop."
LEFT_OUT = "Left out: it is at work already."
DONE_SINCE = "Left out: it has been done since it was due."


@dataclass(frozen=True, slots=True)
class Done:
    """How a run has ended. One that is left out did nothing, since another makes up for it, and is not written down."""

    outcome: ChoreOutcome
    message: str


def perform(db: Database, settings: Settings, name: str, flow_run_id: str = "", due_at: datetime | None = None) -> Done:
    """Do a chore, unless it is at work already, on whatever machine. What goes wrong is told, not raised.

    It is left out, too, when it has been done since ``due_at``: after a weekend without a worker one run makes up for
    all that were missed, and a row of backups on one morning does not push out those from before.

    Raises NotFound for a chore that there is not, and Unreachable when the database is not there.
    """
    does = RUNS[chore(name).name]
    if due_at is not None and _was_done_since(db, name, due_at):
        return Done(ChoreOutcome.SUCCESS, DONE_SINCE)
    run = ChoreStore(db).begin(name, ALIVE_FOR, flow_run_id)
    if run is None:
        return Done(ChoreOutcome.SUCCESS, LEFT_OUT)
    with beating(f"chore-{name}", _SIGN_EVERY_S, lambda: ChoreStore(db).stay(run.id, ALIVE_FOR)):
        done = _done(db, settings, does, run)
    ChoreStore(db).end(run.id, done.outcome, done.message)
    log.log(logging.INFO if done.outcome is ChoreOutcome.SUCCESS else logging.WARNING, "%s: %s", name, done.message)
    return done


def perform_here(db: Database, settings: Settings, actor: Actor, name: str) -> Done:
    """Do a chore in this process, without Prefect, for somebody at the shell. Raises NotPermitted or NotFound."""
    with audit.refusals_recorded(db, actor, AuditAction.RUN_CHORE, subject(name)):
        if not actor.is_staff:
            raise NotPermitted("Only administrators may have scheduled work done.")
    audit.record(db, actor, AuditAction.RUN_CHORE, chore(name).name)
    return perform(db, settings, name)


def _was_done_since(db: Database, name: str, moment: datetime) -> bool:
    return any(
        run.outcome is ChoreOutcome.SUCCESS and run.started_at > moment for run in ChoreStore(db).last([name])[name]
    )


def _done(db: Database, settings: Settings, does: Callable[[Database, Settings], str], run: ChoreRun) -> Done:
    try:
        return Done(ChoreOutcome.SUCCESS, does(db, settings))
    except AditError as error:
        return Done(ChoreOutcome.FAILURE, f"{error.code}: {error.message}")
    except Exception as error:  # its text may hold anything
        return Done(ChoreOutcome.FAILURE, f"{type(error).__name__}; the log has it as fault {faults.record(error)}.")
    except BaseException:
        ChoreStore(db).end(run.id, ChoreOutcome.FAILURE, _STOPPED)
        raise
