"""A transfer that is asked for in Prefect itself is a job like any other, with the rights of its owner."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prefect.client.base import PrefectHttpxSyncClient

from deployments.demo import studies
from deployments.demo.studies import StudyFiles
from models.domain.jobs import Job, JobKind, State
from models.domain.nodes import Folder, Server
from models.domain.people import Group, NodeRight, Permission
from services import jobs
from services.people import groups
from tests.installation import DIMSE_GET, TESTER
from tests.peers import Peer, free_port, orthanc
from tests.people import a_user
from tests.stack import Stack, stack

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(1200)]
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


@pytest.fixture(scope="module")
def a_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack(tmp_path_factory.mktemp("stack"), lease_s=20, retry_wait_s=5) as running:
        yield running


@pytest.fixture(scope="module")
def a_study(tmp_path_factory: pytest.TempPathFactory) -> StudyFiles:
    return studies.write_ct(tmp_path_factory.mktemp("ct"), patient=1, study=1, instances=(4, 3), rows=64, columns=64)


@pytest.fixture(scope="module")
def an_archive(tmp_path_factory: pytest.TempPathFactory, a_study: StudyFiles) -> Iterator[Peer]:
    with orthanc(tmp_path_factory.mktemp("source"), f"S{free_port()}") as archive:
        archive.upload(a_study.files)
        yield archive


@pytest.fixture(scope="module")
def a_source(a_stack: Stack, an_archive: Peer) -> Server:
    return a_stack.installation.server(an_archive, **DIMSE_GET)


@pytest.fixture(scope="module")
def a_folder(a_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return a_stack.installation.folder(tmp_path_factory.mktemp("research"), "research")


@pytest.fixture(scope="module")
def carla(a_stack: Stack, a_source: Server, a_folder: Folder) -> str:
    """May transfer from the source to the folder, pseudonymized, and nothing else."""
    return a_person(a_stack, "carla", {Permission.ADD_SELECTIVE_TRANSFER}, a_source, a_folder)


@pytest.fixture(scope="module")
def dora(a_stack: Stack, a_source: Server, a_folder: Folder) -> str:
    """Reaches both nodes, and may transfer nothing."""
    return a_person(a_stack, "dora", {Permission.EXPLORE}, a_source, a_folder)


def a_person(running: Stack, name: str, rights: set[Permission], source: Server, target: Folder) -> str:
    db = running.installation.db
    nodes = frozenset({NodeRight(source.id, source=True), NodeRight(target.id, destination=True)})
    members = frozenset({a_user(db, name).id})
    groups.add(db, TESTER, Group(f"group of {name}", frozenset(rights), members, nodes))
    return name


class Prefect(PrefectHttpxSyncClient):
    """Prefect's API as a script uses it: a call that the busy server answered with 503 is sent again."""

    def __init__(self, running: Stack) -> None:
        user, _, password = (running.installation.settings.data_dir / "prefect.auth").read_text().strip().partition(":")
        url = f"http://127.0.0.1:{running.prefect_port}/api"
        super().__init__(base_url=url, auth=(user, password), timeout=240, raise_on_all_errors=False)
        self._running = running

    def start(self, deployment: str, **parameters: Any) -> httpx.Response:
        found = self.get(f"/deployments/name/{deployment}/{deployment}").raise_for_status().json()
        wish = {"parameters": parameters, "idempotency_key": str(uuid4())}
        return self.post(f"/deployments/{found['id']}/create_flow_run", json=wish)

    def ended(self, started: httpx.Response) -> dict[str, Any]:
        """The flow run when it has ended."""
        run_id = started.raise_for_status().json()["id"]
        self._running.wait_until(lambda: self._state_of(run_id)["type"] in ENDED, "the end of the run")
        run: dict[str, Any] = self.get(f"/flow_runs/{run_id}").raise_for_status().json()
        return run

    def _state_of(self, run_id: str) -> dict[str, Any]:
        state: dict[str, Any] = self.get(f"/flow_runs/{run_id}").raise_for_status().json()["state"]
        return state


@pytest.fixture(scope="module")
def prefect(a_stack: Stack) -> Iterator[Prefect]:
    with Prefect(a_stack) as client:
        yield client


def jobs_of(running: Stack, owner: str) -> tuple[Job, ...]:
    return jobs.list(running.installation.db, TESTER, owner=owner)


def test_a_request_in_prefect_becomes_a_job_of_its_owner_and_this_run_works_on_it(
    a_stack: Stack, prefect: Prefect, carla: str, a_study: StudyFiles, a_folder: Folder
) -> None:
    request = {"owner": carla, "study_uids": [a_study.study_uid], "destination": "research", "trial_protocol_id": "T1"}
    run = prefect.ended(prefect.start("selective-transfer", request=request))
    assert run["state"]["type"] == "COMPLETED", run["state"]
    (job,) = jobs_of(a_stack, carla)
    assert (job.kind, job.state, job.flow_run_id) == (JobKind.SELECTIVE_TRANSFER, State.SUCCESS, run["id"])
    assert job.trial_protocol_id == "T1" and not job.keep_identity
    (item,) = a_stack.installation.items(job)
    assert len(a_stack.installation.receipt(item).confirmed) == 7
    assert len(list(a_folder.path.rglob("*.dcm"))) == 7


def test_an_owner_without_the_right_is_told_so_by_the_run_and_no_job_is_made(
    a_stack: Stack, prefect: Prefect, dora: str, a_study: StudyFiles
) -> None:
    request = {"owner": dora, "study_uids": [a_study.study_uid], "destination": "research"}
    run = prefect.ended(prefect.start("selective-transfer", request=request))
    assert run["state"]["type"] == "FAILED"
    assert "You may not submit a selective transfer." in run["state"]["message"]
    assert jobs_of(a_stack, dora) == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"study_uids": ["not a uid"]},
        {"study_uids": []},
        {"patient_id": "4711"},
    ],
)
def test_prefect_itself_refuses_what_the_form_does_not_have(
    changes: dict[str, Any], prefect: Prefect, carla: str, a_study: StudyFiles
) -> None:
    request = {"owner": carla, "study_uids": [a_study.study_uid], "destination": "research", **changes}
    assert prefect.start("selective-transfer", request=request).status_code in {409, 422}
