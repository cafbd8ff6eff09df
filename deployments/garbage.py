"""When Python looks for garbage: not while programs import, which takes a fifth of that time and finds nothing."""

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def importing() -> Generator[None]:
    """Look for no garbage in the context, nor later among all that is there at its end."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
