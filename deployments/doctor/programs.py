"""Looks at our own programs: dispatcher, receiver and web pages; whether they live, and answer where they should."""

import socket
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

import httpx
from cryptography import x509

from deployments import ports
from deployments.doctor.environment import LOOPBACK
from deployments.doctor.findings import Finding, Installation, ok, problem, warning
from dicom.network import choose, echo
from models.db.signs import Sign
from models.domain.errors import AditError, AssociationRejected
from models.domain.nodes import Server, Timeouts
from models.settings import Settings

HEARD_WITHIN = timedelta(seconds=45)
"""Programs give a sign every ten seconds."""
SOON = timedelta(days=30)
"""A certificate that ends so soon is worth a word."""
_TIMEOUT_S = 5.0
_PATIENCE = Timeouts(*(timedelta(seconds=s) for s in (3, 5, 5, 5)))
_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def dispatcher(here: Installation) -> Iterator[Finding]:
    """Look whether a dispatcher lives, on whatever machine."""
    alive = _alive(here, "dispatcher")
    if alive:
        yield ok("Dispatcher", f"Heard of from {_machines(alive)}.")
    else:
        words = f"No dispatcher was heard of{_last(here, 'dispatcher')}: no job begins and no mail is sent."
        yield problem("Dispatcher", words, "Start adit up, or adit dispatch, and look into its log.")


def versions(here: Installation) -> Iterator[Finding]:
    """Look whether programs of other versions work on the same database."""
    ours = version("adit")
    others = [sign for sign in here.signs if sign.version != ours and _is_alive(here, sign)]
    for sign in others:
        words = f"The {sign.program} of {sign.machine} is of version {sign.version}, and this program of {ours}."
        yield warning("Versions", words, "Install the same version on all machines, and start it again there.")


def receiver(here: Installation) -> Iterator[Finding]:
    """Look whether our receiver listens on this machine and answers a C-ECHO; or lives elsewhere."""
    settings = here.settings
    elsewhere = [sign for sign in _alive(here, "receiver") if sign.machine != socket.gethostname()]
    if not ports.is_listening(settings.receiver_port):
        if elsewhere:
            yield ok("Receiver", f"None on this machine; heard of from {_machines(elsewhere)}.")
            return
        words = f"Nothing listens on port {settings.receiver_port}, so C-MOVE brings nothing."
        remedy = "Start adit up, or adit receiver, and look into its log."
        is_needed = any(choose.needs_receiver(server) for server in here.servers)
        yield (problem if is_needed else warning)("Receiver", words, remedy)
        return
    yield _echoed(settings, [server.ae_title for server in here.servers])


def web(here: Installation) -> Iterator[Finding]:
    """Look whether our pages answer on their port of this machine, or live elsewhere."""
    settings = here.settings
    host = _EVERY_ADDRESS.get(settings.web_host, settings.web_host)
    told = _asked(str(httpx.URL(scheme="http", host=host, port=settings.web_port, path="/health")))
    if told == {"status": "ok"}:
        yield ok("Web pages", f"They answer on port {settings.web_port}.")
    elif told is not None:
        words = f"Something else answers on port {settings.web_port}."
        yield problem(
            "Web pages", words, "End that program, or choose another ADIT_WEB_PORT, and start adit web again."
        )
    elif elsewhere := [sign for sign in _alive(here, "web") if sign.machine != socket.gethostname()]:
        yield ok("Web pages", f"None on this machine; heard of from {_machines(elsewhere)}.")
    else:
        words = f"Nothing answers on port {settings.web_port}."
        yield problem("Web pages", words, "Start adit up, or adit web, and look into its log.")


def address(here: Installation) -> Iterator[Finding]:
    """Look whether the pages are reached by the address that stands in mails, and how long its certificate lasts."""
    url = httpx.URL(here.settings.web_url)
    if url.host in LOOPBACK and url.port == here.settings.web_port:
        return  # that is where the pages were looked for
    if url.scheme == "https":
        yield from _certificate(url.host, url.port or 443)
    try:
        told = _asked(f"{here.settings.web_url}/health")
    except ssl.SSLCertVerificationError as error:
        words = f"This machine does not trust the certificate of {here.settings.web_url} ({error.verify_message})."
        remedy = (
            "If browsers trust it, have this machine trust its authority, too (update-ca-certificates); "
            "else correct the certificate and its chain in the reverse proxy."
        )
        yield warning("Address", words, remedy)
        return
    if told == {"status": "ok"}:
        yield ok("Address", f"The pages are reached by {here.settings.web_url}.")
    else:
        words = f"The pages are not reached by {here.settings.web_url} from this machine, and links in mails begin so."
        remedy = "Compare ADIT_WEB_URL with the name of the reverse proxy, and look whether it runs and passes us on."
        yield warning("Address", words, remedy)


def expiry(what: str, certificate: x509.Certificate, renewal: str) -> Finding:
    """The finding of how long a certificate lasts."""
    end, now = certificate.not_valid_after_utc, datetime.now(UTC)
    if end <= now:
        return problem(what, f"Its certificate has ended on {end:%Y-%m-%d}.", renewal)
    if certificate.not_valid_before_utc > now:
        begin = certificate.not_valid_before_utc
        return problem(what, f"Its certificate does not count before {begin:%Y-%m-%d %H:%M} UTC.", renewal)
    if end <= now + SOON:
        return warning(what, f"Its certificate ends on {end:%Y-%m-%d}.", renewal)
    return ok(what, f"Its certificate lasts until {end:%Y-%m-%d}.")


def _certificate(host: str, port: int) -> Iterator[Finding]:
    """Look at the certificate that browsers are shown, whoever has signed it."""
    lax = ssl.create_default_context()
    lax.check_hostname, lax.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), _TIMEOUT_S) as plain,
            lax.wrap_socket(plain, server_hostname=host) as secured,
        ):
            shown = secured.getpeercert(binary_form=True)
    except OSError:
        return
    if shown:
        renewal = "Have it renewed, and start the reverse proxy again, or make it read its certificate."
        yield expiry("Certificate of the pages", x509.load_der_x509_certificate(shown), renewal)


def _echoed(settings: Settings, callers: Sequence[str]) -> Finding:
    """What our receiver says to a server that it knows; it talks to nobody else."""
    where = f"port {settings.receiver_port}"
    host = _EVERY_ADDRESS.get(settings.receiver_host, settings.receiver_host)
    ours = Server(name="our receiver", ae_title=settings.receiver_ae_title, host=host, port=settings.receiver_port)
    hurried = replace(ours, timeouts=_PATIENCE)
    try:
        echo.echo(hurried, callers[0] if callers else settings.calling_ae_title)
    except AssociationRejected as error:
        if not callers:
            return ok("Receiver", f"It listens on {where}; there is no server yet that it would talk to.")
        remedy = f"Look which program listens on {where} (ss -ltnp), and start adit receiver again."
        return problem("Receiver", f"What listens on {where} does not know our servers. {error.message}", remedy)
    except AditError:
        remedy = (
            "Look which program it is (ss -ltnp), end it or choose another ADIT_RECEIVER_PORT; start adit receiver."
        )
        return problem("Receiver", f"Something else listens on {where}: it does not answer a C-ECHO.", remedy)
    return ok("Receiver", f"{settings.receiver_ae_title} answers a C-ECHO on {where}.")


def _asked(url: str) -> Any:
    """The JSON document at an address; None when there is nobody, and an empty one for whatever else is said.

    Raises SSLCertVerificationError when this machine does not trust the certificate that is shown.
    """
    trusted = ssl.create_default_context() if url.startswith("https://") else False
    try:
        return httpx.get(url, timeout=_TIMEOUT_S, trust_env=False, verify=trusted).json()
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        if (distrust := _distrust(error)) is not None:
            raise distrust from error
        return None
    except (httpx.HTTPError, ValueError):
        return {}


def _distrust(error: BaseException) -> ssl.SSLCertVerificationError | None:
    """What stands behind an error of httpx when it is about a certificate."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    return cause


def _alive(here: Installation, program: str) -> Sequence[Sign]:
    return [sign for sign in here.signs if sign.program == program and _is_alive(here, sign)]


def _is_alive(here: Installation, sign: Sign) -> bool:
    return here.db.clock() - sign.seen_at < HEARD_WITHIN


def _last(here: Installation, program: str) -> str:
    seen = [sign.seen_at for sign in here.signs if sign.program == program]
    return f" since {max(seen):%Y-%m-%d %H:%M:%S} UTC" if seen else ""


def _machines(signs: Sequence[Sign]) -> str:
    return ", ".join(sorted({sign.machine for sign in signs}))
