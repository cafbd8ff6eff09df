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
from services.alarms import watching
from services.chores import watch
from services.dispatch import dispatch_once, on_duty
from services.post import mails, notifications

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 1.0
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
    post = threading.Thread(target=_send_mails, args=(db, stop), name="mails", daemon=True)
    post.start()
    for talk, name in ((_send_notices, "webhooks"), (_watch, "alarms")):
        threading.Thread(target=talk, args=(db, stop), name=name, daemon=True).start()
    looked_at = time.monotonic()
    with (
        signs.given(db, "dispatcher", lambda: time.monotonic() - looked_at < _STUCK_AFTER_S),
        on_duty(db) as is_mine,
    ):
        keeper, kept_at = FolderKeeper(db), 0.0

        def goes_on() -> bool:
            nonlocal looked_at
            looked_at = time.monotonic()
            return not stop.comes_within(0) and is_mine()

        while not stop.comes_within(_LOOK_EVERY_S):
            looked_at = time.monotonic()
            try:
                if is_mine():
                    dispatch_once(db, settings(), goes_on)
                if time.monotonic() - kept_at > _KEEP_EVERY_S:
                    keeper.look()
                    kept_at = time.monotonic()
            except AditError as error:
                log.warning("could not look at the jobs: %s: %s", error.code, error.message)
        post.join(_MAIL_ENDS_WITHIN_S)


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


def _watch(db: Database, stop: StopRequest) -> None:
    """Look for what is wrong with the whole; in a thread of its own, since Prefect may take its time to answer."""
    since = db.clock()
    while not stop.comes_within(_WATCH_EVERY_S):
        _attempt("look for alarms", lambda: watching.look(db, settings()))
        _attempt("look at scheduled work", lambda: watch.look(db, settings(), since))


def _attempt(chore: str, call: Callable[[], object]) -> None:
    """Do something; what goes wrong is logged by its code, and tried again at the next look."""
    try:
        call()
    except AditError as error:
        log.warning("could not %s: %s: %s", chore, error.code, error.message)
    except Exception as error:
        log.error("could not %s: %s", chore, type(error).__name__)


if __name__ == "__main__":
    run(main)
