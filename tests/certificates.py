"""Certificates for tests: an authority that signs what servers and clients show."""

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from models.domain.nodes import Tls

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


def new_certificates(directory: Path) -> Certificates:
    """A hospital's authority with a server and a client, and a stranger's authority."""
    authority, stranger = Authority(directory, "hospital"), Authority(directory, "stranger")
    return Certificates(authority, stranger, authority.issue("pacs"), authority.issue("adit"))
