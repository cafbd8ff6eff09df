"""Keeps a set of programs running on one machine and leaves none of their processes behind.

Every program runs in a session of its own, dies when the supervisor dies, and is started again when it ends. The
supervisor adopts what programs leave behind: a flow run whose worker was killed is ended at once, since its lease
lets another one take over.
"""

import errno
import os
import signal
import subprocess
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, BinaryIO, Self

from deployments import processes
from models.domain.errors import Interrupted, TimedOut, Unreachable

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LOOK_EVERY_S = 0.1
_LOG_LIMIT_BYTES = 10_000_000
_LAST_WORDS_BYTES = 2_000
_LONGEST_DELAY_S = 30.0
_KILL_WITHIN_S = 5.0
_KILLED = 128
"""To which shells add the number of the signal for the exit status."""
_HEALTHY_AFTER_S = 60.0
"""A program that has run for so long before it ended is started again without delay."""


@dataclass(frozen=True, slots=True)
class Program:
    """What to run. ``environment`` is all that it gets; what it prints is added to ``log``, or goes where ours goes.

    ``ends_its_own`` says that it ends what it has started when it is asked to end, so nobody else needs to ask those.
    """

    name: str
    command: tuple[str | Path, ...]
    environment: Mapping[str, str] = field(repr=False)
    log: Path | None
    ends_its_own: bool = False


@dataclass(slots=True)
class _Child:
    program: Program
    process: "subprocess.Popen[bytes]"
    started_at: float
    is_kept: bool
    """Whether it is started again when it ends."""
    failures: int = 0
    due_at: float | None = None
    """When it will be started again; None while it runs."""


class Supervisor:
    """A context manager for the main thread: leaving it stops every program and whatever they have started.

    Its process must start no other processes: they would be taken for orphans. ``report`` takes one line for each
    thing worth knowing. Programs run in ``directory``.
    """

    def __init__(
        self, report: Callable[[str], None], directory: Path, grace_s: float = 20.0, first_delay_s: float = 1.0
    ) -> None:
        self._report = report
        self._directory = directory
        self._grace_s = grace_s
        self._first_delay_s = first_delay_s
        self._children: dict[str, _Child] = {}
        self._stops = 0
        self._old_signals: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        processes.adopt_orphans()
        self._old_signals = {number: signal.signal(number, self._ask_to_stop) for number in STOP_SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            processes.leave_orphans()
            for number, old in self._old_signals.items():
                signal.signal(number, old)

    def start(self, program: Program) -> None:
        """Start a program and keep it running."""
        self._children[program.name] = self._spawn(program, is_kept=True)

    def complete(self, program: Program, timeout_s: float) -> None:
        """Run a program once, to its end.

        Raises Unreachable with its last words when it fails, TimedOut when it takes too long.
        """
        already_there = _size(program.log)
        child = self._children[program.name] = self._spawn(program, is_kept=False)
        self.wait_until(lambda: child.process.poll() is not None, timeout_s, program.name)
        del self._children[program.name]
        if child.process.returncode:
            words = _last_words(program.log, already_there)
            raise Unreachable(f"{program.name}: {_outcome(child.process.returncode)}.{words} See {program.log}.")

    def see_out(self, program: Program) -> int:
        """Run a program until it ends or a signal asks for the end; return its exit status, 0 on request."""
        child = self._children[program.name] = self._spawn(program, is_kept=False)
        with suppress(Interrupted):
            while (status := child.process.poll()) is None:
                self.look_after(_LOOK_EVERY_S)
            return status if status >= 0 else _KILLED - status
        return 0

    def wait_until(self, condition: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Look after the programs until something has come true.

        Raises TimedOut, or Interrupted when the supervisor is asked to stop.
        """
        limit = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > limit:
                raise TimedOut(f"{what} took longer than {timeout_s:.0f} seconds. See the logs in the data directory.")
            self.look_after(_LOOK_EVERY_S)

    def run(self) -> None:
        """Look after the programs until a signal asks for the end."""
        with suppress(Interrupted):
            while True:
                self.look_after(_LOOK_EVERY_S)

    def look_after(self, pause_s: float) -> None:
        """End orphans, start again what has died, and pause. Raises Interrupted when asked to stop."""
        if self._stops:
            raise Interrupted("Stopped on request.")
        for child in self._children.values():
            self._look_at(child)
        self._end_orphans()
        time.sleep(pause_s)

    def stop(self) -> None:
        """Ask every process to end, the last program first; kill what is left when the time of grace is over.

        Another signal while it waits makes it kill at once.
        """
        limit = time.monotonic() + self._grace_s
        patience = self._stops + 1
        for child in reversed(self._children.values()):
            asked = self._asked_with(child) & self._running()
            processes.send(asked, signal.SIGTERM)
            while asked & self._running() and time.monotonic() < limit and self._stops < patience:
                time.sleep(0.02)
        self._kill_all()
        self._children.clear()

    def _asked_with(self, child: _Child) -> set[int]:
        """The processes to ask when a program has to end: a flow run does not hear of its worker's end by itself."""
        below: set[int] = set() if child.program.ends_its_own else processes.descendants(child.process.pid)
        return {child.process.pid} | below

    def _look_at(self, child: _Child) -> None:
        if child.due_at is not None:
            if time.monotonic() >= child.due_at:
                self._start_again(child)
            return
        status = child.process.poll()
        if status is not None and child.is_kept:
            self._plan_restart(child, _outcome(status))

    def _plan_restart(self, child: _Child, why: str) -> None:
        now = time.monotonic()
        child.failures = 1 if now - child.started_at > _HEALTHY_AFTER_S else child.failures + 1
        delay_s = min(self._first_delay_s * 2 ** (child.failures - 1), _LONGEST_DELAY_S)
        child.due_at = now + delay_s
        self._report(f"{child.program.name}: {why}; it starts again in {delay_s:g} s")

    def _start_again(self, child: _Child) -> None:
        """A machine that cannot start a process at this moment, for want of memory or disk, is no reason to give up."""
        child.started_at = time.monotonic()
        try:
            child.process = self._popen(child.program)
        except OSError as error:
            self._plan_restart(child, f"cannot be started ({errno.errorcode.get(error.errno or 0, 'unknown error')})")
        else:
            child.due_at = None

    def _end_orphans(self) -> None:
        if orphans := processes.children() - self._own():
            processes.send(orphans, signal.SIGKILL)
            processes.reap(orphans)

    def _running(self) -> set[int]:
        """Every process below this one that has not ended."""
        for child in self._children.values():
            child.process.poll()
        processes.reap(processes.children() - self._own())
        return processes.descendants(os.getpid())

    def _kill_all(self) -> None:
        """Kill until nothing is left: each killed process may leave orphans."""
        limit = time.monotonic() + _KILL_WITHIN_S
        while (left := self._running()) and time.monotonic() < limit:
            processes.send(left, signal.SIGKILL)
            time.sleep(0.02)
        if left:
            self._report(f"these processes cannot be killed: {', '.join(map(str, sorted(left)))}")

    def _own(self) -> set[int]:
        return {child.process.pid for child in self._children.values()}

    def _spawn(self, program: Program, is_kept: bool) -> _Child:
        return _Child(program, self._popen(program), time.monotonic(), is_kept)

    def _popen(self, program: Program) -> "subprocess.Popen[bytes]":
        """The program in a new session, so that Ctrl-C at the terminal reaches only the supervisor."""
        with _output(program.log) as output:
            return subprocess.Popen(
                program.command,
                env=program.environment,
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output and subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=partial(processes.die_with_parent, os.getpid()),
            )

    def _ask_to_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stops += 1


def _outcome(status: int) -> str:
    """In words, what ``Popen.returncode`` says."""
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"


def _size(log: Path | None) -> int:
    return log.stat().st_size if log is not None and log.exists() else 0


def _last_words(log: Path | None, already_there: int) -> str:
    """The last line that was added to a log, with a blank before it; empty when there is none."""
    if log is None or not log.exists():
        return ""
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        begun = already_there if already_there <= size else 0  # else it was rotated meanwhile
        file.seek(max(begun, size - _LAST_WORDS_BYTES))
        lines = file.read().decode(errors="replace").split("\n")
    return next((f" {line.strip()}" for line in reversed(lines) if line.strip()), "")


@contextmanager
def _output(log: Path | None) -> Generator[BinaryIO | None]:
    """What a program prints to; None is our own output."""
    if log is None:
        yield None
        return
    _rotate(log)
    with log.open("ab") as file:
        yield file


def _rotate(log: Path) -> None:
    """Keep one older log beside the present one; a program writes to the one it was started with."""
    with suppress(FileNotFoundError):
        if log.stat().st_size > _LOG_LIMIT_BYTES:
            log.replace(log.with_suffix(".old.log"))
