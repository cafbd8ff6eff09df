"""Does something again and again beside what goes on: renews a lease, gives a sign of life, watches a clock."""

import logging
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

from models.domain.errors import AditError
from services import faults

log = logging.getLogger(__name__)

ENDS_WITHIN_S = 10.0
"""How long the end waits for a beat that is under way."""


@contextmanager
def beating(
    name: str,
    every_s: float,
    beat: Callable[[], object],
    at_once: bool = False,
    goes_on: Callable[[], bool] = lambda: True,
) -> Generator[None]:
    """Call ``beat`` every so many seconds, in a thread, as long as the context is open and ``goes_on`` says so.

    Nothing that it raises ends that; the first failure of a row is logged under the name, without texts that are not
    ours. The end waits for a beat that is under way, but not for long: it may hang with the database, which must hold
    up nobody who has done his work. So a beat may come to its end after the context, and has to do no harm then.
    """
    ended = threading.Event()

    def go_on() -> None:
        wait_s, is_well = 0.0 if at_once else every_s, True
        while not ended.wait(wait_s) and goes_on():
            wait_s = every_s
            try:
                beat()
                is_well = True
            except Exception as error:  # the next one may get through
                if is_well:
                    log.warning("%s has missed a beat: %s", name, _kind(error))
                is_well = False

    thread = threading.Thread(target=go_on, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(ENDS_WITHIN_S)


def _kind(error: Exception) -> str:
    if isinstance(error, AditError):
        return error.code
    return f"{type(error).__name__}; the log has it as fault {faults.record(error)}"
