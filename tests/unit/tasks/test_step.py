"""What leaves a step by an exception, which Prefect keeps."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from models.domain.errors import AditError, Bug, ServerStopped, Unreachable
from tasks.step import step

REASON = "It has mixed up Erika Mustermann."
STOPPED = ServerStopped(f"An administrator has stopped PACS: {REASON}")


def left_by(error: Exception) -> BaseException:
    def fail(_attempt: object) -> None:
        raise error

    attempt: Any = SimpleNamespace(item_id=1, working=nullcontext)
    with pytest.raises(AditError) as raised:
        step(fail).fn(attempt)
    assert raised.value.__cause__ is None and raised.value.__suppress_context__
    return raised.value


def test_the_reason_that_an_administrator_gives_for_stopping_a_server_stays_out_of_prefect() -> None:
    left = left_by(STOPPED)
    assert isinstance(left, ServerStopped)
    assert str(left) == "An administrator has stopped the server. Jobs wait and go on by themselves when it may go on."


def test_other_errors_of_ours_keep_their_words_and_those_of_libraries_lose_them() -> None:
    assert str(left_by(Unreachable("PACS does not answer."))) == "PACS does not answer."
    left = left_by(ValueError(REASON))
    assert isinstance(left, Bug) and "ValueError" in str(left) and REASON not in str(left)
