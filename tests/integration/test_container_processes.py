"""What compose.yaml describes works: started as plain processes on PostgreSQL, it moves a study and ends in order."""

import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from deployments.demo import studies
from deployments.environment_file import change, values_of
from models.domain.jobs import FINISHED, State
from models.domain.requests import StudyWish
from services import jobs
from tests.container_processes import PATIENCE_S, Containers, containers
from tests.databases import Cluster, need_postgresql
from tests.installation import DIMSE_MOVE, TESTER, Installation
from tests.peers import free_port, orthanc
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(1800)
LONG_RUNNING = ("prefect-server", "web", "dispatcher", "receiver", "worker")


@pytest.fixture
def some_containers(tmp_path: Path) -> Iterator[Containers]:
    need_postgresql()
    port = free_port()
    cluster = Cluster("127.0.0.1", port)
    try:
        with containers(tmp_path, cluster, port) as made:
            yield made
    finally:
        cluster.stop()


def prepare(site: Containers) -> dict[str, str]:
    """What the guide has an administrator do first; return the settings."""
    site.call("init-workspace")
    site.call("randomize-env-secrets")
    env = site.workspace / ".env"
    change(
        env,
        {
            "ADIT_ENVIRONMENT": "production",
            "ADIT_WEB_URL": "https://adit.hospital.org",
            "ADIT_ADMIN_USERNAME": "root",
            "ADIT_ADMIN_USER_EMAIL": "root@hospital.org",
        },
    )
    site.call("env-check")
    return values_of(env)


def test_the_services_of_the_compose_file_move_a_study_and_end_in_order(
    some_containers: Containers, tmp_path: Path
) -> None:
    site = some_containers
    values = prepare(site)
    for name in LONG_RUNNING:  # in no order: each waits for what it needs
        site.start(name)
    site.complete("init")
    site.wait_until_healthy(*LONG_RUNNING)
    site.complete("init")  # done twice it changes nothing

    web = f"http://127.0.0.1:{site.ports['8000']}"
    signed = {"Authorization": f"Bearer {values['ADIT_ADMIN_TOKEN']}"}
    assert httpx.get(f"{web}/api/v1/me", headers=signed, trust_env=False).json()["username"] == "root"

    study = studies.write_ct(tmp_path / "ct", patient=1, study=1, instances=(4,), rows=32, columns=32)
    installation = Installation(
        tmp_path / "data",
        database_url=site.environment("web")["ADIT_DATABASE_URL"],
        database_password=values["ADIT_DATABASE_PASSWORD"],
        master_key=values["ADIT_MASTER_KEY"],
    )
    receiver = int(site.ports["11112"])
    with (
        closing(installation.db),
        orthanc(tmp_path / "source", "SOURCE", modalities={"ADIT": receiver}) as source,
    ):
        source.upload(study.files)
        target = installation.folder(tmp_path / "folder")
        wish = StudyWish(study.study_uid, study.patient_id, pseudonym="SUBJ-1")
        job = installation.submit(installation.server(source, **DIMSE_MOVE), target, [wish])
        wait_until(
            lambda: jobs.get(installation.db, TESTER, job.id).state in FINISHED,
            "the end of the job",
            PATIENCE_S,
            lambda: f"{site.tail('dispatcher')} {site.tail('worker')}",
        )
        (item,) = installation.items(job)
        assert item.state is State.SUCCESS, item.message
    assert len(list((tmp_path / "folder").rglob("*.dcm"))) == 4

    for name in ("worker", "receiver", "dispatcher", "web", "prefect-server"):
        site.started[name].send_signal(signal.SIGTERM)
        assert site.started[name].wait(240) in {0, -signal.SIGTERM}, site.tail(name)
    assert not list((tmp_path / "data").glob("**/prefect.db")), "Prefect keeps its data in PostgreSQL"
