"""The `adit` command."""

import typer

from deployments.commands import jobs, machine, nodes

app = typer.Typer(
    help="Moves DICOM studies between archives and folders, pseudonymized on the way.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
for command in (machine.up, machine.demo, jobs.transfer, jobs.cancel, jobs.resume, jobs.retry):
    app.command()(command)
app.command("status")(jobs.show)
app.command("dispatch")(machine.dispatch)
app.command("receiver")(machine.receiver)
app.add_typer(nodes.app, name="node")

if __name__ == "__main__":
    app()
