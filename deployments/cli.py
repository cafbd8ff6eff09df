"""The `adit` command."""

from collections.abc import Mapping
from typing import ClassVar

import typer

from deployments.late_commands import LateGroup


class _Commands(LateGroup):
    places: ClassVar[Mapping[str, str]] = {
        "up": "deployments.commands.machine:up",
        "demo": "deployments.commands.machine:demo",
        "transfer": "deployments.commands.jobs:transfer",
        "cancel": "deployments.commands.jobs:cancel",
        "resume": "deployments.commands.jobs:resume",
        "retry": "deployments.commands.jobs:retry",
        "deidentify": "deployments.commands.offline:deidentify",
        "verify": "deployments.commands.jobs:verify",
        "hurry": "deployments.commands.jobs:hurry",
        "restart": "deployments.commands.jobs:restart",
        "delete": "deployments.commands.jobs:delete",
        "maintenance": "deployments.commands.project:maintenance",
        "status": "deployments.commands.jobs:show",
        "db-backup": "deployments.commands.backups:db_backup",
        "db-restore": "deployments.commands.backups:db_restore",
        "doctor": "deployments.commands.doctor:doctor",
        "send-test-mail": "deployments.commands.post:send_test_mail",
        "create-admin": "deployments.commands.accounts:create_admin",
        "init": "deployments.commands.programs:init",
        "web": "deployments.commands.programs:web",
        "dispatch": "deployments.commands.programs:dispatch",
        "worker": "deployments.commands.programs:worker",
        "receiver": "deployments.commands.programs:receiver",
        "prefect-server": "deployments.commands.programs:run_prefect_server",
        "deploy": "deployments.commands.chores:deploy",
        "init-workspace": "deployments.commands.workspace:init_workspace",
        "randomize-env-secrets": "deployments.commands.workspace:randomize_env_secrets",
        "env-check": "deployments.commands.workspace:env_check",
        "generate-auth-token": "deployments.commands.workspace:generate_auth_token",
        "generate-secure-password": "deployments.commands.workspace:generate_secure_password",
        "generate-certificate-files": "deployments.commands.workspace:generate_certificate_files",
        "generate-certificate-chain": "deployments.commands.workspace:generate_certificate_chain",
        "stack-deploy": "deployments.commands.containers:stack_deploy",
        "stack-rm": "deployments.commands.containers:stack_rm",
        "compose-up": "deployments.commands.containers:compose_up",
        "compose-down": "deployments.commands.containers:compose_down",
        "compose-build": "deployments.commands.containers:compose_build",
        "compose-pull": "deployments.commands.containers:compose_pull",
        "node": "deployments.commands.nodes:app",
        "batch": "deployments.commands.batches:app",
        "profile": "deployments.commands.profiles:app",
        "chores": "deployments.commands.chores:chores_app",
        "trial": "deployments.commands.trials:app",
        "review": "deployments.commands.privacy:review_app",
        "escrow": "deployments.commands.privacy:escrow_app",
        "audit": "deployments.commands.privacy:audit_app",
    }


app = typer.Typer(cls=_Commands, no_args_is_help=True, pretty_exceptions_show_locals=False)


@app.callback()
def adit() -> None:
    """Moves DICOM studies between archives and folders, pseudonymized on the way."""


if __name__ == "__main__":
    app()
