"""Waits for what comes and lasts; how long is limited for what never comes, and by nothing else."""

import time
from collections.abc import Callable

PATIENCE_S = 400.0
_LOOK_EVERY_S = 0.05


def wait_until(
    condition: Callable[[], object], what: str, patience_s: float = PATIENCE_S, told: Callable[[], str] = lambda: ""
) -> None:
    """Wait for something to come true; ``told`` is what a failure shows beside."""
    limit = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < limit, f"{what} did not come in {patience_s:.0f} s. {told()}"
        time.sleep(_LOOK_EVERY_S)
