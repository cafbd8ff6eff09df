"""Tests DICOM as a server offers it: connection, TLS, C-ECHO, and each service that is switched on."""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

from dicom.network import choose, echo, probe
from dicom.network.probe import Speech
from models.domain.errors import AditError, AssociationRejected, PeerLied, TimedOut, Unreachable, Unsupported
from models.domain.nodes import Server, Tls
from models.settings import Settings
from services.checks.findings import Finding, checked

_FIND_WITHIN = timedelta(seconds=20)
_RECEIVER_WITHIN = timedelta(seconds=2)
_UNKNOWN_DESTINATION = 0xA801
_HOPELESS = (Unreachable, AssociationRejected, TimedOut)
"""After one of these from C-ECHO, no other request would fare better."""


def findings(settings: Settings, server: Server) -> Iterator[Finding]:
    """Yield what C-ECHO and the DIMSE services that are switched on say, as long as going on makes sense."""
    services = [*_dimse_checks(settings, server)]
    if not services:
        return
    names = ", ".join(name for name, _ in services)
    yield (reached := checked("Connection", lambda: _reach(server)))
    if reached.is_ok and server.tls is not None:
        yield (reached := checked("TLS", lambda: secure(server.host, server.port, server)))
    if not reached.is_ok:
        yield Finding("DICOM", False, f"Not tried, since there is no connection: C-ECHO, {names}.")
        return
    greeting = _Greeting(settings.calling_ae_title, server)
    yield checked("C-ECHO", greeting.echo)
    if greeting.is_hopeless:
        yield Finding("DICOM", False, f"Not tried, since C-ECHO has failed: {names}.")
        return
    for name, check in services:
        yield checked(name, check)
    if choose.needs_receiver(server):
        yield checked("Our receiver", lambda: _find_receiver(settings))


def secure(host: str, port: int, server: Server) -> str:
    """Say that TLS works with the server's settings; raises what is wrong."""
    probe.secure(host, port, server.tls or Tls(), server.timeouts.connect)
    return "The server's certificate is accepted, and ours where it wants one."


def _dimse_checks(settings: Settings, server: Server) -> Iterator[tuple[str, Callable[[], str]]]:
    """What is switched on, each with its check; a service with both information models is tried in both."""
    calling = settings.calling_ae_title
    for model in ("study", "patient"):
        only = _with_model(server, model)
        if getattr(server, f"{model}_root_find_support"):
            yield f"C-FIND ({model} root)", lambda only=only: _find(only, calling)
        if getattr(server, f"{model}_root_get_support"):
            yield f"C-GET ({model} root)", lambda only=only: _receive(only, calling)
        if getattr(server, f"{model}_root_move_support"):
            yield f"C-MOVE ({model} root)", lambda only=only: _move(settings, only)
    if server.store_scp_support:
        yield "C-STORE", lambda: _send(server, calling)


def _with_model(server: Server, model: str) -> Server:
    """The server as if it had one information model only."""
    other = "patient" if model == "study" else "study"
    return replace(server, **{f"{other}_root_{word}_support": False for word in ("find", "get", "move")})


class _Greeting:
    """A C-ECHO, and what it says about everything else."""

    def __init__(self, calling_ae_title: str, server: Server) -> None:
        self._calling_ae_title = calling_ae_title
        self._server = server
        self.is_hopeless = False

    def echo(self) -> str:
        """Say that the server knows us; what is raised says what to check."""
        try:
            echo.echo(self._server, self._calling_ae_title)
        except (AssociationRejected, TimedOut, PeerLied) as error:
            self.is_hopeless = True
            raise type(error)(f"{error.message} {self._advice()}") from error
        except AditError as error:
            self.is_hopeless = isinstance(error, _HOPELESS)
            raise
        return f"{self._server.ae_title} accepts us as {self._calling_ae_title}."

    def _advice(self) -> str:
        """What to check when no association comes about."""
        server = self._server
        if server.tls is None:
            match probe.speech(server.host, server.port, server.timeouts.connect):
                case Speech.TLS:
                    return f"Port {server.port} speaks TLS: switch TLS on, or enter the port without TLS."
                case Speech.HTTP:
                    return f"Port {server.port} is that of a web server: enter the DICOM port."
                case Speech.UNKNOWN:
                    pass
        return (
            f"We called {server.ae_title} and named ourselves {self._calling_ae_title}. Compare both with the AE "
            "titles in the server's configuration; it may also want to know our address."
        )


def _reach(server: Server) -> str:
    probe.reach(server.host, server.port, server.timeouts.connect)
    return f"{server.host} takes connections on port {server.port}."


def _find(server: Server, calling: str) -> str:
    with _with_advice("Check the C-FIND support in the server's conformance statement, and what it allows us."):
        probe.find_nothing(server, calling, _FIND_WITHIN)
    return "It answers queries; a study that nobody has was not found."


def _receive(server: Server, calling: str) -> str:
    with _with_advice("Check the C-GET support in the server's conformance statement, and what it allows us."):
        modalities = probe.offer_to_receive(server, calling)
    if not modalities:
        raise Unsupported(
            "It accepts C-GET, but no kind of instance that we offered to receive. Use C-MOVE or WADO-RS."
        )
    return f"It would send {', '.join(modalities)}."


def _move(settings: Settings, server: Server) -> str:
    if server.tls is not None:
        raise Unsupported("It would send to our receiver, which has no TLS. Use C-GET or WADO-RS.")
    receiver = f"our receiver {settings.receiver_ae_title}, port {settings.receiver_port}"
    with _with_advice("Check the C-MOVE support in the server's conformance statement, and what it allows us."):
        status = probe.move_nothing(
            server, settings.calling_ae_title, settings.receiver_ae_title, server.timeouts.response
        )
    if status == _UNKNOWN_DESTINATION:
        raise Unsupported(f"It does not know where to send. Enter {receiver}, with this machine's address there.")
    if status:
        return (
            f"It takes C-MOVE requests. To one for a study that nobody has it answers with status {status:04X}, so "
            f"whether it knows {receiver}, only a transfer can tell."
        )
    return f"It takes C-MOVE requests. It has to know {receiver}, with this machine's address."


def _send(server: Server, calling: str) -> str:
    with _with_advice("Check that it stores instances, and that it takes them from us."):
        taken = probe.offer_to_send(server, calling)
    refused = ", ".join(name for name in probe.MODALITIES if name not in taken)
    return f"It would take {', '.join(taken)}{', but not ' if refused else ''}{refused}."


def _find_receiver(settings: Settings) -> str:
    host = settings.receiver_host if settings.receiver_host not in {"", "0.0.0.0", "::"} else "localhost"
    try:
        probe.reach(host, settings.receiver_port, _RECEIVER_WITHIN)
    except Unreachable as error:
        raise Unreachable(
            f"Nothing listens on port {settings.receiver_port} of this machine. C-MOVE needs adit up, or adit "
            "receiver, on each machine with workers."
        ) from error
    return f"It listens on port {settings.receiver_port} of this machine."


@contextmanager
def _with_advice(advice: str) -> Generator[None]:
    """Let an error say what to do about it."""
    try:
        yield
    except AditError as error:
        raise type(error)(f"{error.message} {advice}") from error
