"""Callers of the gateway who hang up, fall silent or lose their token, while a thread works for them."""

import threading
from collections.abc import Callable

import anyio
import pytest
from anyio import CapacityLimiter, to_thread
from starlette.types import Message

from api import liveness
from api.gateway import uploads
from api.gateway.hangups import unless_hung_up
from api.gateway.uploads import Upload
from models.domain.errors import Canceled, NotPermitted, PeerBusy, TimedOut


class Caller:
    """What a caller sends, message by message; then nothing more comes."""

    def __init__(self, *messages: Message) -> None:
        self.messages = list(messages)

    async def __call__(self) -> Message:
        if not self.messages:
            await anyio.sleep_forever()
        return self.messages.pop(0)


BODY: Message = {"type": "http.request", "body": b"abc", "more_body": True}
LAST: Message = {"type": "http.request", "body": b"d", "more_body": False}
GONE: Message = {"type": "http.disconnect"}


def answered(
    caller: Caller, work: Callable[[], str], stop: Callable[[], object], is_alive: Callable[[], bool] = lambda: True
) -> str:
    async def answering() -> str:
        return await unless_hung_up(caller, work, stop, CapacityLimiter(1), is_alive)

    return anyio.run(answering)


def test_who_waits_gets_what_the_work_returns_and_nothing_is_stopped() -> None:
    stops: list[int] = []
    assert answered(Caller(LAST), lambda: "found", lambda: stops.append(1)) == "found"
    assert stops == []


def test_the_work_is_stopped_when_the_caller_hangs_up() -> None:
    stopped = threading.Event()

    def work() -> str:
        assert stopped.wait(30)
        raise Canceled

    with pytest.raises(Canceled):
        answered(Caller(LAST, GONE), work, stopped.set)


@pytest.mark.parametrize("ending", [Canceled, None])
def test_the_work_is_stopped_and_nothing_of_it_told_when_the_token_is_revoked(
    monkeypatch: pytest.MonkeyPatch, ending: type[Canceled] | None
) -> None:
    monkeypatch.setattr(liveness, "LOOK_EVERY_S", 0.01)
    stopped, begun = threading.Event(), threading.Event()

    def work() -> str:
        begun.set()
        assert stopped.wait(30)
        if ending is not None:
            raise ending
        return "found"

    with pytest.raises(NotPermitted):
        answered(Caller(LAST), work, stopped.set, lambda: not begun.is_set())


def test_a_database_that_fails_for_a_moment_revokes_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "LOOK_EVERY_S", 0.001)
    asked = list[int]()
    has_recovered = threading.Event()

    def is_alive() -> bool:
        asked.append(1)
        if len(asked) < 4:
            raise PeerBusy
        has_recovered.set()
        return True

    def work() -> str:
        assert has_recovered.wait(30)
        return "found"

    assert answered(Caller(), work, lambda: None, is_alive) == "found"


def test_what_the_work_raises_comes_out() -> None:
    def work() -> str:
        raise NotPermitted

    with pytest.raises(NotPermitted):
        answered(Caller(), work, lambda: None)


def read(upload: Upload) -> bytes:
    """The body, as a thread reads it."""

    async def reading() -> bytes:
        return await to_thread.run_sync(lambda: b"".join(upload))

    return anyio.run(reading)


def test_a_body_is_read_to_its_end() -> None:
    upload = Upload(Caller(BODY, BODY, LAST))
    assert read(upload) == b"abcabcd" and upload.is_at_end


def test_a_body_that_is_broken_off_is_no_body() -> None:
    with pytest.raises(Canceled):
        read(Upload(Caller(BODY, GONE)))


def test_who_falls_silent_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "LONGEST_SILENCE_S", 0.01)
    upload = Upload(Caller(BODY))
    with pytest.raises(TimedOut):
        read(upload)
    assert upload.is_silent and upload.is_at_end


def test_who_sends_a_byte_now_and_then_is_not_waited_for_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "LONGEST_SILENCE_S", 0.01)

    async def slowly() -> Message:
        await anyio.sleep(0.005)
        return BODY

    upload = Upload(slowly)
    with pytest.raises(TimedOut):
        read(upload)
    assert upload.is_silent


def test_whoever_reads_hears_of_a_pause_before_it_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "_LOOK_EVERY_S", 0.001)
    upload = Upload(Caller(BODY))
    assert anyio.run(to_thread.run_sync, lambda: [next(upload), next(upload), next(upload)]) == [b"abc", b"", b""]
    assert not upload.is_at_end


def test_who_sends_enough_may_take_any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "_LEAST_BYTES", 3)
    upload = Upload(Caller(*[BODY] * 20, LAST))
    upload._waited_s = uploads.LONGEST_SILENCE_S
    assert len(read(upload)) == 61


def test_a_token_that_dies_ends_its_upload(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "_LOOK_EVERY_S", -1.0)
    upload = Upload(Caller(BODY, LAST))
    upload.is_alive = lambda: False
    with pytest.raises(NotPermitted):
        read(upload)


def test_what_is_left_of_a_body_is_taken_within_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    caller = Caller(BODY, BODY, LAST)
    anyio.run(Upload(caller).drain)
    assert caller.messages == []
    monkeypatch.setattr(uploads, "_MOST_DRAINED_BYTES", 4)
    endless = Caller(*[BODY] * 9)
    anyio.run(Upload(endless).drain)
    assert len(endless.messages) == 7
