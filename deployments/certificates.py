"""Certificates for TLS at the reverse proxy: one of our own until the hospital's authority has signed another."""

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from models.domain.errors import BadRequest, reason_of

_HOST_NAME = re.compile(r"(\*\.)?[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*")
_LONGEST_NAME = 253
_BEGINS_EARLIER = timedelta(hours=1)
"""The clocks of browsers may be slow."""


def write_self_signed(hosts: Sequence[str], days: int, certificate: Path, key: Path, replaces: bool = False) -> None:
    """Write a certificate for names and addresses, signed by its own key, and the key; both for this user only.

    Raises BadRequest when a file is there already and is not to be replaced.
    """
    if not hosts:
        raise BadRequest("Name at least one host.")
    if not replaces and (there := [str(path) for path in (certificate, key) if path.exists()]):
        raise BadRequest(f"There already: {', '.join(there)}. Replace with --force.")
    private = ec.generate_private_key(ec.SECP256R1())
    signed = _unsigned(hosts, days, private).sign(private, hashes.SHA256())
    _write(key, private.private_bytes(*_PEM_KEY))
    _write(certificate, signed.public_bytes(serialization.Encoding.PEM))


def write_chain(files: Sequence[Path], chain: Path) -> None:
    """Write the certificates of a server and of those who signed it into one file, in the order servers send them.

    Raises BadRequest when one is not signed by the next.
    """
    certificates = [certificate for path in files for certificate in _certificates(path)]
    for issued, issuer in pairwise(certificates):
        try:
            issued.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature) as exc:
            subject, signer = issued.subject.rfc4514_string(), issuer.subject.rfc4514_string()
            raise BadRequest(
                f"{subject} is not signed by {signer}. Name the server's first, then who signed it."
            ) from exc
    _write(chain, b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates))


_PEM_KEY = (
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
)


def _unsigned(hosts: Sequence[str], days: int, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    """Who it is for stands in the alternative names: browsers look nowhere else (RFC 9525)."""
    names = [_name(host) for host in hosts]
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0][:64])])
    now = datetime.now(UTC)
    usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
    return (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - _BEGINS_EARLIER)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(host: str) -> x509.GeneralName:
    with suppress(ValueError):
        return x509.IPAddress(ip_address(host))
    if len(host) > _LONGEST_NAME or not _HOST_NAME.fullmatch(host):
        raise BadRequest(f"{host!r} is no host name. Write names with other letters in their ASCII form.")
    return x509.DNSName(host)


def _certificates(path: Path) -> Sequence[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as exc:
        raise BadRequest(f"{path} cannot be read as certificates in PEM.") from exc


def _write(path: Path, content: bytes) -> None:
    """Write for this user only, also where there was a file that others could read."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            path.unlink()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except OSError as exc:
        raise BadRequest(f"{path} cannot be written: {reason_of(exc)}.") from exc
