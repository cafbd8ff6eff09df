"""Every job with work to do gets a flow run from a real Prefect server, once, whatever has died."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.fernet import Fernet
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.flows import flow
from prefect.states import Cancelled, Completed, Pending, Running

from models.db.engine import Database
from models.domain.jobs import Job, JobKind, State
from models.domain.nodes import Folder, Server
from models.domain.people import operator
from models.domain.requests import StudyWish, TransferRequest
from models.settings import Settings
from services import jobs, nodes, work
from services.dispatch import dispatch_once
from tests.peers import free_port
from tests.prefect_api import AUTH, client_of, prefect_server

TESTER = operator("tester")
LEASE = timedelta(seconds=20)


class Clock:
    """Tells the real time plus what was added to it."""

    ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture(scope="module")
def a_prefect_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with prefect_server(tmp_path_factory.mktemp("server")) as port:
        with client_of(f"http://127.0.0.1:{port}/api") as client:
            client.create_work_pool(WorkPoolCreate(name="transfers", type="process"))
            client.create_work_queue("urgent", work_pool_name="transfers")
            for name in ("selective-transfer", "batch-transfer"):
                flow_id = client.create_flow(flow(name=name)(lambda job_id: None))
                client.create_deployment(flow_id, name, work_pool_name="transfers", work_queue_name="default")
        yield port


@pytest.fixture
def some_settings(tmp_path: Path, a_prefect_port: int) -> Settings:
    key = Fernet.generate_key().decode()
    return Settings(data_dir=tmp_path, master_key=key, prefect_port=a_prefect_port, prefect_auth=AUTH, max_attempts=3)  # type: ignore[arg-type]


@pytest.fixture
def a_clock() -> Clock:
    return Clock()


@pytest.fixture
def a_database(some_settings: Settings, a_clock: Clock) -> Database:
    db = Database(some_settings.url, some_settings.master_key.get_secret_value(), a_clock)
    db.migrate()
    return db


@pytest.fixture
def a_job(a_database: Database, some_settings: Settings, tmp_path: Path) -> Job:
    server = Server("pacs", "PACS", "127.0.0.1", 104, study_root_find_support=True, study_root_get_support=True)
    source = nodes.add_server(a_database, TESTER, server)
    target = nodes.add_folder(a_database, TESTER, Folder("folder", tmp_path / "out"))
    wish = StudyWish("1.2.3", pseudonym="P")
    request = TransferRequest(JobKind.SELECTIVE_TRANSFER, source.id, target.id, (wish,))
    return jobs.submit(a_database, some_settings, TESTER, request)


def run_of(db: Database, job: Job) -> str:
    return jobs.get(db, TESTER, job.id).flow_run_id


def set_state(settings: Settings, run_id: str, state: object) -> None:
    with client_of(settings.prefect_api_url) as client:
        client.set_flow_run_state(UUID(run_id), state, force=True)  # type: ignore[type-var]


def state_name(settings: Settings, run_id: str) -> str:
    with client_of(settings.prefect_api_url) as client:
        state = client.read_flow_run(UUID(run_id)).state
    assert state is not None
    return state.name


def test_a_submitted_job_gets_one_run_with_its_id_as_the_only_parameter(
    a_database: Database, some_settings: Settings, a_job: Job
) -> None:
    dispatch_once(a_database, some_settings)
    first = run_of(a_database, a_job)
    dispatch_once(a_database, some_settings)
    assert first and run_of(a_database, a_job) == first
    with client_of(some_settings.prefect_api_url) as client:
        assert client.read_flow_run(UUID(first)).parameters == {"job_id": a_job.id}


def test_a_job_whose_run_ended_without_doing_its_work_gets_another(
    a_database: Database, some_settings: Settings, a_job: Job
) -> None:
    dispatch_once(a_database, some_settings)
    first = run_of(a_database, a_job)
    set_state(some_settings, first, Completed())
    dispatch_once(a_database, some_settings)
    assert run_of(a_database, a_job) not in {first, ""}


def test_a_silent_run_is_marked_crashed_and_replaced(
    a_database: Database, some_settings: Settings, a_job: Job, a_clock: Clock
) -> None:
    dispatch_once(a_database, some_settings)
    first = run_of(a_database, a_job)
    set_state(some_settings, first, Running())
    assert work.claim_next(a_database, a_job.id, LEASE)
    a_clock.ahead = timedelta(minutes=5)
    dispatch_once(a_database, some_settings)
    assert state_name(some_settings, first) == "Crashed"
    assert run_of(a_database, a_job) != first


def test_a_run_that_is_at_work_is_left_alone(
    a_database: Database, some_settings: Settings, a_job: Job, a_clock: Clock
) -> None:
    dispatch_once(a_database, some_settings)
    first = run_of(a_database, a_job)
    set_state(some_settings, first, Running())
    a_clock.ahead = timedelta(minutes=5)
    assert work.claim_next(a_database, a_job.id, LEASE)
    dispatch_once(a_database, some_settings)
    assert (state_name(some_settings, first), run_of(a_database, a_job)) == ("Running", first)


def test_canceling_the_run_in_prefect_cancels_the_job_and_resuming_starts_a_new_run(
    a_database: Database, some_settings: Settings, a_job: Job
) -> None:
    dispatch_once(a_database, some_settings)
    first = run_of(a_database, a_job)
    set_state(some_settings, first, Cancelled())
    dispatch_once(a_database, some_settings)
    assert jobs.get(a_database, TESTER, a_job.id).state is State.CANCELED
    jobs.resume(a_database, TESTER, a_job.id)
    dispatch_once(a_database, some_settings)
    assert jobs.get(a_database, TESTER, a_job.id).state is State.PENDING
    assert run_of(a_database, a_job) not in {first, ""}


def test_a_job_waits_patiently_while_prefect_is_down(a_database: Database, some_settings: Settings, a_job: Job) -> None:
    down = some_settings.model_copy(update={"prefect_port": free_port()})
    dispatch_once(a_database, down)
    assert jobs.get(a_database, TESTER, a_job.id).state is State.PENDING
    dispatch_once(a_database, some_settings)
    assert run_of(a_database, a_job)


def test_an_item_that_kills_its_worker_every_time_fails_in_the_end(
    a_database: Database, some_settings: Settings, a_job: Job, a_clock: Clock
) -> None:
    for n in range(some_settings.max_attempts):
        a_clock.ahead = -timedelta(minutes=30 - n)
        assert work.claim_next(a_database, a_job.id, LEASE)
    a_clock.ahead = timedelta(0)
    dispatch_once(a_database, some_settings)
    assert jobs.get(a_database, TESTER, a_job.id).state is State.FAILURE


def test_a_run_whose_worker_died_before_it_began_is_replaced(
    a_database: Database, some_settings: Settings, a_job: Job, a_clock: Clock
) -> None:
    dispatch_once(a_database, some_settings)
    first = run_of(a_database, a_job)
    set_state(some_settings, first, Pending())
    dispatch_once(a_database, some_settings)
    assert run_of(a_database, a_job) == first
    a_clock.ahead = timedelta(minutes=5)
    dispatch_once(a_database, some_settings)
    assert (state_name(some_settings, first), run_of(a_database, a_job) == first) == ("Crashed", False)
