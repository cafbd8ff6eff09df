"""Takes in what servers send on C-MOVE, and sweeps what nobody waits for any more."""

import logging
import time
from collections.abc import Collection

from deployments import signs
from deployments.daemon import StopRequest, run, write_logs
from dicom.files.spool import Spool
from dicom.network.inbox import Inbox
from dicom.network.receiver import Receiver
from models.db.engine import Database, open_database
from models.domain.errors import AditError
from models.settings import Settings, settings
from services import nodes
from services.local_side import room_check

log = logging.getLogger(__name__)

_SWEEP_EVERY_S = 300.0
_LASTS_S = 60.0
"""How long a list of servers counts while there is no newer one: a database that starts again takes less."""


def main() -> None:
    """Receive until SIGTERM."""
    write_logs("receiver")
    stop = StopRequest()
    spool = Spool(settings().spool_dir)
    inbox = Inbox(spool.inbox, check_room=room_check(spool, settings()))
    _sweep(spool, inbox)
    db = open_database(settings())
    db.check_is_current()
    receiver = _receiver(settings(), db, inbox)
    receiver.start()
    try:
        with signs.given(db, "receiver"):
            while not stop.comes_within(_SWEEP_EVERY_S):
                _sweep(spool, inbox)
                _tell_of_unwanted(inbox, settings().receiver_ae_title)
    finally:
        receiver.stop()


def _receiver(settings: Settings, db: Database, inbox: Inbox) -> Receiver:
    return Receiver(settings.receiver_host, settings.receiver_port, inbox, _Callers(db))


class _Callers:
    """The AE titles of all servers. Called by many threads at once.

    While the database cannot be read, those count that it had a minute ago; later its error is raised.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._last: tuple[frozenset[str], float] | None = None

    def __call__(self) -> Collection[str]:
        now = time.monotonic()
        try:
            titles = nodes.ae_titles(self._db)
        except Exception as error:
            if self._last is None or now - self._last[1] > _LASTS_S:
                raise
            log.warning("the list of servers cannot be read, the last one counts: %s", type(error).__name__)
            return self._last[0]
        self._last = titles, now
        return titles


def _sweep(spool: Spool, inbox: Inbox) -> None:
    try:
        inbox.sweep()
        spool.sweep()
    except AditError as error:
        log.warning("the spool could not be swept: %s: %s", error.code, error.message)


def _tell_of_unwanted(inbox: Inbox, ae_title: str) -> None:
    """Say in the log that something came for nobody here: the one sign of two machines under the same AE title."""
    count, inbox.unwanted_count = inbox.unwanted_count, 0
    if count:
        log.warning(
            "%s instances came for which nobody on this machine waits. After canceled jobs that is right; else give "
            "the receiver of each machine an AE title of its own (here %s), and enter it at the sources.",
            count,
            ae_title,
        )


if __name__ == "__main__":
    run(main)
