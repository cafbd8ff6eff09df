"""What waits for a worker of a real Prefect: urgent work and chores have places, and what is dead is found."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.flows import flow
from prefect.states import Cancelling, Running

from deployments import installation, prefect_server, processes
from deployments.demo import studies
from deployments.prefect_setup import set_up
from models.db.chores import ChoreStore
from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.slots import SlotStore
from models.domain.chores import ChoreOutcome
from models.domain.jobs import Job, JobKind, State
from models.domain.nodes import Folder, Server
from models.domain.people import operator
from models.domain.requests import StudyWish, TransferRequest
from models.settings import Settings
from services import jobs, nodes
from services.chores import overview, recovery
from services.deployment_plan import planned
from services.dispatch import dispatch_once
from tests.databases import ClockAhead, put_tables
from tests.house.source_tree import ROOT
from tests.installation import DIMSE_GET
from tests.peers import Peer, orthanc
from tests.prefect_api import AUTH, client_of
from tests.prefect_api import prefect_server as a_prefect_server
from tests.samples import some_settings
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(1800)
STAFF = operator("root")
QUEUED = 50
WITHIN_S = 300


@pytest.fixture(scope="module")
def a_prefect_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    directory = tmp_path_factory.mktemp("server")
    with a_prefect_server(directory) as port:
        with client_of(f"http://127.0.0.1:{port}/api") as client:
            set_up(client, planned(some_settings(directory)))
        yield port


@pytest.fixture
def settings(tmp_path: Path, a_prefect_port: int) -> Settings:
    (tmp_path / "prefect").mkdir()
    return some_settings(tmp_path, prefect_port=a_prefect_port, prefect_auth=AUTH, spool_reserve_mb=1, disk_warn_gb=0)


@pytest.fixture
def client(settings: Settings) -> Iterator[SyncPrefectClient]:
    with client_of(settings.prefect_api_url) as client:
        yield client


@pytest.fixture
def clock() -> ClockAhead:
    return ClockAhead()


@pytest.fixture
def database(settings: Settings, clock: ClockAhead) -> Iterator[Database]:
    put_tables(settings.url)
    db = Database(settings.url, settings.master_key.get_secret_value(), clock)
    yield db
    db.close()


@pytest.fixture
def folder(database: Database, settings: Settings, tmp_path: Path) -> int:
    (tmp_path / "research").mkdir()
    return nodes.add_folder(database, settings, STAFF, Folder("research", tmp_path / "research")).id


@pytest.fixture
def busy(database: Database) -> Server:
    """A server all of whose associations are taken, so that whatever wants it waits at a worker."""
    added = nodes.add_server(database, STAFF, Server("busy", "BUSY", "127.0.0.1", 104, **DIMSE_GET))  # type: ignore[arg-type]
    assert isinstance(added, Server)
    budget = {added.id: added.association_budget}
    assert SlotStore(database).try_acquire("test", budget, budget, timedelta(hours=1))
    return added


def a_job(db: Database, settings: Settings, source: int, target: int, study: str, urgent: bool = False) -> Job:
    wish = StudyWish(study, pseudonym="SUBJ-1")
    request = TransferRequest(JobKind.SELECTIVE_TRANSFER, source, target, (wish,), urgent=urgent)
    return jobs.submit(db, settings, STAFF, request)


def run_of(client: SyncPrefectClient, db: Database, job: Job) -> FlowRun:
    return client.read_flow_run(UUID(JobStore(db).get(job.id).flow_run_id))


def state_of(client: SyncPrefectClient, run: FlowRun) -> str:
    state = client.read_flow_run(run.id).state
    assert state is not None
    return state.name


def test_what_has_died_is_found_and_what_lives_is_left_alone(
    database: Database, settings: Settings, client: SyncPrefectClient, clock: ClockAhead, busy: Server, folder: int
) -> None:
    ended, asleep, canceling, alive = (
        a_job(database, settings, busy.id, folder, f"1.2.{number}") for number in range(4)
    )
    dispatch_once(database, settings)
    runs = [run_of(client, database, job) for job in (ended, asleep, canceling, alive)]
    for run in (runs[0], runs[2], runs[3]):
        client.set_flow_run_state(run.id, Running(), force=True)
    client.set_flow_run_state(runs[2].id, Cancelling(), force=True)
    for job in (ended, asleep, canceling):
        jobs.cancel(database, STAFF, job.id)
    deployment = client.read_deployment_by_name("chore/expiry")
    killed, working = (client.create_flow_run_from_deployment(deployment.id) for _ in range(2))
    others = client.create_flow_run(flow(name="own")(lambda: None), state=Running())
    for run in (killed, working):
        client.set_flow_run_state(run.id, Running(), force=True)
    assert ChoreStore(database).begin("backup", timedelta(minutes=1), str(killed.id))

    clock.ahead = timedelta(minutes=15)
    assert ChoreStore(database).begin("expiry", timedelta(minutes=10), str(working.id))
    assert JobStore(database).claim_next(alive.id, timedelta(minutes=10))
    told = recovery.run(database, settings)
    assert told.endswith("killed chores: 1, dead flow runs: 3, waiting runs of ended jobs: 1.")
    assert [state_of(client, run) for run in (runs[0], runs[2], killed)] == ["Crashed", "Cancelled", "Crashed"]
    assert [state_of(client, run) for run in (runs[3], working, others)] == ["Running"] * 3
    assert not [run for run in client.read_flow_runs(sort=FlowRunSort.ID_DESC, limit=200) if run.id == runs[1].id]
    assert ChoreStore(database).last(["backup"])["backup"][0].outcome is ChoreOutcome.FAILURE
    assert recovery.run(database, settings) == "Nothing was left behind."


@contextmanager
def a_worker(settings: Settings, places: int, log: Path) -> Iterator[Callable[[Callable[[], bool], str], None]]:
    """Run a worker with so many places; yields what waits until something has come true."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ADIT_", "PREFECT_"))}
    environment = {**inherited, **installation.exported(settings), **prefect_server.environment(settings)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            prefect_server.worker_command("w", places),
            cwd=settings.data_dir,
            env={**environment, "PYTHONPATH": str(ROOT)},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )

    def told() -> str:
        return log.read_text()[-3000:]

    def wait(condition: Callable[[], bool], what: str) -> None:
        wait_until(lambda: process.poll() is not None or condition(), what, WITHIN_S, told)
        assert process.poll() is None, f"the worker has ended: {told()}"

    try:
        yield wait
    finally:
        below = processes.descendants(process.pid)
        processes.send([process.pid, *below], signal.SIGKILL)
        process.wait()


@pytest.fixture
def an_archive(tmp_path: Path) -> Iterator[tuple[Peer, studies.StudyFiles]]:
    study = studies.write_ct(tmp_path / "ct", 1, 1, (2,), rows=16, columns=16)
    with orthanc(tmp_path / "archive", "HOSPITAL") as peer:
        peer.upload(study.files)
        yield peer, study


def test_urgent_work_and_chores_overtake_fifty_jobs_when_long_ones_take_all_places(
    database: Database,
    settings: Settings,
    client: SyncPrefectClient,
    busy: Server,
    folder: int,
    an_archive: tuple[Peer, studies.StudyFiles],
    tmp_path: Path,
) -> None:
    peer, study = an_archive
    free = nodes.add_server(database, STAFF, Server("free", "HOSPITAL", "127.0.0.1", peer.port, **DIMSE_GET))  # type: ignore[arg-type]
    normal = [a_job(database, settings, busy.id, folder, f"1.2.{number}") for number in range(QUEUED + 1)]
    dispatch_once(database, settings)

    def begun() -> set[int]:
        return {job.id for job in normal if JobStore(database).get(job.id).state is not State.PENDING}

    with a_worker(settings, 1, tmp_path / "worker.log") as wait:
        wait(lambda: len(begun()) == 1, "the first job at work")
        (long,) = begun()
        urgent = a_job(database, settings, free.id, folder, study.study_uid, urgent=True)
        dispatch_once(database, settings)
        wait(lambda: JobStore(database).get(urgent.id).state is State.SUCCESS, "the end of the urgent job")
        assert run_of(client, database, urgent).work_queue_name == "urgent-selective-transfer"
        assert begun() == {long}, "it has taken nobody's place, and nobody went before it"

        hurried = next(job for job in reversed(normal) if job.id != long)
        jobs.hurry(database, STAFF, hurried.id)
        dispatch_once(database, settings)
        wait(lambda: len(begun()) > 1, "the job that was made urgent later")
        assert begun() == {long, hurried.id}

        run_id = UUID(overview.run_now(database, settings, STAFF, "spool-sweep"))
        wait(lambda: bool(ChoreStore(database).of_flow_run(str(run_id))), "the chore")
        wait(lambda: client.read_flow_run(run_id).state.is_final(), "the end of the chore")  # type: ignore[union-attr]
        assert begun() == {long, hurried.id}
    done = client.read_flow_run(run_id)
    assert (done.name, done.work_queue_name) == ("chore-spool-sweep", "maintenance")
    assert done.state is not None and (done.state.name, done.state.message) == ("Completed", "Nothing was left behind.")
    shown = {one.name: one for one in overview.listed(database, settings, STAFF)}
    assert shown["spool-sweep"].last == ChoreStore(database).of_flow_run(str(run_id))
    assert all(one.next_at for one in shown.values()), "Prefect has planned all of them"
