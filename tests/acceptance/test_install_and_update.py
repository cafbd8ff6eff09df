"""The administrator's guide, step by step at the shell, without containers: install, back up, restore, update."""

import contextlib
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deployments.archive.server import Archive
from deployments.demo import studies
from deployments.demo.studies import StudyFiles
from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.receipts import ReceiptStore
from models.domain.jobs import State
from tests.databases import MASTER_KEY
from tests.peers import free_port
from tests.revisions import RELEASED, filled_at
from tests.stack import processes_of
from tests.waiting import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(1200)]
ROOT = Path(__file__).parents[2]
PACS = "PACS"
INSTANCES = 12
PATIENCE_S = 500.0


class Workspace:
    """A directory with the settings of an installation, and what an administrator types there."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.data_dir = directory / "data"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ADIT_", "PREFECT_"))}
        self._environment = {**inherited, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}

    def adit(self, *words: object, status: int = 0) -> str:
        """Run a command to its end, and return what it says."""
        command = [sys.executable, "-m", "deployments.cli", *map(str, words)]
        done = subprocess.run(command, cwd=self.directory, env=self._environment, capture_output=True, text=True)
        assert done.returncode == status, f"{words}: {done.returncode}: {done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def settle(self, **values: object) -> None:
        """Enter values in .env, as with an editor."""
        env = self.directory / ".env"
        text = env.read_text()
        for name, value in values.items():
            text, count = re.subn(rf"(?m)^ADIT_{name.upper()}=.*$", f"ADIT_{name.upper()}={value}", text)
            assert count == 1, name
        env.write_text(text)

    @contextlib.contextmanager
    def up(self) -> Iterator[None]:
        """Run the stack, and wait until it can take jobs."""
        log = self.directory / "up.log"
        command = [sys.executable, "-m", "deployments.cli", "up"]
        with log.open("wb") as output:
            process = subprocess.Popen(command, cwd=self.directory, env=self._environment, stdout=output, stderr=output)
        try:
            wait_for(lambda: "ADIT is ready" in log.read_text() or process.poll() is not None, "readiness")
            assert process.poll() is None, log.read_text()
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                assert process.wait(240) == 0
            finally:
                process.kill()
        assert list(processes_of(self.data_dir)) == []

    def state(self, job_id: int) -> State:
        with self.database() as db:
            return JobStore(db).get(job_id).state

    @contextlib.contextmanager
    def database(self) -> Iterator[Database]:
        key = re.search(r"(?m)^ADIT_MASTER_KEY=(\S+)$", (self.directory / ".env").read_text())
        assert key
        db = Database(f"sqlite:///{self.data_dir / 'adit.db'}", key[1])
        yield db
        db.close()


def wait_for(condition: Callable[[], bool], what: str) -> None:
    wait_until(condition, what, PATIENCE_S)


@pytest.fixture
def a_workspace(tmp_path: Path) -> Workspace:
    """What the guide's first steps make: .env with secrets; the ports are free ones."""
    (tmp_path / "workspace").mkdir()
    (tmp_path / "research").mkdir()
    workspace = Workspace(tmp_path / "workspace")
    workspace.adit("init-workspace")
    workspace.adit("randomize-env-secrets")
    ports = {"web_port": free_port(), "prefect_port": free_port(), "receiver_port": free_port()}
    workspace.settle(**ports, spool_reserve_mb=1, lease_s=20, retry_wait_s=1)
    return workspace


@pytest.fixture(scope="module")
def two_studies(tmp_path_factory: pytest.TempPathFactory) -> list[StudyFiles]:
    """Each in a directory of its own."""
    return [
        studies.write_ct(tmp_path_factory.mktemp("ct"), patient=n, study=n, instances=(INSTANCES,), rows=32, columns=32)
        for n in (1, 2)
    ]


@pytest.fixture(scope="module")
def a_source(two_studies: list[StudyFiles], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """An archive called PACS with both studies."""
    directory = tmp_path_factory.mktemp("archive")
    for number, file in enumerate(file for study in two_studies for file in study.files):
        shutil.copy(file, directory / f"{number}.dcm")
    archive = Archive(PACS, 0, directory, {})
    thread = threading.Thread(target=archive.serve)
    thread.start()
    yield archive
    archive.stop()
    thread.join()


def arrived(tmp_path: Path) -> int:
    return len([path for path in (tmp_path / "research").rglob("*.dcm") if ".adit-staging" not in path.parts])


def test_a_job_that_was_deleted_is_back_after_a_restore_and_goes_on(
    a_workspace: Workspace, a_source: Archive, two_studies: list[StudyFiles], tmp_path: Path
) -> None:
    adit = a_workspace.adit
    server = ("--ae-title", PACS, "--host", "127.0.0.1", "--port", a_source.port)
    protocols = ("--study-root-find-support", "--study-root-get-support")
    transfers = [
        ("transfer", "--from", "pacs", "--to", "research", "--study", study.study_uid, "--trial-id", "TRIAL")
        for study in two_studies
    ]
    with a_workspace.up():
        adit("node", "add-server", "pacs", *server, *protocols)
        adit("node", "add-folder", "research", tmp_path / "research")
        adit(*transfers[0])
        assert "Nothing is at work." in adit("maintenance", "on", "--wait")
        adit(*transfers[1], "--no-wait")
        backup = adit("db-backup").strip().removeprefix("Backed up to ").removesuffix(".")
        adit("delete", 2)
        adit("status", 2, status=2)
        assert "Stop it first" in adit("db-restore", "--yes", status=2)
    restored = adit("db-restore", Path(backup).name, "--yes")
    assert "Restored the backup of" in restored
    assert "pending" in adit("status", 2)
    assert arrived(tmp_path) == INSTANCES
    with a_workspace.up():
        assert "Items at work: 0." in adit("maintenance")
        assert a_workspace.state(2) is State.PENDING, "there is maintenance, as when the backup was made"
        adit("maintenance", "off")
        wait_for(lambda: a_workspace.state(2) is State.SUCCESS, "the end of the restored job")
        assert "complete" in adit("status", 1)
        assert "Every entry is as it was written." in adit("audit", "verify")
    assert arrived(tmp_path) == 2 * INSTANCES


def test_queued_jobs_of_an_earlier_version_go_on_after_the_update(
    a_workspace: Workspace, a_source: Archive, two_studies: list[StudyFiles], tmp_path: Path
) -> None:
    """Its first steps were: look that nothing runs, begin maintenance. One item was at work when its machine died."""
    a_workspace.settle(master_key=MASTER_KEY)
    a_workspace.data_dir.mkdir(mode=0o700)
    leave_as_of_0006(a_workspace.data_dir / "adit.db", a_source, two_studies, tmp_path)
    adit = a_workspace.adit

    backup = Path(adit("db-backup").strip().removeprefix("Backed up to ").removesuffix("."))
    assert "-0006-" in backup.name, "the new program backs up before it migrates"
    adit("env-check")
    with a_workspace.up():
        said = adit("maintenance")
        assert "Maintenance is on." in said and "Items at work: 0." in said
        assert (a_workspace.state(4), arrived(tmp_path)) == (State.PENDING, 0)
        adit("maintenance", "off")
        wait_for(lambda: a_workspace.state(4) is State.SUCCESS, "the end of the job of the earlier version")
        with a_workspace.database() as db:
            interrupted, other = JobStore(db).items(4)
            assert interrupted.attempts > other.attempts
            assert ReceiptStore(db).load(1).stored == {"1.2.3.1.1"}, "what was delivered before is still known"
    assert arrived(tmp_path) == 2 * INSTANCES

    restored = adit("db-restore", backup, "--yes")
    assert f"migrated from tables 0006 to {RELEASED[-1]}" in restored
    assert a_workspace.state(4) is State.PENDING


def leave_as_of_0006(file: Path, source: Archive, both: list[StudyFiles], tmp_path: Path) -> None:
    """A database as version 0006 left it, with a job of two studies of the source."""
    with filled_at("sqlite", "0006", tmp_path) as url:
        file.write_bytes(Path(url.removeprefix("sqlite:///")).read_bytes())
    file.chmod(0o600)
    connection = sqlite3.connect(file)
    with connection:
        connection.execute(
            "UPDATE servers SET ae_title = ?, host = '127.0.0.1', port = ?, dicomweb_qido_support = 0, "
            "dicomweb_root_url = '', tls_ca_file = NULL, tls_check_hostname = NULL",
            (PACS, source.port),
        )
        connection.execute("UPDATE folders SET path = ?", (str(tmp_path / "research"),))
        connection.execute("UPDATE project_settings SET maintenance = 1")
        connection.execute("UPDATE jobs SET keep_identity = 1 WHERE id = 4")
        for item_id, study in zip((5, 6), both, strict=True):
            connection.execute(
                "UPDATE items SET study_uid = ?, patient_id = ?, pseudonym = '', series_uids = '[]' WHERE id = ?",
                (study.study_uid, study.patient_id, item_id),
            )
    connection.close()
