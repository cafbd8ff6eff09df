"""Sends notices to listeners until they have taken them, for a day at most, with growing waits.

A notice is claimed, sent and ticked off. A process that is killed between the last two sends it again, with the same
id: at least once, in all other cases exactly once. Order is not promised: each says when it occurred.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from models.db.engine import Database
from models.db.webhooks import NoticeClaim, NoticeStore, WebhookStore
from models.domain.errors import NotFound, NotPermitted
from models.domain.webhooks import NoticeState
from models.settings import Settings
from services.webhooks import signing
from services.webhooks.listeners import Answer, Line, Outcome

log = logging.getLogger(__name__)

CLAIM_FOR = timedelta(minutes=5)
"""Longer than one request can take, with the resolver; after it, a notice whose sender has died goes out again."""
_SHORTEST_WAIT, _LONGEST_WAIT = timedelta(seconds=10), timedelta(hours=1)
_KEPT_FOR = timedelta(days=30)


def due(db: Database) -> Sequence[int]:
    """The ids of webhooks to which something could be sent now."""
    return NoticeStore(db).due()


def send_due(db: Database, settings: Settings, webhook_id: int, limit: int = 100) -> int:
    """Send what is due to one webhook, up to the limit; how many notices its listener has taken.

    Ends at the first that does not arrive because the listener is out of reach: then all wait.
    """
    line, taken = Line(settings), 0
    try:
        for _ in range(limit):
            claim = NoticeStore(db).claim(webhook_id, CLAIM_FOR)
            if claim is None:
                break
            outcome = _send(db, line, claim)
            taken += outcome is Outcome.TAKEN
            if outcome is Outcome.OUT_OF_REACH:
                break
    except NotFound:
        log.info("webhook %s was deleted meanwhile", webhook_id)
    return taken


def remove_old(db: Database) -> int:
    """Delete what is left of notices that ended long ago, and give up those of webhooks that were switched off."""
    NoticeStore(db).give_up_inactive()
    return NoticeStore(db).remove_ended(db.clock() - _KEPT_FOR)


def _send(db: Database, line: Line, claim: NoticeClaim) -> Outcome:
    """Send one notice and write down what has become of it. The log tells webhooks and notices by their ids only."""
    webhook, now = WebhookStore(db).get(claim.webhook_id), db.clock()
    try:
        keys = WebhookStore(db).secrets(claim.webhook_id)
    except NotPermitted as error:
        answer = Answer(Outcome.OUT_OF_REACH, trouble=error.message)
    else:
        answer = line.post(webhook.url, claim.body, signing.headers(claim.event_id, claim.body, keys, now))
    if answer.outcome is Outcome.TAKEN:
        NoticeStore(db).sent(claim, answer.status or 0)
        return answer.outcome
    out_of_reach = answer.outcome is Outcome.OUT_OF_REACH
    wait = _wait(now, webhook.failing_since_at or now if out_of_reach else claim.created_at)
    state = NoticeStore(db).not_sent(claim, answer.status, answer.trouble, wait)
    if out_of_reach:
        NoticeStore(db).rest(claim.webhook_id, wait, answer.trouble)
    words = "is given up" if state is NoticeState.FAILED else f"waits {wait.total_seconds():.0f} s"
    log.warning(
        "notice %s of webhook %s %s (%s)", claim.notice_id, claim.webhook_id, words, answer.status or "no answer"
    )
    return answer.outcome


def _wait(now: datetime, since: datetime) -> timedelta:
    """How long to wait after trouble since then: as long again, so each wait is twice the one before."""
    return min(max(now - since, _SHORTEST_WAIT), _LONGEST_WAIT)
