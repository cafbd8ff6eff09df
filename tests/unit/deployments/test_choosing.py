"""A machine takes one run of a job at a time, and leaves to others what it cannot work on."""

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from deployments import choosing
from deployments.choosing import Choice
from deployments.worker import ChoosingWorker


def run(job_id: int | None = None, **parameters: object) -> Any:
    return SimpleNamespace(parameters={"job_id": job_id, **parameters} if job_id is not None else parameters)


def chosen(choice: Choice, *waiting: object, places: float = 9) -> list[object]:
    return anyio.run(choice.of, waiting, places)


def takes_all(_job_id: int) -> str:
    return ""


def test_of_a_job_one_run_is_taken_and_others_wait_for_other_machines() -> None:
    choice = Choice(takes_all)
    first, beside, other = run(1), run(1), run(2)
    assert chosen(choice, first, beside, other) == [first, other]
    with choice.taken(first):
        assert chosen(choice, beside, other) == [other]
        with choice.taken(first):  # it is submitted, and begins
            pass
        assert chosen(choice, beside) == []
    assert chosen(choice, beside) == [beside]


def test_without_a_place_nobody_is_asked_what_is_lacking() -> None:
    asked: list[int] = []
    choice = Choice(lambda job_id: asked.append(job_id) or "")
    waiting = [run(n) for n in range(1, 6)]
    assert chosen(choice, *waiting, places=0) == []
    assert chosen(choice, *waiting, places=2) == waiting[:2]
    assert asked == [1, 2]


def test_what_works_on_no_known_job_is_always_taken() -> None:
    runs = [run(), run(broadcast_id=3), run(request={"owner": "ada"})]
    choice = Choice(lambda job_id: pytest.fail("nobody has to be asked"))
    with choice.taken(runs[0]), choice.taken(runs[1]):
        assert chosen(choice, *runs) == runs


def test_what_lacks_something_here_is_left_to_others_and_asked_about_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []

    def refusal(job_id: int) -> str:
        asked.append(job_id)
        return "no folder" if job_id == 1 and len(asked) < 3 else ""

    choice, here, elsewhere = Choice(refusal), run(2), run(1)
    assert chosen(choice, elsewhere, here) == [here]
    assert chosen(choice, elsewhere) == []
    assert asked == [1, 2]
    monkeypatch.setattr(choosing, "_LOOKED_AT_FOR_S", 0.0)
    choice = Choice(refusal)
    assert chosen(choice, elsewhere) == [elsewhere], "the folder was mounted meanwhile"


def test_a_share_that_does_not_answer_holds_no_other_job_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "_ANSWER_WITHIN_S", 0.05)
    hangs: Callable[[int], str] = lambda job_id: time.sleep(1) or "" if job_id == 1 else ""  # noqa: E731
    elsewhere, here = run(1), run(2)
    assert chosen(Choice(hangs), elsewhere, here) == [here]


def test_what_nobody_can_tell_is_taken() -> None:
    def broken(_job_id: int) -> str:
        raise OSError

    waiting = run(1)
    assert chosen(Choice(broken), waiting) == [waiting]


def test_prefects_worker_still_has_the_methods_that_ours_goes_before() -> None:
    """They are Prefect's own business, so another version may call them otherwise."""
    theirs = vars(ChoosingWorker.__mro__[2]) | vars(ChoosingWorker.__mro__[1])
    ours = {name for name in vars(ChoosingWorker) if callable(getattr(ChoosingWorker, name)) and name != "run"}
    assert ours - theirs.keys() == set()
    assert {"_get_scheduled_flow_runs", "_submit_run"} <= ours
