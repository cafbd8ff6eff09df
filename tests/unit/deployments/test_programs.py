"""A single program waits for what it needs, says so, ends on request, and shares no directory with another."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deployments import alive, ports, programs, stack
from models.db.engine import open_database
from models.db.signs import SignStore
from models.domain.errors import BadRequest, TimedOut
from models.settings import Settings
from services import prefect_status
from tests.databases import put_tables
from tests.samples import some_settings

ROOT = Path(__file__).parents[3]


def migrated(directory: Path) -> Settings:
    settings = some_settings(directory)
    put_tables(settings.url)
    return settings


def test_who_waits_for_tables_gets_them_or_gives_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs.await_tables(migrated(tmp_path / "made"))
    monkeypatch.setattr(programs, "_WAIT_S", 0.0)
    with pytest.raises(TimedOut, match="which adit init makes"):
        programs.await_tables(some_settings(tmp_path / "empty"))


def test_a_database_that_does_not_answer_yet_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "_WAIT_S", 0.0)
    away = f"postgresql+psycopg://adit@127.0.0.1:{ports.free_port()}/adit"
    with pytest.raises(TimedOut, match="for the database"):
        programs.migrate(some_settings(tmp_path, database_url=away))


@pytest.mark.parametrize("command", ["worker", "dispatch", "receiver"])
def test_who_waits_ends_in_order_when_told_to(tmp_path: Path, command: str) -> None:
    settings = some_settings(tmp_path / "data")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ADIT_")}
    own = {"ADIT_DATA_DIR": str(settings.data_dir), "ADIT_MASTER_KEY": settings.master_key.get_secret_value()}
    waiting = subprocess.Popen(
        [sys.executable, "-m", "deployments.cli", command],
        cwd=tmp_path,
        env={**inherited, **own, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    with waiting:
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == "Waiting for the tables of this version, which adit init makes ...\n"
        waiting.send_signal(signal.SIGTERM)
        assert waiting.wait(60) == 0


def test_programs_of_one_data_directory_have_temporary_directories_of_their_own(tmp_path: Path) -> None:
    settings = some_settings(tmp_path)
    one, other = (programs._environment(settings, f"worker-{number}") for number in (1, 2))
    left = Path(one["TMPDIR"], "left by one that was killed")
    left.touch()
    assert one["TMPDIR"] != other["TMPDIR"]
    assert programs._environment(settings, "worker-2")["TMPDIR"] == other["TMPDIR"]
    assert left.exists(), "another's start removes nothing"
    programs._environment(settings, "worker-1")
    assert not left.exists()
    assert stack.STACK_VARIABLE not in one, "no adit up takes it for a leftover"


SEES_OUT = """
import os, sys
from pathlib import Path
from deployments.supervisor import Program, Supervisor
with Supervisor(print, Path.cwd()) as supervisor:
    status = supervisor.see_out(Program("seen out", (sys.executable, "-c", sys.argv[1]), dict(os.environ), log=None))
sys.exit(status)
"""


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("raise SystemExit(3)", 3),
        ("import os; os.kill(os.getpid(), 9)", 137),
        ("import os, signal, time; os.kill(os.getppid(), signal.SIGTERM); time.sleep(600)", 0),
    ],
    ids=["it ends", "it is killed", "we are told to stop"],
)
def test_a_program_is_seen_out(tmp_path: Path, code: str, status: int) -> None:
    """In a process of its own: a supervisor takes all children of its process for its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    seen = subprocess.run(
        [sys.executable, "-c", SEES_OUT, code], cwd=tmp_path, env=environment, check=False, timeout=120
    )
    assert seen.returncode == status


def test_a_program_that_gives_signs_is_alive(tmp_path: Path) -> None:
    settings = migrated(tmp_path)
    is_alive = alive.PROGRAMS["dispatcher"]
    assert not is_alive(settings)
    database = open_database(settings)
    SignStore(database).give("dispatcher", "another machine", "1", database.clock())
    assert not is_alive(settings)
    SignStore(database).give("dispatcher", alive.socket.gethostname(), "1", database.clock())
    assert is_alive(settings)


def test_who_asks_is_answered_by_an_exit_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = migrated(tmp_path)
    monkeypatch.setattr(alive.installation, "open_settings", lambda: settings)
    with pytest.raises(SystemExit) as ended:
        alive.main("dispatcher")
    assert (ended.value.code, capsys.readouterr().out) == (1, "dispatcher: does not work\n")

    def fail() -> Settings:
        raise BadRequest("There is no installation.")

    monkeypatch.setattr(alive.installation, "open_settings", fail)
    with pytest.raises(SystemExit, match="There is no installation"):
        alive.main("dispatcher")


def test_nobody_is_called_dead_for_the_want_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    away = f"postgresql+psycopg://adit@127.0.0.1:{ports.free_port()}/adit"
    assert alive.PROGRAMS["dispatcher"](some_settings(tmp_path, database_url=away))
    assert alive.PROGRAMS["worker"](some_settings(tmp_path, prefect_port=ports.free_port()))
    monkeypatch.setattr(prefect_status, "workers", lambda _: {})
    assert not alive.PROGRAMS["worker"](some_settings(tmp_path))


def test_a_worker_lives_that_has_the_machines_name_alone_or_with_a_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, now = alive.socket.gethostname(), datetime.now(UTC)
    heard: dict[str, datetime] = {}
    monkeypatch.setattr(prefect_status, "workers", lambda _: heard)
    is_alive = alive.PROGRAMS["worker"]
    for name, at, lives in [
        (machine, now, True),
        (f"{machine}@1", now, True),  # the unit's
        (f"{machine}@1@urgent", now, True),
        (f"{machine}@1", now - timedelta(minutes=5), False),
        (f"{machine}0", now, False),
        (f"{machine}-2", now, False),  # another machine
        (f"{machine}-urgent", now, False),
        ("another", now, False),
    ]:
        heard.clear()
        heard[name] = at
        assert is_alive(some_settings(tmp_path)) is lives, name


ENDS = """
import runpy, sys
from models.domain.errors import BadRequest
from services import deployment_plan

def planned(settings):
    raise BadRequest("prefect.yaml: there is no queue nowhere.")

deployment_plan.planned = planned
module = sys.argv.pop(1)
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("words", [["deployments.prefect_setup"], ["deployments.worker", "a-worker", "4"]])
def test_a_mistake_in_the_plan_ends_a_program_with_one_line(tmp_path: Path, words: list[str]) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ADIT_")}
    key = some_settings(tmp_path).master_key.get_secret_value()
    own = {"ADIT_DATA_DIR": str(tmp_path / "data"), "ADIT_MASTER_KEY": key, "PREFECT_HOME": str(tmp_path / "prefect")}
    ended = subprocess.run(
        [sys.executable, "-c", ENDS, *words],
        cwd=tmp_path,
        env={**inherited, **own, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 2, ended.stdout
    assert "BadRequest: prefect.yaml: there is no queue nowhere." in ended.stdout
    assert "Traceback" not in ended.stdout
