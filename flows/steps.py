"""How a step is started: as a Prefect task, or directly where the engine is measured without Prefect."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, cast

from prefect.futures import PrefectFuture

from tasks.attempt import Attempt
from tasks.step import Step


class Running(Protocol):
    """A step at work in another thread."""

    def on_end(self, call: Callable[[], None]) -> None:
        """Call once when the step has ended, retries included."""
        ...

    def error(self) -> BaseException | None:
        """Wait for the end; why the step failed, or None when it did not."""
        ...


Start = Callable[[Step, Attempt], Running]


class _PrefectRun:
    def __init__(self, future: PrefectFuture[None]) -> None:
        self._future = future

    def on_end(self, call: Callable[[], None]) -> None:
        self._future.add_done_callback(lambda _future: call())

    def error(self) -> BaseException | None:
        self._future.wait()
        result = cast("object", self._future.result(raise_on_failure=False))  # the exception of a failed run
        return result if isinstance(result, BaseException) else None


class _PlainRun:
    def __init__(self, future: "Future[None]") -> None:
        self._future = future

    def on_end(self, call: Callable[[], None]) -> None:
        self._future.add_done_callback(lambda _future: call())

    def error(self) -> BaseException | None:
        return self._future.exception()


def as_task(step: Step, attempt: Attempt) -> Running:
    """Start a step as a task run of the flow run at hand."""
    return _PrefectRun(step.submit(attempt))


def in_threads(pool: ThreadPoolExecutor) -> Start:
    """Start steps as plain functions, without retries and without Prefect; for measurements."""

    def start(step: Step, attempt: Attempt) -> Running:
        return _PlainRun(pool.submit(step.fn, attempt))

    return start
