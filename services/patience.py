"""Asks what may never answer, such as a network share that is gone, in a thread that is left behind if need be."""

import threading
from collections.abc import Callable

from models.domain.errors import TimedOut


def soon(check: Callable[[], str], patience_s: float) -> str:
    """What the check returns or raises, if that takes no longer than this many seconds; raises TimedOut."""
    answers: list[str] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            answers.append(check())
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="patience", daemon=True)
    thread.start()
    thread.join(patience_s)
    if errors:
        raise errors[0]
    if not answers:
        raise TimedOut(f"No answer within {patience_s:g} s. A network share may be gone.")
    return answers[0]
