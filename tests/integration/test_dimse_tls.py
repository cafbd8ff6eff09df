"""DICOM over TLS: our side trusts nobody but the server's own CA, and shows its certificate where it is asked."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from pynetdicom import AE, StoragePresentationContexts, evt
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from deployments.demo import studies
from dicom.network.echo import echo
from dicom.network.store import DimseSender
from dicom.part10 import split_part10
from models.domain.errors import PeerError, Unsupported
from models.domain.instances import EncodedInstance, Verdict
from models.domain.nodes import Server, Tls
from tests.certificates import Certificates, new_certificates
from tests.peers import free_port, storescp

pytestmark = pytest.mark.usefixtures("bulk_engine")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return new_certificates(tmp_path_factory.mktemp("pki"))


@contextmanager
def a_tls_archive(certificates: Certificates, server_files: tuple[Path, Path] | None = None) -> Iterator[int]:
    """An SCP that wants a certificate of the hospital's authority from its clients; yields its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*(server_files or certificates.server))
    context.load_verify_locations(certificates.authority.file)
    context.verify_mode = ssl.CERT_REQUIRED
    ae = AE("TLS_SCP")
    ae.supported_contexts = StoragePresentationContexts
    ae.add_supported_context(Verification)
    port = free_port()
    ae.start_server(
        ("127.0.0.1", port), block=False, ssl_context=context, evt_handlers=[(evt.EVT_C_STORE, lambda _: 0)]
    )
    try:
        yield port
    finally:
        ae.shutdown()


@pytest.fixture
def an_instance(tmp_path: Path) -> EncodedInstance:
    study = studies.write_ct(tmp_path / "ct", patient=1, study=1, instances=(1,), rows=32, columns=32)
    return split_part10(study.files[0].read_bytes())


def test_instances_go_over_tls_with_certificates_on_both_sides(
    certificates: Certificates, an_instance: EncodedInstance
) -> None:
    with a_tls_archive(certificates) as port:
        server = Server("Secure", "TLS_SCP", "127.0.0.1", port, tls=certificates.tls())
        echo(server, "ADIT")
        with DimseSender(server, "ADIT") as sender:
            assert [sender.send(an_instance).verdict for _ in range(5)] == [Verdict.STORED] * 5


def test_dcmtk_takes_our_instances_over_tls(
    certificates: Certificates, an_instance: EncodedInstance, tmp_path: Path
) -> None:
    certificate, key = certificates.server
    options = ("+tls", str(key), str(certificate), "+cf", str(certificates.authority.file), "-rc")
    with storescp(tmp_path, "SECURE", *options) as sink:
        server = Server("Secure", "SECURE", "127.0.0.1", sink.port, tls=certificates.tls())
        with DimseSender(server, "ADIT") as sender:
            assert sender.send(an_instance).verdict is Verdict.STORED
    assert len(list((tmp_path / "db").iterdir())) == 1


def test_a_server_of_another_authority_is_not_trusted(certificates: Certificates) -> None:
    with a_tls_archive(certificates) as port:
        server = Server("Secure", "TLS_SCP", "127.0.0.1", port, tls=certificates.tls(certificates.stranger))
        with pytest.raises(Unsupported, match="TLS"):
            echo(server, "ADIT")


def test_a_certificate_for_another_host_is_not_accepted_unless_the_check_is_off(certificates: Certificates) -> None:
    elsewhere = certificates.authority.issue("elsewhere", "10.9.8.7")
    with a_tls_archive(certificates, elsewhere) as port:
        strict = certificates.tls()
        with pytest.raises(Unsupported, match="TLS"):
            echo(Server("Secure", "TLS_SCP", "127.0.0.1", port, tls=strict), "ADIT")
        lax = Tls(strict.ca_file, strict.certificate_file, strict.key_file, check_hostname=False)
        echo(Server("Secure", "TLS_SCP", "127.0.0.1", port, tls=lax), "ADIT")


def test_without_our_certificate_the_server_does_not_talk_to_us(certificates: Certificates) -> None:
    with a_tls_archive(certificates) as port:
        server = Server("Secure", "TLS_SCP", "127.0.0.1", port, tls=certificates.tls(with_client=False))
        with pytest.raises(PeerError):
            echo(server, "ADIT")


@contextmanager
def a_refusal_behind_the_handshake(certificates: Certificates) -> Iterator[int]:
    """With TLS 1.3 a client has ended its handshake before it hears that its certificate is missing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(*certificates.server)
    context.load_verify_locations(certificates.authority.file)
    context.verify_mode = ssl.CERT_REQUIRED
    has_been_read = threading.Event()

    def refuse() -> None:
        sock, _ = listener.accept()
        with context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False) as secured:
            with suppress(ssl.SSLError):
                secured.do_handshake()
            has_been_read.wait(60)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=refuse)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            has_been_read.set()
            thread.join()


def test_a_server_that_misses_our_certificate_with_tls_1_3_is_told_as_trouble_with_tls(
    certificates: Certificates,
) -> None:
    with a_refusal_behind_the_handshake(certificates) as port:
        server = Server("Secure", "TLS_SCP", "127.0.0.1", port, tls=certificates.tls(with_client=False))
        with pytest.raises(Unsupported, match="TLS"):
            echo(server, "ADIT")


def test_missing_certificate_files_are_named_as_the_trouble(certificates: Certificates) -> None:
    server = Server("Secure", "TLS_SCP", "127.0.0.1", free_port(), tls=Tls("/nowhere/ca.pem"))
    with pytest.raises(Unsupported, match="TLS files"):
        echo(server, "ADIT")
