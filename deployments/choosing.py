"""Chooses which of the flow runs that wait this machine takes: one of a job at a time, and none that it cannot work on.

So several runs of one job go to as many machines, and a job whose folder is mounted elsewhere goes elsewhere.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import anyio
from anyio.to_thread import run_sync

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

log = logging.getLogger(__name__)

_LOOKED_AT_FOR_S = 10.0
"""How long an answer about a job counts; a worker looks every two seconds."""
_ANSWER_WITHIN_S = 10.0
"""A folder on a share that is gone may never answer."""
_HANGS_FOR_S = 60.0
"""Before it is asked again."""
_THREADS = 4
"""Not those of the whole process: they may hang."""
_HANGS = "What the job needs does not answer; a share may be gone."


class _Looked(NamedTuple):
    """Why a job is left to others, which counts until a moment of the monotonic clock."""

    reason: str
    until: float


class Choice:
    """Shared by all places of one worker. ``refusal`` says why this machine leaves a job to others, or is empty."""

    def __init__(self, refusal: Callable[[int], str]) -> None:
        self._refusal = refusal
        self._here = Counter[int]()
        self._looked: dict[int, _Looked] = {}
        self._threads = anyio.CapacityLimiter(_THREADS)

    async def of(self, waiting: "Iterable[FlowRun]", places: float) -> "list[FlowRun]":
        """Those to take, in the same order; without a place for it, nothing is looked at."""
        chosen: list[FlowRun] = []
        jobs = set(self._here)
        for run in waiting:
            if len(chosen) >= places:
                break
            job_id = _job_of(run)
            if job_id is not None:
                if job_id in jobs or await self._is_left(job_id):
                    continue
                jobs.add(job_id)
            chosen.append(run)
        return chosen

    @contextmanager
    def taken(self, run: "FlowRun") -> Generator[None]:
        """Count the run as being here as long as the context is open."""
        job_id = _job_of(run)
        if job_id is None:
            yield
            return
        self._here[job_id] += 1
        try:
            yield
        finally:
            self._here[job_id] -= 1
            self._here += Counter[int]()  # which drops what is zero

    async def _is_left(self, job_id: int) -> bool:
        now = time.monotonic()
        self._looked = {job: looked for job, looked in self._looked.items() if looked.until > now}
        if job_id not in self._looked:
            reason = await self._answer(job_id)
            until = time.monotonic() + (_HANGS_FOR_S if reason == _HANGS else _LOOKED_AT_FOR_S)
            self._looked[job_id] = _Looked(reason, until)
            if reason:
                log.warning("job %s is left to other machines: %s", job_id, reason)
        return bool(self._looked[job_id].reason)

    async def _answer(self, job_id: int) -> str:
        """Why the job is left to others; what goes wrong here is better told by the job's items."""
        reason = _HANGS
        with anyio.move_on_after(_ANSWER_WITHIN_S):
            try:
                reason = await run_sync(self._refusal, job_id, abandon_on_cancel=True, limiter=self._threads)
            except Exception as error:
                log.warning("nobody knows whether job %s can be worked on here: %s", job_id, type(error).__name__)
                reason = ""
        return reason


def _job_of(run: "FlowRun") -> int | None:
    """The job that a run works on; None for one that makes its job itself, or has none."""
    job_id = run.parameters.get("job_id")
    return job_id if isinstance(job_id, int) else None
