"""How a step is run: as a Prefect task, or directly where the engine is measured without Prefect."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context

from tasks.attempt import Attempt
from tasks.step import Step

Way = Callable[[Step, Attempt], BaseException | None]
"""Runs a step in this thread to its end, retries included; returns why it failed, or None when it did not."""


class Running:
    """A step at work in another thread."""

    def __init__(self, future: "Future[BaseException | None]") -> None:
        self._future = future

    def on_end(self, call: Callable[[], None]) -> None:
        """Call once when the step has ended, retries included."""
        self._future.add_done_callback(lambda _future: call())

    def error(self) -> BaseException | None:
        """Wait for the end; why the step failed, or None when it did not."""
        return self._future.exception() or self._future.result()


Start = Callable[[Step, Attempt], Running]


def starter(threads: ThreadPoolExecutor, way: Way) -> Start:
    """Start steps in these threads, in the context of whoever starts them: so they belong to the flow run at hand.

    Prefect's own task runner keeps something of every task run to the end of the flow run, which adds up in a job of
    thousands of items.
    """

    def start(step: Step, attempt: Attempt) -> Running:
        return Running(threads.submit(copy_context().run, way, step, attempt))

    return start


def as_task(step: Step, attempt: Attempt) -> BaseException | None:
    """Run a step as a task run of the flow run at hand."""
    state = step(attempt, return_state=True)
    result: object = state.result(raise_on_failure=False)  # the exception of a failed run
    return result if isinstance(result, BaseException) else None


def as_function(step: Step, attempt: Attempt) -> BaseException | None:
    """Run a step as a plain function, without retries and without Prefect; for measurements."""
    try:
        step.fn(attempt)
    except Exception as error:
        return error
    return None
