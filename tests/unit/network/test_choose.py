"""The protocol of each port follows from what a server can do."""

from dataclasses import replace
from pathlib import Path

import pytest

from dicom.network import choose
from dicom.network.find import DimseFinder
from dicom.network.get import GetRetriever
from dicom.network.inbox import Inbox
from dicom.network.move import MoveRetriever
from dicom.network.qido import QidoFinder
from dicom.network.store import DimseSender
from dicom.network.stow import StowSender
from dicom.network.wado import WadoRetriever
from models.domain.errors import Unsupported
from models.domain.nodes import Server, Tls

NOTHING = Server("Archive", "A", "127.0.0.1", 104)
WEB = replace(
    NOTHING,
    dicomweb_root_url="http://127.0.0.1/web",
    dicomweb_qido_support=True,
    dicomweb_wado_support=True,
    dicomweb_stow_support=True,
)
MOVE = replace(NOTHING, study_root_find_support=True, study_root_move_support=True, store_scp_support=True)
GET = replace(MOVE, patient_root_get_support=True)
ALL = replace(
    WEB,
    patient_root_find_support=True,
    study_root_get_support=True,
    study_root_move_support=True,
    store_scp_support=True,
)


@pytest.fixture
def local(tmp_path: Path) -> choose.Local:
    return choose.Local("ADIT", "ADITRECV", Inbox(tmp_path / "inbox"), tmp_path, lambda _: None)


@pytest.mark.parametrize(
    ("server", "finder", "retriever", "sender"),
    [
        (WEB, QidoFinder, WadoRetriever, StowSender),
        (MOVE, DimseFinder, MoveRetriever, DimseSender),
        (GET, DimseFinder, GetRetriever, DimseSender),
        (ALL, DimseFinder, WadoRetriever, DimseSender),
    ],
)
def test_the_best_protocol_of_a_server_is_chosen(
    local: choose.Local, server: Server, finder: type, retriever: type, sender: type
) -> None:
    assert type(choose.finder(server, local)) is finder
    assert type(choose.retriever(server, local)) is retriever
    assert type(choose.sender(server, local)) is sender
    assert choose.can_find(server)


@pytest.mark.parametrize("server", [NOTHING, replace(WEB, dicomweb_root_url="")])
def test_a_server_without_the_protocol_is_named(local: choose.Local, server: Server) -> None:
    assert not choose.can_find(server)
    for pick in (choose.finder, choose.retriever, choose.sender):
        with pytest.raises(Unsupported, match="Archive"):
            pick(server, local)


def test_a_server_with_tls_is_never_asked_to_send_to_our_receiver_in_plain_text(local: choose.Local) -> None:
    with pytest.raises(Unsupported, match="TLS"):
        choose.retriever(replace(MOVE, tls=Tls()), local)
    assert isinstance(choose.retriever(replace(GET, tls=Tls()), local), GetRetriever)
