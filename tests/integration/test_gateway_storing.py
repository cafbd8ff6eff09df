"""STOW-RS through the gateway: what arrives is what was sent, by C-STORE and by STOW-RS, and everything is told."""

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import httpx
import pydicom
import pytest
import requests

from deployments.demo import studies
from dicom.part10 import split_part10
from models.db.audit import AuditStore
from models.db.slots import SlotStore
from models.domain.audit import AuditAction
from models.domain.nodes import Server
from models.domain.people import Permission
from models.domain.tokens import Operation, TokenWish
from services import audit
from tests.installation import TESTER, Installation
from tests.integration.test_find_attributes import a_file
from tests.peers import Peer, free_port, orthanc
from tests.served_api import DAY, ServedApi, served_api

BOUNDARY = "a boundary of ours"
MULTIPART = f'multipart/related; type="application/dicom"; boundary="{BOUNDARY}"'
DEFLATED = "1.2.840.10008.1.2.1.99"
FAILED, STORED, OTHERS = "00081198", "00081199", "0008119A"


def body_of(*parts: bytes, boundary: str = BOUNDARY, has_end: bool = True) -> bytes:
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    return b"".join(head + part + b"\r\n" for part in parts) + (f"--{boundary}--\r\n".encode() if has_end else b"")


@pytest.fixture(scope="module")
def an_archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with orthanc(tmp_path_factory.mktemp("orthanc"), "ARCHIVE", settings={"DicomCheckCalledAet": False}) as peer:
        yield peer


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApi]:
    port = free_port()
    installation = Installation(tmp_path_factory.mktemp("adit"), web_url=f"http://127.0.0.1:{port}")
    with served_api(installation, port) as running:
        yield running


@pytest.fixture(scope="module")
def servers(api: ServedApi, an_archive: Peer) -> dict[str, Server]:
    """The same archive by C-STORE and by STOW-RS, and one that takes nothing."""
    put_in, root = api.installation.server, f"{an_archive.url}/dicom-web"
    return {
        "DIMSE": put_in(an_archive, "by DIMSE", store_scp_support=True),
        "WEB": put_in(
            an_archive, "by DICOMweb", ae_title="ARCHIVE WEB", dicomweb_stow_support=True, dicomweb_root_url=root
        ),
        "DEAF": put_in(an_archive, "deaf", ae_title="DEAF", study_root_find_support=True),
    }


@pytest.fixture(scope="module")
def a_token(api: ServedApi, servers: dict[str, Server]) -> str:
    return api.token(api.person(destinations=list(servers.values())))


@pytest.fixture
def emptied(an_archive: Peer) -> Iterator[None]:
    """The archive has nothing again afterwards."""
    yield
    for patient in an_archive.rest("/patients"):  # type: ignore[attr-defined]
        an_archive.rest(f"/patients/{patient}", method="DELETE")


@pytest.fixture(params=["DIMSE", "WEB"])
def server(request: pytest.FixtureRequest, servers: dict[str, Server], emptied: None) -> Server:
    """One of the two ways into the archive, which is empty."""
    return servers[request.param]


@pytest.fixture
def client(api: ServedApi, a_token: str) -> httpx.Client:
    return api.client(a_token)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """SOP Instance UID -> file: native, compressed and deflated pixels, a report, private elements, an unknown VR."""
    root = tmp_path_factory.mktemp("corpus")
    written = (
        studies.write_ct(root / "ct", patient=1, study=1, instances=(2,), rows=64, columns=64),
        studies.write_mr_implicit(root / "implicit"),
        studies.write_compressed(root / "compressed", patient=2, study=2),
        studies.write_deflated(root / "deflated", patient=3, study=3),
        studies.write_sr(root / "sr", patient=4, study=4),
    )
    files = [file.read_bytes() for study in written for file in study.files] + [with_private_elements()]
    return {split_part10(file).sop_uid: file for file in files}


def with_private_elements() -> bytes:
    data_set = pydicom.dcmread(io.BytesIO(a_file(7, 1, 1)))
    block = data_set.private_block(0x0099, "NOBODY KNOWS", create=True)
    block.add_new(0x01, "UN", b"\x00\xff\x80odd")
    block.add_new(0x02, "OB", bytes(range(250)))
    data_set.PixelData = bytes(range(1, 129))
    target = io.BytesIO()
    pydicom.dcmwrite(target, data_set)
    return target.getvalue()


def data_sets(files: dict[str, bytes]) -> dict[str, tuple[str, bytes]]:
    found = {uid: split_part10(file) for uid, file in files.items()}
    return {uid: (one.transfer_syntax_uid, b"".join(one.parts)) for uid, one in found.items()}


def uids(answer: httpx.Response, sequence: str) -> list[str]:
    return sorted(one["00081155"]["Value"][0] for one in answer.json().get(sequence, {}).get("Value", []))


def reasons(answer: httpx.Response, sequence: str = FAILED) -> list[int]:
    return [one["00081197"]["Value"][0] for one in answer.json()[sequence]["Value"]]


def post(client: httpx.Client, path: str, content: object, **headers: str) -> httpx.Response:
    return client.post(path, content=content, headers={"Content-Type": MULTIPART, **headers})  # type: ignore[arg-type]


def test_every_data_set_arrives_byte_for_byte(
    api: ServedApi, client: httpx.Client, an_archive: Peer, server: Server, corpus: dict[str, bytes]
) -> None:
    answer = post(client, f"{server.ae_title}/stowrs/studies", body_of(*corpus.values()))
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/dicom+json"
    assert uids(answer, STORED) == sorted(corpus) and set(answer.json()) == {STORED}
    arrived, sent = data_sets(an_archive.files()), data_sets(corpus)
    for uid, (syntax, data) in arrived.items():
        if syntax == DEFLATED:  # Orthanc 1.10 fills what comes by C-STORE up with zeros
            data = data[: len(sent[uid][1])] + data[len(sent[uid][1]) :].rstrip(b"\0")
        assert (syntax, data) == sent[uid], uid
    assert set(arrived) == set(sent)
    assert arrived["1.2.826.7.1.1"][1].endswith(bytes(range(1, 129)))
    assert api.installation.leftovers() == []
    assert SlotStore(api.installation.db).taken(server.id) == 0


def test_the_answer_tells_where_it_can_be_retrieved(api: ServedApi, client: httpx.Client, server: Server) -> None:
    answer = post(client, f"{server.ae_title}/stowrs/studies/1.2.826.1", body_of(a_file(1, 1, 1), a_file(1, 2, 1)))
    assert answer.status_code == 200
    place = f"{api.url}/dicom-web/{server.ae_title.replace(' ', '%20')}/wadors/studies/1.2.826.1"
    assert answer.json()["00081190"] == {"vr": "UR", "Value": [place]}
    first, second = answer.json()[STORED]["Value"]
    assert first["00081190"]["Value"] == [f"{place}/series/1.2.826.1.1/instances/1.2.826.1.1.1"]
    assert first["00081150"] == {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"]}
    assert second["00081190"]["Value"] == [f"{place}/series/1.2.826.1.2/instances/1.2.826.1.2.1"]


def test_dicomweb_client_stores_and_hears_of_it(api: ServedApi, a_token: str, an_archive: Peer, server: Server) -> None:
    web = api.dicomweb(a_token, server.ae_title, chunk_size=500)
    sent = [pydicom.dcmread(io.BytesIO(a_file(1, 1, number))) for number in (1, 2)]
    report = web.store_instances(sent)
    assert [item.ReferencedSOPInstanceUID for item in report.ReferencedSOPSequence] == [
        one.SOPInstanceUID for one in sent
    ]
    assert an_archive.sop_uids() == {one.SOPInstanceUID for one in sent}
    report = web.store_instances([*sent, pydicom.dcmread(io.BytesIO(a_file(2, 1, 1)))], "1.2.826.1")
    assert [item.ReferencedSOPInstanceUID for item in report.FailedSOPSequence] == ["1.2.826.2.1.1"]
    with pytest.raises(requests.HTTPError, match="409"):
        web.store_instances(sent, "1.2.826.9")


def test_instances_of_another_study_are_named_and_not_stored(
    client: httpx.Client, an_archive: Peer, server: Server
) -> None:
    body = body_of(a_file(1, 1, 1), a_file(2, 1, 1))
    some = post(client, f"{server.ae_title}/stowrs/studies/1.2.826.2", body)
    assert some.status_code == 202
    assert uids(some, STORED) == ["1.2.826.2.1.1"] and uids(some, FAILED) == ["1.2.826.1.1.1"]
    assert reasons(some) == [0xA900]
    none = post(client, f"{server.ae_title}/stowrs/studies/1.2.826.9", body)
    assert none.status_code == 409 and len(uids(none, FAILED)) == 2
    assert an_archive.sop_uids() == {"1.2.826.2.1.1"}


def test_what_is_no_dicom_file_is_told_of_and_hinders_nothing(
    client: httpx.Client, an_archive: Peer, server: Server
) -> None:
    answer = post(client, f"{server.ae_title}/stowrs/studies", body_of(b"no DICOM", a_file(1, 1, 1), b""))
    assert answer.status_code == 202
    assert reasons(answer, OTHERS) == [0xC000, 0xC000] and uids(answer, STORED) == ["1.2.826.1.1.1"]
    assert an_archive.sop_uids() == {"1.2.826.1.1.1"}


def test_an_instance_under_a_false_name_is_not_stored(client: httpx.Client, an_archive: Peer, server: Server) -> None:
    file = a_file(1, 1, 1).replace(b"1.2.826.1.1.1\0", b"1.2.826.1.1.9\0", 1)
    answer = post(client, f"{server.ae_title}/stowrs/studies", body_of(file))
    assert (answer.status_code, reasons(answer)) == (409, [0xA900])
    assert an_archive.sop_uids() == set()


def test_what_the_server_does_not_accept_is_told_with_its_reason(
    client: httpx.Client, emptied: None, servers: dict[str, Server]
) -> None:
    data_set = pydicom.dcmread(io.BytesIO(a_file(5, 1, 1)))
    data_set.SOPClassUID = data_set.file_meta.MediaStorageSOPClassUID = "1.2.826.0.1.999"
    target = io.BytesIO()
    pydicom.dcmwrite(target, data_set)
    answer = post(client, "ARCHIVE/stowrs/studies", body_of(target.getvalue(), a_file(5, 1, 2)))
    assert answer.status_code == 202
    assert uids(answer, STORED) == ["1.2.826.5.1.2"] and uids(answer, FAILED) == ["1.2.826.5.1.1"]
    assert reasons(answer) == [0x0122]


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("", 415),
        ("application/dicom", 415),
        ('multipart/related; type="application/dicom+json"; boundary=b', 415),
        ("multipart/related; boundary=b", 415),
        (f"multipart/form-data; type=application/dicom; boundary={BOUNDARY}", 415),
        ('multipart/related; type="application/dicom"', 400),
        ('multipart/related; type="application/dicom"; boundary=""', 400),
        ('multipart/related; type="application/dicom"; boundary=other', 400),
    ],
)
def test_another_content_type_is_refused(
    client: httpx.Client, an_archive: Peer, server: Server, content_type: str, status: int
) -> None:
    answer = post(
        client, f"{server.ae_title}/stowrs/studies", body_of(a_file(1, 1, 1)), **{"Content-Type": content_type}
    )
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert an_archive.sop_uids() == set()


@pytest.mark.parametrize(
    ("content", "status", "stored"),
    [
        (b"", 400, 0),
        (b"nothing", 400, 0),
        (f"--{BOUNDARY}--\r\n".encode(), 400, 0),
        (body_of(a_file(1, 1, 1), has_end=False), 400, 0),
        (body_of(a_file(1, 1, 1), a_file(1, 1, 2), has_end=False)[:-20], 400, 1),
        (body_of(a_file(1, 1, 1)).replace(b"application/dicom", b"application/dicom\r\nContent-Length: 7"), 400, 0),
        (f"--{BOUNDARY}\r\nX: {'x' * 70_000}\r\n\r\n".encode() + bytes(10_000_000), 413, 0),
    ],
)
def test_a_broken_body_is_refused_and_what_was_stored_before_is_said(
    client: httpx.Client, an_archive: Peer, server: Server, content: bytes, status: int, stored: int
) -> None:
    answer = post(client, f"{server.ae_title}/stowrs/studies", content)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"].keys() == {"body"}
    assert len(an_archive.sop_uids()) == stored
    assert stored == 0 or "stored before that: 1" in answer.text


def test_a_large_instance_leaves_nothing_behind(
    api: ServedApi, client: httpx.Client, an_archive: Peer, server: Server
) -> None:
    data_set = pydicom.dcmread(io.BytesIO(a_file(1, 1, 1)))
    data_set.Rows, data_set.Columns = 4096, 6144
    data_set.PixelData = bytes(range(256)) * (4096 * 6144 // 256)
    target = io.BytesIO()
    pydicom.dcmwrite(target, data_set)
    body = body_of(target.getvalue())
    chunks = (body[at : at + 100_000] for at in range(0, len(body), 100_000))
    answer = post(client, f"{server.ae_title}/stowrs/studies", chunks)
    assert answer.status_code == 200, answer.text
    assert data_sets(an_archive.files()) == data_sets({"1.2.826.1.1.1": target.getvalue()})
    assert api.installation.leftovers() == []


def test_a_study_that_is_no_uid_and_an_answer_that_is_no_json_are_refused(client: httpx.Client, server: Server) -> None:
    body = body_of(a_file(1, 1, 1))
    assert post(client, f"{server.ae_title}/stowrs/studies/1.2.x", body).status_code == 400
    xml = post(client, f"{server.ae_title}/stowrs/studies", body, Accept="application/dicom+xml")
    assert xml.status_code == 406
    assert client.get(f"{server.ae_title}/stowrs/studies").status_code == 405


def test_only_who_may_write_there_stores(
    api: ServedApi, servers: dict[str, Server], an_archive: Peer, server: Server
) -> None:
    path, body = f"{server.ae_title}/stowrs/studies", body_of(a_file(1, 1, 1))
    name = f"of {server.ae_title}".replace(" ", "-").lower()
    reader = api.token(api.person(f"reader-{name}", sources=[server]))
    guest = api.token(api.person(f"guest-{name}", {Permission.WEB_QUERY, Permission.WEB_RETRIEVE}, (), [server]))
    writer = api.person(f"writer-{name}", destinations=[server])
    searches = TokenWish(expires_at=api.installation.db.clock() + DAY, operations=frozenset({Operation.SEARCH}))
    statuses = [post(api.client(token), path, body).status_code for token in ("", reader, guest)]
    assert statuses == [401, 404, 403]
    assert post(api.client(api.token(writer, searches)), path, body).status_code == 403
    assert post(api.client(reader), "NOBODY/stowrs/studies", body).status_code == 404
    assert an_archive.sop_uids() == set()
    assert post(api.client(api.token(writer)), path, body).status_code == 200


def test_a_server_that_takes_nothing_says_so(api: ServedApi, client: httpx.Client, servers: dict[str, Server]) -> None:
    body = body_of(a_file(1, 1, 1))
    assert post(client, "DEAF/stowrs/studies", body).status_code == 409
    nowhere = Peer("NOWHERE", free_port(), None, Path(), free_port())  # type: ignore[arg-type]
    server = api.installation.server(nowhere, "nowhere", store_scp_support=True)
    token = api.token(api.person("emil", destinations=[server]))
    answer = post(api.client(token), "NOWHERE/stowrs/studies", body)
    assert answer.status_code == 502
    assert SlotStore(api.installation.db).taken(server.id) == 0


def test_a_storage_is_written_down_without_a_patient(
    api: ServedApi, client: httpx.Client, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        post(client, f"{server.ae_title}/stowrs/studies", body_of(a_file(1, 1, 1), b"Geheim"))
    entry = audit.entries(api.installation.db, TESTER)[0]
    assert (entry.actor, entry.action, entry.outcome) == ("ada", AuditAction.WEB_STORE, "done")
    assert entry.subject == f"server {server.name}: 1 of 2 instances stored"
    assert AuditStore(api.installation.db).details(entry.id) == {"study_uids": "1.2.826.1"}
    ours = [one.getMessage() for one in caplog.records if not one.name.startswith(("httpx", "httpcore"))]
    assert not any("1.2.826.1" in line or "ller" in line for line in ours)
