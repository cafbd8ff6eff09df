"""Batch queries and checks as flow runs of a real Prefect: few task runs, and nothing of a patient in any of them."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun, TaskRun
from prefect.client.schemas.sorting import TaskRunSort

from deployments import installation, prefect_server, prefect_setup
from deployments.demo import studies
from deployments.demo.studies import StudyFiles, identifying_values
from models.db.engine import Database, open_database
from models.db.jobs import JobStore
from models.domain.answers import RowVerdict
from models.domain.batch_requests import BatchFile
from models.domain.batches import BatchQueryRow, BatchTransferRow
from models.domain.jobs import Job, State
from models.domain.nodes import Folder, Server
from models.domain.people import operator
from models.settings import Settings
from services import nodes
from services.batches import checks, queries, results, transfers
from services.deployment_plan import planned
from services.dispatch import dispatch_once
from tests.batches import a_query, a_transfer
from tests.databases import put_tables
from tests.house.source_tree import ROOT
from tests.installation import DIMSE_GET
from tests.peers import Peer, orthanc
from tests.prefect_api import AUTH, client_of
from tests.prefect_api import prefect_server as a_prefect_server
from tests.samples import some_settings
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(900)
STAFF = operator("root")
PSEUDONYM = "SUBJ-4711"


@pytest.fixture(scope="module")
def a_prefect_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    directory = tmp_path_factory.mktemp("server")
    with a_prefect_server(directory) as port:
        with client_of(f"http://127.0.0.1:{port}/api") as client:
            prefect_setup.set_up(client, planned(some_settings(directory)))
        yield port, directory


@pytest.fixture(scope="module")
def a_study(tmp_path_factory: pytest.TempPathFactory) -> StudyFiles:
    return studies.write_ct(tmp_path_factory.mktemp("ct"), 1, 1, (2,), rows=16, columns=16)


@pytest.fixture(scope="module")
def an_archive(tmp_path_factory: pytest.TempPathFactory, a_study: StudyFiles) -> Iterator[Peer]:
    with orthanc(tmp_path_factory.mktemp("a"), "HOSPITAL") as peer:
        peer.upload(a_study.files)
        yield peer


@pytest.fixture
def settings(tmp_path: Path, a_prefect_port: tuple[int, Path]) -> Settings:
    (tmp_path / "prefect").mkdir()
    return some_settings(
        tmp_path, prefect_port=a_prefect_port[0], prefect_auth=AUTH, spool_reserve_mb=1, log_format="json"
    )


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    put_tables(settings.url)
    db = open_database(settings)
    yield db
    db.close()


@pytest.fixture
def source(database: Database, an_archive: Peer) -> Server:
    server = Server("hospital", "HOSPITAL", "127.0.0.1", an_archive.port, **DIMSE_GET)  # type: ignore[arg-type]
    added = nodes.add_server(database, STAFF, server)
    assert isinstance(added, Server)
    return added


@pytest.fixture
def folder(database: Database, settings: Settings, tmp_path: Path) -> Folder:
    (tmp_path / "research").mkdir()
    added = nodes.add_folder(database, settings, STAFF, Folder("research", tmp_path / "research"))
    assert isinstance(added, Folder)
    return added


def run(db: Database, settings: Settings, job: Job, log: Path) -> FlowRun:
    """Have the dispatcher ask for the job's run, and work on the job as a worker does, in a process of its own."""
    dispatch_once(db, settings)
    asked_for = JobStore(db).get(job.id).flow_run_id
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ADIT_", "PREFECT_"))}
    environment = {**inherited, **installation.exported(settings), **prefect_server.environment(settings)}
    environment |= {"PYTHONPATH": str(ROOT), "PREFECT__FLOW_RUN_ID": asked_for}
    with log.open("ab") as output:
        command = prefect_server.flow_run_command()
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=output, stderr=output, timeout=300)
    assert done.returncode in {0, 1}, log.read_text()
    with client_of(settings.prefect_api_url) as client:
        return client.read_flow_run(UUID(asked_for))


def task_runs(settings: Settings, found: FlowRun, count: int) -> list[TaskRun]:
    """The task runs of a flow run; Prefect's server writes them down a little after they were told."""
    chosen = FlowRunFilter(id=FlowRunFilterId(any_=[found.id]))
    with client_of(settings.prefect_api_url) as client:

        def known() -> list[TaskRun]:
            return client.read_task_runs(flow_run_filter=chosen, sort=TaskRunSort.NAME_ASC, limit=200)

        wait_until(lambda: len(known()) >= count, f"task run {count}")
        return known()


def test_rows_share_task_runs_and_prefect_learns_nothing_but_numbers(
    database: Database,
    settings: Settings,
    source: Server,
    folder: Folder,
    a_study: StudyFiles,
    a_prefect_port: tuple[int, Path],
    tmp_path: Path,
) -> None:
    log = tmp_path / "worker.log"
    row = BatchQueryRow(2, "ROWID-1", a_study.patient_id, modalities=("CT",), pseudonym=PSEUDONYM)
    wrong = replace(row, line=3, patient_name=a_study.patient_name, birth_date=None, patient_id="NOBODY-0815")
    named = replace(row, line=4, patient_name="Somebody^Else")
    rows = [row, wrong, named, *(replace(row, line=line) for line in range(5, 122))]
    file = BatchFile(f"{a_study.patient_id}.csv", f"PatientID\n{a_study.patient_id}\n".encode())
    query = queries.submit(database, settings, STAFF, a_query([source.id], *rows, file=file))
    found = run(database, settings, query, log)
    assert found.parameters == {"job_id": query.id}
    assert found.name == f"batch-query-job-{query.id}"
    assert found.state is not None and found.state.message == "Of 120 items 118 succeeded, 2 failed."
    assert len(results.page(database, STAFF, query.id, limit=200)) == 120
    asked = task_runs(settings, found, 2)
    assert len(asked) == 2, "a bundle of up to a hundred rows is one task run"
    assert all(one.name.startswith(f"ask-job-{query.id}") for one in asked)

    wanted = BatchTransferRow(2, "ROWID-1", a_study.patient_id, a_study.study_uid, pseudonym=PSEUDONYM)
    missing = replace(wanted, line=3, study_uid="1.2.3.4711")
    check = checks.submit(database, settings, STAFF, a_transfer(source.id, folder.id, wanted, missing, file=file))
    checked = run(database, settings, check, log)
    assert (checked.name, checked.parameters) == (f"batch-check-job-{check.id}", {"job_id": check.id})
    assert len(task_runs(settings, checked, 1)) == 1
    transfer = transfers.submit(database, settings, STAFF, check.id, [RowVerdict.NOT_FOUND])
    moved = run(database, settings, transfer, log)
    assert JobStore(database).get(transfer.id).state is State.SUCCESS, moved.state
    assert len(list(folder.path.rglob("*.dcm"))) == len(a_study.files)

    lines = [json.loads(line) for line in log.read_text().splitlines()]
    runs = {str(one.id) for one in (found, checked, moved)}
    assert {(line["program"], line["flow_run_id"]) for line in lines} == {("flow-run", run_id) for run_id in runs}

    values = identifying_values([a_study]) | {PSEUDONYM, "NOBODY-0815", "Somebody", "ROWID-1", a_study.patient_name}
    _, server = a_prefect_port
    searched = [path for place in (server, tmp_path / "prefect") for path in place.rglob("*") if path.is_file()]
    assert any(path.name == "prefect.db" for path in searched)
    for path in (*searched, log):
        with suppress(FileNotFoundError):  # the server is at work: files come and go
            content = path.read_bytes()
            assert not [value for value in values if len(value) >= 4 and value.encode() in content], path
