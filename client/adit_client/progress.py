"""Tells people who wait how far a job is."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TextIO

from adit_client.values import ENDED, Job


def report_of(progress: bool | Callable[[Job], object]) -> Callable[[Job], object]:
    """What is called with the job each time it was looked at."""
    if callable(progress):
        return progress
    return Progress(sys.stderr) if progress else _nothing


class Progress:
    """Writes a line about a job whenever something has changed; on a terminal over the line before."""

    def __init__(self, target: TextIO) -> None:
        self._target = target
        self._is_terminal = target.isatty()
        self._last = ""

    def __call__(self, job: Job) -> None:
        line = sentence(job)
        if line == self._last:
            return
        if self._is_terminal:
            end = "\n" if job.has_ended else ""
            self._target.write(f"\r{line.ljust(len(self._last))}{end}")
        else:
            self._target.write(f"{line}\n")
        self._target.flush()
        self._last = line


def sentence(job: Job) -> str:
    """How far a job is, in a sentence that names nobody."""
    total = sum(job.counts.values())
    ended = sum(count for state, count in job.counts.items() if state in ENDED)
    failed = job.counts.get("failure", 0)
    words = job.state.replace("_", " ")
    return f"Job {job.id}: {words}, {ended} of {total} items have ended" + (f", {failed} failed" if failed else "")


def _nothing(_job: Job) -> None:
    """Tell nobody."""
