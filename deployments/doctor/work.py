"""Looks at the work itself: maintenance that nobody has ended, jobs nobody works on, scheduled work, backups."""

from collections.abc import Iterator
from datetime import timedelta

from deployments.doctor import storage
from deployments.doctor.findings import Finding, Installation, ok, problem, warning
from models.db.alarms import AlarmStore
from models.db.holding import HoldingStore
from models.db.measures import MeasureStore
from models.db.project import ProjectStore
from models.db.refusals import RefusalStore
from services import backups, deployment_plan
from services.alarms.watching import FAILURES
from services.chores import overview

_STALLED_AFTER = timedelta(minutes=10)
_REFUSED_WITHIN = timedelta(minutes=10)


def maintenance(here: Installation) -> Iterator[Finding]:
    """Look whether somebody keeps everybody out, or jobs from going on."""
    store = ProjectStore(here.db)
    if store.get().maintenance:
        yield warning(
            "Maintenance", "There is maintenance: only staff gets in, and no item begins.", "adit maintenance off"
        )
    suspended = [app.value for app, state in store.apps().items() if state.suspended]
    if suspended:
        words = f"Suspended, so that their jobs wait: {', '.join(suspended)}."
        yield warning("Applications", words, "Let them go on in the browser: Administration, project settings.")


def stalled(here: Installation) -> Iterator[Finding]:
    """Look whether a job has something to do, and nobody does it."""
    since = MeasureStore(here.db).waiting_since(HoldingStore(here.db).reasons())
    if since is not None and here.db.clock() - since > _STALLED_AFTER:
        words = f"A job has waited since {since:%Y-%m-%d %H:%M} UTC, though something of it is due."
        remedy = "Look at dispatcher and workers above; more workers (adit worker) take on more jobs at a time."
        yield warning("Jobs", words, remedy)
    else:
        yield ok("Jobs", "None waits for long.")


def failures(here: Installation) -> Iterator[Finding]:
    """Look at which nodes many items fail at this time."""
    for alarm in AlarmStore(here.db).list():
        if alarm.name.startswith(FAILURES):
            remedy = "Look at the jobs of that node, and at the node itself: adit node test, or Administration."
            yield warning("Failures", f"{alarm.title}: {alarm.text}", remedy)


def refusals(here: Installation) -> Iterator[Finding]:
    """Look which machines leave jobs to others, because something is not there that these need."""
    for machine, reason in RefusalStore(here.db).recent(_REFUSED_WITHIN).items():
        remedy = f"Mend that on {machine}; until then other machines do those jobs, if there are any."
        yield warning(f"Worker {machine}", f"It leaves jobs to others. {reason}", remedy)


def chores(here: Installation) -> Iterator[Finding]:
    """Look whether scheduled work fails, or is not done any more; what was never done may be new."""
    if deployment_plan.complaint(here.settings):
        return  # told by the check of the plan
    found = overview.troubles(here.db, here.settings, None)
    for title, words in found.values():
        remedy = "Mend that, then have it done now: Administration, Scheduled work."
        yield warning("Scheduled work", f"{title}: {words}", remedy)
    if not found:
        yield ok("Scheduled work", "None has failed.")


def backup(here: Installation) -> Iterator[Finding]:
    """Look whether there is a backup of the last two times at which one is made, and a place for the next one."""
    settings = here.settings
    if deployment_plan.complaint(settings):
        return  # told by the check of the plan
    chore = deployment_plan.planned(settings).deployment("backup")
    schedule = chore.schedule if chore else None
    place = settings.backups_dir
    if place.exists() and (why := storage.why_not_writable(place)):
        remedy = f"Let the user who runs ADIT write to {place}, or set another ADIT_BACKUP_DIR."
        yield problem("Backup", f"Nothing can be written to {place}: {why}.", remedy)
    newest = next(iter(backups.listed(settings)), None)
    remedy = "adit db-backup makes one now; ADIT_BACKUP_ENABLED and ADIT_BACKUP_CRON have it made at set times."
    told = f"The newest is of {newest.made_at:%Y-%m-%d %H:%M} UTC." if newest else f"There is none in {place} yet."
    if schedule is None or not schedule.is_active:
        yield ok("Backup", f"None is made at set times. {told}")
    # by the rule of scheduled work, but from what lies there: with those made by hand, without those taken away
    elif newest is None or overview.trouble(schedule, [], here.db.clock(), newest.made_at):
        yield warning("Backup", told, remedy)
    else:
        yield ok("Backup", told)
