"""`adit node`: add, list and test the places data comes from and goes to."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from deployments.commands.session import DataDir, open_session
from deployments.screen import FAILURE, errors_shown, say, show_table
from models.db.engine import Database
from models.domain import windows
from models.domain.holding import FolderHold
from models.domain.nodes import Folder, Node, Server, Timeouts, Tls
from models.domain.quotas import Usage
from services import folder_holds, holding, nodes, quotas

app = typer.Typer(help="The places data comes from and goes to.", no_args_is_help=True)

_CAPABILITIES = {
    "find": ("study_root_find_support", "patient_root_find_support"),
    "get": ("study_root_get_support", "patient_root_get_support"),
    "move": ("study_root_move_support", "patient_root_move_support"),
    "store": ("store_scp_support",),
    "QIDO-RS": ("dicomweb_qido_support",),
    "WADO-RS": ("dicomweb_wado_support",),
    "STOW-RS": ("dicomweb_stow_support",),
}
Name = Annotated[str, typer.Argument(help="The name by which people know the node.")]
Seconds = Annotated[float, typer.Option(min=0.001, max=86_400)]


@app.command("add-server")
def add_server(
    name: Name,
    ae_title: Annotated[str, typer.Option(help="The AE title of the server.")],
    host: Annotated[str, typer.Option()],
    port: Annotated[int, typer.Option(help="The DICOM port.")],
    study_root_find_support: bool = False,
    study_root_get_support: bool = False,
    study_root_move_support: bool = False,
    patient_root_find_support: bool = False,
    patient_root_get_support: bool = False,
    patient_root_move_support: bool = False,
    store_scp_support: bool = False,
    dicomweb_root_url: str = "",
    dicomweb_qido_support: bool = False,
    dicomweb_wado_support: bool = False,
    dicomweb_stow_support: bool = False,
    dicomweb_qido_prefix: str = "",
    dicomweb_wado_prefix: str = "",
    dicomweb_stow_prefix: str = "",
    dicomweb_authorization_header: Annotated[
        str,
        typer.Option(help="Such as 'Bearer ...'; a single - asks for it, which keeps it out of the shell's history."),
    ] = "",
    tls: Annotated[bool, typer.Option(help="Use DICOM TLS.")] = False,
    tls_ca_file: Annotated[str, typer.Option(help="PEM; the system's CAs when empty.")] = "",
    tls_certificate_file: Annotated[str, typer.Option(help="PEM of our own certificate.")] = "",
    tls_key_file: str = "",
    tls_check_hostname: bool = True,
    connect_timeout_s: Seconds = 15,
    negotiation_timeout_s: Seconds = 30,
    response_timeout_s: Seconds = 60,
    idle_timeout_s: Seconds = 60,
    association_budget: Annotated[int, typer.Option(help="Connections that all workers together may hold.")] = 8,
    store_associations: Annotated[int, typer.Option(help="Instances sent at the same time.")] = 2,
    max_search_results: Annotated[int, typer.Option(help="Answers that it gives to one query at most.")] = 200,
    window: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TIME",
            help="When transfers may use it, such as 'Mon-Fri 20:00-06:00'; may be repeated. Without any: always.",
        ),
    ] = None,
    budget_at: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RULE", help="Another budget at some hours, such as 'Mon-Fri 20:00-06:00 = 12'; may be repeated."
        ),
    ] = None,
    pynetdicom: Annotated[
        bool, typer.Option("--pynetdicom", help="All by pynetdicom: slower, for servers that have trouble.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Add a server with the protocols that it supports."""
    header = dicomweb_authorization_header
    with errors_shown():
        session = open_session(data_dir, makes_key=True)
        server = Server(
            name=name,
            ae_title=ae_title,
            host=host,
            port=port,
            study_root_find_support=study_root_find_support,
            study_root_get_support=study_root_get_support,
            study_root_move_support=study_root_move_support,
            patient_root_find_support=patient_root_find_support,
            patient_root_get_support=patient_root_get_support,
            patient_root_move_support=patient_root_move_support,
            store_scp_support=store_scp_support,
            dicomweb_root_url=dicomweb_root_url,
            dicomweb_qido_support=dicomweb_qido_support,
            dicomweb_wado_support=dicomweb_wado_support,
            dicomweb_stow_support=dicomweb_stow_support,
            dicomweb_qido_prefix=dicomweb_qido_prefix,
            dicomweb_wado_prefix=dicomweb_wado_prefix,
            dicomweb_stow_prefix=dicomweb_stow_prefix,
            dicomweb_authorization_header=typer.prompt("Header", hide_input=True) if header == "-" else header,
            tls=Tls(tls_ca_file, tls_certificate_file, tls_key_file, tls_check_hostname) if tls else None,
            timeouts=Timeouts(
                connect=timedelta(seconds=connect_timeout_s),
                negotiation=timedelta(seconds=negotiation_timeout_s),
                response=timedelta(seconds=response_timeout_s),
                idle=timedelta(seconds=idle_timeout_s),
            ),
            association_budget=association_budget,
            store_associations=store_associations,
            uses_pynetdicom=pynetdicom,
            max_search_results=max_search_results,
            windows=tuple(each for text in window or () for each in windows.parsed(text)),
            budget_rules=tuple(each for text in budget_at or () for each in windows.parsed_rules(text)),
        )
        nodes.add_server(session.db, session.actor, server)
        say(f"Added server {name}. adit node test {name!r} tries it.")


@app.command("add-folder")
def add_folder(
    name: Name,
    path: Annotated[
        Path,
        typer.Argument(help="A directory. It may be missing as yet, and is never made: it may be a share to mount."),
    ],
    quota_gb: float | None = None,
    warn_at_gb: float | None = None,
    warn_at_percent: float | None = None,
    data_dir: DataDir = None,
) -> None:
    """Add a folder that takes studies as files. It has to be there when studies are sent."""
    with errors_shown():
        session = open_session(data_dir, makes_key=True)
        folder = Folder(name, path.absolute(), 0, quota_gb, warn_at_gb, warn_at_percent)
        nodes.add_folder(session.db, session.settings, session.actor, folder)
        say(f"Added folder {name}. adit node test {name!r} tries it.")


@app.command("list")
def show_all(data_dir: DataDir = None) -> None:
    """List all nodes."""
    with errors_shown():
        session = open_session(data_dir)
        usages = {usage.folder_id: usage for usage in quotas.usages(session.db, session.actor)}
        holds = folder_holds.all_now(session.db)
        rows = [_row(session.db, node, usages, holds) for node in nodes.list(session.db)]
        show_table("Nodes", ("id", "name", "kind", "where", "can", "state"), rows)


@app.command("test")
def test(name: Name, data_dir: DataDir = None) -> None:
    """Try what a server offers, without touching a patient, or whether a folder can be written.

    Exit status: 0 when all is ok, else 2.
    """
    from services.checks import connections  # spares every other command the time to load the network code

    with errors_shown():
        session = open_session(data_dir)
        node = nodes.by_name(session.db, name)
        findings = connections.test(session.db, session.settings, session.actor, node.id)
        for finding in findings:
            word = "ok" if finding.is_ok else "not ok"
            say(f"{word:7} {finding.what} ({round(finding.seconds * 1000)} ms): {finding.text}")
    if not all(finding.is_ok for finding in findings):
        raise typer.Exit(FAILURE)


@app.command("measure")
def measure(name: Name, data_dir: DataDir = None) -> None:
    """Count what is in a folder now; the dispatcher does so every ten minutes."""
    with errors_shown():
        session = open_session(data_dir)
        node = nodes.by_name(session.db, name)
        say(f"{node.name}: {quotas.measure_now(session.db, session.actor, node.id).sentence}")


@app.command("stop")
def stop(
    name: Name,
    reason: Annotated[str, typer.Option(help="Why; people whose jobs wait read it.")] = "",
    data_dir: DataDir = None,
) -> None:
    """Stop a server within seconds: what is at work there waits until adit node go-on."""
    with errors_shown():
        session = open_session(data_dir)
        holding.stop(session.db, session.actor, nodes.by_name(session.db, name).id, reason)
        say(f"Stopped {name}. adit node go-on {name!r} lets it go on.")


@app.command("go-on")
def go_on(name: Name, data_dir: DataDir = None) -> None:
    """Let a stopped server go on, or have a folder tried at once that could take nothing."""
    with errors_shown():
        session = open_session(data_dir)
        node = nodes.by_name(session.db, name)
        if isinstance(node, Folder):
            folder_holds.try_now(session.db, session.actor, node.id)
            hold = folder_holds.of_folder(session.db, node.id)
            say(folder_holds.words(session.db, hold) or f"Nothing waits for {name}.")
            return
        server = holding.let_go_on(session.db, session.actor, node.id)
        say(f"{name} is {holding.state_words(session.db, server)}.")


def _row(db: Database, node: Node, usages: Mapping[int, Usage], holds: Mapping[int, FolderHold]) -> tuple[object, ...]:
    if isinstance(node, Folder):
        state = folder_holds.words(db, holds.get(node.id))
        return node.id, node.name, "folder", node.path, f"take files: {usages[node.id].sentence}", state
    abilities = [word for word, fields in _CAPABILITIES.items() if any(getattr(node, name) for name in fields)]
    where = f"{node.ae_title} at {node.host}:{node.port}{' (TLS)' if node.tls else ''} {node.dicomweb_root_url}"
    return node.id, node.name, "server", where.strip(), ", ".join(abilities), holding.state_words(db, node)
