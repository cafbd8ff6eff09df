"""What the Linux kernel knows of processes: who dies with whom, who adopts orphans, who descends from whom.

It signals only processes whose ids it was given.
"""

import ctypes
import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

_SET_PDEATHSIG = 1
_SET_CHILD_SUBREAPER = 36
_PROC = Path("/proc")
_libc = ctypes.CDLL(None, use_errno=True)
"""Loaded here, because a forked child may not load libraries any more."""


def adopt_orphans() -> None:
    """Make this process the parent of every process below it whose own parent dies (``man 2 prctl``)."""
    _set(_SET_CHILD_SUBREAPER, 1)


def leave_orphans() -> None:
    """Undo ``adopt_orphans``."""
    _set(_SET_CHILD_SUBREAPER, 0)


def die_with_parent(parent: int) -> None:
    """Let the kernel send this process a SIGTERM when its parent's thread ends. To be called between fork and exec."""
    _set(_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


def children() -> set[int]:
    """Living and unreaped children of this process, the adopted ones included."""
    found: set[int] = set()
    for listing in (_PROC / "self" / "task").glob("*/children"):
        with suppress(OSError):
            found.update(int(pid) for pid in listing.read_text().split())
    return found


def descendants(pid: int) -> set[int]:
    """All processes below one, at this moment."""
    below: dict[int, list[int]] = {}
    for child, parent in _parents():
        below.setdefault(parent, []).append(child)
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        new = set(below.get(waiting.pop(), ())) - found
        found |= new
        waiting.extend(new)
    return found


def started_with(variable: str, value: str) -> set[int]:
    """Processes of this user, other than this one, that were started with a variable in their environment."""
    wanted = f"{variable}={value}".encode()
    found: set[int] = set()
    for entry in _PROC.glob("[0-9]*"):
        with suppress(OSError):
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.add(int(entry.name))
    return found - {os.getpid()}


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Signal processes; those that have ended already are left out."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def reap(pids: Iterable[int]) -> None:
    """Take note of the end of adopted children, so that they don't stay behind as zombies."""
    for pid in pids:
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def _set(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _parents() -> Iterator[tuple[int, int]]:
    """Process and parent. The command's name, which may hold anything, stands in parentheses (``man 5 proc``)."""
    for entry in _PROC.glob("[0-9]*"):
        with suppress(OSError):
            after_name = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            yield int(entry.name), int(after_name[1])
