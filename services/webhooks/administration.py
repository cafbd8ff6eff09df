"""What administrators do with webhooks. Secrets are shown once, when they are made; addresses stay out of the trail."""

import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from models.db.engine import Database
from models.db.webhooks import NoticeStore, WebhookStore
from models.domain.audit import AuditAction
from models.domain.errors import BadRequest, NotFound, NotPermitted, WrongState
from models.domain.people import Actor
from models.domain.webhooks import Notice, NoticeState, Webhook, WebhookWish
from models.settings import Settings
from services import audit
from services.webhooks import addresses, signing

MOST_WEBHOOKS = 20
"""Each may take a thread of the dispatcher."""
DESCRIPTION_LENGTH = 200
BOTH_SECRETS_FOR = timedelta(days=1)
"""How long requests are signed with the old secret, too, after there is a new one."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class NewSecret:
    """A webhook with its new secret, which nobody can see again."""

    webhook: Webhook
    secret: str = field(repr=False)


def list(db: Database, actor: Actor) -> tuple[Webhook, ...]:
    """All webhooks, the oldest first; raises NotPermitted for others than staff."""
    _check_is_staff(actor)
    return WebhookStore(db).list()


def get(db: Database, actor: Actor, webhook_id: int) -> Webhook:
    """One webhook; raises NotPermitted or NotFound."""
    _check_is_staff(actor)
    return WebhookStore(db).get(webhook_id)


def add(db: Database, settings: Settings, actor: Actor, wish: WebhookWish) -> NewSecret:
    """A new webhook, told of what happens from now on.

    Raises NotPermitted, or BadRequest naming ``url``, ``description`` and ``events``.
    """
    with audit.refusals_recorded(db, actor, AuditAction.ADD_WEBHOOK, "new webhook"):
        _check_is_staff(actor)
    wish, secret = _checked(settings, wish), signing.new_secret()
    with db.transaction():
        if len(WebhookStore(db).list()) >= MOST_WEBHOOKS:
            raise BadRequest(f"There are {MOST_WEBHOOKS} webhooks. Delete one that nobody needs any more.")
        webhook = WebhookStore(db).add(wish, secret, actor.name)
        audit.record(db, actor, AuditAction.ADD_WEBHOOK, f"webhook {webhook.id}: {_words(wish)}")
        return NewSecret(webhook, signing.shown(secret))


def update(db: Database, settings: Settings, actor: Actor, webhook_id: int, wish: WebhookWish, version: int) -> Webhook:
    """Replace what was entered of a webhook; its secret stays.

    Raises NotPermitted, NotFound, Outdated, or BadRequest as ``add`` does.
    """
    with audit.refusals_recorded(db, actor, AuditAction.CHANGE_WEBHOOK, f"webhook {webhook_id}"):
        _check_is_staff(actor)
    wish = _checked(settings, wish)
    with db.transaction():
        before = WebhookStore(db).get(webhook_id)
        after = WebhookStore(db).update(webhook_id, wish, version)
        moved = "; another address" if after.url != before.url else ""
        audit.record(db, actor, AuditAction.CHANGE_WEBHOOK, f"webhook {webhook_id}: {_words(wish)}{moved}")
        return after


def delete(db: Database, actor: Actor, webhook_id: int) -> None:
    """Remove a webhook; what still waits is not sent. Raises NotPermitted or NotFound."""
    with audit.refusals_recorded(db, actor, AuditAction.DELETE_WEBHOOK, f"webhook {webhook_id}"):
        _check_is_staff(actor)
    with db.transaction():
        WebhookStore(db).remove(webhook_id)
        audit.record(db, actor, AuditAction.DELETE_WEBHOOK, f"webhook {webhook_id}")


def renew_secret(db: Database, actor: Actor, webhook_id: int) -> NewSecret:
    """Give a webhook another secret. For a day requests are signed with both, so that none is refused meanwhile.

    Raises NotPermitted or NotFound.
    """
    with audit.refusals_recorded(db, actor, AuditAction.CHANGE_WEBHOOK, f"webhook {webhook_id}"):
        _check_is_staff(actor)
    secret = signing.new_secret()
    with db.transaction():
        webhook = WebhookStore(db).renew_secret(webhook_id, secret, db.clock() + BOTH_SECRETS_FOR)
        audit.record(db, actor, AuditAction.CHANGE_WEBHOOK, f"webhook {webhook_id}: new secret")
        return NewSecret(webhook, signing.shown(secret))


def test(db: Database, actor: Actor, webhook_id: int) -> Notice:
    """Send a notice that says nothing but that this is a test; raises NotPermitted or NotFound."""
    with audit.refusals_recorded(db, actor, AuditAction.CHANGE_WEBHOOK, f"webhook {webhook_id}"):
        _check_is_staff(actor)
    with db.transaction():
        notice = NoticeStore(db).add_test(webhook_id)
        audit.record(db, actor, AuditAction.CHANGE_WEBHOOK, f"webhook {webhook_id}: test")
        return notice


def notices(db: Database, actor: Actor, webhook_id: int, limit: int = 50, offset: int = 0) -> tuple[Notice, ...]:
    """What a webhook was told and is to be told, newest first; raises NotPermitted or NotFound."""
    get(db, actor, webhook_id)
    return NoticeStore(db).list(webhook_id, limit, offset)


def count_notices(db: Database, actor: Actor, webhook_id: int, state: NoticeState | None = None) -> int:
    """How many notices a webhook has, or has in a state; raises NotPermitted or NotFound."""
    get(db, actor, webhook_id)
    return NoticeStore(db).count(webhook_id, state)


def send_again(db: Database, actor: Actor, webhook_id: int, notice_id: int) -> Notice:
    """Send a notice once more, under the same id, whatever has become of it; raises NotPermitted or NotFound.

    Raises WrongState for one that waits while its webhook is not active: it would wait on.
    """
    with audit.refusals_recorded(db, actor, AuditAction.CHANGE_WEBHOOK, f"webhook {webhook_id}"):
        _check_is_staff(actor)
    with db.transaction():
        webhook, notice = WebhookStore(db).get(webhook_id), NoticeStore(db).get(notice_id)
        if notice.webhook_id != webhook_id:
            raise NotFound("There is no such notice.")
        if not webhook.is_active and notice.event.is_chosen:
            raise WrongState("The webhook is not active. Activate it first.")
        again = NoticeStore(db).send_again(notice_id)
        audit.record(db, actor, AuditAction.CHANGE_WEBHOOK, f"webhook {webhook_id}: notice {notice_id} again")
        return again


def signs_with_both(webhook: Webhook, now: datetime) -> bool:
    """Whether requests are signed with the old secret, too."""
    return webhook.old_secret_until_at is not None and webhook.old_secret_until_at > now


def _checked(settings: Settings, wish: WebhookWish) -> WebhookWish:
    wish = replace(wish, url=wish.url.strip(), description=" ".join(wish.description.split()))
    problems: dict[str, str] = {}
    if found := addresses.problem(settings, wish.url):
        problems["url"] = found
    if len(wish.description) > DESCRIPTION_LENGTH or _CONTROL.search(wish.description):
        problems["description"] = f"A line of at most {DESCRIPTION_LENGTH} characters is needed."
    if not wish.events or not all(event.is_chosen for event in wish.events):
        problems["events"] = "Choose at least one event of jobs."
    if problems:
        raise BadRequest.of(problems)
    return wish


def _words(wish: WebhookWish) -> str:
    """What the trail says: an address may hold a secret of its listener, and stays out of it."""
    events = " ".join(sorted(event.value for event in wish.events))
    return f"{events}; {'active' if wish.is_active else 'not active'}"


def _check_is_staff(actor: Actor) -> None:
    if not actor.is_staff:
        raise NotPermitted("Only administrators may see and change webhooks.")
