"""What a test of a node has found: one line for each thing that was tried."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from models.domain.errors import AditError


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried. ``text`` says what works, or what is wrong and what to do about it."""

    what: str
    is_ok: bool
    text: str
    seconds: float = 0.0


def checked(what: str, check: Callable[[], str]) -> Finding:
    """The finding of a check that returns what works or raises what does not."""
    begin = time.monotonic()
    try:
        text, is_ok = check(), True
    except AditError as error:
        text, is_ok = error.message, False
    return Finding(what, is_ok, text, time.monotonic() - begin)
