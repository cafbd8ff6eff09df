"""The budget of associations of each server, shared by all workers on all machines."""

import random
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import timedelta

from models.db.engine import Database
from models.db.slots import SlotStore
from models.domain import windows
from models.domain.nodes import Server

_SHORTEST_WAIT_S, _LONGEST_WAIT_S = 0.1, 1.0


def budget(db: Database, server: Server) -> int:
    """How many connections to a server all workers together may hold at this hour."""
    return windows.budget_at(server.budget_rules, server.association_budget, db.clock(), db.zone)


def is_exceeded(db: Database, server: Server) -> bool:
    """Whether more connections are held than the budget of this hour allows, since it was larger before.

    Costs a question only for servers whose budget changes.
    """
    return bool(server.budget_rules) and SlotStore(db).taken(server.id) > budget(db, server)


@contextmanager
def associations(
    db: Database,
    holder: str,
    wanted: Mapping[Server, int],
    check: Callable[[], None],
    lease_for: timedelta,
    pause: Callable[[float], None] = time.sleep,
    urgent: bool = False,
) -> Generator[Mapping[int, int]]:
    """Hold places in the budgets of servers for as long as the context is open; how many is told by the server's id.

    Waits until every server has as many as are wanted, takes all at once or none, so that two waiting holders never
    block each other; ``check`` is called before each try and ends the wait by raising. More than a budget is cut to
    the budget of the hour; who has places keeps them when it sinks. They run out after ``lease_for`` unless
    somebody renews what the holder has (``SlotStore.renew``). Who is urgent has the next places that come free.
    """
    slots = SlotStore(db)
    wait_s = _SHORTEST_WAIT_S
    check()
    try:
        while (taken := _taken(db, slots, holder, wanted, lease_for, urgent)) is None:
            pause(random.uniform(wait_s / 2, wait_s))
            wait_s = min(wait_s * 1.5, _LONGEST_WAIT_S)
            check()
    except BaseException:
        if urgent:
            slots.give_up(holder)
        raise
    try:
        yield taken
    finally:
        slots.release(holder)


def _taken(
    db: Database, slots: SlotStore, holder: str, wanted: Mapping[Server, int], lease_for: timedelta, urgent: bool
) -> Mapping[int, int] | None:
    """The places that were taken, by the server's id; None when there are not enough."""
    budgets = {server.id: budget(db, server) for server in wanted}
    counts = {server.id: min(count, budgets[server.id]) for server, count in wanted.items()}
    return counts if slots.try_acquire(holder, counts, budgets, lease_for, urgent) else None
