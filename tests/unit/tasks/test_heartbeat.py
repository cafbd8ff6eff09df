"""An attempt whose database hangs lets go of everything when its lease may have run out."""

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from models.domain.errors import LeaseLost, Unreachable
from models.domain.receipts import Receipt
from services import beating, holding, work
from services.pulse import Pulse
from services.streams import Stream
from tasks import heartbeat as heartbeat_module
from tasks.attempt import Attempt
from tasks.heartbeat import heartbeat


class Port:
    """A connection that stays open until somebody breaks it."""

    def __init__(self) -> None:
        self.broken = threading.Event()

    def __enter__(self) -> "Port":
        return self

    def __exit__(self, *_: object) -> None: ...

    def abort(self) -> None:
        self.broken.set()


@pytest.fixture
def an_attempt(monkeypatch: pytest.MonkeyPatch) -> Attempt:
    monkeypatch.setattr(heartbeat_module, "BEAT_S", 0.01)
    monkeypatch.setattr(holding, "held_back", lambda *_: None)
    unused = ("db", "job", "lease", "source", "destination", "local", "policy")
    nothing: dict[str, Any] = dict.fromkeys(unused)
    settings: Any = SimpleNamespace(lease_s=1, lease_for=None)
    item: Any = SimpleNamespace(id=1, source_id=1, target_id=2)
    return Attempt(
        **nothing, settings=settings, item=item, receipt=Receipt(), retrieved=Stream(1), pseudonymized=Stream(1)
    )  # type: ignore[arg-type]


def hang(until: threading.Event) -> None:
    assert until.wait(30), "nobody has stopped the attempt"


@pytest.mark.parametrize("what", ["renew", "save_receipt"])
def test_connections_are_broken_while_the_database_hangs(
    an_attempt: Attempt, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Also while the receipt is locked by who waits for the database."""
    port = Port()
    monkeypatch.setattr(work, "renew", lambda *_: work.Signal.KEEP_GOING)
    monkeypatch.setattr(work, what, lambda *_: hang(port.broken) or work.Signal.KEEP_GOING)
    an_attempt.touch()
    with heartbeat(an_attempt), an_attempt.connection(port):
        assert port.broken.wait(20)
    assert isinstance(an_attempt.error, LeaseLost)


def test_trouble_that_is_over_before_the_lease_stops_nothing(
    an_attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, is_well = [0], threading.Event()

    def renew(*_: object) -> work.Signal:
        asked[0] += 1
        if asked[0] < 5:
            raise Unreachable
        is_well.set()
        return work.Signal.KEEP_GOING

    monkeypatch.setattr(work, "renew", renew)
    with heartbeat(an_attempt):
        assert is_well.wait(20)
        assert an_attempt.error is None


def test_a_database_that_hangs_does_not_hold_up_the_end(an_attempt: Attempt, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, is_over, ended = threading.Event(), threading.Event(), threading.Event()

    def renew(*_: object) -> work.Signal:
        begun.set()
        if is_over.wait(20):
            ended.set()
        return work.Signal.KEEP_GOING

    monkeypatch.setattr(beating, "ENDS_WITHIN_S", 0.01)
    monkeypatch.setattr(work, "renew", renew)
    with heartbeat(an_attempt):
        assert begun.wait(20)
    is_over.set()
    assert ended.wait(20), "the end has waited until it was over"


def test_steps_go_on_and_it_is_known_whether_they_do_while_a_heartbeat_hangs_with_the_database(
    an_attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs, is_well, known = threading.Event(), threading.Event(), threading.Event()

    def save_receipt(*_: object) -> None:
        hangs.set()
        assert is_well.wait(60)

    def look() -> None:
        with an_attempt.working():
            assert not an_attempt.is_quiet_within(0)
            with an_attempt.record:
                an_attempt.receipt.stored.add("1.2")
                an_attempt.touch()
        assert an_attempt.is_quiet_within(0)
        known.set()

    monkeypatch.setattr(work, "renew", lambda *_: work.Signal.KEEP_GOING)
    monkeypatch.setattr(work, "save_receipt", save_receipt)
    an_attempt.touch()
    with heartbeat(an_attempt):
        assert hangs.wait(20)
        threading.Thread(target=look, daemon=True).start()
        try:
            assert known.wait(20), "who asks has waited for the database"
        finally:
            is_well.set()


def test_who_has_lost_the_lease_is_stopped(an_attempt: Attempt, monkeypatch: pytest.MonkeyPatch) -> None:
    def save_receipt(*_: object) -> None:
        raise LeaseLost

    port = Port()
    monkeypatch.setattr(work, "renew", lambda *_: work.Signal.KEEP_GOING)
    monkeypatch.setattr(work, "save_receipt", save_receipt)
    an_attempt.touch()
    with heartbeat(an_attempt), an_attempt.connection(port):
        assert port.broken.wait(20)
    assert isinstance(an_attempt.error, LeaseLost)


def test_a_pulse_stops_once_and_not_as_long_as_it_is_renewed() -> None:
    stopped, pulse = [], Pulse()
    came = threading.Event()
    with pulse.watched(0.0, lambda error: (stopped.append(error), came.set())):  # type: ignore[func-returns-value]
        assert came.wait(20)
    assert [type(error) for error in stopped] == [LeaseLost]
    with pulse.watched(3600.0, stopped.append):
        pass
    assert len(stopped) == 1
