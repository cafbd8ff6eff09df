"""Looks whether something is wrong with the installation as a whole, and tells administrators when it begins and ends.

Each is told once, in the transaction in which it is noted, however many dispatchers look.
"""

import logging
from contextlib import suppress
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from models.db.alarms import AlarmStore
from models.db.engine import Database
from models.db.failures import FailureStore
from models.db.folder_holds import FolderHoldStore
from models.db.jobs import JobStore
from models.db.nodes import NodeStore
from models.domain.alarms import LOOK_BACK, Ends
from models.domain.errors import AditError, FolderFull, NotFound, NotPermitted, Unreachable
from models.domain.holding import FolderHold
from models.domain.nodes import Folder
from models.settings import Settings
from services import prefect_status
from services.post import notifications

log = logging.getLogger(__name__)

STANDSTILL, PREFECT, FAILURES, HOLDS = "standstill", "prefect", "failures-", "folder-"
STANDSTILL_AFTER = timedelta(minutes=10)
PREFECT_AFTER = timedelta(minutes=5)
_MOST_CODES = 5


def look(db: Database, settings: Settings, stands_by: bool = False) -> None:
    """Look for all of it once. What cannot be looked at does not keep the rest from being looked at.

    Whether jobs can begin is for the dispatcher that works to say: one that stands by may have another way to Prefect.
    """
    parts = [look_for_failures, look_at_folders, *([] if stands_by else [look_at_prefect, look_for_standstill])]
    for part in parts:
        try:
            part(db, settings)
        except AditError as error:
            log.warning("could not %s: %s", part.__name__.replace("_", " "), error.code)


def look_for_failures(db: Database, settings: Settings) -> None:
    """Whether many items fail at a server or folder within a short time, by numbers, codes and names of nodes."""
    found = FailureStore(db).ends_since(db.clock() - LOOK_BACK)
    for node_id, ends in found.items():
        if ends.is_burst:
            title = f"Many items fail at {ends.node_name}"
            see(db, settings, f"{FAILURES}{node_id}", title, _failures(ends))
    for name in AlarmStore(db).names():
        if name.startswith(FAILURES):
            ends = found.get(int(name.removeprefix(FAILURES)))
            if ends is None or ends.is_calm:
                clear(db, settings, name)


def look_at_folders(db: Database, settings: Settings) -> None:
    """Which folders take nothing at this time, so that items wait for them."""
    holds = {f"{HOLDS}{hold.folder_id}": hold for hold in FolderHoldStore(db).list()}
    for name, hold in holds.items():
        with suppress(NotFound):
            folder = NodeStore(db).get(hold.folder_id)
            if isinstance(folder, Folder):
                see(db, settings, name, _hold_title(folder, hold), _hold_text(folder, hold))
    for name in AlarmStore(db).names() - holds.keys():
        if name.startswith(HOLDS):
            clear(db, settings, name)


def look_at_prefect(db: Database, settings: Settings) -> None:
    """Whether Prefect's API has not answered for long: then no job begins, and none is told of by Prefect."""
    try:
        prefect_status.workers(settings)
    except (Unreachable, NotPermitted) as error:
        see(db, settings, PREFECT, "Prefect does not answer", f"No job can begin. {error.message}", PREFECT_AFTER)
    else:
        clear(db, settings, PREFECT)


def look_for_standstill(db: Database, settings: Settings) -> None:
    """Whether jobs are due, and no worker has an item for long. What is held back on purpose is not due.

    While Prefect does not answer, that is told, and not what follows from it.
    """
    if any(alarm.name == PREFECT for alarm in AlarmStore(db).list()):
        return
    due = len(JobStore(db).due_jobs())
    if not due or JobStore(db).at_work():
        clear(db, settings, STANDSTILL)
    else:
        see(db, settings, STANDSTILL, "No job goes on", _standstill(settings, due), STANDSTILL_AFTER)


def see(db: Database, settings: Settings, name: str, title: str, text: str, patience: timedelta = timedelta(0)) -> None:
    """Note that something is wrong, and tell administrators once, when it has lasted for the patience."""
    with db.transaction():
        if AlarmStore(db).see(name, title, text, patience):
            log.warning("alarm %s begins", name)
            values = {"title": title, "text": text, "link": _link(settings)}
            notifications.tell_administrators(db, settings, "alarm", **values)


def clear(db: Database, settings: Settings, name: str) -> None:
    """Note that something is not wrong, and tell administrators if they were told that it was."""
    with db.transaction():
        if alarm := AlarmStore(db).clear(name):
            log.info("alarm %s is over", name)
            since = _spoken(alarm.since_at, settings)
            values = {"title": alarm.title, "text": alarm.text, "since": since, "link": _link(settings)}
            notifications.tell_administrators(db, settings, "alarm_over", **values)


def _failures(ends: Ends) -> str:
    codes = ", ".join(f"{count} {code or 'without a code'}" for code, count in ends.failures.most_common(_MOST_CODES))
    minutes = LOOK_BACK.total_seconds() / 60
    return (
        f"{ends.node_name}: of {ends.total} items that ended in {minutes:.0f} minutes {ends.failed} failed ({codes})."
    )


def _hold_title(folder: Folder, hold: FolderHold) -> str:
    is_full = hold.code == FolderFull.__name__
    return f"The disk of folder {folder.name} is full" if is_full else f"The folder {folder.name} cannot be written"


def _hold_text(folder: Folder, hold: FolderHold) -> str:
    """For administrators, so with what users are not told: the path and the machine."""
    return (
        f"{hold.said} Seen on {hold.machine}, at {folder.path}. Items that go there wait, and now and then one of them "
        f"tries it. When it is mended, adit node go-on {folder.name!r} or the folder's page has it tried at once."
    )


def _standstill(settings: Settings, due: int) -> str:
    jobs = "1 job is due" if due == 1 else f"{due} jobs are due"
    return f"{jobs}, and no worker has an item. {_workers(settings)}"


def _workers(settings: Settings) -> str:
    try:
        if prefect_status.has_worker(settings):
            return "Workers report to Prefect: look into their logs, and at their runs in Prefect."
    except AditError as error:
        return error.message
    return "No worker reports to Prefect: start one."


def _spoken(moment: datetime, settings: Settings) -> str:
    return moment.astimezone(ZoneInfo(settings.time_zone)).strftime("%Y-%m-%d %H:%M")


def _link(settings: Settings) -> str:
    return f"{settings.web_url}/administration"
