"""Tries what a server can do, without reading, moving or storing anything of a patient.

Whatever is asked for has a UID that was made up a moment ago, so nobody has it.
"""

import errno
import http.client
import socket
import ssl
import uuid
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from enum import StrEnum
from threading import Timer
from typing import Any, NamedTuple

from dicom.network import get, move
from dicom.network import identifiers as ids
from dicom.network.association import Association, tls_context
from dicom.network.commands import Message, Operation
from dicom.network.contexts import EXPLICIT_LITTLE, IMPLICIT_LITTLE, Context, Proposal, retrieval, service, storage
from dicom.network.dicom_json import parse_items
from dicom.network.direct import association_kind
from dicom.network.find import DimseFinder
from dicom.network.identifiers import encode
from dicom.network.ports import Port
from dicom.network.status import is_pending
from dicom.network.web import WebConnection
from models.domain.errors import Canceled, PeerLied, TimedOut, Unreachable, Unsupported
from models.domain.nodes import Server, Tls
from models.domain.refs import Level, Selection, StudyQuery, StudyRef

MODALITIES = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "CR": "1.2.840.10008.5.1.4.1.1.1",
    "DX": "1.2.840.10008.5.1.4.1.1.1.1",
    "US": "1.2.840.10008.5.1.4.1.1.6.1",
    "PT": "1.2.840.10008.5.1.4.1.1.128",
    "SC": "1.2.840.10008.5.1.4.1.1.7",
    "SR": "1.2.840.10008.5.1.4.1.1.88.22",
}
"""Frequent kinds of instances and their storage SOP classes (PS3.4 table B.5-1)."""
_PATIENT_ID = "ADIT-TEST"
_ANSWER_LIMIT_BYTES = 1 << 20
_ROUTES = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN})


class Speech(StrEnum):
    """What a port speaks that does not answer as DICOM without TLS."""

    TLS = "TLS"
    HTTP = "HTTP"
    UNKNOWN = "unknown"


class WebStatus(NamedTuple):
    """How a DICOMweb service answered: the HTTP status, and whether a success had the form of such an answer."""

    status: int
    is_dicom: bool = True


def reach(host: str, port: int, patience: timedelta) -> None:
    """Return when something takes connections there; raises Unreachable with what is known about why not."""
    _connected(host, port, patience).close()


def secure(host: str, port: int, tls: Tls, patience: timedelta) -> None:
    """Return when a TLS connection can be made; raises Unsupported with what is wrong with files or certificates."""
    try:
        context = tls_context(tls)
    except OSError as exc:
        raise Unsupported("The TLS files cannot be read, or are none. Check their paths and permissions.") from exc
    try:
        with (
            _connected(host, port, patience) as plain,
            context.wrap_socket(plain, server_hostname=host) as wrapped,
        ):
            wrapped.getpeername()
    except ssl.SSLCertVerificationError as exc:
        raise Unsupported(f"The server's certificate is not accepted: {exc.verify_message}.") from exc
    except TimeoutError as exc:
        raise TimedOut(f"No TLS connection within {_seconds(patience)}.") from exc
    except OSError as exc:
        raise Unsupported("What listens there does not agree on TLS: it may want none, or our certificate.") from exc


def speech(host: str, port: int, patience: timedelta) -> Speech:
    """What a port speaks, for one that refuses DICOM without TLS; nothing is checked, and nothing told."""
    careless = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    careless.check_hostname = False
    careless.verify_mode = ssl.CERT_NONE
    with suppress(OSError, Unreachable), _connected(host, port, patience) as plain, careless.wrap_socket(plain):
        return Speech.TLS
    with (
        suppress(OSError, http.client.HTTPException),
        closing(http.client.HTTPConnection(host, port, timeout=patience.total_seconds())) as connection,
    ):
        connection.request("OPTIONS", "/")
        connection.getresponse()
        return Speech.HTTP
    return Speech.UNKNOWN


def find_nothing(server: Server, calling_ae_title: str, patience: timedelta) -> None:
    """Return when the server answered a C-FIND for a study that nobody has.

    Raises PeerError kinds, TimedOut for one that does not come to an end: a server that does not know the key may list
    all it has.
    """
    with DimseFinder(server, calling_ae_title) as finder, _within(patience, finder):
        list(finder.find_studies(StudyQuery(study_uid=_made_up_uid(), patient_id=_PATIENT_ID)))


def offer_to_receive(server: Server, calling_ae_title: str) -> tuple[str, ...]:
    """Return the modalities whose instances a C-GET could bring; raises Unsupported when C-GET is not accepted."""
    model = get.STUDY_ROOT if server.study_root_get_support else get.PATIENT_ROOT
    modalities = frozenset(MODALITIES) - {"SC"}
    proposal = retrieval(model, Selection(StudyRef(_made_up_uid()), Level.STUDY, modalities=modalities))
    with _open(association_kind(server)(server, calling_ae_title, proposal)) as association:
        if not association.accepts_any({model}):
            raise Unsupported(f"{server.name} does not accept C-GET from us.")
        return _accepted(association)


def offer_to_send(server: Server, calling_ae_title: str) -> tuple[str, ...]:
    """Return the modalities whose instances the server would take by C-STORE; raises Unsupported when there is none."""
    pairs = (Context(uid, syntax) for uid in MODALITIES.values() for syntax in (EXPLICIT_LITTLE, IMPLICIT_LITTLE))
    with _open(association_kind(server)(server, calling_ae_title, storage(pairs))) as association:
        return _accepted(association)


def move_nothing(server: Server, calling_ae_title: str, receiver_ae_title: str, patience: timedelta) -> int:
    """Return the final status of a C-MOVE of a study that nobody has to our receiver; nothing is moved.

    Status A801 says that the server does not know the receiver (PS3.4 table C.4-2).
    """
    model = move.STUDY_ROOT if server.study_root_move_support else move.PATIENT_ROOT
    keys = {ids.STUDY_UID: _made_up_uid()} | ({ids.PATIENT_ID: _PATIENT_ID} if model == move.PATIENT_ROOT else {})
    proposal: Proposal = service(model)
    with _open(association_kind(server)(server, calling_ae_title, proposal)) as association:
        message = Message(Operation.MOVE, model, destination=receiver_ae_title)
        association.request(message, proposal.contexts[0], (encode(Level.STUDY, keys),))
        while True:
            response, _ = association.receive(patience.total_seconds())
            status = association.status_of(response)
            if not is_pending(status):
                association.rest()
                return status


def query_nothing(server: Server) -> WebStatus:
    """How QIDO-RS answers a search for a study that nobody has; raises PeerError kinds when there is no answer."""
    query = f"StudyInstanceUID={_made_up_uid()}&limit=1"
    return _ask(server, server.dicomweb_qido_prefix, "GET", "studies", {"Accept": "application/dicom+json"}, query)


def retrieve_nothing(server: Server) -> WebStatus:
    """How WADO-RS answers for a study that nobody has; raises PeerError kinds when there is no answer."""
    headers = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
    return _ask(server, server.dicomweb_wado_prefix, "GET", f"studies/{_made_up_uid()}", headers)


def store_nothing(server: Server) -> WebStatus:
    """How STOW-RS answers a request that holds no instance; raises PeerError kinds when there is no answer."""
    boundary = uuid.uuid4().hex
    headers = {
        "Accept": "application/dicom+json",
        "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
    }
    body = f"--{boundary}--\r\n".encode()
    return _ask(server, server.dicomweb_stow_prefix, "POST", "studies", headers, body=body)


def _ask(
    server: Server,
    prefix: str,
    method: str,
    path: str,
    headers: Mapping[str, str],
    query: str = "",
    body: bytes | None = None,
) -> WebStatus:
    connection = WebConnection(server, prefix, server.timeouts.response)
    length = {} if body is None else {"Content-Length": str(len(body))}
    content = None if body is None else (body,)
    with (
        closing(connection),
        connection.request(method, path, query=query, headers={**headers, **length}, content=content) as answer,
    ):
        if not query or not 200 <= answer.status < 300:
            return WebStatus(answer.status)
        try:
            parse_items(answer.read(_ANSWER_LIMIT_BYTES))
        except PeerLied:
            return WebStatus(answer.status, is_dicom=False)
        return WebStatus(answer.status)


@contextmanager
def _open(association: Association) -> Generator[Association]:
    association.open()
    try:
        yield association
    finally:
        association.close()


@contextmanager
def _within(patience: timedelta, port: Port) -> Generator[None]:
    """Break the port when the block takes longer, and raise TimedOut."""
    timer = Timer(patience.total_seconds(), port.abort)
    timer.start()
    try:
        yield
    except Canceled as exc:
        raise TimedOut(f"It did not come to an end within {_seconds(patience)}.") from exc
    finally:
        timer.cancel()
        timer.join()


def _accepted(association: Association) -> tuple[str, ...]:
    return tuple(name for name, uid in MODALITIES.items() if association.accepts_any({uid}))


def _connected(host: str, port: int, patience: timedelta) -> socket.socket:
    """A connection to the first address of the host that takes one, with the patience as its time-out."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        raise Unreachable(f"The host name {host} cannot be resolved. Check its spelling and the DNS.") from exc
    trouble = OSError()
    for family, kind, protocol, _, address in found:
        try:
            return _connected_to(socket.socket(family, kind, protocol), address, patience)
        except OSError as exc:  # no such family in this kernel, too
            trouble = exc
    raise _unreachable(host, port, patience, trouble) from trouble


def _connected_to(sock: socket.socket, address: Any, patience: timedelta) -> socket.socket:
    """The socket, connected; it is closed when that fails."""
    try:
        sock.settimeout(patience.total_seconds())
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock


def _unreachable(host: str, port: int, patience: timedelta, error: OSError) -> Unreachable:
    if isinstance(error, ConnectionRefusedError):
        return Unreachable(f"{host} refuses connections on port {port}: nothing listens there. Check the port.")
    if isinstance(error, TimeoutError):
        return Unreachable(
            f"{host} does not answer on port {port} within {_seconds(patience)}. The machine may be off, the address "
            "wrong, or a firewall in between."
        )
    if error.errno in _ROUTES:
        return Unreachable(f"There is no way to {host} from here. Check the address and the network.")
    return Unreachable(f"No connection can be made to {host} on port {port}. Check the address and the port.")


def _seconds(patience: timedelta) -> str:
    return f"{patience.total_seconds():g} s"


def _made_up_uid() -> str:
    """A UID as of PS3.5 section B.2 that nobody has seen before."""
    return f"2.25.{uuid.uuid4().int}"
