"""Every job with work to do gets a flow run from a real Prefect server, once, whatever has died."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.fernet import Fernet
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.sorting import FlowRunSort
from prefect.flows import flow
from prefect.states import Cancelled, Completed, Crashed, Pending, Running
from sqlalchemy import text

from flows.items import work_through
from models.db.engine import Database
from models.domain.jobs import Job, JobKind, State
from models.domain.nodes import Folder, Server
from models.domain.people import operator
from models.domain.project import App, AppState
from models.domain.requests import StudyWish, TransferRequest
from models.settings import Settings
from services import holding, jobs, nodes, project, work
from services.dispatch import dispatch_once
from tests.databases import ClockAhead
from tests.peers import free_port
from tests.prefect_api import AUTH, client_of, prefect_server

TESTER = operator("tester")
LEASE = timedelta(minutes=2)
_thousands = count(1000, 1000)


@pytest.fixture(scope="module")
def a_prefect_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with prefect_server(tmp_path_factory.mktemp("server")) as port:
        with client_of(f"http://127.0.0.1:{port}/api") as client:
            client.create_work_pool(WorkPoolCreate(name="transfers", type="process"))
            for queue in ("recovered", "urgent-selective-transfer", "selective-transfer"):
                client.create_work_queue(queue, work_pool_name="transfers")
            flow_id = client.create_flow(flow(name="selective-transfer")(lambda job_id: None))
            client.create_deployment(
                flow_id, "selective-transfer", work_pool_name="transfers", work_queue_name="selective-transfer"
            )
        yield port


@pytest.fixture
def some_settings(tmp_path: Path, a_prefect_port: int) -> Settings:
    key = Fernet.generate_key().decode()
    return Settings(data_dir=tmp_path, master_key=key, prefect_port=a_prefect_port, prefect_auth=AUTH, max_attempts=3)  # type: ignore[arg-type]


@pytest.fixture
def a_clock() -> ClockAhead:
    return ClockAhead()


@pytest.fixture
def a_database(some_settings: Settings, a_clock: ClockAhead) -> Database:
    db = Database(some_settings.url, some_settings.master_key.get_secret_value(), a_clock)
    db.migrate()
    with db.transaction() as session:  # job ids of their own for every test: they share a Prefect server
        values = {"last": next(_thousands)}
        session.execute(text("DELETE FROM sqlite_sequence WHERE name = 'jobs'"))
        session.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES ('jobs', :last)"), values)
    return db


@pytest.fixture
def a_job(a_database: Database, some_settings: Settings, tmp_path: Path) -> Job:
    server = Server("pacs", "PACS", "127.0.0.1", 104, study_root_find_support=True, study_root_get_support=True)
    source = nodes.add_server(a_database, TESTER, server)
    target = nodes.add_folder(a_database, some_settings, TESTER, Folder("folder", tmp_path / "out"))
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


def queue_of_run(settings: Settings, run_id: str) -> str | None:
    with client_of(settings.prefect_api_url) as client:
        return client.read_flow_run(UUID(run_id)).work_queue_name


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


def test_a_job_that_a_server_holds_back_gets_a_run_as_soon_as_the_server_goes_on(
    a_database: Database, some_settings: Settings, a_job: Job
) -> None:
    source = nodes.by_name(a_database, "pacs").id
    holding.stop(a_database, TESTER, source)
    dispatch_once(a_database, some_settings)
    assert run_of(a_database, a_job) == ""
    holding.let_go_on(a_database, TESTER, source)
    dispatch_once(a_database, some_settings)
    assert run_of(a_database, a_job) != ""


def test_a_silent_run_is_marked_crashed_and_replaced(
    a_database: Database, some_settings: Settings, a_job: Job, a_clock: ClockAhead
) -> None:
    dispatch_once(a_database, some_settings)
    first = run_of(a_database, a_job)
    set_state(some_settings, first, Running())
    assert work.claim_next(a_database, a_job.id, LEASE)
    a_clock.ahead = timedelta(minutes=5)
    for _ in range(2):
        dispatch_once(a_database, some_settings)
    assert state_name(some_settings, first) == "Crashed"
    assert run_of(a_database, a_job) != first
    assert queue_of_run(some_settings, run_of(a_database, a_job)) == "recovered"


def test_a_run_that_prefect_knows_to_be_crashed_is_replaced_before_all_others_and_stays_there(
    a_database: Database, some_settings: Settings, a_job: Job
) -> None:
    dispatch_once(a_database, some_settings)
    first = run_of(a_database, a_job)
    set_state(some_settings, first, Crashed())
    dispatch_once(a_database, some_settings)
    second = run_of(a_database, a_job)
    assert second != first
    jobs.hurry(a_database, TESTER, a_job.id)
    dispatch_once(a_database, some_settings)
    assert run_of(a_database, a_job) == second
    assert queue_of_run(some_settings, second) == "recovered"


def test_a_run_that_is_at_work_is_left_alone(
    a_database: Database, some_settings: Settings, a_job: Job, a_clock: ClockAhead
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
    a_database: Database, some_settings: Settings, a_job: Job, a_clock: ClockAhead
) -> None:
    for n in range(some_settings.max_attempts):
        a_clock.ahead = -timedelta(minutes=30 - 5 * n)
        assert work.claim_next(a_database, a_job.id, LEASE)
    a_clock.ahead = timedelta(0)
    dispatch_once(a_database, some_settings)
    assert jobs.get(a_database, TESTER, a_job.id).state is State.FAILURE


def test_a_run_whose_worker_died_before_it_began_is_replaced(
    a_database: Database, some_settings: Settings, a_job: Job, a_clock: ClockAhead
) -> None:
    dispatch_once(a_database, some_settings)
    first = run_of(a_database, a_job)
    set_state(some_settings, first, Pending())
    dispatch_once(a_database, some_settings)
    assert run_of(a_database, a_job) == first
    a_clock.ahead = timedelta(minutes=5)
    dispatch_once(a_database, some_settings)
    assert (state_name(some_settings, first), run_of(a_database, a_job) == first) == ("Crashed", False)


def hold(db: Database, suspended: bool) -> None:
    project.set_app(db, TESTER, AppState(App.SELECTIVE_TRANSFER, suspended=suspended))


def maintain(db: Database, on: bool) -> None:
    project.update(db, TESTER, "", on, project.get(db).version)


def runs_of(settings: Settings, job: Job) -> set[UUID]:
    """Every run that was ever asked for and still exists."""
    with client_of(settings.prefect_api_url) as client:
        runs = client.read_flow_runs(sort=FlowRunSort.ID_DESC, limit=200)
    return {run.id for run in runs if run.parameters == {"job_id": job.id}}


@pytest.mark.parametrize("set_hold", [hold, maintain], ids=["suspended", "maintenance"])
def test_a_job_on_hold_gets_no_run_until_it_may_go_on(
    a_database: Database, some_settings: Settings, a_job: Job, set_hold: Callable[[Database, bool], None]
) -> None:
    set_hold(a_database, True)
    for _ in range(3):
        dispatch_once(a_database, some_settings)
    assert run_of(a_database, a_job) == ""
    assert runs_of(some_settings, a_job) == set()
    set_hold(a_database, False)
    dispatch_once(a_database, some_settings)
    assert runs_of(some_settings, a_job) == {UUID(run_of(a_database, a_job))}


@pytest.mark.parametrize("set_hold", [hold, maintain], ids=["suspended", "maintenance"])
def test_a_run_that_meets_a_hold_ends_and_is_neither_a_crash_nor_replaced(
    a_database: Database,
    some_settings: Settings,
    a_job: Job,
    a_clock: ClockAhead,
    set_hold: Callable[[Database, bool], None],
) -> None:
    """The flow finds nothing to claim and completes; hours later one new run begins, however often we look."""
    dispatch_once(a_database, some_settings)
    first = run_of(a_database, a_job)
    set_state(some_settings, first, Running())
    set_hold(a_database, True)
    a_clock.ahead = timedelta(minutes=5)
    dispatch_once(a_database, some_settings)
    assert state_name(some_settings, first) == "Running", "a run that is on its way to its end is not dead"
    work_through(a_database, some_settings, a_job.id)
    assert {item.state for item in jobs.items(a_database, TESTER, a_job.id)} == {State.PENDING}
    set_state(some_settings, first, Completed())
    for hours in range(3):
        a_clock.ahead = timedelta(hours=hours)
        dispatch_once(a_database, some_settings)
    assert run_of(a_database, a_job) == first
    assert jobs.get(a_database, TESTER, a_job.id).state is State.PENDING
    set_hold(a_database, False)
    for _ in range(3):
        dispatch_once(a_database, some_settings)
    assert state_name(some_settings, first) == "Completed"
    assert runs_of(some_settings, a_job) == {UUID(first), UUID(run_of(a_database, a_job))}
    assert run_of(a_database, a_job) != first


def test_an_item_at_work_goes_on_to_its_end_under_a_hold(
    a_database: Database, some_settings: Settings, a_job: Job, a_clock: ClockAhead
) -> None:
    dispatch_once(a_database, some_settings)
    first = run_of(a_database, a_job)
    set_state(some_settings, first, Running())
    _, lease = work.claim_next(a_database, a_job.id, LEASE) or pytest.fail("nothing was due")
    hold(a_database, True)
    a_clock.ahead = timedelta(minutes=1)
    assert work.renew(a_database, lease, LEASE) is work.Signal.KEEP_GOING
    dispatch_once(a_database, some_settings)
    work.end_attempt(a_database, lease, State.SUCCESS, "done")
    assert (state_name(some_settings, first), run_of(a_database, a_job)) == ("Running", first)
    assert jobs.get(a_database, TESTER, a_job.id).state is State.SUCCESS


def test_a_worker_that_dies_under_a_hold_is_replaced_afterwards(
    a_database: Database, some_settings: Settings, a_job: Job, a_clock: ClockAhead
) -> None:
    dispatch_once(a_database, some_settings)
    first = run_of(a_database, a_job)
    set_state(some_settings, first, Running())
    assert work.claim_next(a_database, a_job.id, LEASE)
    maintain(a_database, True)
    a_clock.ahead = timedelta(hours=1)
    dispatch_once(a_database, some_settings)
    assert (state_name(some_settings, first), run_of(a_database, a_job)) == ("Running", first)
    maintain(a_database, False)
    dispatch_once(a_database, some_settings)
    assert (state_name(some_settings, first), run_of(a_database, a_job) == first) == ("Crashed", False)


def test_a_waiting_run_changes_the_queue_when_its_job_is_made_urgent(
    a_database: Database, some_settings: Settings, a_job: Job
) -> None:
    dispatch_once(a_database, some_settings)
    first = run_of(a_database, a_job)
    assert queue_of_run(some_settings, first) == "selective-transfer"
    for urgent, expected in ((True, "urgent-selective-transfer"), (False, "selective-transfer")):
        jobs.hurry(a_database, TESTER, a_job.id, urgent)
        for _ in range(2):
            dispatch_once(a_database, some_settings)
        assert queue_of_run(some_settings, run_of(a_database, a_job)) == expected
        assert runs_of(some_settings, a_job) == {UUID(run_of(a_database, a_job))}, "the other is withdrawn"
    assert run_of(a_database, a_job) != first


def test_a_run_at_work_stays_where_it_is_when_its_job_is_made_urgent(
    a_database: Database, some_settings: Settings, a_job: Job
) -> None:
    dispatch_once(a_database, some_settings)
    first = run_of(a_database, a_job)
    set_state(some_settings, first, Running())
    jobs.hurry(a_database, TESTER, a_job.id)
    dispatch_once(a_database, some_settings)
    assert (state_name(some_settings, first), run_of(a_database, a_job)) == ("Running", first)


def test_an_unverified_job_gets_its_run_when_it_is_verified(
    a_database: Database, some_settings: Settings, a_job: Job
) -> None:
    (item,) = jobs.items(a_database, TESTER, a_job.id)
    user = replace(TESTER, name="ada", is_staff=False)
    wish = StudyWish("1.2.3", pseudonym="P")
    request = TransferRequest(JobKind.SELECTIVE_TRANSFER, item.source_id, item.destination_id, (wish,))
    waiting = some_settings.model_copy(update={"start_unverified": False})
    job = jobs.submit(a_database, waiting, user, request)
    dispatch_once(a_database, some_settings)
    assert run_of(a_database, job) == ""
    jobs.verify(a_database, TESTER, job.id)
    dispatch_once(a_database, some_settings)
    assert run_of(a_database, job)
