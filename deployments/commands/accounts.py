"""`adit create-admin`: the first account, made by whoever has the shell. All others are made in the browser."""

from typing import Annotated

import typer

from deployments.commands.session import DataDir, open_session
from deployments.screen import errors_shown, say
from services.people import accounts


def create_admin(
    username: Annotated[str, typer.Option(envvar="ADIT_ADMIN_USERNAME", prompt=True, help="The name to sign in with.")],
    email: Annotated[str, typer.Option(envvar="ADIT_ADMIN_USER_EMAIL", prompt=True, help="The mail address.")],
    password: Annotated[
        str,
        typer.Option(
            envvar="ADIT_ADMIN_PASSWORD",
            prompt=True,
            hide_input=True,
            confirmation_prompt=True,
            show_envvar=True,
            help="Better typed than given here, where other users of the machine may see it.",
        ),
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Make one of an account that there is, with a new password.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Make a superuser, who can sign in at once; asks for what is not given."""
    with errors_shown():
        session = open_session(data_dir, makes_key=True)
        user = accounts.create_admin(session.db, username, email, password, renews=force)
        say(f"{user.username} is a superuser.")
