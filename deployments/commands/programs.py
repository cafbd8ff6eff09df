"""`adit init`, `prefect-server`, `worker`, `web`, `dispatch`, `receiver`: the parts of `adit up`, one at a time."""

from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Annotated

import typer

from deployments import environment_file, installation, ports, prefect_server, programs, stack
from deployments.commands.session import DataDir
from deployments.screen import errors_shown
from models.domain.errors import Interrupted
from services import worker_names
from services.deployment_plan import planned

WebPort = Annotated[
    int | None, typer.Option(envvar="ADIT_WEB_PORT", min=0, max=65535, help="Of the web pages; 0: any free one.")
]


def init(data_dir: DataDir = None) -> None:
    """Prepare database, first administrator and Prefect's deployments, and end; done twice it changes nothing."""
    with _until_stopped():
        environment_file.check_is_read_alike(environment_file.ENV_FILE)
        settings = installation.open_settings(data_dir, makes_key=True)
        planned(settings)
        programs.migrate(settings)
        programs.become(settings, "prefect-setup", *stack.module("prefect_setup"))


def run_prefect_server(data_dir: DataDir = None) -> None:
    """Run the Prefect server alone, until SIGTERM."""
    with _until_stopped():
        settings = installation.open_settings(data_dir, makes_key=True)
        programs.become(settings, "prefect-server", *prefect_server.server_command(settings))


def worker(
    name: Annotated[
        str, typer.Option(help="How Prefect's page calls it: HOST@WORD for one of several. Empty: this machine's name.")
    ] = "",
    limit: Annotated[
        int, typer.Option(min=1, help="How many flow runs it has at the same time.")
    ] = prefect_server.FLOW_RUNS_AT_A_TIME,
    data_dir: DataDir = None,
) -> None:
    """Run one worker alone, which runs the flows, until SIGTERM; there may be many, on several machines."""
    if worker_names.is_lane(name):
        raise typer.BadParameter("so are the places called that a worker keeps for some work.", param_hint="--name")
    with _until_stopped():
        settings = installation.open_settings(data_dir)
        raise typer.Exit(programs.run_worker(settings, name, limit))


def web(web_port: WebPort = None, data_dir: DataDir = None) -> None:
    """Serve the web pages alone, until Ctrl-C or SIGTERM."""
    with _until_stopped():
        port = ports.free_port() if web_port == 0 else web_port
        settings = installation.open_settings(data_dir, makes_key=True, web_port=port)
        settings = installation.with_web_url(settings)
        ports.check_is_free(settings.web_host, settings.web_port, "--web-port")
        programs.become(settings, "web", *stack.module("web"))


def receiver(data_dir: DataDir = None) -> None:
    """Run the C-STORE receiver alone, until SIGTERM."""
    with _until_stopped():
        settings = installation.open_settings(data_dir)
        programs.await_tables(settings)
        programs.become(settings, "receiver", *stack.module("receiver"))


def dispatch(data_dir: DataDir = None) -> None:
    """Run the dispatcher alone, which starts flow runs for due jobs, until SIGTERM."""
    with _until_stopped():
        settings = installation.open_settings(data_dir)
        programs.await_tables(settings)
        programs.become(settings, "dispatcher", *stack.module("dispatcher"))


@contextmanager
def _until_stopped() -> Generator[None]:
    """Show errors; being told to stop is none."""
    with errors_shown(), suppress(Interrupted):
        yield
