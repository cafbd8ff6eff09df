"""The budget of associations of each server, shared by all workers on all machines."""

import random
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import timedelta

from models.db.engine import Database
from models.db.slots import SlotStore
from models.domain.nodes import Server

_SHORTEST_WAIT_S, _LONGEST_WAIT_S = 0.1, 1.0


@contextmanager
def associations(
    db: Database,
    holder: str,
    wanted: Mapping[Server, int],
    check: Callable[[], None],
    lease_for: timedelta,
    pause: Callable[[float], None] = time.sleep,
) -> Generator[None]:
    """Hold places in the budgets of servers for as long as the context is open.

    Waits until every server has as many as are wanted, takes all at once or none, so that two waiting holders never
    block each other; ``check`` is called before each try and ends the wait by raising. More than a budget is cut to
    the budget. The places run out after ``lease_for`` unless ``work.renew`` is called with the holder's lease.
    """
    slots = SlotStore(db)
    budgets = {server.id: server.association_budget for server in wanted}
    counts = {server.id: min(count, server.association_budget) for server, count in wanted.items()}
    wait_s = _SHORTEST_WAIT_S
    check()
    while not slots.try_acquire(holder, counts, budgets, lease_for):
        pause(random.uniform(wait_s / 2, wait_s))
        wait_s = min(wait_s * 1.5, _LONGEST_WAIT_S)
        check()
    try:
        yield
    finally:
        slots.release(holder)
