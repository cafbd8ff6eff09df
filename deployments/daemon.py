"""What the long-running programs of ADIT have in common: logs without library chatter, and an end on request."""

import signal
import threading
from types import FrameType

from deployments import logs
from dicom.quiet import silence_libraries
from models.settings import settings


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
