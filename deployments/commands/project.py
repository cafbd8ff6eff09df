"""`adit maintenance`: what administrators set for everybody, at the shell, where no web page is needed."""

import time
from datetime import timedelta
from typing import Annotated

import typer

from deployments.commands.session import DataDir, Session, open_session
from deployments.screen import errors_shown, say
from models.domain.errors import BadRequest, TimedOut
from services import jobs, project

_SWITCH = {"on": True, "off": False}
_LOOK_EVERY_S = 1.0


def maintenance(
    switch: Annotated[str, typer.Argument(metavar="[on|off]", help="Begin or end it; without it, say how it is.")] = "",
    waits: Annotated[bool, typer.Option("--wait", help="Wait until no item is at work any more.")] = False,
    timeout_minutes: Annotated[float, typer.Option("--timeout", min=0, help="Minutes after which it gives up.")] = 60,
    data_dir: DataDir = None,
) -> None:
    """Begin or end maintenance: only staff gets in, and items at work go on to their end while no other begins."""
    with errors_shown():
        session = open_session(data_dir)
        now = project.get(session.db)
        if switch:
            if switch not in _SWITCH:
                raise BadRequest("Say on or off.")
            now = project.update(session.db, session.actor, now.announcement, _SWITCH[switch], now.version)
        if waits and not now.maintenance:
            raise BadRequest("Without maintenance items go on to begin. Say adit maintenance on --wait.")
        count = jobs.at_work(session.db, session.actor)
        say(f"Maintenance is {'on' if now.maintenance else 'off'}.")
        say(f"Items at work: {count}.")
        if waits:
            _wait_for_rest(session, count, timedelta(minutes=timeout_minutes))


def _wait_for_rest(session: Session, count: int, timeout: timedelta) -> None:
    """Wait until nothing is at work, and say each time how much still is; raises TimedOut."""
    limit = time.monotonic() + timeout.total_seconds()
    while count:
        if time.monotonic() >= limit:
            raise TimedOut(f"{count} items are still at work. Wait once more, or cancel their jobs.")
        time.sleep(_LOOK_EVERY_S)
        now = jobs.at_work(session.db, session.actor)
        if now != count:
            say(f"Items at work: {now}.")
        count = now
    say("Nothing is at work.")
