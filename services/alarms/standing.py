"""Which alarms there are now, for administrators: those that were told, and what is seen only here."""

from datetime import timedelta

from models.db.alarms import AlarmStore
from models.db.engine import Database
from models.db.mails import MailStore
from models.db.webhooks import WebhookStore
from models.domain.alarms import Alarm
from models.domain.errors import NotPermitted
from models.domain.people import Actor
from models.settings import Settings
from services.post import mails

MAILS_AFTER = timedelta(minutes=30)


def list(db: Database, settings: Settings, actor: Actor) -> tuple[Alarm, ...]:
    """Alarms that are not over, the oldest first; raises NotPermitted for others than staff."""
    if not actor.is_staff:
        raise NotPermitted("Only administrators may see alarms.")
    found = [*AlarmStore(db).list(), *_mails(db, settings), *_webhooks(db)]
    return tuple(sorted(found, key=lambda alarm: alarm.since_at))


def _mails(db: Database, settings: Settings) -> tuple[Alarm, ...]:
    """That mails wait for long, which no mail could tell."""
    waiting, since = MailStore(db).waiting()
    if since is None or db.clock() - since < MAILS_AFTER:
        return ()
    words = "1 mail waits" if waiting == 1 else f"{waiting} mails wait"
    cause = "look whether the mail server runs, and into the dispatcher's log"
    if not mails.has_server(settings):
        cause = "there is no mail server; set ADIT_SMTP_URL"
    return (Alarm("mails", since, "Mails wait", f"{words}: {cause}."),)


def _webhooks(db: Database) -> tuple[Alarm, ...]:
    """Active webhooks to which the last notice has not arrived."""
    return tuple(
        Alarm(
            f"webhook-{each.id}",
            each.failing_since_at,
            "A webhook fails",
            f"Webhook {each.id} does not take what it is told; its page says why.",
        )
        for each in WebhookStore(db).list()
        if each.is_failing and each.failing_since_at
    )
