"""What the long-running programs of ADIT have in common: logs without library chatter, and an end on request."""

import logging
import signal
import sys
import threading
from types import FrameType

from dicom.quiet import silence_libraries


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


def write_logs() -> None:
    """Log our own messages to standard output; libraries, which quote identifiers, are silent."""
    logging.basicConfig(
        stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )
    silence_libraries()
