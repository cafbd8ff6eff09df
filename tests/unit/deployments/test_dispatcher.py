"""What goes wrong with mails is logged by its code, and does not keep the dispatcher from going on."""

import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from deployments import dispatcher
from deployments.commands.session import open_session
from models.db.engine import Database
from models.domain.errors import Unreachable
from services.dispatch import Duty


class Stop:
    """Comes after some looks."""

    def __init__(self, looks: int) -> None:
        self.left = looks

    def comes_within(self, seconds: float) -> bool:
        self.left -= 1
        return self.left < 0


def fails(error: Exception, seen: list[str]) -> Callable[..., int]:
    def call(*_arguments: object) -> int:
        seen.append(type(error).__name__)
        raise error

    return call


def test_no_trouble_with_mails_ends_the_loop_or_shows_more_than_its_kind(
    a_data_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(dispatcher, "_TELL_EVERY_S", -1.0)
    monkeypatch.setattr("services.post.notifications.send_finished", fails(ValueError("ada@clinic.example"), seen))
    monkeypatch.setattr("services.post.notifications.warn_of_full_folders", lambda *_: 0)
    monkeypatch.setattr("services.post.mails.send_due", fails(Unreachable("The mail server does not answer."), seen))
    with caplog.at_level(logging.INFO):
        dispatcher._send_mails(open_session(None, makes_key=True).db, Stop(3))  # type: ignore[arg-type]
    assert seen == ["ValueError", "Unreachable"] * 3
    assert "could not send mails: Unreachable: The mail server does not answer." in caplog.text
    assert "ValueError" in caplog.text and "@" not in caplog.text


def test_scheduled_work_is_looked_at_as_by_somebody_who_has_just_begun(
    a_data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was missed while nothing ran is done first, and is nothing to complain of."""
    looked: list[datetime] = []
    monkeypatch.setattr("services.alarms.watching.look", lambda *_: None)
    monkeypatch.setattr("services.chores.watch.look", lambda _db, _settings, since, _stands_by: looked.append(since))
    db = open_session(None, makes_key=True).db
    begun = db.clock()
    dispatcher._watch(db, Stop(2), Duty(db))  # type: ignore[arg-type]
    assert len(looked) == 2 and looked[0] == looked[1] >= begun


def test_webhooks_and_alarms_are_looked_at_whatever_went_wrong_before(
    a_data_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(
        "deployments.messengers.Messengers.look", fails(Unreachable("The database does not answer."), seen)
    )
    monkeypatch.setattr("services.alarms.watching.look", fails(ValueError("ada@clinic.example"), seen))
    monkeypatch.setattr("services.chores.watch.look", lambda *_: None)
    db = open_session(None, makes_key=True).db
    dispatcher._send_notices(db, Stop(2))  # type: ignore[arg-type]
    dispatcher._watch(db, Stop(2), Duty(db))  # type: ignore[arg-type]
    assert seen == ["Unreachable"] * 2 + ["ValueError"] * 2
    assert "could not look for alarms: ValueError" in caplog.text and "@" not in caplog.text
    assert f"{Path(__file__).name}:" in caplog.text, "where it happened"


@pytest.fixture
def db(a_data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    monkeypatch.setattr(dispatcher.FolderKeeper, "look", lambda _: None)
    return open_session(None, makes_key=True).db


def test_who_cannot_dispatch_leaves_it_to_another_one(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []
    monkeypatch.setattr(dispatcher, "dispatch_once", lambda *_: bool(looks.append("looked")))
    with Duty(db) as first, Duty(db) as second:
        dispatcher._see_to_jobs(db, Stop(3), first)  # type: ignore[arg-type]
        assert looks == ["looked"]
        assert second.is_mine()


def test_who_stands_by_leaves_alarms_of_prefect_to_the_one_that_works(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    stood_by: list[bool] = []
    monkeypatch.setattr("services.alarms.watching.look", lambda _db, _settings, stands_by: stood_by.append(stands_by))
    monkeypatch.setattr("services.chores.watch.look", lambda *_: None)
    with Duty(db) as first, Duty(db) as second:
        assert first.is_mine() and not second.is_mine()
        for duty in (first, second):
            dispatcher._watch(db, Stop(1), duty)  # type: ignore[arg-type]
    assert stood_by == [False, True]


@pytest.mark.parametrize(("every_s", "times"), [(-1.0, 3), (30.0, 1)])
def test_jobs_are_shared_out_less_often_than_they_are_looked_at(
    db: Database, monkeypatch: pytest.MonkeyPatch, every_s: float, times: int
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(dispatcher, "_SHARE_EVERY_S", every_s)
    monkeypatch.setattr(dispatcher, "dispatch_once", lambda *_: True)
    monkeypatch.setattr("services.sharing.share_out", fails(Unreachable("Prefect's API does not answer."), seen))
    with Duty(db) as duty:
        dispatcher._see_to_jobs(db, Stop(6), duty)  # type: ignore[arg-type]
    assert len(seen) == times
