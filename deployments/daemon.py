"""What the long-running programs of ADIT have in common: logs without library chatter, and an end on request."""

import logging
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

from deployments import logs
from dicom.quiet import silence_libraries
from models.domain.errors import AditError
from models.settings import settings

log = logging.getLogger(__name__)

_FAILURE = 2


class StopRequest:
    """Set by SIGTERM and Ctrl-C; for the main thread of a program."""

    def __init__(self) -> None:
        self._event = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._set)

    def comes_within(self, seconds: float) -> bool:
        """Wait; true as soon as the program should end."""
        return self._event.wait(seconds)

    def _set(self, _number: int, _frame: FrameType | None) -> None:
        self._event.set()


def write_logs(program: str) -> None:
    """Log our own messages to standard output; libraries, which quote identifiers, are silent."""
    logs.write(program, settings().log_format)
    silence_libraries()


def run(main: Callable[[], None]) -> None:
    """Run a program; an error of ours ends it with one line in its log, and status 2."""
    try:
        main()
    except AditError as error:
        log.critical("%s: %s", error.code, error.message)
        sys.exit(_FAILURE)
