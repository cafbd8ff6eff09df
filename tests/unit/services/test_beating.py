"""Beats go on whatever they raise, end with their context, and hold up nobody when they hang."""

import threading
from collections.abc import Callable

import pytest

from models.domain.errors import AditError, Unreachable
from services import beating as beats
from services.beating import beating

NEVER_S = 3600.0


class Beat:
    """Raises what is given, one after the other, and then no more; ``is_well`` is set by the first that does not."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.is_well = threading.Event()

    def __call__(self) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.is_well.set()


def is_alive(name: str) -> bool:
    return any(thread.name == name for thread in threading.enumerate())


@pytest.mark.parametrize("error", [Unreachable(), ValueError("Doe^Jane"), AssertionError(), MemoryError()])
def test_nothing_that_a_beat_raises_ends_the_beats(error: Exception) -> None:
    beat = Beat(error, error)
    with beating("a-beat", 0.001, beat):
        assert beat.is_well.wait(20)
    assert not is_alive("a-beat")


def test_of_failures_in_a_row_the_first_is_logged_and_none_of_its_words(caplog: pytest.LogCaptureFixture) -> None:
    beat = Beat(*[ValueError("Doe^Jane")] * 5, Unreachable("Doe^Jane"))
    with beating("a-beat", 0.001, beat):
        assert beat.is_well.wait(20)
    (line,) = [line for line in caplog.messages if "a-beat" in line]
    assert line.startswith("a-beat has missed a beat: ValueError; the log has it as fault ")
    assert "test_beating.py" in caplog.text and "Doe" not in caplog.text


def test_trouble_that_comes_back_is_logged_anew_and_ours_by_its_code(caplog: pytest.LogCaptureFixture) -> None:
    again = threading.Event()
    answers: list[AditError | None] = [Unreachable(), None, Unreachable(), None]

    def beat() -> None:
        if not answers:
            again.set()
        elif (error := answers.pop(0)) is not None:
            raise error

    with beating("a-beat", 0.001, beat):
        assert again.wait(20)
    assert caplog.messages == ["a-beat has missed a beat: Unreachable"] * 2


def test_the_first_beat_comes_at_once_where_that_is_wanted() -> None:
    beat, other = Beat(), Beat()
    with beating("other", NEVER_S, other), beating("a-beat", NEVER_S, beat, at_once=True):
        assert beat.is_well.wait(20)
    assert not other.is_well.is_set()


def test_a_beat_that_hangs_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beats, "ENDS_WITHIN_S", 0.01)
    begun, is_over, ended = threading.Event(), threading.Event(), threading.Event()

    def beat() -> None:
        begun.set()
        if is_over.wait(20):
            ended.set()

    with beating("a-beat", 0.0, beat):
        assert begun.wait(20)
    is_over.set()
    assert ended.wait(20), "the end has waited until it was over"


def test_no_more_beats_come_when_it_does_not_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []
    with beating("a-beat", 0.0, lambda: counted.append(1), goes_on=lambda: len(counted) < 3):
        wait_until(lambda: not is_alive("a-beat"))
    assert len(counted) == 3


def test_the_beats_end_when_the_context_ends_by_an_exception() -> None:
    with pytest.raises(KeyError), beating("a-beat", NEVER_S, Beat()):
        raise KeyError
    assert not is_alive("a-beat")


def wait_until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(2000):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError
