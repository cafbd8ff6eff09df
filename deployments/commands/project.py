"""`adit maintenance`: what administrators set for everybody, at the shell, where no web page is needed."""

from typing import Annotated

import typer

from deployments.commands.session import DataDir, open_session
from deployments.screen import errors_shown, say
from models.domain.errors import BadRequest
from services import jobs, project

_SWITCH = {"on": True, "off": False}


def maintenance(
    switch: Annotated[str, typer.Argument(metavar="[on|off]", help="Begin or end it; without it, say how it is.")] = "",
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
        say(f"Maintenance is {'on' if now.maintenance else 'off'}.")
        say(f"Items at work: {jobs.at_work(session.db, session.actor)}.")
