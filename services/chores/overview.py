"""What administrators see of scheduled work: what each chore does and when, how it went last; and doing one now."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from models.db.chores import ChoreStore
from models.db.engine import Database
from models.domain.audit import AuditAction
from models.domain.chores import ChoreOutcome, ChoreRun
from models.domain.errors import AditError, NotFound, NotPermitted
from models.domain.people import Actor
from models.settings import Settings
from services import audit, deployment_plan, prefect_status
from services.chores.roster import CHORES, chore, subject
from services.deployment_plan import Schedule

HISTORY = 20
_MISSED_TIMES = 2
_HAS_JUST_STARTED = timedelta(minutes=15)
"""After a start, what was missed meanwhile is done first."""


@dataclass(frozen=True, slots=True)
class ChoreShown:
    """One chore. ``trouble`` is empty where nothing is wrong; ``schedule`` is None where prefect.yaml has none.

    It is None, too, when that file cannot be understood, which ``trouble`` says then.

    ``next_at`` is when Prefect does it next. It is None when nothing is planned, and when Prefect does not answer.
    """

    name: str
    title: str
    purpose: str
    schedule: Schedule | None
    last: ChoreRun | None
    is_at_work: bool
    next_at: datetime | None
    trouble: str

    @property
    def when(self) -> str:
        """When it is done by itself, in words; empty when it is done only when asked for."""
        return self.schedule.words if self.schedule is not None and self.schedule.is_active else ""


def listed(db: Database, settings: Settings, actor: Actor) -> tuple[ChoreShown, ...]:
    """All chores. Raises NotPermitted for others than staff."""
    _check(actor)
    plans, last, now = _schedules(settings), ChoreStore(db).last(CHORES, 2), db.clock()
    wrong = deployment_plan.complaint(settings)
    planned, complaint = _planned(settings)
    return tuple(
        ChoreShown(
            name=name,
            title=one.title,
            purpose=one.purpose,
            schedule=plans[name],
            last=_newest(last[name]),
            is_at_work=any(run.is_at_work(now) for run in last[name]),
            next_at=planned.get(name),
            trouble=wrong
            or trouble(plans[name], last[name], now)
            or complaint
            or _complaint(name, plans[name], planned),
        )
        for name, one in CHORES.items()
    )


def newest(db: Database, actor: Actor) -> dict[str, tuple[int, datetime | None] | None]:
    """The last run of each chore and when it ended, from which somebody sees that something has happened since."""
    _check(actor)
    last = {name: _newest(runs) for name, runs in ChoreStore(db).last(CHORES).items()}
    return {name: run and (run.id, run.ended_at) for name, run in last.items()}


def history(db: Database, actor: Actor, name: str) -> tuple[ChoreRun, ...]:
    """The last runs of a chore, newest first. Raises NotPermitted or NotFound."""
    _check(actor)
    return tuple(ChoreStore(db).last([chore(name).name], HISTORY)[name])


def in_trouble(db: Database, settings: Settings, actor: Actor) -> tuple[str, ...]:
    """The titles of chores that fail or are not done, without asking Prefect; raises NotPermitted."""
    _check(actor)
    return tuple(title for title, _ in troubles(db, settings, None).values())


def troubles(db: Database, settings: Settings, since: datetime | None) -> dict[str, tuple[str, str]]:
    """Title and trouble of the chores that fail or are not done, by name, for somebody who has looked since then.

    While prefect.yaml cannot be understood, nobody can tell which are late.
    """
    plans, last, now = _schedules(settings), ChoreStore(db).last(CHORES, 2), db.clock()
    found: dict[str, tuple[str, str]] = {}
    for name, one in CHORES.items():
        if words := trouble(plans[name], last[name], now, since):
            found[name] = one.title, words
    return found


def run_now(db: Database, settings: Settings, actor: Actor, name: str) -> str:
    """Have Prefect do a chore now; the id of the flow run. Raises NotPermitted, NotFound, or Unreachable."""
    with audit.refusals_recorded(db, actor, AuditAction.RUN_CHORE, subject(name)):
        _check(actor)
    chore(name)
    known = prefect_status.deployments(settings)
    if name not in known:
        raise NotFound("Prefect does not know it. Deploy with adit deploy.")
    run_id = prefect_status.start(settings, known[name]["id"])
    audit.record(db, actor, AuditAction.RUN_CHORE, name)
    return run_id


def trouble(schedule: Schedule | None, runs: list[ChoreRun], now: datetime, since: datetime | None = None) -> str:
    """What is wrong with a chore that has these last runs, newest first; empty when nothing is.

    A chore that was never done is late for somebody who has looked ``since`` long ago.
    """
    ended = next((run for run in runs if not run.is_at_work(now)), None)
    if ended is not None and ended.outcome is not ChoreOutcome.SUCCESS:
        return f"The last run failed. {ended.message}".strip()
    if schedule is None or not schedule.is_active:
        return ""
    begun = runs[0].started_at if runs else since
    *_, missed = islice(schedule.before(now), _MISSED_TIMES)
    is_late = begun is not None and begun < missed and not (runs and runs[0].is_at_work(now))
    if is_late and (since is None or now - since > _HAS_JUST_STARTED):
        return "It was not done the last two times. Look whether Prefect's server and a worker run."
    return ""


def _check(actor: Actor) -> None:
    if not actor.is_staff:
        raise NotPermitted("Only administrators may see scheduled work and have it done.")


def _newest(runs: list[ChoreRun]) -> ChoreRun | None:
    return runs[0] if runs else None


def _schedules(settings: Settings) -> dict[str, Schedule | None]:
    if deployment_plan.complaint(settings):
        return dict.fromkeys(CHORES)
    plan = deployment_plan.planned(settings)
    found = {name: plan.deployment(name) for name in CHORES}
    return {name: deployment.schedule if deployment else None for name, deployment in found.items()}


def _planned(settings: Settings) -> tuple[dict[str, datetime | None], str]:
    """When Prefect does what next, and what is wrong when it does not tell."""
    try:
        known = prefect_status.deployments(settings)
        return {
            name: None if known[name]["paused"] else prefect_status.next_run_at(settings, known[name]["id"])
            for name in CHORES
            if name in known
        }, ""
    except AditError as error:
        return {}, error.message


def _complaint(name: str, schedule: Schedule | None, planned: dict[str, datetime | None]) -> str:
    if name not in planned:
        return "Prefect does not know it. Deploy with adit deploy."
    if schedule is not None and schedule.is_active and planned[name] is None:
        return "Prefect has no next time for it: it is paused there, or Prefect's server has just started."
    return ""
