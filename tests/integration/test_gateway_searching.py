"""QIDO-RS through the gateway, on an archive that speaks DIMSE only and one that speaks DICOMweb only."""

import logging
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from pydicom.dataset import Dataset

from models.db.audit import AuditStore
from models.db.slots import SlotStore
from models.domain.audit import AuditAction
from models.domain.nodes import Server, Timeouts
from models.domain.people import Permission
from models.domain.project import App, AppState
from models.domain.tokens import Operation, TokenWish
from services import audit, project
from tests.installation import TESTER, Installation
from tests.integration.test_find_attributes import CT, NAME, a_file
from tests.peers import Peer, free_port, orthanc
from tests.served_api import DAY, ServedApi, served_api
from tests.waiting import wait_until

DIMSE = {"study_root_find_support": True}
WEB = {"dicomweb_qido_support": True}


@pytest.fixture(scope="module")
def an_archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with orthanc(tmp_path_factory.mktemp("orthanc"), "ARCHIVE", settings={"DicomCheckCalledAet": False}) as peer:
        for study in (1, 2, 3):
            for series in (1, 2):
                for instance in (1, 2):
                    peer.rest("/instances", a_file(study, series, instance))
        yield peer


@pytest.fixture(scope="module")
def a_gateway(an_archive: Peer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApi]:
    port = free_port()
    installation = Installation(tmp_path_factory.mktemp("adit"), web_url=f"http://127.0.0.1:{port}")
    with served_api(installation, port) as running:
        yield running


@pytest.fixture(scope="module")
def servers(a_gateway: ServedApi, an_archive: Peer) -> dict[str, Server]:
    """The same archive under two names; both can be reached, a third that nobody may use as well."""
    put_in = a_gateway.installation.server
    return {
        "DIMSE": put_in(an_archive, "by DIMSE", **DIMSE),
        "WEB": put_in(an_archive, "by DICOMweb", ae_title="ARCHIVE WEB", **WEB),
        "OTHER": put_in(an_archive, "somebody else's", ae_title="OTHERS", **DIMSE),
        "PATIENT": put_in(an_archive, "by patient", ae_title="BY PATIENT", patient_root_find_support=True),
        "SMALL": put_in(an_archive, "small", ae_title="SMALL", max_search_results=2, **DIMSE),
    }


@pytest.fixture(scope="module")
def a_token(a_gateway: ServedApi, servers: dict[str, Server]) -> str:
    reached = [servers[name] for name in ("DIMSE", "WEB", "SMALL", "PATIENT")]
    return a_gateway.token(a_gateway.person(sources=reached))


@pytest.fixture(params=["DIMSE", "WEB"])
def server(request: pytest.FixtureRequest, servers: dict[str, Server]) -> Server:
    return servers[request.param]


@pytest.fixture
def client(a_gateway: ServedApi, a_token: str) -> httpx.Client:
    return a_gateway.client(a_token)


def uids(found: httpx.Response, tag: str = "0020000D") -> list[str]:
    assert found.status_code == 200, found.text
    return sorted(item[tag]["Value"][0] for item in found.json())


def test_dicomweb_client_finds_studies_with_every_option(a_gateway: ServedApi, a_token: str, server: Server) -> None:
    web = a_gateway.dicomweb(a_token, server.ae_title)
    (found,) = web.search_for_studies(search_filters={"PatientID": "P2", "StudyDate": "20240301-20240331"})
    study = Dataset.from_json(found)
    assert (study.StudyInstanceUID, study.PatientID, str(study.PatientName)) == ("1.2.826.2", "P2", f"{NAME}^2")
    assert (study.StudyID, study.AccessionNumber, study.StudyDate) == ("S2", "A2", "20240312")
    assert (study.NumberOfStudyRelatedSeries, study.NumberOfStudyRelatedInstances) == (2, 4)
    assert sorted(study.ModalitiesInStudy) == ["CT", "MR"] and study.SpecificCharacterSet == "ISO_IR 192"
    everything = web.search_for_studies()
    assert len(everything) == 3
    assert web.search_for_studies(limit=2, offset=1) == everything[1:3]
    assert web.search_for_studies(limit=1, get_remaining=True) == everything
    assert len(web.search_for_studies(fuzzymatching=True, search_filters={"00100010": "müller*"})) == 3
    assert web.search_for_studies(search_filters={"PatientID": "nobody"}) == []
    (wide,) = web.search_for_studies(fields=["all"], search_filters={"StudyID": "S1"})
    assert set(wide) >= {"00080090", "00080020", "00200010"}


def test_dicomweb_client_finds_series_and_instances(a_gateway: ServedApi, a_token: str, server: Server) -> None:
    web = a_gateway.dicomweb(a_token, server.ae_title)
    (found,) = web.search_for_series("1.2.826.1", search_filters={"Modality": "MR"}, fields=["PatientName"])
    series = Dataset.from_json(found)
    assert (series.SeriesInstanceUID, series.SeriesNumber, series.Modality) == ("1.2.826.1.2", 2, "MR")
    assert (series.NumberOfSeriesRelatedInstances, str(series.PatientName)) == (2, f"{NAME}^1")
    assert series.StudyInstanceUID == "1.2.826.1"
    found = web.search_for_instances("1.2.826.1", "1.2.826.1.1", fields=["SeriesDescription", "StudyDate"])
    instances = {item.SOPInstanceUID: item for item in map(Dataset.from_json, found)}
    assert set(instances) == {"1.2.826.1.1.1", "1.2.826.1.1.2"}
    one = instances["1.2.826.1.1.2"]
    assert (one.SOPClassUID, one.InstanceNumber, one.Rows, one.Columns, one.BitsAllocated) == (CT, 2, 8, 16, 8)
    assert (one.SeriesDescription, one.StudyDate) == ("series 1", "20240311")
    assert len(web.search_for_instances("1.2.826.1")) == 4
    assert len(web.search_for_instances("1.2.826.1", search_filters={"Modality": "CT"})) == 2
    assert web.search_for_series("1.2.826.1", search_filters={"PatientID": "P2"}) == []
    assert web.search_for_instances("1.2.826.1", "1.2.826.1.1", search_filters={"SeriesNumber": "2"}) == []


@pytest.mark.parametrize(
    "query",
    [
        "PatientID=P1",
        "00100020=P1",
        "StudyInstanceUID=1.2.826.1",
        "0020000d=1.2.826.1",
        "ModalitiesInStudy=CT,PT&PatientID=P1",
        "StudyDate=20240311&StudyTime=1000-1100",
        "PatientName=M%C3%BCller%5EJ*%5E1",
        "AccessionNumber=A1&includefield=00081030,PatientComments&includefield=StudyID",
        "StudyID=S1&includefield=SeriesDescription",
    ],
)
def test_keywords_and_tags_are_keys_alike(client: httpx.Client, server: Server, query: str) -> None:
    assert uids(client.get(f"{server.ae_title}/qidors/studies?{query}")) == ["1.2.826.1"]


def test_several_uids_are_one_search(client: httpx.Client, server: Server) -> None:
    found = client.get(f"{server.ae_title}/qidors/studies?StudyInstanceUID=1.2.826.1,1.2.826.3")
    assert uids(found) == ["1.2.826.1", "1.2.826.3"]


def test_the_answer_is_as_the_standard_says(client: httpx.Client, a_gateway: ServedApi, server: Server) -> None:
    found = client.get(f"{server.ae_title}/qidors/studies/1.2.826.1/series/1.2.826.1.1/instances?limit=1")
    assert found.headers["content-type"] == "application/dicom+json" and found.headers["cache-control"] == "no-store"
    (item,) = found.json()
    assert list(item) == sorted(item)
    place = f"{a_gateway.url}/dicom-web/{server.ae_title.replace(' ', '%20')}/wadors"
    instance = item["00080018"]["Value"][0]
    url = f"{place}/studies/1.2.826.1/series/1.2.826.1.1/instances/{instance}"
    assert item["00081190"] == {"vr": "UR", "Value": [url]}
    assert item["00200013"]["vr"] == "IS" and isinstance(item["00200013"]["Value"][0], int)
    assert found.headers["warning"].startswith("299 ") and "additional results" in found.headers["warning"]


def test_warnings_tell_of_more_results_and_of_fuzzy_matching(client: httpx.Client, server: Server) -> None:
    path = f"{server.ae_title}/qidors/studies"
    assert "warning" not in client.get(path).headers
    assert "warning" not in client.get(path, params={"limit": 3, "fuzzymatching": "false"}).headers
    both = client.get(path, params={"limit": "2", "fuzzymatching": "true"})
    assert len(both.json()) == 2
    assert len(both.headers.get_list("warning")) == 2 and "fuzzymatching" in both.headers["warning"]
    nothing = client.get(path, params={"limit": "0"})
    assert nothing.json() == [] and "additional" in nothing.headers["warning"]
    behind = client.get(path, params={"offset": "3"})
    assert (behind.status_code, behind.json()) == (200, []) and "warning" not in behind.headers


def test_no_more_than_the_server_gives_is_promised(client: httpx.Client) -> None:
    found = client.get("SMALL/qidors/studies", params={"limit": "50"})
    assert len(found.json()) == 2 and "additional" in found.headers["warning"]
    assert len(client.get("SMALL/qidors/studies", params={"offset": "2"}).json()) == 1


def test_a_server_that_knows_studies_by_patient_only_is_asked_for_one(client: httpx.Client) -> None:
    assert uids(client.get("BY PATIENT/qidors/studies?PatientID=P2")) == ["1.2.826.2"]
    path = "BY PATIENT/qidors/studies/1.2.826.2/series"
    assert uids(client.get(f"{path}?PatientID=P2"), "0020000E") == ["1.2.826.2.1", "1.2.826.2.2"]
    assert uids(client.get(f"{path}/1.2.826.2.1/instances?PatientID=P2&limit=1"), "00080018") == ["1.2.826.2.1.1"]
    for query in ("studies", "studies?PatientID=P*", "studies/1.2.826.2/series"):
        refused = client.get(f"BY PATIENT/qidors/{query}")
        assert refused.status_code == 400 and "PatientID" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("path", "query", "named"),
    [
        ("studies", "Nonsense=1", "parameter"),
        ("studies", "00089999=1", "parameter"),
        ("studies", "limit=-1", "limit"),
        ("studies", "limit=many", "limit"),
        ("studies", "limit=1&limit=2", "limit"),
        ("studies", "offset=1.5", "offset"),
        ("studies", "fuzzymatching=perhaps", "fuzzymatching"),
        ("studies", "includefield=Nonsense", "includefield"),
        ("studies", "includefield=", "includefield"),
        ("studies", "StudyDate=yesterday", "StudyDate"),
        ("studies", "StudyDate=20241301", "StudyDate"),
        ("studies", "StudyTime=25", "StudyTime"),
        ("studies", "StudyInstanceUID=1.2.x", "StudyInstanceUID"),
        ("studies", "PatientID=P1&00100020=P1", "00100020"),
        ("studies", "PatientID=P1&PatientID=P2", "PatientID"),
        ("studies", "PatientID=a%5Cb", "PatientID"),
        ("studies", "PatientID=a%00b", "PatientID"),
        ("studies", "PatientName=%FF", "PatientName"),
        ("studies", f"PatientID={'x' * 65}", "PatientID"),
        ("studies", "Modality=CT", "Modality"),
        ("studies", "PixelData=1", "PixelData"),
        ("studies", "ProcedureCodeSequence=1", "ProcedureCodeSequence"),
        ("studies", "PatientName.CodeValue=1", "parameter"),
        ("studies", "%3Cscript%3E=1", "parameter"),
        ("studies/1.2.x/series", "", "study"),
        ("studies/1.2/series", "StudyInstanceUID=1.3", "StudyInstanceUID"),
        ("studies/1.2/series", "SOPInstanceUID=1.3", "SOPInstanceUID"),
        ("studies/1.2/series/x/instances", "", "series"),
        ("studies/1.2/series/1.3/instances", "Rows=many", "Rows"),
        ("studies/1.2/series/1.3/instances", "InstanceNumber=1*", "InstanceNumber"),
    ],
)
def test_what_is_wrong_with_a_search_is_named(client: httpx.Client, path: str, query: str, named: str) -> None:
    found = client.get(f"ARCHIVE/qidors/{path}?{query}")
    assert found.status_code == 400, found.text
    assert found.headers["content-type"] == "application/problem+json"
    assert list(found.json()["errors"]) == [named]


@pytest.mark.parametrize("ae_title", ["OTHERS", "NOBODY", "by%20DIMSE", "%20"])
def test_a_server_of_others_is_as_if_it_were_not_there(client: httpx.Client, ae_title: str) -> None:
    found = client.get(f"{ae_title}/qidors/studies")
    assert found.status_code == 404
    assert found.json() == client.get("NOT THERE/qidors/studies").json()


def test_only_json_can_be_had(client: httpx.Client, server: Server) -> None:
    path = f"{server.ae_title}/qidors/studies"
    assert client.get(path, headers={"Accept": 'multipart/related; type="application/dicom+xml"'}).status_code == 406
    assert client.get(path, headers={"Accept": "application/dicom+json, application/json"}).status_code == 200
    assert client.get(path, params={"accept": "application/dicom+json"}).status_code == 200
    assert client.post(path).status_code == 405


def test_rights_tokens_and_locks_decide(a_gateway: ServedApi, servers: dict[str, Server]) -> None:
    path = "ARCHIVE/qidors/studies"
    bert = a_gateway.person("bert", {Permission.WEB_STORE, Permission.WEB_RETRIEVE}, sources=[servers["DIMSE"]])
    assert a_gateway.client(a_gateway.token(bert)).get(path).status_code == 403
    cara = a_gateway.person("cara", destinations=[servers["DIMSE"]])
    assert a_gateway.client(a_gateway.token(cara)).get(path).status_code == 404
    dora = a_gateway.person("dora", sources=[servers["DIMSE"], servers["SMALL"]])
    expiry = a_gateway.installation.db.clock() + DAY
    retrieves = TokenWish(expires_at=expiry, operations=frozenset({Operation.RETRIEVE}))
    elsewhere = TokenWish(expires_at=expiry, nodes=frozenset({servers["SMALL"].id}))
    assert a_gateway.client(a_gateway.token(dora, retrieves)).get(path).status_code == 403
    assert a_gateway.client(a_gateway.token(dora, elsewhere)).get(path).status_code == 404
    assert a_gateway.client().get(path).status_code == 401
    client = a_gateway.client(a_gateway.token(dora))
    assert client.get(path).status_code == 200
    db = a_gateway.installation.db
    project.set_app(db, TESTER, AppState(App.DICOM_WEB, locked=True))
    try:
        assert client.get(path).status_code == 423
    finally:
        project.set_app(db, TESTER, AppState(App.DICOM_WEB))
    refused = [entry.outcome for entry in audit.entries(db, TESTER) if entry.actor in ("bert", "cara", "dora")]
    assert refused.count("NotPermitted") == 1 and refused.count("NotFound") == 2 and refused.count("AppLocked") == 1


def test_a_search_is_written_down_and_its_keys_only_encrypted(
    a_gateway: ServedApi, client: httpx.Client, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        client.get(f"{server.ae_title}/qidors/studies", params={"PatientName": "Geheim^Gerda"})
    entry = audit.entries(a_gateway.installation.db, TESTER)[0]
    assert (entry.actor, entry.action, entry.outcome) == ("ada", AuditAction.WEB_QUERY, "done")
    assert entry.subject == f"server {server.name}: 0 studies by PatientName" and entry.has_details
    details = AuditStore(a_gateway.installation.db).details(entry.id)
    assert details == {"PatientName": "Geheim^Gerda"}
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    assert not any("Geheim" in line for line in ours)


def test_a_server_that_is_not_there_is_a_bad_gateway(a_gateway: ServedApi) -> None:
    nowhere = Peer("NOWHERE", free_port(), None, Path(), free_port())  # type: ignore[arg-type]
    server = a_gateway.installation.server(nowhere, "nowhere", **DIMSE)
    blind = a_gateway.installation.server(nowhere, "blind", ae_title="BLIND", store_scp_support=True)
    client = a_gateway.client(a_gateway.token(a_gateway.person("emil", sources=[server, blind])))
    found = client.get("NOWHERE/qidors/studies?PatientName=Geheim")
    assert found.status_code == 502 and "Geheim" not in found.text
    assert client.get("BLIND/qidors/studies").status_code == 409
    assert SlotStore(a_gateway.installation.db).taken(server.id) == 0


def test_who_hangs_up_leaves_no_connection_behind(a_gateway: ServedApi) -> None:
    """The server accepts, says nothing for an hour, and hears of the end at once."""
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.socket() as caller:
        peer = Peer("SILENT", silent.getsockname()[1], None, Path(), free_port())  # type: ignore[arg-type]
        hour = timedelta(hours=1)
        server = a_gateway.installation.server(peer, "silent", timeouts=Timeouts(hour, hour, hour, hour), **DIMSE)
        token = a_gateway.token(a_gateway.person("frida", sources=[server]))
        slots = SlotStore(a_gateway.installation.db)
        url = urlsplit(a_gateway.url)
        caller.connect((url.hostname, url.port))
        headers = f"Host: {url.netloc}\r\nAuthorization: Token {token}\r\n\r\n"
        caller.sendall(f"GET {url.path}/dicom-web/SILENT/qidors/studies HTTP/1.1\r\n{headers}".encode())
        connection, _ = silent.accept()
        assert slots.taken(server.id) == 1
        caller.close()
        with connection:
            while connection.recv(4096):
                pass
    wait_until(lambda: not slots.taken(server.id), "the end of the search")
