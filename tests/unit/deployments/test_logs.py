"""Lines of the log: one JSON object each where programs read them, with ids, and without what exceptions quote."""

import io
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import datetime
from typing import Any

import pytest

from deployments import logs
from models.domain.errors import Unreachable
from services import log_ids
from tests.house.source_tree import ROOT

NAME = "Doe^John"


class Log:
    """What was logged with a formatter."""

    def __init__(self, formatter: logging.Formatter) -> None:
        self._stream = io.StringIO()
        self.handler = logging.StreamHandler(self._stream)
        self.handler.setFormatter(formatter)

    @property
    def text(self) -> str:
        return self._stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def log() -> logging.Logger:
    found = logging.getLogger("services.tested")
    found.setLevel(logging.INFO)
    return found


@pytest.fixture
def json_log(log: logging.Logger) -> Iterator[Log]:
    seen = Log(logs.JsonLines("dispatcher"))
    log.addHandler(seen.handler)
    yield seen
    log.removeHandler(seen.handler)


@pytest.fixture
def text_log(log: logging.Logger) -> Iterator[Log]:
    seen = Log(logs.TextLines())
    log.addHandler(seen.handler)
    yield seen
    log.removeHandler(seen.handler)


def read_a_patient() -> None:
    try:
        int(NAME)
    except ValueError as error:
        raise KeyError(NAME) from error


def test_a_line_is_one_object_that_says_when_where_and_what(log: logging.Logger, json_log: Log) -> None:
    log.warning("job %s\nhas two lines", 7)
    (line,) = json_log.lines
    assert line["message"] == "job 7\nhas two lines"
    assert (line["level"], line["logger"], line["program"]) == ("WARNING", "services.tested", "dispatcher")
    assert datetime.fromisoformat(line["time"]).utcoffset() is not None and line["time"].endswith("+00:00")
    assert line["machine"]
    assert "job_id" not in line and "exception" not in line


def test_ids_are_those_of_the_work_at_hand_in_every_thread(log: logging.Logger, json_log: Log) -> None:
    together = threading.Barrier(2)

    def work(item_id: int) -> None:
        with log_ids.carrying(item_id=item_id):
            together.wait(20)
            log.info("item %s", item_id)

    with log_ids.carrying(job_id=5), ThreadPoolExecutor(2) as threads:
        for end in [threads.submit(copy_context().run, work, number) for number in (1, 2)]:
            end.result()
    log.info("item None")
    assert [line.get("job_id") for line in json_log.lines] == [5, 5, None]
    assert all(line["message"] == f"item {line.get('item_id')}" for line in json_log.lines)


def test_the_ids_of_prefects_own_records_and_of_its_process_are_told(
    log: logging.Logger, json_log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", "run-1")
    log.info("ours")
    log.info("Prefect's", extra={"flow_run_id": "run-2", "task_run_id": "task-3", "flow_run_name": NAME})
    ours, theirs = json_log.lines
    assert ours["flow_run_id"] == "run-1"
    assert (theirs["flow_run_id"], theirs["task_run_id"]) == ("run-2", "task-3")
    assert NAME not in json_log.text


def test_exceptions_are_told_by_kind_and_place_and_never_quoted(
    log: logging.Logger, json_log: Log, text_log: Log
) -> None:
    try:
        read_a_patient()
    except KeyError as error:
        log.exception("it failed: %s", error)
        log.error("%(why)s", {"why": error})
        log.error("Encountered %r", error)
    for seen in (json_log, text_log):
        assert "KeyError" in seen.text and "ValueError" in seen.text
        assert "in read_a_patient" in seen.text
        assert NAME not in seen.text
    assert json_log.lines[0]["message"] == "it failed: KeyError"
    assert json_log.lines[0]["exception"][0] == "KeyError"


def test_errors_of_ours_keep_their_text_which_names_nobody(log: logging.Logger, json_log: Log) -> None:
    try:
        raise Unreachable("The archive does not answer.")
    except Unreachable as error:
        log.error("could not: %s", error, exc_info=True)
    (line,) = json_log.lines
    assert line["message"] == "could not: Unreachable: The archive does not answer."
    assert line["exception"][0] == "Unreachable: The archive does not answer."


PROGRAM = f"""
import threading
from deployments import logs
logs.write("tester", {{format!r}})
def fall(): raise ValueError({NAME!r})
thread = threading.Thread(target=fall, name="lane")
thread.start(); thread.join()
fall()
"""


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_the_fault_that_ends_a_thread_or_a_program_is_a_line_that_quotes_nobody(log_format: str) -> None:
    command = [sys.executable, "-c", PROGRAM.format(format=log_format)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 1
    assert NAME not in ended.stdout + ended.stderr
    assert "thread lane ends" in ended.stdout and "this program ends" in ended.stdout
    assert "ValueError" in ended.stdout
    if log_format == "json":
        assert [json.loads(line)["program"] for line in ended.stdout.splitlines()] == ["tester", "tester"]
