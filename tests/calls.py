"""Interrupts code at one system call after the other, as a kill or a machine that stands still does."""

import sys
from collections.abc import Callable, Iterator
from types import BuiltinFunctionType, FrameType
from typing import Any


class Killed(BaseException):
    """The process ends here."""


def kill() -> None:
    raise Killed


def interrupted(run: Callable[[], object], at: int, do: Callable[[], object]) -> bool:
    """Run, and do something before the system call of this number; whether there were so many.

    Counted are the calls of ``os``, and of the program's functions that call the system by ``ctypes``.
    """
    calls = 0

    def watch(frame: FrameType, event: str, called: Any) -> None:
        nonlocal calls
        if _reaches_the_system(frame, event, called):
            calls += 1
            if calls == at:
                sys.setprofile(None)
                do()

    sys.setprofile(watch)
    try:
        run()
    finally:
        sys.setprofile(None)
    return calls >= at


def every_call() -> Iterator[int]:
    """Numbers for ``interrupted``, far more than any code makes calls, so that a loop ends by what it answers."""
    yield from range(1, 1000)
    raise AssertionError("there was no end of calls")


def _reaches_the_system(frame: FrameType, event: str, called: Any) -> bool:
    if event == "call":
        return frame.f_code.co_name in {"_exchange", "_flush_file_system"}
    return event == "c_call" and isinstance(called, BuiltinFunctionType) and called.__module__ == "posix"
