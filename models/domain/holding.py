"""What holds work back at a server: an administrator has stopped it, or it is outside its windows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from enum import StrEnum

from models.domain import windows
from models.domain.errors import HeldBack, OutsideWindow, ServerStopped
from models.domain.nodes import Server, Stop, Window


class Openness(StrEnum):
    """Whether work may use a server."""

    OPEN = "open"
    CLOSED = "closed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ServerState:
    """How a server stands at a moment. ``until`` is when its windows change that; None when they don't.

    ``budget`` is that of the hour.
    """

    openness: Openness
    until: datetime | None
    budget: int


def reason(name: str, hours: Sequence[Window], stop: Stop | None, moment: datetime, zone: tzinfo) -> HeldBack | None:
    """Why a server may not be used at a moment, and until when; None when it may."""
    if stop is not None:
        return stopped(name, stop, zone)
    if windows.is_open(hours, moment, zone):
        return None
    opens_at = windows.opens_at(hours, moment, zone)
    return OutsideWindow.because(f"{name} is outside its transfer windows until {words(opens_at, zone)}.", opens_at)


def state(server: Server, moment: datetime, zone: tzinfo) -> ServerState:
    """How a server stands."""
    budget = windows.budget_at(server.budget_rules, server.association_budget, moment, zone)
    if server.stop is not None:
        return ServerState(Openness.STOPPED, None, budget)
    if windows.is_open(server.windows, moment, zone):
        return ServerState(Openness.OPEN, windows.closes_at(server.windows, moment, zone), budget)
    return ServerState(Openness.CLOSED, windows.opens_at(server.windows, moment, zone), budget)


def state_words(found: ServerState, zone: tzinfo) -> str:
    """The state in short: ``closed until Mon 2026-07-06 20:00``."""
    return found.openness.value if found.until is None else f"{found.openness.value} until {words(found.until, zone)}"


def stopped(name: str, stop: Stop, zone: tzinfo) -> ServerStopped:
    """What is said of a server that somebody has stopped."""
    why = stop.reason.strip()
    told = f": {why}{'' if why[-1] in '.!?' else '.'}" if why else "."
    return ServerStopped(f"An administrator has stopped {name} on {words(stop.at, zone)}{told}")


def words(moment: datetime, zone: tzinfo) -> str:
    """A moment as people read it: ``Mon 2026-07-06 20:00``."""
    return f"{windows.WEEKDAYS[moment.astimezone(zone).weekday()]} {moment.astimezone(zone):%Y-%m-%d %H:%M}"
