"""A single program waits for what it needs, says so, ends on request, and shares no directory with another."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deployments import alive, ports, prefect_server, programs, stack
from models.db.engine import open_database
from models.db.signs import SignStore
from models.domain.errors import BadRequest, TimedOut
from models.settings import Settings
from tests.samples import some_settings

ROOT = Path(__file__).parents[3]


def migrated(directory: Path) -> Settings:
    settings = some_settings(directory)
    database = open_database(settings)
    database.migrate()
    database.close()
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
    monkeypatch.setattr(prefect_server, "is_ready", lambda _: True)
    monkeypatch.setattr(prefect_server, "has_worker", lambda *_: False)
    assert not alive.PROGRAMS["worker"](some_settings(tmp_path))
