"""What holds work back: a server is stopped or outside its windows, or a folder can take nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from enum import StrEnum

from models.domain import windows
from models.domain.errors import FOLDER_HELD, FolderGone, HeldBack, OutsideWindow, ServerStopped
from models.domain.nodes import Server, Stop, Window

_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(minutes=2), timedelta(minutes=30)


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


@dataclass(frozen=True, slots=True)
class FolderHold:
    """That a folder takes nothing at this time, which one item has met for all: what it was, on which machine.

    ``code`` is that of the error. From ``again_at`` on, one item at a time tries it again.
    """

    folder_id: int
    code: str
    said: str
    machine: str
    since: datetime
    again_at: datetime


def again_at(since: datetime, moment: datetime) -> datetime:
    """When a folder is tried next that takes nothing: the longer this lasts already, the later."""
    return moment + min(max(moment - since, _FIRST_PAUSE), _LONGEST_PAUSE)


def folder_reason(hold: FolderHold, moment: datetime, zone: tzinfo) -> HeldBack:
    """Why a folder is held back, as people read it."""
    kind = next((kind for kind in FOLDER_HELD if kind.__name__ == hold.code), FolderGone)
    said = f"{hold.said.rstrip('.')}, since {words(hold.since, zone)}."
    if hold.again_at <= moment:
        return kind(f"{said} One item tries it now; the others wait.")
    return kind(f"{said} Items wait and lose no attempt; one of them tries it at {words(hold.again_at, zone)}.")


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
