"""The rules of DIMSE sockets: both sides acknowledge at once, and data sets are cut into pieces any peer takes."""

import socket
import statistics
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom import evt

from dicom.network import reactor as rules
from dicom.network.contexts import service
from dicom.network.echo import VERIFICATION
from dicom.network.inbox import Inbox
from dicom.network.reactor import SOCKET_RULES, ReactorAssociation
from dicom.network.receiver import Receiver
from models.domain.nodes import Server
from tests.peers import free_port

ROUND_TRIPS = 50


class NagleEcho(threading.Thread):
    """Answers each message in two writes with Nagle's algorithm on, header and body, as DCMTK does."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.start()

    def run(self) -> None:
        peer, _ = self.listener.accept()
        with peer:
            while request := peer.recv(64):
                peer.sendall(struct.pack(">12s", request[:12]))
                peer.sendall(b"x" * 100)


@contextmanager
def connected_to_nagle() -> Iterator[socket.socket]:
    echo = NagleEcho()
    with socket.create_connection(echo.listener.getsockname()) as client:
        yield client
    echo.join(5)
    echo.listener.close()


def median_round_trip_s(client: socket.socket, *, with_rules: bool) -> float:
    wire = SimpleNamespace(dul=SimpleNamespace(socket=SimpleNamespace(socket=client)))
    event = SimpleNamespace(assoc=wire)

    def apply(kind: object) -> None:
        for bound, handler in SOCKET_RULES:
            if with_rules and bound is kind:
                handler(event)

    times: list[float] = []
    apply(evt.EVT_CONN_OPEN)
    for _ in range(ROUND_TRIPS):
        started = time.perf_counter()
        client.sendall(b"request 1234")
        apply(evt.EVT_DATA_SENT)
        missing = 112
        while missing:
            missing -= len(client.recv(missing))
            apply(evt.EVT_DATA_RECV)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="only Linux has TCP_QUICKACK")
def test_our_sockets_do_not_stall_on_a_peer_with_nagle() -> None:
    with connected_to_nagle() as client:
        without = median_round_trip_s(client, with_rules=False)
    with connected_to_nagle() as client:
        with_rules = median_round_trip_s(client, with_rules=True)
    assert with_rules < without / 5, f"{with_rules * 1000:.2f} ms against {without * 1000:.2f} ms"


def test_the_rules_hold_in_an_association(tmp_path: Path) -> None:
    port = free_port()
    receiver = Receiver("127.0.0.1", port, Inbox(tmp_path / "inbox"), lambda: ["US"])
    receiver.start()
    association = ReactorAssociation(Server("R", "RECV", "127.0.0.1", port), "US", service(VERIFICATION))
    try:
        association.open()
        wire = association._wire
        assert wire is not None
        for kind, handler in SOCKET_RULES:
            assert (handler, None) in wire.get_handlers(kind)
        sock = rules._socket_of(wire)
        assert sock is not None and sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    finally:
        association.close()
        receiver.stop()


@given(st.lists(st.binary(max_size=50), max_size=8), st.integers(8, 40))
def test_fragments_are_even_marked_and_join_to_the_data_set(parts: list[bytes], room: int) -> None:
    data = b"".join(parts)
    fragments = list(rules._fragments(parts, room))
    assert all(len(fragment) - 1 <= room and len(fragment) % 2 == 1 for fragment in fragments)
    assert [fragment[0] for fragment in fragments] == [0] * (len(fragments) - 1) + [2] * bool(fragments)
    assert b"".join(fragment[1:] for fragment in fragments) == data + b"\0" * (len(data) % 2)
