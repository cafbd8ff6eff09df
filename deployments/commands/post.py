"""`adit send-test-mail`: whether the mail server takes what we send, without waiting for something to tell."""

from typing import Annotated

import typer

from deployments.commands.session import DataDir, open_session
from deployments.screen import errors_shown, say
from services.post import trial_mail


def send_test_mail(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="Who gets it: one mail address.")],
    data_dir: DataDir = None,
) -> None:
    """Send one mail at once, and say whether the mail server has taken it, or what is wrong."""
    with errors_shown():
        session = open_session(data_dir)
        trial_mail.send(session.db, session.settings, session.actor, address)
        say(f"The mail server has taken a mail for {address}. Whether it arrives, the mailbox shows.")
