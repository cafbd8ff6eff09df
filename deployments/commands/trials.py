"""`adit trial`: who may use which trial."""

from typing import Annotated

import typer

from deployments.commands.session import DataDir, open_session
from deployments.screen import errors_shown, say, show_table
from services import trials

app = typer.Typer(no_args_is_help=True, help="Who may use which trial, and so learn its pseudonyms.")

ProtocolId = Annotated[str, typer.Argument(metavar="ID", help="The protocol ID of the trial.")]
Username = Annotated[str, typer.Argument(metavar="USERNAME", help="The name of the account.")]


@app.command("list")
def list_trials(
    protocol_id: Annotated[str, typer.Argument(metavar="[ID]", help="With it, the users of that trial.")] = "",
    data_dir: DataDir = None,
) -> None:
    """List the trials with their users; of one trial also since when they use it, and who has let them in."""
    with errors_shown():
        session = open_session(data_dir)
        if protocol_id:
            trial = trials.named(session.db, session.actor, protocol_id)
            users = [(user.username, f"{user.since_at:%Y-%m-%d %H:%M:%S}", user.by) for user in trial.users]
            show_table(f"Users of the trial {protocol_id}", ("user", "since (UTC)", "let in by"), users)
        else:
            rows = [
                (
                    trial.protocol_id,
                    trial.job_count,
                    "(forgotten)" if trial.is_forgotten else ", ".join(user.username for user in trial.users),
                )
                for trial in trials.list(session.db, session.actor)
            ]
            show_table("Trials", ("trial", "jobs", "users"), rows)


@app.command()
def allow(protocol_id: ProtocolId, username: Username, data_dir: DataDir = None) -> None:
    """Let somebody use a trial, and with them whoever shares a group with them."""
    with errors_shown():
        session = open_session(data_dir)
        trial = trials.named(session.db, session.actor, protocol_id)
        user = trials.allow(session.db, session.actor, trial.id, username)
        say(f"{user.username} may use the trial {protocol_id}.")


@app.command()
def remove(protocol_id: ProtocolId, username: Username, data_dir: DataDir = None) -> None:
    """Take somebody out of a trial. They stay in as long as they share a group with one of its users."""
    with errors_shown():
        session = open_session(data_dir)
        trial = trials.named(session.db, session.actor, protocol_id)
        trials.remove(session.db, session.actor, trial.id, username)
        say(f"{username} is no user of the trial {protocol_id} any more.")
        say("Who shares a group with one of its users may use it all the same.")
