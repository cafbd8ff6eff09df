"""Picks the protocol by which a server is asked, from what an administrator says it can do."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dicom.network.find import DimseFinder
from dicom.network.get import GetRetriever
from dicom.network.inbox import Inbox
from dicom.network.move import MoveRetriever
from dicom.network.ports import Finder, Retriever, Sender
from dicom.network.qido import PAGE_SIZE, QidoFinder
from dicom.network.store import DimseSender
from dicom.network.stow import StowSender
from dicom.network.wado import WadoRetriever
from models.domain.errors import Unsupported
from models.domain.nodes import Server


@dataclass(frozen=True, slots=True)
class Local:
    """Our own side of every connection.

    ``check_room`` is asked whether a large instance may go on growing in ``scratch_dir``: it gets the size so far, and
    raises. C-MOVE leads to the inbox, which has limits of its own.
    """

    calling_ae_title: str
    receiver_ae_title: str
    inbox: Inbox
    scratch_dir: Path
    check_room: Callable[[int], None]


def finder(server: Server, local: Local) -> Finder:
    """Return C-FIND where the server has it, because it is many times faster than QIDO-RS; else QIDO-RS."""
    return asker(server, local.calling_ae_title)


def asker(server: Server, calling_ae_title: str, page_size: int = PAGE_SIZE) -> Finder:
    """Return the same finder for somebody who has no receiver; of QIDO-RS results it asks for so many at a time."""
    if _has_c_find(server):
        return DimseFinder(server, calling_ae_title)
    if server.has_qido:
        return QidoFinder(server, page_size)
    raise Unsupported(f"{server.name} offers neither C-FIND nor QIDO-RS. Check its protocol settings.")


def retriever(server: Server, local: Local) -> Retriever:
    """Return WADO-RS where the server has it, else C-GET, else C-MOVE, which needs our receiver.

    WADO-RS comes first because nothing has to be negotiated: every SOP class arrives as it is stored.
    """
    if server.has_wado:
        return WadoRetriever(server, local.scratch_dir, local.check_room)
    if server.has_get:
        return GetRetriever(server, local.calling_ae_title, local.scratch_dir, local.check_room)
    if server.has_move:
        if server.tls is not None:
            raise Unsupported(
                f"{server.name} would answer C-MOVE to our receiver, which has no TLS. Use another protocol."
            )
        return MoveRetriever(server, local.calling_ae_title, local.receiver_ae_title, local.inbox)
    raise Unsupported(f"{server.name} offers none of WADO-RS, C-GET and C-MOVE. Check its protocol settings.")


def negotiates_classes(server: Server) -> bool:
    """Whether SOP classes and transfer syntaxes have to be named before instances can be retrieved, as C-GET wants."""
    return server.has_get and not server.has_wado


def needs_receiver(server: Server) -> bool:
    """Whether instances can be had by C-MOVE only, for which the server sends them to our receiver."""
    return server.has_move and not (server.has_wado or server.has_get)


def sender(server: Server, local: Local) -> Sender:
    """Return C-STORE where the server has it, else STOW-RS."""
    if server.store_scp_support:
        return DimseSender(server, local.calling_ae_title)
    if server.dicomweb_stow_support and server.dicomweb_root_url:
        return StowSender(server)
    raise Unsupported(f"{server.name} takes neither C-STORE nor STOW-RS. Check its protocol settings.")


def can_find(server: Server) -> bool:
    """Whether the server can be asked what it has."""
    return server.can_be_queried


def _has_c_find(server: Server) -> bool:
    return server.study_root_find_support or server.patient_root_find_support
