"""`adit up`, which runs everything on one machine, and `adit demo`, which shows it."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from deployments import environment_file, installation, ports, prefect_server, stack
from deployments.commands.programs import WebPort
from deployments.commands.session import DataDir
from deployments.screen import console, errors_shown, say
from deployments.supervisor import Supervisor
from models.domain.errors import Interrupted
from models.settings import Settings
from services.deployment_plan import planned


def up(
    web_port: WebPort = None,
    prefect_port: Annotated[
        int | None, typer.Option(envvar="ADIT_PREFECT_PORT", min=0, max=65535, help="Of Prefect; 0: any free one.")
    ] = None,
    receiver_port: Annotated[
        int | None,
        typer.Option(envvar="ADIT_RECEIVER_PORT", min=0, max=65535, help="Of the C-MOVE receiver; 0: any free one."),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Run everything on this machine until Ctrl-C or SIGTERM: web pages, Prefect, worker, dispatcher, receiver."""
    with errors_shown():
        environment_file.check_is_read_alike(environment_file.ENV_FILE)
        chosen = {"prefect_port": _port(prefect_port), "receiver_port": _port(receiver_port)}
        settings = installation.open_settings(data_dir, makes_key=True, web_port=_port(web_port), **chosen)
        settings = installation.with_web_url(settings)
        with installation.locked(settings):
            _run(settings)
    say("Stopped.")


def demo(
    keep: Annotated[bool, typer.Option(help="Leave everything running at the end, until Ctrl-C.")] = False,
    data_dir: Annotated[Path | None, typer.Option(help="An empty directory; a temporary one is removed.")] = None,
) -> None:
    """Move invented studies between two archives of this machine, pseudonymized, and show what has become of them."""
    with errors_shown():
        from deployments.demo.run import run

        run(data_dir, keep)


def _run(settings: Settings) -> None:
    planned(settings)
    ports.check_is_free(settings.web_host, settings.web_port, "--web-port")
    ports.check_is_free(settings.prefect_host, settings.prefect_port, "--prefect-port")
    ports.check_is_free(settings.receiver_host, settings.receiver_port, "--receiver-port")
    installation.write_down(settings)
    stack.end_leftovers(settings)
    say(f"Starting in {settings.data_dir} ...")
    with Supervisor(say, settings.data_dir) as supervisor, suppress(Interrupted):
        stack.start(supervisor, settings)
        _say_where(settings)
        supervisor.run()
        say("Stopping ...")


def _say_where(settings: Settings) -> None:
    console.rule("[green]ADIT is ready[/]")
    say(f"Pages      {settings.web_url}")
    say(f"Prefect    {prefect_server.ui_url(settings)}")
    say(f"Sign in    {installation.how_to_sign_in(settings)}")
    say(f"Receiver   {settings.receiver_ae_title} at {settings.receiver_host}:{settings.receiver_port}")
    say(f"Data       {settings.data_dir}")
    say(f"Logs       {settings.logs_dir}")
    say("Ctrl-C stops everything.")


def _port(wanted: int | None) -> int | None:
    return ports.free_port() if wanted == 0 else wanted
