"""Webhooks: addresses that are told what becomes of jobs."""

from typing import Annotated

from fastapi import APIRouter, Path

from api.context import Here
from api.routes.admin import Admin
from api.routing import Route
from api.schemas.shapes import Listed, Number, Page, Part
from api.schemas.webhooks import NoticeShown, WebhookChanged, WebhookSecret, WebhookShown, WebhookWished
from services.webhooks import administration

router = APIRouter(prefix="/v1/admin", tags=["admin: webhooks"], route_class=Route)

WebhookId = Annotated[Number, Path()]


@router.get("/webhooks")
def list_webhooks(here: Here, admin: Admin) -> Listed[WebhookShown]:
    """All webhooks, the oldest first."""
    return Listed(results=[WebhookShown.of(each) for each in administration.list(here.db, admin.actor)])


@router.post("/webhooks", status_code=201)
def add_webhook(here: Here, admin: Admin, wished: WebhookWished) -> WebhookSecret:
    """A new webhook. Its secret is in this answer and nowhere else."""
    return WebhookSecret.of(administration.add(here.db, here.settings, admin.actor, wished.wish()))


@router.get("/webhooks/{webhook_id}")
def show_webhook(here: Here, admin: Admin, webhook_id: WebhookId) -> WebhookShown:
    """One webhook."""
    return WebhookShown.of(administration.get(here.db, admin.actor, webhook_id))


@router.put("/webhooks/{webhook_id}")
def change_webhook(here: Here, admin: Admin, webhook_id: WebhookId, changed: WebhookChanged) -> WebhookShown:
    """Replace address, description, events, and whether it is active; the secret stays."""
    after = administration.update(here.db, here.settings, admin.actor, webhook_id, changed.wish(), changed.version)
    return WebhookShown.of(after)


@router.delete("/webhooks/{webhook_id}", status_code=204)
def delete_webhook(here: Here, admin: Admin, webhook_id: WebhookId) -> None:
    """Remove a webhook; what it has not been told yet is not sent."""
    administration.delete(here.db, admin.actor, webhook_id)


@router.post("/webhooks/{webhook_id}/secret", status_code=201)
def renew_secret(here: Here, admin: Admin, webhook_id: WebhookId) -> WebhookSecret:
    """Another secret, in this answer and nowhere else. For a day requests are signed with both."""
    return WebhookSecret.of(administration.renew_secret(here.db, admin.actor, webhook_id))


@router.post("/webhooks/{webhook_id}/test", status_code=202)
def test_webhook(here: Here, admin: Admin, webhook_id: WebhookId) -> NoticeShown:
    """Send a notice that only says that it is a test; what becomes of it stands among the notices."""
    return NoticeShown.model_validate(administration.test(here.db, admin.actor, webhook_id))


@router.get("/webhooks/{webhook_id}/notices")
def list_notices(here: Here, admin: Admin, webhook_id: WebhookId, part: Part) -> Page[NoticeShown]:
    """What a webhook was told and is to be told, newest first."""
    found = administration.notices(here.db, admin.actor, webhook_id, part.limit, part.offset)
    total = administration.count_notices(here.db, admin.actor, webhook_id)
    return Page(results=[NoticeShown.model_validate(each) for each in found], total=total)


@router.post("/webhooks/{webhook_id}/notices/{notice_id}/send-again", status_code=202)
def send_again(here: Here, admin: Admin, webhook_id: WebhookId, notice_id: Annotated[Number, Path()]) -> NoticeShown:
    """Send a notice once more under the same id, whatever has become of it."""
    return NoticeShown.model_validate(administration.send_again(here.db, admin.actor, webhook_id, notice_id))
