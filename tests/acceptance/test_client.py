"""The client moves a study through the whole running stack: `adit up` with web process, Prefect, a worker."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from adit_client import AditClient
from deployments.demo import studies
from models.domain.people import Permission
from models.domain.tokens import TokenWish
from tests.installation import DIMSE_GET
from tests.peers import Peer, free_port, orthanc
from tests.served_api import ServedApi
from tests.stack import Stack, stack

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(1800)]
RIGHTS = {Permission.ADD_SELECTIVE_TRANSFER}


@dataclass
class Site:
    """A running stack between two archives, and the token of somebody who may transfer."""

    stack: Stack
    url: str
    token: str
    study: studies.StudyFiles
    target: Peer


@pytest.fixture
def a_site(tmp_path: Path) -> Iterator[Site]:
    port = free_port()
    url = f"http://localhost:{port}"
    study = studies.write_ct(tmp_path / "ct", instances=(3, 2), rows=32, columns=32)
    unchecked = {"DicomCheckCalledAet": False}
    with (
        orthanc(tmp_path / "a", "SOURCE", settings=unchecked) as source,
        orthanc(tmp_path / "b", "TARGET_AE", settings=unchecked) as target,
        stack(tmp_path / "adit", web_port=port, web_url=url) as running,
    ):
        source.upload(study.files)
        installation = running.installation
        nodes = (installation.server(source, **DIMSE_GET), installation.server(target, **DIMSE_GET))
        people = ServedApi(installation, f"{url}/api")
        ada = people.person("ada", RIGHTS, nodes[:1], nodes[1:])
        wish = TokenWish(expires_at=installation.db.clock() + timedelta(days=1))
        yield Site(running, url, people.token(ada, wish), study, target)


def test_a_study_is_found_transferred_and_proven_by_a_script(a_site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    with AditClient(base_url=a_site.url, token=a_site.token) as client:
        (found,) = client.search_studies(patient_id=a_site.study.patient_id)
        job = client.transfer_study(study_uid=found.study_uid, destination="TARGET_AE", pseudonym="SUBJ-01")
        ended = client.wait(job, progress=True, timeout=600)
        assert ended.state == "success", ended.message
        (item,) = client.items(job)
        receipt = client.receipt(item)
    assert receipt.is_complete and len(receipt.confirmed) == len(a_site.study.files)
    assert len(a_site.target.sop_uids()) == len(a_site.study.files)
    assert "success, 1 of 1 items have ended" in capsys.readouterr().err
    log = a_site.stack.log.read_text(errors="replace")
    assert a_site.token not in log and a_site.study.patient_id not in log and found.study_uid not in log
