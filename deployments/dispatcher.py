"""Looks once a second whether a job needs a flow run or somebody is to be told something, and after the folders."""

import logging
import threading
import time
from collections.abc import Callable

from deployments import signs
from deployments.daemon import StopRequest, run, write_logs
from deployments.messengers import Messengers
from deployments.upkeep import FolderKeeper
from models.db.engine import Database, open_database
from models.domain.errors import AditError
from models.settings import settings
from services import faults, orchestration, sharing
from services.alarms import watching
from services.chores import watch
from services.dispatch import Duty, dispatch_once
from services.post import mails, notifications

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 1.0
_SHARE_EVERY_S = 5.0
_KEEP_EVERY_S = 10.0
_TELL_EVERY_S = 5.0
_WATCH_EVERY_S = 15.0
_STUCK_AFTER_S = 120.0
"""A look that takes longer will not end; several calls to Prefect that each time out take less."""
_MAIL_ENDS_WITHIN_S = 5.0
_MAILS_AT_A_TIME = 20


def main() -> None:
    """Dispatch until SIGTERM."""
    write_logs("dispatcher")
    stop = StopRequest()
    db = open_database(settings())
    db.check_is_current()
    with Duty(db) as duty:
        post = threading.Thread(target=_send_mails, args=(db, stop), name="mails", daemon=True)
        post.start()
        threading.Thread(target=_send_notices, args=(db, stop), name="webhooks", daemon=True).start()
        threading.Thread(target=_watch, args=(db, stop, duty), name="alarms", daemon=True).start()
        _see_to_jobs(db, stop, duty)
        post.join(_MAIL_ENDS_WITHIN_S)


def _see_to_jobs(db: Database, stop: StopRequest, duty: Duty) -> None:
    """Have runs started for what is due while on duty, and the folders kept in any case, until the program ends."""
    looked_at = time.monotonic()
    keeper, kept_at, shared_at = FolderKeeper(db), 0.0, 0.0

    def goes_on() -> bool:
        nonlocal looked_at
        looked_at = time.monotonic()
        return not stop.comes_within(0) and duty.is_mine()

    with signs.given(db, "dispatcher", lambda: time.monotonic() - looked_at < _STUCK_AFTER_S):
        while not stop.comes_within(_LOOK_EVERY_S):
            looked_at = time.monotonic()
            try:
                if duty.is_mine():
                    if not dispatch_once(db, settings(), goes_on):
                        duty.leave()
                    elif time.monotonic() - shared_at > _SHARE_EVERY_S and goes_on():
                        _attempt("share out jobs", lambda: _share_out(db))
                        shared_at = time.monotonic()
                if time.monotonic() - kept_at > _KEEP_EVERY_S:
                    keeper.look()
                    kept_at = time.monotonic()
            except AditError as error:
                log.warning("could not look at the jobs: %s: %s", error.code, error.message)


def _share_out(db: Database) -> None:
    sharing.share_out(db, orchestration.of(settings()), settings())


def _send_mails(db: Database, stop: StopRequest) -> None:
    """Send what is due until the program ends; in a thread of its own, since jobs must not wait for a mail server."""
    told_at = time.monotonic()
    while not stop.comes_within(_LOOK_EVERY_S):
        if time.monotonic() - told_at > _TELL_EVERY_S:
            _attempt("write mails about ended jobs", lambda: notifications.send_finished(db, settings()))
            _attempt("write mails about full folders", lambda: notifications.warn_of_full_folders(db, settings()))
            told_at = time.monotonic()
        _attempt("send mails", lambda: mails.send_due(db, settings(), _MAILS_AT_A_TIME))


def _send_notices(db: Database, stop: StopRequest) -> None:
    """Have webhooks told what is due, until the program ends."""
    messengers = Messengers(db, settings())
    while not stop.comes_within(_LOOK_EVERY_S):
        _attempt("tell webhooks", messengers.look)


def _watch(db: Database, stop: StopRequest, duty: Duty) -> None:
    """Look for what is wrong with the whole; in a thread of its own, since Prefect may take its time to answer."""
    since = db.clock()
    while not stop.comes_within(_WATCH_EVERY_S):
        _attempt("look for alarms", lambda: watching.look(db, settings(), duty.is_anothers))
        _attempt("look at scheduled work", lambda: watch.look(db, settings(), since, duty.is_anothers))


def _attempt(chore: str, call: Callable[[], object]) -> None:
    """Do something; what goes wrong is logged by its code, or as a fault, and tried again at the next look."""
    try:
        call()
    except AditError as error:
        log.warning("could not %s: %s: %s", chore, error.code, error.message)
    except Exception as error:
        log.error("could not %s: %s, see fault %s", chore, type(error).__name__, faults.record(error))


if __name__ == "__main__":
    run(main)
