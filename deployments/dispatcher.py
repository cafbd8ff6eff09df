"""Looks once a second whether a job needs a flow run, and now and then for what dead workers left in folders."""

import logging
import time

from deployments.daemon import StopRequest, write_logs
from models.db.engine import open_database
from models.domain.errors import AditError
from models.settings import settings
from services import housekeeping
from services.dispatch import dispatch_once

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 1.0
_SWEEP_EVERY_S = 60.0


def main() -> None:
    """Dispatch until SIGTERM."""
    write_logs()
    stop = StopRequest()
    db = open_database(settings())
    swept_at = time.monotonic()
    while not stop.comes_within(_LOOK_EVERY_S):
        try:
            dispatch_once(db, settings())
            if time.monotonic() - swept_at > _SWEEP_EVERY_S:
                housekeeping.sweep_folders(db)
                swept_at = time.monotonic()
        except AditError as error:
            log.warning("could not look at the jobs: %s: %s", error.code, error.message)


if __name__ == "__main__":
    main()
