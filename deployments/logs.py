"""How lines of the log look: for people, or as one JSON object each for programs that collect them.

Exceptions stand in both by their kind and the places in the code; their text only when it is one of ours, since those
of libraries quote the values that they stumbled over.
"""

import json
import logging
import os
import socket
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, cast

from models.domain.errors import AditError
from services import faults, log_ids

log = logging.getLogger(__name__)

_IDS = ("job_id", "item_id", "flow_run_id", "task_run_id")
"""What a record may carry by itself, as Prefect's do."""
_FLOW_RUN = "PREFECT__FLOW_RUN_ID"
"""By this variable Prefect tells a process which run it is there for."""


class TextLines(logging.Formatter):
    """Lines for people."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, and the places of its exception below it."""
        lines = [f"{self.formatTime(record)} {record.levelname} {record.name}: {message(record)}"]
        return "\n".join([*lines, *exception(record)])


class JsonLines(logging.Formatter):
    """One JSON object a line. ``program`` is found out where none is given, as in Prefect's processes."""

    def __init__(self, program: str = "") -> None:
        super().__init__()
        self._program = program or _program()
        self._machine = socket.gethostname()

    def format(self, record: logging.LogRecord) -> str:
        """The object; keys that have nothing to say are left out."""
        told: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": message(record),
            **_ids(record),
            "program": self._program,
            "machine": self._machine,
        }
        if where := exception(record):
            told["exception"] = where
        return json.dumps(told, ensure_ascii=False, default=repr)


def write(program: str, log_format: str) -> None:
    """Have this process log to standard output; what ends it or one of its threads is a line of the log, too."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines(program) if log_format == "json" else TextLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    sys.excepthook = _log_end
    threading.excepthook = _log_end_of_thread


def message(record: logging.LogRecord) -> str:
    """The text of a record; exceptions among its values stand for their kind, unless they are ours."""
    if not record.args:
        return record.getMessage()
    plain = logging.makeLogRecord(record.__dict__)
    plain.args = _plain(record.args)
    return plain.getMessage()


def exception(record: logging.LogRecord) -> list[str]:
    """The lines that tell of the exception of a record, and of its causes."""
    error = record.exc_info[1] if record.exc_info else None
    return faults.told(error) if error is not None else []


def _plain(args: Any) -> Any:
    if isinstance(args, dict):
        named = cast("dict[str, object]", args)
        return {name: _safe(value) for name, value in named.items()}
    return tuple(_safe(value) for value in args)


def _safe(value: object) -> object:
    if isinstance(value, AditError):
        return f"{value.code}: {value.message}"
    return type(value).__name__ if isinstance(value, BaseException) else value


def _ids(record: logging.LogRecord) -> dict[str, Any]:
    found: dict[str, Any] = {**log_ids.carried()}
    if run := os.environ.get(_FLOW_RUN):
        found["flow_run_id"] = run
    own = {name: getattr(record, name, None) for name in _IDS}
    return found | {name: value for name, value in own.items() if value is not None}


def _program() -> str:
    """What this process of Prefect is there for."""
    if _FLOW_RUN in os.environ:
        return "flow-run"
    return "worker" if "worker" in {Path(sys.argv[0]).stem, *sys.argv[1:]} else "prefect-server"


def _log_end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    log.critical("this program ends", exc_info=(kind, error, trace))


def _log_end_of_thread(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_value is not None and arguments.exc_type is not SystemExit:
        name = arguments.thread.name if arguments.thread else "?"
        found = (arguments.exc_type, arguments.exc_value, arguments.exc_traceback)
        log.error("thread %s ends", name, exc_info=found)
