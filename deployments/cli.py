"""The `adit` command."""

import typer

from deployments.commands import (
    accounts,
    backups,
    batches,
    chores,
    containers,
    doctor,
    jobs,
    machine,
    nodes,
    offline,
    privacy,
    profiles,
    programs,
    project,
    workspace,
)

app = typer.Typer(
    help="Moves DICOM studies between archives and folders, pseudonymized on the way.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
for command in (machine.up, machine.demo, jobs.transfer, jobs.cancel, jobs.resume, jobs.retry, offline.deidentify):
    app.command()(command)
for command in (jobs.verify, jobs.hurry, jobs.restart, jobs.delete, project.maintenance):
    app.command()(command)
app.command("status")(jobs.show)
for command in (backups.db_backup, backups.db_restore):
    app.command()(command)
app.command()(doctor.doctor)
app.command("create-admin")(accounts.create_admin)
for command in (programs.init, programs.web, programs.dispatch, programs.worker, programs.receiver):
    app.command()(command)
app.command("prefect-server")(programs.run_prefect_server)
app.command()(chores.deploy)
for command in (workspace.init_workspace, workspace.randomize_env_secrets, workspace.env_check):
    app.command()(command)
for command in (workspace.generate_auth_token, workspace.generate_secure_password):
    app.command()(command)
for command in (workspace.generate_certificate_files, workspace.generate_certificate_chain):
    app.command()(command)
for command in (containers.stack_deploy, containers.stack_rm, containers.compose_up, containers.compose_down):
    app.command()(command)
for command in (containers.compose_build, containers.compose_pull):
    app.command()(command)
app.add_typer(nodes.app, name="node")
app.add_typer(batches.app, name="batch")
app.add_typer(profiles.app, name="profile")
app.add_typer(chores.chores_app, name="chores")
app.add_typer(privacy.review_app, name="review")
app.add_typer(privacy.escrow_app, name="escrow")
app.add_typer(privacy.audit_app, name="audit")

if __name__ == "__main__":
    app()
