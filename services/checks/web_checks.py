"""Tests DICOMweb as a server offers it: connection, TLS, and how each service that is switched on answers."""

from collections.abc import Callable, Iterator

from dicom.network import probe
from dicom.network.probe import WebStatus
from models.domain.errors import Unsupported
from models.domain.nodes import Server
from services.checks.dimse_checks import secure
from services.checks.findings import Finding, checked
from services.node_rules import web_place


def findings(server: Server) -> Iterator[Finding]:
    """Yield what the DICOMweb services that are switched on say; nothing when there are none."""
    services = [*_web_checks(server)]
    if not services:
        return
    scheme, host, port = web_place(server)
    reached = checked("DICOMweb connection", lambda: _reach_web(host, port or 0, server))
    yield reached
    if reached.is_ok and scheme == "https":
        yield (reached := checked("DICOMweb TLS", lambda: secure(host, port or 0, server)))
    if not reached.is_ok:
        names = ", ".join(name for name, _ in services)
        yield Finding("DICOMweb", False, f"Not tried, since there is no connection: {names}.")
        return
    for name, check in services:
        yield checked(name, check)


def _web_checks(server: Server) -> Iterator[tuple[str, Callable[[], str]]]:
    if server.dicomweb_qido_support:
        yield "QIDO-RS", lambda: _query(server)
    if server.dicomweb_wado_support:
        yield "WADO-RS", lambda: _retrieve(server)
    if server.dicomweb_stow_support:
        yield "STOW-RS", lambda: _store(server)


def _reach_web(host: str, port: int, server: Server) -> str:
    probe.reach(host, port, server.timeouts.connect)
    return f"{host} takes connections on port {port}."


def _query(server: Server) -> str:
    answer = probe.query_nothing(server)
    _check_web(server, "QIDO-RS", answer)
    if not answer.is_dicom:
        raise Unsupported(
            "What answers is no DICOMweb service, perhaps a page for people to sign in. Check the root URL and prefix."
        )
    if answer.status == 404:
        raise Unsupported(
            "HTTP status 404: there is no QIDO-RS at this address. Check the root URL and the QIDO prefix."
        )
    return "It answers queries; a study that nobody has was not found."


def _retrieve(server: Server) -> str:
    answer = probe.retrieve_nothing(server)
    if answer.status == 406:
        raise Unsupported("HTTP status 406: it does not give instances as they are stored. Use C-GET or C-MOVE.")
    _check_web(server, "WADO-RS", answer)
    if answer.status in {404, 410}:
        return (
            "A study that nobody has was not found, as it should be. A wrong WADO prefix would look the same: only a "
            "transfer tells for certain."
        )
    return "It answers."


def _store(server: Server) -> str:
    answer = probe.store_nothing(server)
    if answer.status in {400, 409, 411, 415, 422}:
        return "It answers, and refuses a request without an instance, as it should."
    _check_web(server, "STOW-RS", answer)
    if answer.status == 404:
        raise Unsupported(
            "HTTP status 404: there is no STOW-RS at this address. Check the root URL and the STOW prefix."
        )
    return "It answers."


def _check_web(server: Server, service: str, answer: WebStatus) -> None:
    """Raise what to do about a status by which a service says that it cannot be used like this."""
    said = f"HTTP status {answer.status}:"
    if answer.status in {401, 403}:
        known = "the authorization header is not accepted, or does not give the right"
        missing = "it wants an authorization header, and none is set"
        raise Unsupported(f"{said} {known if server.dicomweb_authorization_header else missing}.")
    if 300 <= answer.status < 400:
        raise Unsupported(
            f"{said} it sends us to another address. Redirects are not followed: enter the final root URL."
        )
    if answer.status in {405, 501}:
        raise Unsupported(
            f"{said} there is no {service} at this address. Check the root URL and the prefix, or switch it off."
        )
    if answer.status >= 500:
        raise Unsupported(f"{said} the server, or a proxy before it, has trouble of its own. Look into its log.")
    if answer.status >= 400 and answer.status not in {404, 410}:
        raise Unsupported(f"{said} it does not understand the request. Check the root URL and the prefix.")
