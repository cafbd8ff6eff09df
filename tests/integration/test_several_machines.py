"""Two machines share the items of a batch: whatever dies, nothing is lost, and the bytes are those of a quiet day.

Each worker has a network namespace, a data directory, a receiver and an address of its own. The source gives its
instances by C-MOVE only, so it sends them to the receiver of the machine that asks.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.sorting import FlowRunSort

from deployments.demo import studies
from deployments.demo.studies import StudyFiles
from models.db.runs import RunStore
from models.db.slots import SlotStore
from models.domain.jobs import FINISHED, Job, State
from models.domain.nodes import Server
from models.domain.receipts import Completeness
from models.domain.requests import StudyWish
from services import jobs
from tests.databases import Cluster, need_postgresql
from tests.installation import DIMSE_MOVE, TESTER, Installation
from tests.machines import Machine, Network, network
from tests.peers import Peer, free_port, frozen, orthanc
from tests.prefect_api import AUTH, client_of
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(1800)
STUDIES, INSTANCES, LEASE_S, AT_A_TIME = 24, 12, 10, 2
UNCHECKED = {"DicomCheckCalledAet": False}
TITLES = ("ADIT_A", "ADIT_B")


@dataclass
class Site:
    """An installation on three machines."""

    installation: Installation
    cluster: Cluster
    centre: Machine
    workers: tuple[Machine, Machine]
    source: Server

    @property
    def api_url(self) -> str:
        return self.installation.settings.prefect_api_url

    def destination(self, archive: Peer) -> Server:
        return self.installation.server(archive, host=self.centre.address, **DIMSE_MOVE)

    def submit(self, destination: Server, corpus: list[StudyFiles]) -> Job:
        """A job that both machines have begun to work on. Nothing moves before both are there: the budget is spent."""
        slots, all_of = SlotStore(self.installation.db), {self.source.id: self.source.association_budget}
        assert slots.try_acquire("the test", all_of, all_of, timedelta(hours=1))
        try:
            job = self.installation.submit(self.source, destination, wishes(corpus), "trial")
            wait_until(lambda: self.states(job)[State.IN_PROGRESS] == 2 * AT_A_TIME, "both machines")
            assert self.runs_at_work(job) == 2
        finally:
            slots.release("the test")
        return job

    def states(self, job: Job) -> Counter[State]:
        return Counter(item.state for item in self.installation.items(job))

    def has_ended(self, job: Job) -> bool:
        return jobs.get(self.installation.db, TESTER, job.id).state in FINISHED

    def runs_at_work(self, job: Job) -> int:
        return sum(run.heard_at is not None for run in RunStore(self.installation.db).of_job(job.id))

    def run_states(self, job: Job) -> Counter[str]:
        """How Prefect says that the runs of a job stand."""
        with client_of(self.api_url) as client:
            begun = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(not_any_=[StateType.SCHEDULED])))
            runs = client.read_flow_runs(flow_run_filter=begun, sort=FlowRunSort.ID_DESC, limit=200)
        return Counter(run.state_name or "" for run in runs if run.parameters.get("job_id") == job.id)

    def start_prefect(self) -> None:
        self.centre.start("prefect-server")

    def assert_all_is_there(self, job: Job, corpus: list[StudyFiles]) -> None:
        items = self.installation.items(job)
        assert {item.state for item in items} == {State.SUCCESS}, Counter(item.message for item in items)
        receipts = [self.installation.receipt(item) for item in items]
        assert {receipt.verdict for receipt in receipts} == {Completeness.COMPLETE}
        assert [len(receipt.confirmed) for receipt in receipts] == [len(study.files) for study in corpus]


@pytest.fixture(scope="module")
def a_corpus(tmp_path_factory: pytest.TempPathFactory) -> list[StudyFiles]:
    directory = tmp_path_factory.mktemp("corpus")
    return [
        studies.write_ct(directory / str(n), n, n, instances=(INSTANCES,), rows=64, columns=64)
        for n in range(1, STUDIES + 1)
    ]


@pytest.fixture(scope="module")
def a_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with network(tmp_path_factory.mktemp("machines")) as made:
        yield made


@pytest.fixture(scope="module")
def a_cluster(a_network: Network) -> Iterator[Cluster]:
    need_postgresql()
    started = Cluster(a_network.address(1), 55432)
    yield started
    started.stop()


@pytest.fixture(scope="module")
def an_archive(
    tmp_path_factory: pytest.TempPathFactory, a_network: Network, a_corpus: list[StudyFiles]
) -> Iterator[Peer]:
    known = {title: [title, a_network.address(host), 11112] for host, title in enumerate(TITLES, 3)}
    options = {**UNCHECKED, "DicomModalities": known}
    with orthanc(tmp_path_factory.mktemp("source"), "SOURCE", settings=options) as archive:
        archive.upload([file for study in a_corpus for file in study.files])
        yield archive


@pytest.fixture(scope="module")
def a_site(a_network: Network, a_cluster: Cluster, an_archive: Peer) -> Iterator[Site]:
    address = a_network.address(1)
    shared = {
        "database_url": f"postgresql+psycopg://adit@{address}:55432/adit",
        "prefect_database_url": f"postgresql+asyncpg://adit@{address}:55432/prefect",
        "prefect_host": address,
        "prefect_auth": AUTH,
        "lease_s": LEASE_S,
        "items_at_a_time": AT_A_TIME,
        "retry_wait_s": 2,
        "spool_reserve_mb": 1,
    }
    for name in ("adit", "prefect"):
        a_cluster.execute(f"CREATE DATABASE {name}")
    directory = a_network.directory / "installation"
    installation = Installation(directory, **shared)
    key = installation.settings.master_key.get_secret_value()
    a_network.settings = {f"ADIT_{name.upper()}": str(value) for name, value in {**shared, "master_key": key}.items()}
    centre = a_network.centre(web_url="http://localhost:8000")
    centre.start("prefect-server")
    prepared = centre.run("init")
    assert prepared.returncode == 0, (
        prepared.stdout + prepared.stderr + centre.log("prefect-server").read_text()[-3000:]
    )
    centre.start("dispatch")
    source = installation.server(an_archive, host=address, **DIMSE_MOVE)
    a, b = (a_network.machine(title[-1].lower(), receiver_ae_title=title) for title in TITLES)
    for machine in (a, b):
        start_worker(machine)
    yield Site(installation, a_cluster, centre, (a, b), source)
    installation.db.close()


def start_worker(machine: Machine) -> None:
    if not machine.pids("deployments.receiver"):
        machine.start("receiver")
    machine.start("worker", "--name", machine.name)


@pytest.fixture
def a_destination(tmp_path: Path) -> Iterator[Peer]:
    with orthanc(tmp_path / "destination", f"T{free_port()}", settings=UNCHECKED) as archive:
        yield archive


@pytest.fixture(scope="module")
def undisturbed(
    a_site: Site, a_corpus: list[StudyFiles], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """What a destination holds, by SOP Instance UID, after a run under the same trial that nothing disturbs."""
    with orthanc(tmp_path_factory.mktemp("undisturbed"), "QUIET", settings=UNCHECKED) as archive:
        job = a_site.submit(a_site.destination(archive), a_corpus)
        wait_until(lambda: a_site.has_ended(job), "the end of the job")
        a_site.assert_all_is_there(job, a_corpus)
        wait_until(lambda: RunStore(a_site.installation.db).of_job(job.id) == (), "the end of its runs")
        yield digests(archive)


def wishes(corpus: list[StudyFiles]) -> list[StudyWish]:
    return [StudyWish(study.study_uid, study.patient_id, pseudonym=f"SUBJ-{n}") for n, study in enumerate(corpus)]


def digests(archive: Peer) -> dict[str, str]:
    return {uid: hashlib.sha256(file).hexdigest() for uid, file in archive.files().items()}


def test_a_machine_that_is_lost_in_the_middle_loses_nothing(
    a_site: Site, a_corpus: list[StudyFiles], a_destination: Peer, undisturbed: dict[str, str]
) -> None:
    """Its link is cut first, so nobody hears of its end: no connection is closed, and no word is said to Prefect."""
    job = a_site.submit(a_site.destination(a_destination), a_corpus)
    _, lost = a_site.workers
    wait_until(a_destination.sop_uids, "an instance at the destination")
    with frozen(a_destination):  # no item can end meanwhile
        wait_until(lambda: a_site.states(job)[State.IN_PROGRESS] == 2 * AT_A_TIME, "items at work on both machines")
        lost.cut_link()
        lost.kill()
        assert a_site.states(job)[State.PENDING], "the loss came too late to prove anything"
    wait_until(lambda: a_site.has_ended(job), "the end of the job")
    a_site.assert_all_is_there(job, a_corpus)
    assert max(item.attempts for item in a_site.installation.items(job)) > 1
    assert digests(a_destination) == undisturbed
    wait_until(lambda: a_site.run_states(job)["Crashed"] == 1, "the word to Prefect that the run is dead")
    lost.mend_link()
    start_worker(lost)
    a_destination.process.kill()  # asked to end, it would wait two minutes for the association of the lost machine


def test_servers_and_a_worker_that_die_in_the_middle_lose_nothing(
    a_site: Site, a_corpus: list[StudyFiles], a_destination: Peer, undisturbed: dict[str, str]
) -> None:
    """Prefect's server and PostgreSQL are killed and come back; then `adit worker` is, whose runs go on."""
    job = a_site.submit(a_site.destination(a_destination), a_corpus)
    a_site.centre.kill("prefect", "server")
    ended = a_site.states(job)[State.SUCCESS]
    wait_until(lambda: a_site.states(job)[State.SUCCESS] > ended, "an item that ends without Prefect's server")
    a_site.cluster.crash()
    a_site.cluster.start()
    a_site.start_prefect()
    assert a_site.states(job)[State.PENDING], "the crash came too late to prove anything"
    killed, _ = a_site.workers
    wait_until(lambda: killed.pids("deployments.flow_program"), "a run on the machine whose worker is to be killed")
    killed.kill("worker")
    assert killed.pids("deployments.flow_program"), "its runs were to outlive it"
    start_worker(killed)
    wait_until(lambda: a_site.has_ended(job), "the end of the job")
    a_site.assert_all_is_there(job, a_corpus)
    assert digests(a_destination) == undisturbed
    wait_until(lambda: RunStore(a_site.installation.db).of_job(job.id) == (), "the end of its runs")
    wait_until(lambda: a_site.run_states(job)["Running"] == 0, "the word to Prefect that its runs have ended")


def test_prefect_refuses_who_comes_from_another_machine_without_its_password(a_site: Site) -> None:
    answer = httpx.post(f"{a_site.api_url}/flow_runs/filter", json={}, trust_env=False)
    assert answer.status_code == 401
