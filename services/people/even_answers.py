"""Answers that take the same time whether somebody is known or not, so that waiting tells nothing."""

import time
from collections.abc import Generator
from contextlib import contextmanager

TAKES_S = 0.3
"""Longer than the longest way of a question: a few reads and one small transaction."""


@contextmanager
def even_answer() -> Generator[None]:
    """Let the block, however it ends, take ``TAKES_S`` seconds; a database that is slower than that shows through."""
    begun = time.monotonic()
    try:
        yield
    finally:
        time.sleep(max(0.0, TAKES_S - (time.monotonic() - begun)))
