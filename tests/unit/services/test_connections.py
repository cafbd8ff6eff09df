"""What a test of a server or folder says when something is wrong; nothing but loopback sockets behind it."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from models.db.engine import Database
from models.db.nodes import NodeStore
from models.db.slots import SlotStore
from models.domain.audit import AuditAction
from models.domain.errors import BadRequest, NotFound, NotPermitted
from models.domain.nodes import Folder, Node, Server, Timeouts, Tls
from models.domain.people import Actor, operator
from models.settings import Settings
from services import audit
from services.checks import connections, folder_checks
from services.checks.connections import Finding
from tests.certificates import Certificates, new_certificates
from tests.peers import free_port
from tests.samples import a_server, some_settings

STAFF = operator("admin")
SHORT = Timeouts(*(timedelta(seconds=s) for s in (1, 1, 1, 1)))
NO_DIMSE = {"study_root_find_support": False, "study_root_get_support": False, "store_scp_support": False}
EVERY_WEB = {"dicomweb_qido_support": True, "dicomweb_wado_support": True, "dicomweb_stow_support": True}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return some_settings(tmp_path / "data", receiver_port=free_port())


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return new_certificates(tmp_path)


@pytest.fixture(autouse=True)
def no_threads_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    end = time.monotonic() + 10
    while (left := set(threading.enumerate()) - before) and time.monotonic() < end:
        time.sleep(0.02)
    assert not left


def here(port: int, **fields: object) -> Server:
    return a_server(host="127.0.0.1", port=port, timeouts=SHORT, **fields)


def found(db: Database, settings: Settings, node: int | Node) -> dict[str, Finding]:
    return {finding.what: finding for finding in connections.test(db, settings, STAFF, node)}


def trail(db: Database) -> list[tuple[str, str, str]]:
    entries = [entry for entry in audit.entries(db, STAFF) if entry.action is AuditAction.TEST_NODE]
    return [(entry.actor, entry.subject, entry.outcome) for entry in reversed(entries)]


# --- who, and of what


def test_only_staff_may_test_and_other_tries_are_written_down(database: Database, settings: Settings) -> None:
    with pytest.raises(NotPermitted):
        connections.test(database, settings, Actor("ada"), a_server())
    assert trail(database) == [("ada", "node", "NotPermitted")]


def test_what_cannot_be_as_it_is_is_refused_and_not_tried(database: Database, settings: Settings) -> None:
    with pytest.raises(BadRequest) as raised:
        connections.test(database, settings, STAFF, a_server(port=0, host=""))
    assert set(raised.value.problems) == {"host", "port"}
    for node in (4711, a_server(id=4711)):
        with pytest.raises(NotFound):
            connections.test(database, settings, STAFF, node)
    with pytest.raises(BadRequest):
        connections.test(database, settings, STAFF, 0)
    assert trail(database) == []


# --- DICOM


def test_a_port_on_which_nothing_listens(database: Database, settings: Settings) -> None:
    server = NodeStore(database).add(here(free_port()))
    findings = found(database, settings, server.id)
    assert [(what, finding.is_ok) for what, finding in findings.items()] == [("Connection", False), ("DICOM", False)]
    assert "nothing listens there" in findings["Connection"].text
    assert "C-ECHO, C-FIND (study root), C-GET (study root), C-STORE" in findings["DICOM"].text
    assert trail(database) == [("admin", "server PACS: 0 of 2 checks passed", "done")]


def test_a_host_that_nobody_knows(database: Database, settings: Settings) -> None:
    findings = found(database, settings, a_server(host="no-such-host.invalid", timeouts=SHORT))
    assert "cannot be resolved" in findings["Connection"].text
    assert trail(database) == [
        ("admin", "server at no-such-host.invalid:104, as entered: 0 of 2 checks passed", "done")
    ]


def test_a_server_that_takes_the_connection_and_says_nothing(database: Database, settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        begin = time.monotonic()
        findings = found(database, settings, here(listener.getsockname()[1]))
    assert findings["Connection"].is_ok
    assert "in time" in findings["C-ECHO"].text
    assert findings["C-ECHO"].seconds >= 1
    assert "Not tried, since C-ECHO has failed" in findings["DICOM"].text
    assert time.monotonic() - begin < 10


@contextmanager
def hanging_up(greet: bytes = b"", tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """A port that says a word, at most, and hangs up on everybody."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                with peer:
                    try:
                        if tls is not None:
                            with tls.wrap_socket(peer, server_side=True):
                                continue
                        peer.settimeout(0.5)
                        peer.recv(1000)
                        peer.sendall(greet)
                    except OSError:
                        continue

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def test_a_server_that_hangs_up_is_told_of_with_both_ae_titles(database: Database, settings: Settings) -> None:
    with hanging_up() as port:
        findings = found(database, settings, here(port))
    assert "We called PACS and named ourselves ADIT." in findings["C-ECHO"].text


def test_the_port_of_a_web_server_is_recognized(database: Database, settings: Settings) -> None:
    with serving(lambda _method, _path: (404, b"", "")) as port:
        findings = found(database, settings, here(port))
    assert f"Port {port} is that of a web server" in findings["C-ECHO"].text


def test_a_port_that_wants_tls_is_recognized(
    database: Database, settings: Settings, certificates: Certificates
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificates.server)
    with hanging_up(tls=context) as port:
        findings = found(database, settings, here(port))
        assert f"Port {port} speaks TLS: switch TLS on" in findings["C-ECHO"].text
        trusted = found(database, settings, here(port, tls=certificates.tls()))
        assert trusted["TLS"].is_ok
        assert not trusted["C-ECHO"].is_ok
        strange = found(database, settings, here(port, tls=certificates.tls(certificates.stranger)))
        assert "certificate is not accepted" in strange["TLS"].text
        assert not strange["DICOM"].is_ok
        missing = found(database, settings, here(port, tls=Tls("/no/such/ca.pem")))
        assert "cannot be read" in missing["TLS"].text


def test_tls_with_a_port_that_has_none(database: Database, settings: Settings, certificates: Certificates) -> None:
    with hanging_up(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        findings = found(database, settings, here(port, tls=certificates.tls()))
    assert "does not agree on TLS" in findings["TLS"].text


def test_a_server_whose_budget_is_used_up_is_left_alone(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_BUDGET_PATIENCE", timedelta(seconds=0.2))
    server = NodeStore(database).add(here(free_port(), association_budget=1))
    assert SlotStore(database).try_acquire("worker", {server.id: 1}, {server.id: 1}, timedelta(seconds=30))
    (finding,) = connections.test(database, settings, STAFF, replace(server, association_budget=5))
    assert (finding.what, finding.is_ok) == ("Association budget", False)
    assert "Nothing could be tried" in finding.text


# --- DICOMweb


@contextmanager
def serving(answer: Callable[[str, str], tuple[int, bytes, str]], headers: list[str] | None = None) -> Iterator[int]:
    """A web server that answers as the test says; ``headers`` takes the Authorization of each request."""

    class Handler(BaseHTTPRequestHandler):
        def reply(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if headers is not None:
                headers.append(self.headers.get("Authorization") or "")
            status, body, kind = answer(self.command, self.path)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_OPTIONS = reply  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join(10)


def a_web_server(port: int, **fields: object) -> Server:
    values = {**NO_DIMSE, **EVERY_WEB, "dicomweb_root_url": f"http://127.0.0.1:{port}/dicom-web"}
    return here(1, **(values | fields))


def as_it_should(method: str, path: str) -> tuple[int, bytes, str]:
    if method == "POST":
        return 400, b"", "text/plain"
    return (200, b"[]", "application/dicom+json") if "?" in path else (404, b"", "text/plain")


def test_a_dicomweb_server_that_answers_as_it_should(database: Database, settings: Settings) -> None:
    paths: list[str] = []

    def answer(method: str, path: str) -> tuple[int, bytes, str]:
        paths.append(f"{method} {path.partition('2.25.')[0]}")
        return as_it_should(method, path)

    with serving(answer) as port:
        prefixes = {"dicomweb_wado_prefix": "w", "dicomweb_stow_prefix": "s"}
        findings = found(database, settings, a_web_server(port, **prefixes))
    assert {what: finding.is_ok for what, finding in findings.items()} == {
        "DICOMweb connection": True,
        "QIDO-RS": True,
        "WADO-RS": True,
        "STOW-RS": True,
    }
    assert paths == [
        "GET /dicom-web/studies?StudyInstanceUID=",
        "GET /dicom-web/w/studies/",
        "POST /dicom-web/s/studies",
    ]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "wants an authorization header, and none is set"),
        (403, "wants an authorization header, and none is set"),
        (302, "enter the final root URL"),
        (405, "there is no QIDO-RS at this address"),
        (404, "there is no QIDO-RS at this address"),
        (400, "does not understand the request"),
        (502, "has trouble of its own"),
    ],
)
def test_what_a_status_means_is_said(database: Database, settings: Settings, status: int, words: str) -> None:
    with serving(lambda _method, _path: (status, b"", "text/plain")) as port:
        findings = found(database, settings, a_web_server(port))
    assert not findings["QIDO-RS"].is_ok
    assert words in findings["QIDO-RS"].text
    assert f"HTTP status {status}" in findings["QIDO-RS"].text


def test_a_page_for_people_is_no_dicomweb(database: Database, settings: Settings) -> None:
    with serving(lambda _method, _path: (200, b"<html>Sign in", "text/html")) as port:
        findings = found(database, settings, a_web_server(port))
    assert "no DICOMweb service" in findings["QIDO-RS"].text


def test_an_archive_that_only_gives_converted_instances(database: Database, settings: Settings) -> None:
    with serving(lambda _method, _path: (406, b"", "text/plain")) as port:
        findings = found(database, settings, a_web_server(port))
    assert "as they are stored" in findings["WADO-RS"].text


def test_a_root_url_that_leads_nowhere(database: Database, settings: Settings) -> None:
    findings = found(database, settings, a_web_server(free_port()))
    assert "nothing listens" in findings["DICOMweb connection"].text
    assert "QIDO-RS, WADO-RS, STOW-RS" in findings["DICOMweb"].text


def test_https_with_a_certificate_that_is_not_trusted(
    database: Database, settings: Settings, certificates: Certificates
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificates.server)
    with hanging_up(tls=context) as port:
        server = a_web_server(port, dicomweb_root_url=f"https://127.0.0.1:{port}/dicom-web")
        findings = found(database, settings, server)
    assert "certificate is not accepted" in findings["DICOMweb TLS"].text


def test_an_edited_server_is_tried_with_the_header_that_is_kept_but_never_elsewhere(
    database: Database, settings: Settings
) -> None:
    headers: list[str] = []
    with serving(as_it_should, headers) as port:
        secret = {"dicomweb_authorization_header": "Bearer tell-nobody"}
        kept = NodeStore(database).add(a_web_server(port, **secret))
        assert isinstance(kept, Server)
        edited = replace(kept, dicomweb_authorization_header="", dicomweb_wado_support=False)
        findings = found(database, settings, edited)
        assert set(headers) == {"Bearer tell-nobody"}
        assert "WADO-RS" not in findings
        headers.clear()
        moved = replace(edited, dicomweb_root_url=f"http://localhost:{port}/dicom-web")
        with pytest.raises(BadRequest, match="enter it again"):
            connections.test(database, settings, STAFF, moved)
        assert headers == []
        found(database, settings, replace(moved, id=0))
        assert set(headers) == {""}
    subjects = [subject for _, subject, _ in trail(database)]
    assert subjects[0] == f"server at 127.0.0.1:1 and http://127.0.0.1:{port}, as entered: 3 of 3 checks passed"
    assert "tell-nobody" not in " ".join(subjects)


def test_no_finding_tells_the_header(database: Database, settings: Settings) -> None:
    with serving(lambda _method, _path: (401, b"", "text/plain")) as port:
        secret = {"dicomweb_authorization_header": "Bearer tell-nobody"}
        findings = found(database, settings, a_web_server(port, **secret))
    assert "is not accepted" in findings["QIDO-RS"].text
    assert "tell-nobody" not in str(findings)


# --- folders


def a_directory(place: Path) -> Path:
    directory = place / "research"
    directory.mkdir()
    return directory


def test_a_folder_that_can_be_used(database: Database, settings: Settings, tmp_path: Path) -> None:
    directory = a_directory(tmp_path)
    kept = NodeStore(database).add(Folder("research", directory))
    findings = found(database, settings, kept.id)
    assert [(what, finding.is_ok) for what, finding in findings.items()] == [
        ("Directory", True),
        ("Writing", True),
        ("Free space", True),
        ("Other folders", True),
    ]
    assert list(directory.iterdir()) == []
    assert trail(database) == [("admin", "folder research: 4 of 4 checks passed", "done")]


def test_a_folder_that_is_not_there_or_a_file(database: Database, settings: Settings, tmp_path: Path) -> None:
    (finding,) = connections.test(database, settings, STAFF, Folder("gone", tmp_path / "gone"))
    assert "Is the share mounted?" in finding.text
    (tmp_path / "file").touch()
    (finding,) = connections.test(database, settings, STAFF, Folder("file", tmp_path / "file"))
    assert "a file, not a directory" in finding.text


@pytest.mark.parametrize("link", [False, True])
def test_a_folder_where_adit_keeps_its_own_is_told_of_and_not_written_to(
    database: Database, settings: Settings, tmp_path: Path, link: bool
) -> None:
    workspaces = settings.spool_dir / "workspaces"
    workspaces.mkdir(parents=True)
    (tmp_path / "link").symlink_to(workspaces)
    kept = NodeStore(database).add(Folder("swept", tmp_path / "link" if link else workspaces))
    (finding,) = connections.test(database, settings, STAFF, kept.id)
    assert (finding.what, finding.is_ok) == ("Directory", False)
    assert "It cannot be used: it is where ADIT keeps data in transit" in finding.text


def test_a_folder_that_cannot_be_written(
    database: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    findings = found(database, settings, Folder("closed", a_directory(tmp_path)))
    assert not findings["Writing"].is_ok
    assert "cannot write here: permission denied" in findings["Writing"].text


def test_a_quota_that_the_disk_cannot_hold(database: Database, settings: Settings, tmp_path: Path) -> None:
    findings = found(database, settings, Folder("big", a_directory(tmp_path), quota_gb=10_000_000))
    assert "more than the disk can hold" in findings["Free space"].text


@pytest.mark.parametrize("other", ["a", "a/b", "."])
def test_folders_within_one_another_are_told_of(
    database: Database, settings: Settings, tmp_path: Path, other: str
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    NodeStore(database).add(Folder("first", tmp_path / other))
    findings = found(database, settings, Folder("second", tmp_path / "link"))
    assert not findings["Other folders"].is_ok
    assert "The folder first" in findings["Other folders"].text


def test_a_share_that_hangs_does_not_keep_us(
    database: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    comes_back = threading.Event()
    monkeypatch.setattr(folder_checks, "_PATIENCE_S", 0.1)
    monkeypatch.setattr(folder_checks, "_is_there", lambda _: str(comes_back.wait(20)))
    (finding,) = connections.test(database, settings, STAFF, Folder("hanging", tmp_path))
    comes_back.set()
    assert "No answer within 0.1 s" in finding.text
