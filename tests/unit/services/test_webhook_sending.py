"""Notices are sent until they are taken, for a day: signed, none twice at once, none lost, one listener at a time."""

import base64
import json
import logging
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from models.db.engine import Database
from models.db.webhooks import NoticeStore, WebhookStore
from models.domain.people import operator
from models.domain.webhooks import Notice, NoticeState, WebhookWish
from models.settings import Settings
from services.webhooks import administration, sending, signing
from services.webhooks.listeners import Answer, Outcome
from tests.databases import Clock
from tests.house.source_tree import ROOT
from tests.samples import add_job, some_settings

TAKEN, REFUSED = Answer(Outcome.TAKEN, 204), Answer(Outcome.REFUSED, 500, "It answered 500.")
GONE = Answer(Outcome.OUT_OF_REACH, None, "No connection could be made.")
SHELL = operator("shell")
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


@dataclass
class Line:
    """Answers as it is told to, and remembers what it has taken."""

    answer: Callable[[str], Answer] = lambda body: TAKEN
    tried: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    def __call__(self, settings: Settings) -> "Line":
        return self

    def post(self, url: str, body: str, headers: Mapping[str, str]) -> Answer:
        self.tried.append((url, body, dict(headers)))
        return self.answer(body)

    @property
    def jobs(self) -> list[int]:
        """The jobs of which something was tried to be told, in order."""
        return [json.loads(body).get("job", {}).get("id", 0) for _, body, _ in self.tried]


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Line:
    line = Line()
    monkeypatch.setattr("services.webhooks.sending.Line", line)
    return line


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return some_settings(tmp_path)


def a_webhook(db: Database, settings: Settings, url: str = "https://listener.example/x") -> administration.NewSecret:
    return administration.add(db, settings, SHELL, WebhookWish(url))


def state_of(db: Database, webhook_id: int) -> Notice:
    """The newest notice."""
    return NoticeStore(db).list(webhook_id, 1, 0)[0]


def documented() -> Callable[..., bool]:
    """The check that the documentation shows."""
    (block,) = [block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "webhook-signature" in block]
    names: dict[str, Any] = {}
    exec(block, names)
    found: Callable[..., bool] = names["is_genuine"]
    return found


def test_a_signature_is_that_of_the_specification() -> None:
    """The vector that libraries of Standard Webhooks are tested with."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    sent = signing.headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", '{"test": 2432232314}', [key], datetime.fromtimestamp(1614265330, UTC)
    )
    assert signing.shown(key) == "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    assert sent["webhook-timestamp"] == "1614265330"
    assert sent["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_documented_check_takes_what_is_ours_and_nothing_else(
    db: Database, settings: Settings, line: Line, clock: Clock
) -> None:
    webhook = a_webhook(db, settings)
    add_job(db)
    assert sending.send_due(db, settings, webhook.webhook.id) == 1
    ((url, body, headers),) = line.tried
    assert url == "https://listener.example/x"
    check, now = documented(), clock.now.timestamp()
    assert check(webhook.secret, headers, body.encode(), now)
    assert not check(webhook.secret, headers, body.replace("pending", "success").encode(), now)
    assert not check(webhook.secret, headers | {"webhook-id": "evt_other"}, body.encode(), now)
    assert not check(webhook.secret, headers | {"webhook-timestamp": f"{now + 60:.0f}"}, body.encode(), now)
    assert not check(signing.shown(b"another"), headers, body.encode(), now)
    assert not check(webhook.secret, headers, body.encode(), now + 3600), "somebody repeats it"


def test_after_a_new_secret_both_are_good_for_a_day(db: Database, settings: Settings, line: Line, clock: Clock) -> None:
    old = a_webhook(db, settings)
    new = administration.renew_secret(db, SHELL, old.webhook.id)
    check, good = documented(), list[tuple[bool, bool]]()
    for _ in range(2):
        administration.test(db, SHELL, old.webhook.id)
        sending.send_due(db, settings, old.webhook.id)
        _, body, headers = line.tried[-1]
        good.append(tuple(check(each.secret, headers, body.encode(), clock.now.timestamp()) for each in (old, new)))  # type: ignore[arg-type]
        clock.pass_by(administration.BOTH_SECRETS_FOR.total_seconds())
    assert good == [(True, True), (False, True)]


def test_a_notice_that_was_taken_is_not_sent_again(db: Database, settings: Settings, line: Line) -> None:
    webhook_id = a_webhook(db, settings).webhook.id
    add_job(db)
    assert sending.due(db) == [webhook_id]
    assert [sending.send_due(db, settings, webhook_id) for _ in range(2)] == [1, 0]
    assert sending.due(db) == []
    notice = state_of(db, webhook_id)
    assert (notice.state, notice.status, notice.attempts, notice.trouble) == (NoticeState.SENT, 204, 1, "")
    assert WebhookStore(db).get(webhook_id).failing_since_at is None


def test_what_is_refused_waits_longer_each_time_and_is_given_up_after_a_day(
    db: Database, settings: Settings, line: Line, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    webhook_id = a_webhook(db, settings, "https://listener.example/token-in-path").webhook.id
    line.answer = lambda body: REFUSED
    add_job(db)
    begun, waits = clock.now, list[float]()
    while state_of(db, webhook_id).state is NoticeState.WAITING:
        tried_at = clock.now
        sending.send_due(db, settings, webhook_id)
        notice = state_of(db, webhook_id)
        waits.append((notice.not_before_at - tried_at).total_seconds())
        clock.now = max(notice.not_before_at, clock.now)
    assert waits[:8] == [10, 10, 20, 40, 80, 160, 320, 640]
    assert set(waits[11:]) == {3600}
    assert timedelta(hours=23) < clock.now - begun < timedelta(hours=26)
    assert (notice.status, notice.trouble) == (500, "It answered 500.")
    assert len({headers["webhook-id"] for _, _, headers in line.tried}) == 1
    assert sending.due(db) == []
    assert "is given up (500)" in caplog.text and "listener.example" not in caplog.text


def test_a_notice_that_is_refused_does_not_keep_others_back(db: Database, settings: Settings, line: Line) -> None:
    webhook_id = a_webhook(db, settings).webhook.id
    first, second = add_job(db).id, add_job(db).id
    line.answer = lambda body: REFUSED if json.loads(body)["job"]["id"] == first else TAKEN
    assert sending.send_due(db, settings, webhook_id) == 1
    assert line.jobs == [first, second]


def test_while_a_listener_is_out_of_reach_one_notice_at_a_time_is_tried_and_all_arrive_when_it_is_back(
    db: Database, settings: Settings, line: Line, clock: Clock
) -> None:
    webhook_id = a_webhook(db, settings).webhook.id
    jobs = [add_job(db).id for _ in range(5)]
    line.answer = lambda body: GONE
    rounds = 0
    while clock.now - WebhookStore(db).get(webhook_id).created_at < timedelta(hours=2):
        tried = len(line.tried)
        sending.send_due(db, settings, webhook_id)
        rounds += len(line.tried) > tried
        assert len(line.tried) - tried <= 1
        clock.pass_by(10)
    assert 8 <= rounds <= 12, "twice as long between them each time, up to an hour"
    assert WebhookStore(db).get(webhook_id).failing_since_at is not None
    line.answer, line.tried = (lambda body: TAKEN), []
    clock.pass_by(3600)
    assert sending.send_due(db, settings, webhook_id) == 5
    assert sorted(line.jobs) == jobs
    assert WebhookStore(db).get(webhook_id).failing_since_at is None


def test_what_waits_for_a_listener_that_stays_away_is_given_up_after_a_day_tried_or_not(
    db: Database, settings: Settings, line: Line, clock: Clock
) -> None:
    webhook_id = a_webhook(db, settings).webhook.id
    for _ in range(60):
        add_job(db)
    line.answer = lambda body: GONE
    for _ in range(30):
        sending.send_due(db, settings, webhook_id)
        clock.pass_by(3600)
    late = add_job(db).id
    assert NoticeStore(db).count(webhook_id, NoticeState.FAILED) == 60
    line.answer, line.tried = (lambda body: TAKEN), []
    assert sending.send_due(db, settings, webhook_id) == 1
    assert line.jobs == [late]


def test_a_day_without_a_dispatcher_costs_no_notice_its_try(
    db: Database, settings: Settings, line: Line, clock: Clock
) -> None:
    webhook_id = a_webhook(db, settings).webhook.id
    add_job(db)
    clock.pass_by(3 * 86_400)
    assert sending.send_due(db, settings, webhook_id) == 1


def test_senders_at_the_same_time_send_no_notice_twice(database: Database, settings: Settings, line: Line) -> None:
    webhook_id = a_webhook(database, settings).webhook.id
    jobs = [add_job(database).id for _ in range(12)]
    threads = [threading.Thread(target=sending.send_due, args=(database, settings, webhook_id)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert sorted(line.jobs) == jobs


def test_a_notice_whose_sender_died_goes_out_again_after_a_while_under_the_same_id(
    db: Database, settings: Settings, line: Line, clock: Clock
) -> None:
    webhook_id = a_webhook(db, settings).webhook.id
    add_job(db)

    def die(body: str) -> Answer:
        raise KeyboardInterrupt

    line.answer = die
    with pytest.raises(KeyboardInterrupt):
        sending.send_due(db, settings, webhook_id)
    line.answer = lambda body: TAKEN
    assert sending.send_due(db, settings, webhook_id) == 0
    clock.pass_by(sending.CLAIM_FOR.total_seconds())
    assert sending.send_due(db, settings, webhook_id) == 1
    assert len({headers["webhook-id"] for _, _, headers in line.tried}) == 1


def test_a_sender_that_comes_back_late_does_not_disturb_the_one_that_took_over(
    db: Database, settings: Settings, clock: Clock
) -> None:
    webhook_id = a_webhook(db, settings).webhook.id
    add_job(db)
    store = NoticeStore(db)
    late = store.claim(webhook_id, sending.CLAIM_FOR) or pytest.fail("nothing was due")
    clock.pass_by(sending.CLAIM_FOR.total_seconds())
    new = store.claim(webhook_id, sending.CLAIM_FOR) or pytest.fail("nothing was due")
    store.sent(late, 200)
    store.not_sent(late, 500, "late", timedelta(0))
    assert (state_of(db, webhook_id).state, state_of(db, webhook_id).status) == (NoticeState.WAITING, None)
    store.sent(new, 204)
    assert state_of(db, webhook_id).state is NoticeState.SENT


def test_what_was_given_up_is_sent_again_on_request(db: Database, settings: Settings, line: Line, clock: Clock) -> None:
    webhook_id = a_webhook(db, settings).webhook.id
    add_job(db)
    line.answer = lambda body: GONE
    while state_of(db, webhook_id).state is NoticeState.WAITING:
        sending.send_due(db, settings, webhook_id)
        clock.pass_by(3600)
    line.answer = lambda body: TAKEN
    again = administration.send_again(db, SHELL, webhook_id, state_of(db, webhook_id).id)
    assert again.state is NoticeState.WAITING
    assert sending.send_due(db, settings, webhook_id) == 1
    assert len({headers["webhook-id"] for _, _, headers in line.tried}) == 1


def test_a_webhook_that_is_not_active_is_sent_tests_only(
    db: Database, settings: Settings, line: Line, clock: Clock
) -> None:
    webhook = a_webhook(db, settings).webhook
    add_job(db)
    wish = WebhookWish(webhook.url, is_active=False)
    administration.update(db, settings, SHELL, webhook.id, wish, webhook.version)
    assert sending.due(db) == []
    administration.test(db, SHELL, webhook.id)
    assert sending.send_due(db, settings, webhook.id) == 1
    assert [json.loads(body)["type"] for _, body, _ in line.tried] == ["webhook.test"]
    clock.pass_by(86_401)
    sending.remove_old(db)
    assert {notice.state for notice in NoticeStore(db).list(webhook.id, 9, 0)} == {NoticeState.SENT, NoticeState.FAILED}


def test_what_is_left_of_notices_goes_after_a_month(db: Database, settings: Settings, line: Line, clock: Clock) -> None:
    webhook_id = a_webhook(db, settings).webhook.id
    add_job(db)
    sending.send_due(db, settings, webhook_id)
    clock.pass_by(29 * 86_400)
    add_job(db)
    assert sending.remove_old(db) == 0
    clock.pass_by(2 * 86_400)
    assert sending.remove_old(db) == 1
    assert NoticeStore(db).count(webhook_id) == 1


def test_a_webhook_that_is_deleted_while_it_is_told_something_is_no_trouble(
    db: Database, settings: Settings, line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    webhook_id = a_webhook(db, settings).webhook.id
    add_job(db)

    def delete(body: str) -> Answer:
        administration.delete(db, SHELL, webhook_id)
        return TAKEN

    line.answer = delete
    with caplog.at_level(logging.INFO):
        assert sending.send_due(db, settings, webhook_id) == 0
    assert f"webhook {webhook_id} was deleted meanwhile" in caplog.text
