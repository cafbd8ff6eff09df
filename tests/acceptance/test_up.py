"""`adit up` on an empty directory: it gets ready, is alone, mends itself, and leaves nothing behind."""

import base64
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.stack import processes_of
from tests.waiting import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(1200)]
ROOT = Path(__file__).parents[2]
PATIENCE_S = 500.0


@dataclass
class Up:
    """A running `adit up`."""

    process: "subprocess.Popen[bytes]"
    data_dir: Path
    log: Path

    @property
    def printed(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def url(self) -> str:
        """The address of Prefect that it has printed."""
        found = re.search(r"^Prefect +(http://\S+)$", self.printed, re.MULTILINE)
        assert found, self.printed
        return found[1]

    @property
    def token(self) -> str:
        """What the sign-in with the file that it has named amounts to."""
        found = re.search(r"^Sign in +with the line in (/\S+)$", self.printed, re.MULTILINE)
        assert found, self.printed
        return base64.b64encode(Path(found[1]).read_bytes()).decode()

    def pids(self, *words: str) -> set[int]:
        """Its living processes whose command line holds all the words."""
        return {pid for pid, command in processes_of(self.data_dir) if all(word in command for word in words)}

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        wait_until(condition, what, PATIENCE_S, lambda: self.printed)

    def wait_until_ready(self) -> None:
        self.wait_for(lambda: "ADIT is ready" in self.printed or self.process.poll() is not None, "readiness")
        assert self.process.poll() is None, self.printed

    def answer(self, path: str) -> object:
        headers = {"content-type": "application/json", "authorization": f"Basic {self.token}"}
        request = urllib.request.Request(f"{self.url}/api{path}", b"{}", headers)
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)

    def deployments(self) -> dict[str, str]:
        """Name to status."""
        found = self.answer("/deployments/filter")
        assert isinstance(found, list)
        return {deployment["name"]: deployment["status"] for deployment in found}


def environment(data_dir: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ADIT_", "PREFECT_"))}
    return {**inherited, "ADIT_DATA_DIR": str(data_dir), "PYTHONPATH": str(ROOT)}


def begin(data_dir: Path) -> Up:
    log = data_dir.with_name(f"up-{time.monotonic_ns()}.log")
    any_ports = ["--web-port", "0", "--prefect-port", "0", "--receiver-port", "0"]
    command = [sys.executable, "-m", "deployments.cli", "up", *any_ports]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment(data_dir), cwd=data_dir.parent, stdout=output, stderr=output
        )
    return Up(process, data_dir, log)


@pytest.fixture(scope="module")
def an_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    running = begin(tmp_path_factory.mktemp("up") / "data")
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.process.wait(240)
        for pid in [running.process.pid, *running.pids()]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_prefect_has_the_queues_in_their_order_and_every_deployment(an_up: Up) -> None:
    queues = an_up.answer("/work_pools/transfers/queues/filter")
    assert isinstance(queues, list)
    names = [queue["name"] for queue in sorted(queues, key=lambda queue: queue["priority"])]
    assert [name for name in names if name != "default"] == [
        "recovered",
        "urgent-selective-transfer",
        "urgent-batch-query",
        "urgent-batch-transfer",
        "urgent-mass-transfer",
        "selective-transfer",
        "batch-query",
        "batch-transfer",
        "mass-transfer",
        "maintenance",
    ]
    works = {"selective-transfer", "batch-transfer", "batch-query", "batch-check", "broadcast"}
    chores = {"disk-check", "backup", "recovery", "spool-sweep", "retention", "expiry"}
    assert set(an_up.deployments()) == works | chores
    an_up.wait_for(lambda: set(an_up.deployments().values()) == {"READY"}, "a worker that polls for every deployment")


def test_the_pages_are_served_where_it_says(an_up: Up) -> None:
    found = re.search(r"^Pages +(http://\S+)$", an_up.printed, re.MULTILINE)
    assert found, an_up.printed
    with urllib.request.urlopen(f"{found[1]}/health", timeout=120) as answer:
        assert json.load(answer) == {"status": "ok"}
    request = urllib.request.Request(found[1], headers={"accept": "text/html"})
    with urllib.request.urlopen(request, timeout=120) as page:
        assert page.url.endswith("/login") and b"Sign in" in page.read()


def test_it_is_ready_and_the_doctor_misses_nothing_but_what_nobody_has_done_yet(an_up: Up) -> None:
    found = re.search(r"^Pages +(http://\S+)$", an_up.printed, re.MULTILINE)
    assert found, an_up.printed
    with urllib.request.urlopen(f"{found[1]}/ready", timeout=120) as answer:
        assert json.load(answer)["parts"] == {"database": True, "migrations": True, "prefect": True, "worker": True}
    with urllib.request.urlopen(f"{found[1]}/metrics", timeout=120) as answer:
        assert b"adit_worker_seen_timestamp_seconds{" in answer.read()
    command = [sys.executable, "-m", "deployments.cli", "doctor", "--json"]
    surroundings = environment(an_up.data_dir)
    done = subprocess.run(command, env=surroundings, cwd=an_up.data_dir.parent, capture_output=True, timeout=300)
    findings = json.loads(done.stdout)["findings"]
    assert {one["what"] for one in findings if one["level"] != "ok"} <= {"Accounts", "Backup"}, findings
    assert done.returncode == 1, "nobody has made an account yet"
    assert "Deployments" in {one["what"] for one in findings}


def test_prefects_page_is_served(an_up: Up) -> None:
    with urllib.request.urlopen(an_up.url, timeout=120) as page:
        assert b"<title>" in page.read()


def test_everything_is_in_the_data_directory_and_for_this_user_only(an_up: Up) -> None:
    assert {path.name for path in an_up.data_dir.parent.iterdir()} == {"data", an_up.log.name}
    assert an_up.data_dir.stat().st_mode & 0o077 == 0
    assert {"adit.db", "master.key", "prefect.auth", "logs", "prefect", "spool"} <= {
        path.name for path in an_up.data_dir.iterdir()
    }
    assert (an_up.data_dir / "prefect" / "prefect.db").exists()
    assert (an_up.data_dir / "prefect.auth").stat().st_mode & 0o777 == 0o600


def test_prefect_answers_only_to_the_password_of_the_data_directory(an_up: Up) -> None:
    """Who may start runs could run any program as our user."""
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(urllib.request.Request(f"{an_up.url}/api/flow_runs/filter", b"{}"), timeout=120)
    assert isinstance(an_up.answer("/flow_runs/filter"), list)
    assert an_up.token not in an_up.printed
    (secret,) = (an_up.data_dir / "prefect.auth").read_text().split()
    assert [log.name for log in (an_up.data_dir / "logs").iterdir() if secret in log.read_text()] == []


def test_a_second_one_on_the_same_directory_is_refused(an_up: Up) -> None:
    second = begin(an_up.data_dir)
    assert second.process.wait(PATIENCE_S) == 2
    assert "Another adit up works on" in second.printed
    second.log.unlink()
    assert an_up.process.poll() is None


@pytest.mark.parametrize(
    "words", [("deployments.worker",), ("deployments.dispatcher",), ("deployments.receiver",), ("deployments.web",)]
)
def test_a_process_that_was_killed_comes_back(an_up: Up, words: tuple[str, ...]) -> None:
    (before,) = an_up.pids(*words)
    os.kill(before, signal.SIGKILL)
    an_up.wait_for(lambda: an_up.pids(*words) - {before}, "the process")
    assert "killed by SIGKILL; it starts again in 1 s" in an_up.printed


def test_it_survives_its_own_sudden_death_and_ends_without_a_trace(an_up: Up) -> None:
    """Runs last: the one that was killed is followed by another on the same directory, which is stopped politely."""
    an_up.process.kill()
    an_up.process.wait()
    following = begin(an_up.data_dir)
    try:
        following.wait_until_ready()
        assert len(following.pids("prefect", "server")) == 1
        assert len(following.pids("deployments.worker")) == 1
    finally:
        following.process.send_signal(signal.SIGINT)
        assert following.process.wait(240) == 0
    assert following.pids() == set()
    assert following.printed.rstrip().endswith("Stopped.")


def test_the_demonstration_proves_what_it_claims_and_leaves_nothing(tmp_path: Path) -> None:
    """It checks its own claims: complete receipts, and no identity in any file of the destinations."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    command = [sys.executable, "-m", "deployments.cli", "demo"]
    surroundings = {**environment(tmp_path / "not-touched"), "TMPDIR": str(temporary)}
    done = subprocess.run(command, env=surroundings, cwd=tmp_path, capture_output=True, text=True, timeout=1000)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No identifying value of the patients" in done.stdout
    assert list(temporary.iterdir()) == []
    assert not (tmp_path / "not-touched").exists()
    assert list(processes_of(temporary)) == []
