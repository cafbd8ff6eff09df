"""`adit chores`: scheduled work as the page shows it, and doing it at once. `adit deploy`: what Prefect knows of it."""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from deployments import installation, programs, stack
from deployments.commands.session import DataDir, open_session
from deployments.screen import FAILURE, WARNING, errors_shown, say, show_table
from models.domain.chores import ChoreOutcome
from services.chores import overview
from services.chores.overview import ChoreShown
from services.deployment_plan import planned


class _ListGroup(TyperGroup):
    """Lists when no command is named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args or ["list"])


chores_app = typer.Typer(cls=_ListGroup, help="See scheduled work, and do some of it now.")


@chores_app.command("list")
def list_chores(data_dir: DataDir = None) -> None:
    """List what is done by itself, when, and how it went; `adit chores` does the same. Ends with 1 when one fails."""
    with errors_shown():
        session = open_session(data_dir)
        planned(session.settings)
        found = overview.listed(session.db, session.settings, session.actor)
        show_table("Scheduled work", ("name", "when", "last run", "result", "next"), map(_row, found))
        for chore in found:
            if chore.trouble:
                say(f"{chore.name}: {chore.trouble}")
        if any(chore.trouble for chore in found):
            raise typer.Exit(WARNING)


@chores_app.command("run")
def run_chore(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As `adit chores` lists it.")], data_dir: DataDir = None
) -> None:
    """Do one at once, in this process and on this machine, also when Prefect is down."""
    with errors_shown():
        from services.chores import performing

        session = open_session(data_dir)
        done = performing.perform_here(session.db, session.settings, session.actor, name)
        say(done.message)
        if done.outcome is not ChoreOutcome.SUCCESS:
            raise typer.Exit(FAILURE)


def deploy(data_dir: DataDir = None) -> None:
    """Bring Prefect's queues and deployments to what prefect.yaml says, and tell what was changed."""
    with errors_shown():
        settings = installation.open_settings(data_dir)
        if note := installation.running(settings):
            settings = installation.open_settings(prefect_port=note.prefect_port)
        planned(settings)
        programs.become(settings, "prefect-setup", *stack.module("prefect_setup"))


def _row(chore: ChoreShown) -> tuple[str, ...]:
    last = chore.last
    result = "at work" if chore.is_at_work else (last.outcome.value if last and last.outcome else "-")
    return (
        chore.name,
        chore.when or "-",
        last.started_at.strftime("%Y-%m-%d %H:%M UTC") if last else "-",
        f"{result}: {last.message}" if last and last.message else result,
        chore.next_at.strftime("%Y-%m-%d %H:%M UTC") if chore.next_at else "-",
    )
