"""What no archive does on demand: a server of our own hangs, breaks off, redirects, sends large instances."""

import datetime
import gzip
import json
import logging
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from dicom.network import choose
from dicom.network.inbox import Inbox
from dicom.network.qido import QidoFinder
from dicom.network.stow import StowSender
from dicom.network.wado import WadoRetriever
from dicom.part10 import part10_prefix
from models.domain.errors import Canceled, NoSpace, PeerError, PeerLied, TimedOut, Unreachable, Unreadable, Unsupported
from models.domain.instances import EncodedInstance
from models.domain.nodes import Server, Timeouts, Tls
from models.domain.refs import Level, PatientQuery, Selection, StudyQuery, StudyRef
from tests.peers import free_port

CT, EXPLICIT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"
STUDY = Selection(StudyRef("1.2"), Level.STUDY)
MULTIPART = 'multipart/related; type="application/dicom"; boundary=b'
FILE = part10_prefix(CT, "1.2.3", EXPLICIT) + b"data"
PART = b"--b\r\nContent-Type: application/dicom\r\n\r\n" + FILE + b"\r\n"
LARGE_BYTES = 300 << 20

Script = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def serving(script: Script, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Run a server that answers every request by the script, and yield how to reach it."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            script(self)

        def do_POST(self) -> None:
            left = int(self.headers["Content-Length"])
            while left > 0:
                left -= len(self.rfile.read(min(left, 1 << 16)))
            script(self)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """A client that has gone is no news here."""

    with Quiet(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        http.block_on_close = False
        if tls:
            http.socket = tls.wrap_socket(http.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            root = f"{'https' if tls else 'http'}://127.0.0.1:{http.server_port}/web"
            yield Server("Archive", "A", "127.0.0.1", 104, dicomweb_root_url=root)
        finally:
            http.shutdown()
            thread.join()


def answering(status: int, body: bytes = b"", content_type: str = "text/html", **headers: str) -> Script:
    def script(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Content-Type", content_type)
        request.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(body)

    return script


def received(server: Server, scratch: Path, selection: Selection = STUDY) -> list[EncodedInstance]:
    found: list[EncodedInstance] = []
    with WadoRetriever(server, scratch) as retriever:
        retriever.retrieve(selection, found.append)
    return found


def aborted_when(begun: threading.Event, abort: Callable[[], None]) -> threading.Thread:
    def wait_and_abort() -> None:
        begun.wait(60)
        abort()

    thread = threading.Thread(target=wait_and_abort)
    thread.start()
    return thread


def test_a_search_is_aborted_from_another_thread() -> None:
    begun, over = threading.Event(), threading.Event()

    def hang(request: BaseHTTPRequestHandler) -> None:
        begun.set()
        over.wait(60)

    with serving(hang) as server, QidoFinder(server) as finder:
        thread = aborted_when(begun, finder.abort)
        with pytest.raises(Canceled):
            list(finder.find_studies(StudyQuery()))
        over.set()
        thread.join()
        finder.abort()
        with pytest.raises(Canceled):
            list(finder.find_patients(PatientQuery()))


@pytest.mark.parametrize("is_tls", [False, True])
def test_a_download_is_aborted_from_another_thread(tmp_path: Path, is_tls: bool) -> None:
    begun, over = threading.Event(), threading.Event()

    def hang_after_one(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", MULTIPART)
        request.send_header("Connection", "close")
        request.end_headers()
        request.wfile.write(PART + b"--b\r\n")
        over.wait(60)

    certificate = a_certificate(tmp_path) if is_tls else None
    tls = tls_server(certificate) if certificate else None
    with serving(hang_after_one, tls) as plain:
        server = replace(plain, tls=Tls(ca_file=str(certificate))) if certificate else plain
        with WadoRetriever(server, tmp_path) as retriever:
            thread = aborted_when(begun, retriever.abort)
            with pytest.raises(Canceled):
                retriever.retrieve(STUDY, lambda _: begun.set())
            over.set()
            thread.join()


@pytest.mark.parametrize("has_length", [True, False])
def test_a_download_that_breaks_off_has_handed_on_what_was_complete(tmp_path: Path, has_length: bool) -> None:
    def break_off(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", MULTIPART)
        request.send_header(*(("Content-Length", "9999") if has_length else ("Connection", "close")))
        request.end_headers()
        request.wfile.write(PART + PART[:60])
        request.close_connection = True

    found: list[EncodedInstance] = []
    with serving(break_off) as server, WadoRetriever(server, tmp_path) as retriever:
        with pytest.raises(PeerError) as caught:
            retriever.retrieve(STUDY, found.append)
        assert caught.value.retry == "soon"
    assert [(i.sop_uid, b"".join(i.parts)) for i in found] == [("1.2.3", b"data")]


@pytest.mark.parametrize("wraps", [True, False], ids=["multipart", "single"])
def test_a_large_instance_that_may_not_go_on_growing_ends_the_download(tmp_path: Path, wraps: bool) -> None:
    body = FILE + bytes(9 << 20)
    if wraps:
        body = PART.removesuffix(b"\r\n") + body.removeprefix(FILE) + b"\r\n--b--\r\n"
    asked: list[int] = []

    def check_room(size_bytes: int) -> None:
        asked.append(size_bytes)
        raise NoSpace

    local = choose.Local("ADIT", "RECV", Inbox(tmp_path / "inbox"), tmp_path / "is not even looked at", check_room)
    with serving(answering(200, body, MULTIPART if wraps else "application/dicom")) as plain:
        server = replace(plain, dicomweb_wado_support=True)
        with choose.retriever(server, local) as retriever, pytest.raises(NoSpace):
            retriever.retrieve(STUDY, lambda _: None)
    assert len(asked) == 1 and asked[0] > 8 << 20


def test_what_is_no_dicom_is_unreadable_after_the_rest_was_handed_on(tmp_path: Path) -> None:
    junk = b"--b\r\n\r\njunk\r\n"
    found: list[EncodedInstance] = []
    with (
        serving(answering(200, junk + PART + b"--b--\r\n", MULTIPART)) as server,
        WadoRetriever(server, tmp_path) as retriever,
        pytest.raises(Unreadable),
    ):
        retriever.retrieve(STUDY, found.append)
    assert [i.sop_uid for i in found] == ["1.2.3"]


def test_a_single_instance_may_come_without_multipart_and_compressed(tmp_path: Path) -> None:
    with serving(answering(200, FILE, "application/dicom")) as server:
        assert [i.sop_uid for i in received(server, tmp_path)] == ["1.2.3"]
    packed = gzip.compress(PART + b"--b--")
    with serving(answering(200, packed, MULTIPART, Content_Encoding="gzip")) as server:
        assert [b"".join(i.parts) for i in received(server, tmp_path)] == [b"data"]


def test_one_connection_serves_all_requests(tmp_path: Path) -> None:
    ports: set[int] = set()
    answer = answering(200, PART + b"--b--\r\nepilogue", MULTIPART)

    def note(request: BaseHTTPRequestHandler) -> None:
        ports.add(request.client_address[1])
        assert request.headers["Accept-Encoding"] == "identity"
        answer(request)

    with serving(note) as server:
        selection = Selection(StudyRef("1.2"), Level.IMAGE, "1.2.1", tuple(f"1.2.3.{n}" for n in range(5)))
        assert len(received(server, tmp_path, selection)) == 5
    assert len(ports) == 1


def test_a_login_page_is_no_dicom(tmp_path: Path) -> None:
    with serving(answering(200, b"<html>login</html>")) as server:
        with pytest.raises(Unsupported, match="root URL"):
            received(server, tmp_path)
        with QidoFinder(server) as finder, pytest.raises(PeerLied):
            list(finder.find_studies(StudyQuery()))


def test_a_redirect_is_not_followed() -> None:
    asked: list[str] = []

    def other(request: BaseHTTPRequestHandler) -> None:
        asked.append(request.path)
        answering(200, b"[]")(request)

    with (
        serving(other) as target,
        serving(answering(307, Location=target.dicomweb_root_url)) as server,
        QidoFinder(server) as finder,
        pytest.raises(Unsupported, match="Redirects"),
    ):
        list(finder.find_studies(StudyQuery(patient_id="P1")))
    assert asked == []


def test_a_silent_server_times_out() -> None:
    over = threading.Event()
    timeouts = Timeouts(response=datetime.timedelta(milliseconds=50))
    with (
        serving(lambda request: over.wait(60) and None) as server,
        QidoFinder(replace(server, timeouts=timeouts)) as finder,
    ):
        with pytest.raises(TimedOut):
            list(finder.find_studies(StudyQuery()))
        over.set()


def test_nobody_listening_is_unreachable() -> None:
    server = Server("Archive", "A", "127.0.0.1", 104, dicomweb_root_url=f"http://127.0.0.1:{free_port()}")
    with QidoFinder(server) as finder, pytest.raises(Unreachable):
        list(finder.find_studies(StudyQuery()))


@pytest.mark.parametrize(
    "root", ["", "127.0.0.1/web", "ftp://127.0.0.1", "http://127.0.0.1:no/", "http://", "http://a..b"]
)
def test_an_impossible_root_url_is_named(root: str) -> None:
    server = Server("Archive", "A", "127.0.0.1", 104, dicomweb_root_url=root)
    with QidoFinder(server) as finder, pytest.raises(Unsupported, match="root URL"):
        list(finder.find_studies(StudyQuery()))


def test_prefixes_stand_between_root_and_resources(tmp_path: Path) -> None:
    paths: list[str] = []

    def note(request: BaseHTTPRequestHandler) -> None:
        paths.append(request.path.split("?")[0])
        if request.command == "POST":
            answering(200, b"", "application/dicom+json")(request)
        elif paths[-1].startswith("/web/q"):
            answering(200, b"[]", "application/dicom+json")(request)
        else:
            answering(200, PART + b"--b--", MULTIPART)(request)

    with serving(note) as plain:
        prefixes = {"dicomweb_qido_prefix": "q", "dicomweb_wado_prefix": "/w/", "dicomweb_stow_prefix": "s/t"}
        server = replace(plain, **prefixes)
        with QidoFinder(server) as finder:
            assert list(finder.find_studies(StudyQuery())) == []
        (instance,) = received(server, tmp_path)
        with StowSender(server) as sender:
            sender.send(instance)
    assert paths == ["/web/q/studies", "/web/w/studies/1.2", "/web/s/t/studies"]


@dataclass
class PagedArchive:
    """A QIDO-RS server with so many studies, and its ways with limit and offset."""

    count: int
    keeps_limit: bool = True
    keeps_offset: bool = True
    most: int = 1_000_000
    tells_more: bool = False
    shift: int = 0
    """By so many places the list has moved when its second page is asked for."""
    questions: list[dict[str, list[str]]] = field(default_factory=list[dict[str, list[str]]])

    def __call__(self, request: BaseHTTPRequestHandler) -> None:
        asked = parse_qs(urlsplit(request.path).query)
        self.questions.append(asked)
        limit = int(asked.get("limit", ["1000000"])[0]) if self.keeps_limit else self.count
        offset = int(asked.get("offset", ["0"])[0]) if self.keeps_offset else 0
        begin = max(offset - self.shift, 0)
        uids = study_uids(self.count)[begin:][: min(limit, self.most)]
        more = {"Warning": "299 archive: There is more."} if self.tells_more and begin + len(uids) < self.count else {}
        body = json.dumps([{"0020000D": {"vr": "UI", "Value": [uid]}} for uid in uids])
        answering(200, body.encode(), "application/dicom+json", **more)(request)


def study_uids(count: int) -> list[str]:
    return [f"1.2.{number}" for number in range(1, count + 1)]


def studies_of(archive: PagedArchive, query: StudyQuery | None = None) -> list[str]:
    """What is found in pages of ten."""
    with serving(archive) as server, QidoFinder(server, 10) as finder:
        return [found.study_uid for found in finder.find_studies(query or StudyQuery())]


def test_pages_are_put_together() -> None:
    archive = PagedArchive(37)
    assert studies_of(archive) == study_uids(37)
    assert [asked["offset"] for asked in archive.questions] == [["0"], ["10"], ["20"], ["30"]]


@pytest.mark.parametrize("count", [11, 25, 99])
def test_a_server_that_ignores_offsets_is_asked_for_everything_at_once(count: int) -> None:
    archive = PagedArchive(count, keeps_offset=False)
    assert studies_of(archive) == study_uids(count)
    assert int(archive.questions[-1]["limit"][0]) > count


def test_what_has_moved_between_two_pages_is_not_lost() -> None:
    assert sorted(studies_of(PagedArchive(25, shift=3))) == sorted(study_uids(25))


@pytest.mark.parametrize(
    "archive",
    [
        pytest.param(PagedArchive(25, keeps_offset=False, most=10), id="silently"),
        pytest.param(PagedArchive(25, keeps_offset=False, most=7, tells_more=True), id="with a warning"),
        pytest.param(PagedArchive(60, keeps_offset=False, most=23, tells_more=True), id="later, with a warning"),
    ],
)
def test_a_list_that_is_cut_without_the_rest_never_looks_complete(archive: PagedArchive) -> None:
    with pytest.raises(Unsupported, match="cuts its lists"):
        studies_of(archive)


def test_a_search_for_modalities_that_is_cut_without_the_rest_never_looks_complete() -> None:
    archive = PagedArchive(25, keeps_offset=False, most=7, tells_more=True)
    with pytest.raises(Unsupported, match="cuts its lists"):
        studies_of(archive, StudyQuery(modalities=("CT",)))
    assert not any("limit" in asked for asked in archive.questions)


@pytest.mark.parametrize("tells_more", [False, True])
def test_a_list_that_grows_between_two_pages_is_read_to_its_end_where_offsets_count(tells_more: bool) -> None:
    archive = PagedArchive(100, most=10, shift=1, tells_more=tells_more)
    assert sorted(studies_of(archive)) == sorted(study_uids(100))


@pytest.mark.parametrize("count", [2, 20, 25])
def test_a_server_that_ignores_paging_has_told_everything(count: int) -> None:
    assert studies_of(PagedArchive(count, keeps_limit=False, keeps_offset=False)) == study_uids(count)


def test_a_list_with_an_invalid_uid_is_never_a_shorter_list() -> None:
    body = b'[{"00080018": {"Value": ["1.2"]}}, {"00080018": {"Value": []}}]'
    with (
        serving(answering(200, body, "application/dicom+json")) as server,
        QidoFinder(server) as finder,
        pytest.raises(PeerLied),
    ):
        list(finder.find_instances(StudyRef("1"), "1.1"))


def test_no_patient_stands_in_a_log_or_an_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    body = b'[{"00100010": {"Value": [{"Alphabetic": "Muster^Secret"}]}}]'
    query = StudyQuery(patient_id="PSECRET", patient_name="Muster^Secret")
    with serving(answering(200, body, "application/dicom+json")) as server, QidoFinder(server) as finder:
        assert list(finder.find_studies(query)) == []
    with (
        serving(answering(500, b"PSECRET")) as server,
        QidoFinder(server) as finder,
        pytest.raises(PeerError) as caught,
    ):
        list(finder.find_studies(query))
    text = caplog.text + repr(caught.value) + repr(caught.value.__cause__)
    assert "secret" not in text.lower()
    assert "1 studies without a valid StudyInstanceUID" in caplog.text


def a_certificate(directory: Path) -> Path:
    """A self-signed certificate for 127.0.0.1 and its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = directory / "server.pem"
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    path.write_bytes(private + certificate.public_bytes(pem))
    return path


def tls_server(certificate: Path, client_ca: Path | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if client_ca:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def test_tls_needs_a_known_certificate_and_shows_ours(tmp_path: Path) -> None:
    pem = a_certificate(tmp_path)
    script = answering(200, b"[]", "application/dicom+json")
    with serving(script, tls_server(pem, pem)) as server:
        trusted = replace(server, tls=Tls(ca_file=str(pem), certificate_file=str(pem)))
        with QidoFinder(trusted) as finder:
            assert list(finder.find_studies(StudyQuery())) == []
        with QidoFinder(server) as finder, pytest.raises(Unsupported, match="certificate"):
            list(finder.find_studies(StudyQuery()))
        lost = replace(server, tls=Tls(ca_file=str(tmp_path / "gone.pem")))
        with QidoFinder(lost) as finder, pytest.raises(Unsupported, match="TLS files"):
            list(finder.find_studies(StudyQuery()))


def test_a_port_without_tls_is_named_as_the_trouble() -> None:
    with serving(answering(200, b"[]", "application/dicom+json")) as server:
        secured = replace(server, dicomweb_root_url=server.dicomweb_root_url.replace("http:", "https:"))
        with QidoFinder(secured) as finder, pytest.raises(Unsupported, match="TLS"):
            list(finder.find_studies(StudyQuery()))


CLIENT = """
import resource, sys
from pathlib import Path
from dicom.network.stow import StowSender
from dicom.network.wado import WadoRetriever
from models.domain.instances import EncodedInstance
from models.domain.nodes import Server
from models.domain.refs import Level, Selection, StudyRef

server = Server("A", "A", "h", 1, dicomweb_root_url=sys.argv[1])

def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

def run(size):
    def check(instance):
        assert instance.size_bytes == size, instance.size_bytes
        assert bytes(instance.parts[0][-4:]) == b"tail"
    with WadoRetriever(server, Path(sys.argv[2])) as retriever:
        retriever.retrieve(Selection(StudyRef(f"1.{size}"), Level.STUDY), check)
    parts = (bytes(1 << 20),) * (size >> 20)
    with StowSender(server) as sender:
        sender.send(EncodedInstance("1.2", "1.2.3", "1.2.840.10008.1.2.1", parts))

run(20 << 20)
before = peak_mb()
run(int(sys.argv[3]))
print(peak_mb() - before)
"""


def test_memory_stays_flat_for_a_large_instance(tmp_path: Path) -> None:
    def generate(request: BaseHTTPRequestHandler) -> None:
        if request.command == "POST":
            answering(200, b"", "application/dicom+json")(request)
            return
        size = int(request.path.rpartition(".")[2])
        prefix = part10_prefix(CT, "1.2.3", EXPLICIT)
        request.send_response(200)
        request.send_header("Content-Type", MULTIPART)
        request.send_header("Connection", "close")
        request.end_headers()
        request.wfile.write(b"--b\r\n\r\n" + prefix)
        block = bytes(1 << 20)
        for _ in range((size >> 20) - 1):
            request.wfile.write(block)
        request.wfile.write(block[:-4] + b"tail\r\n--b--\r\n")

    with serving(generate) as server:
        command = [sys.executable, "-c", CLIENT, server.dicomweb_root_url, str(tmp_path), str(LARGE_BYTES)]
        root = Path(__file__).parents[2]
        done = subprocess.run(command, capture_output=True, text=True, timeout=280, cwd=root, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 60
    assert list(tmp_path.iterdir()) == []
