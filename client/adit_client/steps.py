"""How a call becomes an answer: what is sent, when it is sent again, and how long to wait in between.

All of it is written once, as generators that ask for steps (`Send`, `Open`, `Pause`) and are told how they went. A wire
takes the steps, be it one that waits or one that awaits.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

import httpx

from adit_client.calls import Answer, Call, check, retry_after_s
from adit_client.errors import ConnectionFailed, NoAnswerInTime

T = TypeVar("T")

BUSY = (429, 503)
"""What the server answers when it has not begun to work on a request, and may be asked again."""


@dataclass(frozen=True)
class Send:
    """Send the call and read the whole answer."""

    call: Call


@dataclass(frozen=True)
class Open:
    """Send the call and leave the body of a success to be read piece by piece."""

    call: Call


@dataclass(frozen=True)
class Pause:
    """Wait."""

    seconds: float


@dataclass(frozen=True)
class Opened:
    """An answer whose body has still to be read, and closed."""

    response: httpx.Response


Step = Send | Open | Pause
Outcome = Answer | Opened | ConnectionFailed | None
Steps = Generator[Step, Outcome, T]


@dataclass(frozen=True)
class Retries:
    """How often a call is sent, and how long to wait before it is sent again.

    Every try after the first waits up to twice as long as the one before, by chance somewhat less. What the server
    says by Retry-After is obeyed; when that is longer than ``longest_wait_s`` its answer is an error at once.
    """

    tries: int = 5
    first_wait_s: float = 0.5
    longest_wait_s: float = 60.0
    chance: Callable[[], float] = random.random

    def wait_s(self, failed: int, wanted_s: float | None = None) -> float | None:
        """How long to wait after so many tries have failed; None when it is not to be tried again."""
        if failed >= self.tries or (wanted_s is not None and wanted_s > self.longest_wait_s):
            return None
        grown = min(self.longest_wait_s, self.first_wait_s * 2 ** (failed - 1))
        scattered = grown * (0.5 + 0.5 * self.chance())
        # those who were all told the same do not all come back at the same moment
        return scattered if wanted_s is None else wanted_s + min(scattered, 1.0) * self.chance()


def sent(call: Call, retries: Retries, *accepted: int) -> Steps[Answer]:
    """The whole answer to a call; raises AnswerError or ConnectionFailed when trying again does not help.

    Answers with the ``accepted`` statuses are returned although they are errors.
    """
    outcome = yield from _tried(Send(call), retries)
    assert isinstance(outcome, Answer)
    return outcome if outcome.status in accepted else check(outcome)


def opened(call: Call, retries: Retries) -> Steps[Opened]:
    """The answer to a call, with its body still to be read; raises as ``sent`` does."""
    outcome = yield from _tried(Open(call), retries)
    if isinstance(outcome, Answer):
        check(outcome)
    assert isinstance(outcome, Opened)
    return outcome


def _tried(step: Send | Open, retries: Retries) -> Steps[Answer | Opened]:
    failed = 0
    while True:
        outcome = yield step
        wanted_s = None
        if isinstance(outcome, Answer) and outcome.status in BUSY:
            wanted_s = retry_after_s(outcome.headers)
            may_be_repeated = step.call.can_be_sent_again
        elif isinstance(outcome, ConnectionFailed):
            # who was silent for minutes is at work: asking again would double the work
            is_broken = not isinstance(outcome, NoAnswerInTime)
            may_be_repeated = is_broken and step.call.is_repeatable and step.call.can_be_sent_again
        else:
            assert outcome is not None
            return outcome
        failed += 1
        wait_s = retries.wait_s(failed, wanted_s) if may_be_repeated else None
        if wait_s is None:
            if isinstance(outcome, ConnectionFailed):
                raise outcome
            return outcome
        yield Pause(wait_s)
