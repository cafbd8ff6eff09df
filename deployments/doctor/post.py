"""Looks at what goes out: the mail server, and mails and notices to webhooks that wait for too long."""

from collections.abc import Iterator
from datetime import timedelta

from deployments.doctor.findings import Finding, Installation, ok, problem, warning
from models.db.measures import Backlog, MeasureStore
from models.db.webhooks import WebhookStore
from models.domain.errors import AditError
from services.post import mails
from services.post.smtp import MailServer

_LONG = timedelta(hours=1)


def mail_server(here: Installation) -> Iterator[Finding]:
    """Look whether the mail server lets us in; nothing is sent."""
    waiting = MeasureStore(here.db).mails()
    if not mails.has_server(here.settings):
        words = f"There is no mail server; {waiting.count} mails wait in the database."
        remedy = "Set ADIT_SMTP_URL: without one nobody can confirm an address or reset a password."
        yield (
            warning("Mail", words, remedy)
            if waiting.count
            else ok("Mail", "There is no mail server, and none is needed yet.")
        )
        return
    try:
        with MailServer(here.settings):
            yield ok("Mail", "The mail server lets us in.")
    except AditError as error:
        yield problem("Mail", error.message, "Compare ADIT_SMTP_URL with the mail server, and look whether it runs.")
    yield from _late(here, "Mails", waiting, "Look into the log of the dispatcher for what the mail server says.")


def notices(here: Installation) -> Iterator[Finding]:
    """Look whether listeners of webhooks are out of reach."""
    remedy = "Look at the webhooks in the browser: each shows what its listener has answered."
    failing = [hook.id for hook in WebhookStore(here.db).list() if hook.is_failing]
    for number in failing:
        yield warning("Webhooks", f"The listener of webhook {number} does not take what it is told.", remedy)
    if failing:
        return
    yield from _late(here, "Webhooks", MeasureStore(here.db).notices(), remedy)


def _late(here: Installation, what: str, backlog: Backlog, remedy: str) -> Iterator[Finding]:
    if backlog.oldest_at is not None and here.db.clock() - backlog.oldest_at > _LONG:
        words = f"{backlog.count} wait to be sent, the oldest since {backlog.oldest_at:%Y-%m-%d %H:%M} UTC."
        yield warning(what, words, remedy)
    else:
        yield ok(what, f"{backlog.count} wait to be sent.")
