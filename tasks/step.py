"""What every step has in common: its retries, and that nothing of a patient gets out through an exception."""

import traceback
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import exponential_backoff

from models.domain.errors import AditError, Bug, ConversionFailed, Incomplete, Retry
from tasks.attempt import Attempt

RETRIES = 5
BACKOFF_S = 2
"""Waits of about 2, 4, 8, 16 and 32 s: a restart of an archive is bridged within one attempt."""
INCOMPLETE_RUNS = 2
"""A peer that says it has sent all is asked once more for the rest, then the attempt ends; so is a converter that
fails."""

Step = Task[[Attempt], None]


def step(function: Callable[[Attempt], None]) -> Step:
    """Make a Prefect task of a function that does one step of an attempt.

    Arguments are live objects of this process, so they are neither cached nor persisted. Only ids are in the run's
    name. Errors leave as they are ``sayable``, without their causes.
    """

    @wraps(function)
    def run(attempt: Attempt) -> None:
        try:
            with attempt.working():
                function(attempt)
        except Exception as error:
            raise sayable(error) from None

    name = function.__name__
    return Task(
        run,
        name=name,
        task_run_name=f"{name}-item-{{attempt.item_id}}",
        retries=RETRIES,
        retry_delay_seconds=exponential_backoff(BACKOFF_S),
        retry_jitter_factor=0.3,
        retry_condition_fn=may_be_retried,
        cache_policy=NO_CACHE,
        persist_result=False,
        log_prints=False,
    )


def sayable(error: Exception) -> AditError:
    """The error as Prefect may keep it: ours without the words of people, others by their kind and place.

    A library's exception may quote a value of the data set.
    """
    if isinstance(error, AditError):
        return type(error)(error.own_words)
    return Bug(f"{type(error).__name__} in {_place(error)}.")


def may_be_retried(_task: Task[Any, Any], run: TaskRun, state: State[Any]) -> bool:
    """Whether the error of a failed run says that trying again soon may help."""
    error: object = state.result(raise_on_failure=False)
    if isinstance(error, Incomplete | ConversionFailed):
        return run.run_count < INCOMPLETE_RUNS
    return isinstance(error, AditError) and error.retry is not Retry.NEVER


def _place(error: BaseException) -> str:
    """File and line where an exception was raised, which names no value."""
    frames = traceback.extract_tb(error.__traceback__)
    return ", ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames[-3:])
