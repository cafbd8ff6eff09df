"""Tests of connections against Orthanc and DCMTK: what works is said to work, what does not is named."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from pynetdicom import AE, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from models.db.engine import Database
from models.db.nodes import NodeStore
from models.db.slots import SlotStore
from models.domain.nodes import Node, Server
from models.domain.people import operator
from models.settings import Settings
from services.checks import connections
from services.checks.connections import Finding
from tests.databases import MASTER_KEY, put_tables
from tests.peers import Peer, free_port, orthanc, storescp
from tests.samples import some_settings

STAFF = operator("admin")
EVERY_DIMSE = {
    f"{model}_root_{word}_support": True for model in ("study", "patient") for word in ("find", "get", "move")
} | {"store_scp_support": True}
EVERY_WEB = {f"dicomweb_{word}_support": True for word in ("qido", "wado", "stow")}
USER = {"RegisteredUsers": {"adit": "pw"}, "AuthenticationEnabled": True}
HEADER = "Basic " + base64.b64encode(b"adit:pw").decode()


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return some_settings(
        tmp_path_factory.mktemp("data"), receiver_ae_title="ADIT_RECV", receiver_port=free_port(), lease_s=20
    )


@pytest.fixture(scope="module")
def database(settings: Settings) -> Iterator[Database]:
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    put_tables(settings.url)
    db = Database(settings.url, MASTER_KEY)
    yield db
    db.close()


@pytest.fixture(scope="module")
def an_orthanc(tmp_path_factory: pytest.TempPathFactory, settings: Settings) -> Iterator[Peer]:
    known = {settings.receiver_ae_title: settings.receiver_port}
    with orthanc(tmp_path_factory.mktemp("orthanc"), "ARCHIVE", known) as peer:
        yield peer


@pytest.fixture(params=[False, True], ids=["direct", "pynetdicom"])
def uses_pynetdicom(request: pytest.FixtureRequest) -> bool:
    return request.param


def server_of(peer: Peer, **fields: object) -> Server:
    values = {"dicomweb_root_url": f"{peer.url}/dicom-web"} if peer.http_port else {}
    return Server(peer.ae_title, peer.ae_title, "127.0.0.1", peer.port, **(values | fields))  # type: ignore[arg-type]


def found(db: Database, settings: Settings, node: int | Node) -> dict[str, Finding]:
    return {finding.what: finding for finding in connections.test(db, settings, STAFF, node)}


def test_everything_that_an_archive_can_do_is_found_to_work(
    database: Database, settings: Settings, an_orthanc: Peer, uses_pynetdicom: bool
) -> None:
    with_all = server_of(an_orthanc, **EVERY_DIMSE, **EVERY_WEB, uses_pynetdicom=uses_pynetdicom)
    findings = found(database, settings, with_all)
    assert [f"{what}: {finding.text}" for what, finding in findings.items() if not finding.is_ok] == []
    assert list(findings) == [
        "Connection",
        "C-ECHO",
        *("C-FIND (study root)", "C-GET (study root)", "C-MOVE (study root)"),
        *("C-FIND (patient root)", "C-GET (patient root)", "C-MOVE (patient root)"),
        "C-STORE",
        "DICOMweb connection",
        *("QIDO-RS", "WADO-RS", "STOW-RS"),
    ]
    assert "CT, MR" in findings["C-STORE"].text
    assert an_orthanc.sop_uids() == set(), "something was stored"


def test_a_kept_server_is_tried_within_its_budget(database: Database, settings: Settings, an_orthanc: Peer) -> None:
    server = NodeStore(database).add(server_of(an_orthanc, **EVERY_DIMSE, association_budget=1))
    assert all(finding.is_ok for finding in found(database, settings, server.id).values())
    assert SlotStore(database).taken(server.id) == 0


def test_a_wrong_ae_title_is_named(
    database: Database, settings: Settings, an_orthanc: Peer, uses_pynetdicom: bool
) -> None:
    wrong = Server("Wrong", "WRONG", "127.0.0.1", an_orthanc.port, **EVERY_DIMSE, uses_pynetdicom=uses_pynetdicom)
    findings = found(database, settings, wrong)
    assert findings["Connection"].is_ok
    assert "rejected the association" in findings["C-ECHO"].text
    assert "We called WRONG and named ourselves ADIT" in findings["C-ECHO"].text


def test_the_web_port_of_an_archive_is_recognized(database: Database, settings: Settings, an_orthanc: Peer) -> None:
    wrong = Server("Wrong", "ARCHIVE", "127.0.0.1", an_orthanc.http_port, **EVERY_DIMSE)
    assert "is that of a web server" in found(database, settings, wrong)["C-ECHO"].text


def test_an_archive_that_does_not_know_our_receiver_may_say_so(database: Database, settings: Settings) -> None:
    """Some do, as here; Orthanc answers the same to everybody, DCMTK only complains when there is something to send."""
    ae = AE("STRICT")
    ae.add_supported_context(Verification)
    ae.add_supported_context(StudyRootQueryRetrieveInformationModelMove)
    handlers = [(evt.EVT_C_MOVE, lambda _: iter([(None, None)]))]
    port = free_port()
    server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
    try:
        strict = Server("Strict", "STRICT", "127.0.0.1", port, study_root_move_support=True)
        findings = found(database, settings, strict)
    finally:
        server.shutdown()
    finding = findings["C-MOVE (study root)"]
    assert not finding.is_ok
    assert not findings["Our receiver"].is_ok
    assert "Nothing listens on port" in findings["Our receiver"].text
    assert f"Enter our receiver ADIT_RECV, port {settings.receiver_port}" in finding.text


def test_services_that_a_peer_does_not_have_are_named(database: Database, settings: Settings, tmp_path: Path) -> None:
    with storescp(tmp_path, "SINK") as peer:
        findings = found(database, settings, server_of(peer, **EVERY_DIMSE))
    assert findings["C-ECHO"].is_ok
    assert findings["C-STORE"].is_ok
    for name in ("C-FIND (study root)", "C-GET (study root)", "C-MOVE (study root)"):
        assert not findings[name].is_ok
        assert "conformance statement" in findings[name].text


def test_a_missing_and_a_wrong_authorization_are_told_apart(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    with orthanc(tmp_path, "GUARDED", settings=USER) as peer:
        missing = found(database, settings, server_of(peer, **EVERY_WEB))
        wrong = found(database, settings, server_of(peer, **EVERY_WEB, dicomweb_authorization_header="Basic eDp5"))
        right = found(database, settings, server_of(peer, **EVERY_WEB, dicomweb_authorization_header=HEADER))
    for name in ("QIDO-RS", "WADO-RS", "STOW-RS"):
        assert "HTTP status 401: it wants an authorization header" in missing[name].text
        assert "HTTP status 401: the authorization header is not accepted" in wrong[name].text
        assert right[name].is_ok, right[name].text


def test_a_wrong_root_url_is_named(database: Database, settings: Settings, an_orthanc: Peer) -> None:
    wrong = server_of(an_orthanc, **EVERY_WEB, dicomweb_root_url=f"{an_orthanc.url}/dicomweb")
    findings = found(database, settings, wrong)
    assert "there is no QIDO-RS at this address" in findings["QIDO-RS"].text
    assert not findings["STOW-RS"].is_ok


def test_an_archive_that_is_down(database: Database, settings: Settings, tmp_path: Path) -> None:
    with orthanc(tmp_path, "GONE") as peer:
        server = server_of(peer, **EVERY_DIMSE, **EVERY_WEB)
    findings = found(database, settings, server)
    assert [(what, finding.is_ok) for what, finding in findings.items()] == [
        *(("Connection", False), ("DICOM", False), ("DICOMweb connection", False), ("DICOMweb", False))
    ]
