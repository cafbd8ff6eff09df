"""A broadcast goes out by a flow run of its own, and is finished by the next when one is killed."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Cancelled, Completed, Running
from sqlalchemy import update

from deployments import installation, prefect_server, prefect_setup
from models.db.broadcasts import BroadcastStore
from models.db.engine import Database, open_database
from models.db.tables import MailRow
from models.domain.mails import Broadcast, MailState
from models.domain.people import operator
from models.settings import Settings
from services.deployment_plan import planned
from services.dispatch import dispatch_once
from services.post import broadcasts
from tests.house.source_tree import ROOT
from tests.mail_server import MailServer, mail_server
from tests.people import a_user
from tests.prefect_api import AUTH, client_of
from tests.prefect_api import prefect_server as a_prefect_server
from tests.samples import some_settings
from tests.waiting import wait_until

STAFF = operator("root")
NUMBERS = count(0)
PEOPLE = tuple(f"user{number}" for number in range(8))


@pytest.fixture(scope="module")
def a_prefect_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    directory = tmp_path_factory.mktemp("server")
    with a_prefect_server(directory) as port:
        with client_of(f"http://127.0.0.1:{port}/api") as client:
            prefect_setup.set_up(client, planned(some_settings(directory)))
        yield port


@pytest.fixture
def a_mail_server() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


@pytest.fixture
def settings(tmp_path: Path, a_prefect_port: int, a_mail_server: MailServer) -> Settings:
    (tmp_path / "prefect").mkdir()
    smtp_url = f"smtp://127.0.0.1:{a_mail_server.port}"
    return some_settings(tmp_path, prefect_port=a_prefect_port, prefect_auth=AUTH, smtp_url=smtp_url)


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    db = open_database(settings)
    db.migrate()
    for name in PEOPLE:
        a_user(db, name)
    yield db
    db.close()


@pytest.fixture
def a_broadcast(database: Database) -> Broadcast:
    """One with a number that no other has, for the Prefect server serves all tests."""
    for _ in range(next(NUMBERS)):
        BroadcastStore(database).add("earlier", "text", "root")
    return broadcasts.send(database, STAFF, "Pause", "Tomorrow from two to four.", None)


def start(settings: Settings, broadcast: Broadcast) -> subprocess.Popen[bytes]:
    """Run the flow as a worker does, in a process of its own."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ADIT_", "PREFECT_"))}
    environment = {**inherited, **installation.exported(settings), **prefect_server.environment(settings)}
    call = f"from flows.broadcast import broadcast; broadcast({broadcast.id}, return_state=True)"
    return subprocess.Popen([sys.executable, "-c", call], cwd=ROOT, env={**environment, "PYTHONPATH": str(ROOT)})


def complete(settings: Settings, broadcast: Broadcast) -> None:
    assert start(settings, broadcast).wait(240) == 0


def runs_of(settings: Settings, broadcast: Broadcast) -> list[FlowRun]:
    with client_of(settings.prefect_api_url) as client:
        runs = client.read_flow_runs(sort=FlowRunSort.ID_DESC, limit=200)
    return [run for run in runs if run.parameters == {"broadcast_id": broadcast.id}]


def artifacts(settings: Settings, run: FlowRun) -> list[dict[str, object]]:
    with client_of(settings.prefect_api_url) as client:
        found = client.request("POST", "/artifacts/filter", json={"limit": 200}).json()
    return [artifact for artifact in found if artifact["flow_run_id"] == str(run.id)]


def set_state(settings: Settings, run_id: str, state: object) -> None:
    with client_of(settings.prefect_api_url) as client:
        client.set_flow_run_state(UUID(run_id), state, force=True)  # type: ignore[type-var]


def run_id_of(db: Database, broadcast: Broadcast) -> str:
    return broadcasts.get(db, STAFF, broadcast.id).flow_run_id


def counts(db: Database, broadcast: Broadcast) -> tuple[int, int, int]:
    now = broadcasts.get(db, STAFF, broadcast.id)
    return now.sent, now.failed, now.waiting


def test_everybody_gets_one_mail_and_prefect_learns_nothing_but_counts(
    database: Database, settings: Settings, a_broadcast: Broadcast, a_mail_server: MailServer
) -> None:
    a_mail_server.on_recipient = lambda address: "550 no such user" if address.startswith("user3") else ""
    complete(settings, a_broadcast)
    assert counts(database, a_broadcast) == (7, 1, 0)
    assert sorted(a_mail_server.recipients) == [f"{name}@example.org" for name in PEOPLE if name != "user3"]
    assert {str(letter.message["Subject"]) for letter in a_mail_server.letters} == {"Pause"}
    (run,) = runs_of(settings, a_broadcast)
    assert run.state is not None
    assert (run.state.name, run.state.message) == ("Failed", "7 sent, 1 failed, 0 waiting")
    (artifact,) = artifacts(settings, run)
    shown = (artifact["type"], artifact["data"], artifact["description"])
    assert shown == ("progress", 100.0, "7 sent, 1 failed, 0 waiting")
    told = f"{run.model_dump_json()} {artifact}"
    assert "example.org" not in told and "Pause" not in told and "Tomorrow" not in told


def test_what_a_killed_run_has_left_is_sent_by_the_next(
    database: Database, settings: Settings, a_broadcast: Broadcast, a_mail_server: MailServer
) -> None:
    with a_mail_server.hesitates_at(3):
        process = start(settings, a_broadcast)
        wait_until(lambda: len(a_mail_server.letters) == 3, "the third mail, which is not answered")
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert counts(database, a_broadcast) == (2, 0, len(PEOPLE) - 2)
    complete(settings, a_broadcast)
    assert counts(database, a_broadcast) == (len(PEOPLE) - 1, 0, 1), "the mail that was under way is held back"
    with database.transaction() as session:
        waits = MailRow.state == MailState.WAITING
        session.execute(update(MailRow).where(waits).values(not_before_at=datetime.now(UTC)))
    complete(settings, a_broadcast)
    assert counts(database, a_broadcast) == (len(PEOPLE), 0, 0)
    twice = {address for address, number in Counter(a_mail_server.recipients).items() if number > 1}
    assert set(a_mail_server.recipients) == {f"{name}@example.org" for name in PEOPLE}
    assert len(twice) <= 1, "only the one that was under way when the run was killed may come twice"
    for address in twice:
        assert len({letter.message["Message-ID"] for letter in a_mail_server.to(address)}) == 1


def test_a_mail_server_that_is_down_ends_the_run_and_the_mails_wait(
    database: Database, settings: Settings, a_broadcast: Broadcast
) -> None:
    down = settings.model_copy(update={"smtp_url": type(settings.smtp_url)("smtp://127.0.0.1:9")})
    complete(down, a_broadcast)
    assert counts(database, a_broadcast) == (0, 0, len(PEOPLE))
    (run,) = runs_of(settings, a_broadcast)
    assert run.state is not None and run.state.name == "Failed"
    assert str(run.state.message).startswith("Unreachable: ")
    dispatch_once(database, settings)
    assert run_id_of(database, a_broadcast) == "", "nothing is due for a while"


def test_a_broadcast_gets_one_run_in_the_queue_for_maintenance(
    database: Database, settings: Settings, a_broadcast: Broadcast
) -> None:
    dispatch_once(database, settings)
    first = run_id_of(database, a_broadcast)
    dispatch_once(database, settings)
    assert first and run_id_of(database, a_broadcast) == first
    with client_of(settings.prefect_api_url) as client:
        run = client.read_flow_run(UUID(first))
    assert (run.parameters, run.work_queue_name) == ({"broadcast_id": a_broadcast.id}, "maintenance")


def test_a_run_that_ended_early_or_fell_silent_is_replaced(
    database: Database, settings: Settings, a_broadcast: Broadcast
) -> None:
    dispatch_once(database, settings)
    first = run_id_of(database, a_broadcast)
    set_state(settings, first, Completed())
    dispatch_once(database, settings)
    second = run_id_of(database, a_broadcast)
    set_state(settings, second, Running())
    dispatch_once(database, settings)
    assert run_id_of(database, a_broadcast) == second != first
    database.clock = lambda: datetime.now(UTC) + timedelta(minutes=6)
    dispatch_once(database, settings)
    assert run_id_of(database, a_broadcast) not in {first, second}
    with client_of(settings.prefect_api_url) as client:
        state = client.read_flow_run(UUID(second)).state
    assert state is not None and state.name == "Crashed"


def test_who_cancels_the_run_in_prefect_stops_the_mails_that_wait(
    database: Database, settings: Settings, a_broadcast: Broadcast
) -> None:
    dispatch_once(database, settings)
    first = run_id_of(database, a_broadcast)
    set_state(settings, first, Cancelled())
    dispatch_once(database, settings)
    assert counts(database, a_broadcast) == (0, len(PEOPLE), 0)
    assert {one.error for one in broadcasts.deliveries(database, STAFF, a_broadcast.id)} == {"Canceled in Prefect."}
    dispatch_once(database, settings)
    assert run_id_of(database, a_broadcast) == first


def test_without_a_mail_server_no_run_is_started(
    database: Database, settings: Settings, a_broadcast: Broadcast
) -> None:
    dispatch_once(database, settings.model_copy(update={"smtp_url": type(settings.smtp_url)("")}))
    assert run_id_of(database, a_broadcast) == ""
