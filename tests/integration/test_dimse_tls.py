"""DICOM over TLS: our side trusts nobody but the server's own CA, and shows its certificate where it is asked."""

import datetime
import ipaddress
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pynetdicom import AE, StoragePresentationContexts, evt
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from deployments.demo import studies
from dicom.network.echo import echo
from dicom.network.store import DimseSender
from dicom.part10 import split_part10
from models.domain.errors import PeerError, Unsupported
from models.domain.instances import EncodedInstance, Verdict
from models.domain.nodes import Server, Tls
from tests.peers import free_port, storescp

pytestmark = pytest.mark.usefixtures("bulk_engine")


NOW = datetime.datetime.now(datetime.UTC)


@dataclass
class Authority:
    """A certificate authority of the test, and the files it has written."""

    directory: Path
    name: str

    def __post_init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])
        self.certificate = (
            self.certificate_of(subject, subject, self.key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())
        )
        self.file = self.directory / f"{self.name}.pem"
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    @staticmethod
    def certificate_of(
        subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - datetime.timedelta(days=1))
            .not_valid_after(NOW + datetime.timedelta(days=1))
        )

    def issue(self, name: str, address: str = "127.0.0.1") -> tuple[Path, Path]:
        """Write certificate and key for a host or client."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = (
            self.certificate_of(subject, self.certificate.subject, key)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        files = self.directory / f"{name}.crt", self.directory / f"{name}.key"
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return files


@dataclass
class Certificates:
    authority: Authority
    stranger: Authority
    server: tuple[Path, Path]
    client: tuple[Path, Path]

    def tls(self, authority: Authority | None = None, with_client: bool = True) -> Tls:
        certificate, key = map(str, self.client) if with_client else ("", "")
        return Tls(str((authority or self.authority).file), certificate, key)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    directory = tmp_path_factory.mktemp("pki")
    authority, stranger = Authority(directory, "hospital"), Authority(directory, "stranger")
    return Certificates(authority, stranger, authority.issue("pacs"), authority.issue("adit"))


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


def test_missing_certificate_files_are_named_as_the_trouble(certificates: Certificates) -> None:
    server = Server("Secure", "TLS_SCP", "127.0.0.1", free_port(), tls=Tls("/nowhere/ca.pem"))
    with pytest.raises(Unsupported, match="TLS files"):
        echo(server, "ADIT")
