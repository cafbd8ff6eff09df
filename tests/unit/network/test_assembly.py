"""Messages put together from values: what is handed to the data set's target, and what is refused."""

import socket
from collections.abc import Iterator
from io import BytesIO

import pytest

from dicom.network import commands
from dicom.network.assembly import Assembly
from dicom.network.commands import Message, Operation
from dicom.network.pdus import RELEASE_REQUEST_PDU, RELEASE_RESPONSE_PDU, ConnectionEnded, PduSocket, data_pdus
from models.domain.errors import NoSpace, PeerLied

CONTEXT_ID = 5
STORE = Message(Operation.STORE, "1.2.840.10008.5.1.4.1.1.2", "1.2.3", number=7)


class Connection:
    """Our end of a connection, and the peer's."""

    def __init__(self) -> None:
        ours, self.peer = socket.socketpair()
        self.wire = PduSocket(ours)
        self.begun: list[tuple[str, int]] = []

    def send(self, message: Message, data: bytes | None, limit: int = 60) -> None:
        command = commands.encoded(message, data is not None)
        self.peer.sendall(b"".join(data_pdus(CONTEXT_ID, command, None if data is None else (data,), limit)))

    def read(self, most_bytes: int = 1 << 20) -> tuple[Message, int, BytesIO | None]:
        return Assembly("peer", self._check, self._begin, most_bytes).read(self.wire)

    def _check(self, context_id: int) -> None:
        if context_id != CONTEXT_ID:
            raise PeerLied

    def _begin(self, message: Message, context_id: int) -> BytesIO:
        self.begun.append((message.sop_uid, context_id))
        return BytesIO()


@pytest.fixture
def connection() -> Iterator[Connection]:
    found = Connection()
    yield found
    found.wire.close()
    found.peer.close()


@pytest.mark.parametrize("data", [b"", b"12", b"1234" * 1000])
def test_a_data_set_goes_to_the_target_that_was_begun_for_its_message(connection: Connection, data: bytes) -> None:
    for _ in range(2):
        connection.send(STORE, data)
        message, context_id, target = connection.read()
        assert (message.operation, message.sop_uid, message.number, context_id) == (
            Operation.STORE,
            "1.2.3",
            7,
            CONTEXT_ID,
        )
        assert target is not None
        assert target.getvalue() == data
    assert connection.begun == [("1.2.3", CONTEXT_ID)] * 2


def test_a_message_without_a_data_set_begins_none(connection: Connection) -> None:
    connection.send(Message(Operation.ECHO, "1.2.840.10008.1.1", number=1), None)
    assert connection.read()[2] is None
    assert connection.begun == []


def test_a_data_set_beyond_all_measure_is_a_lie(connection: Connection) -> None:
    connection.send(STORE, b"1" * 1000)
    connection.read(most_bytes=1000)
    connection.send(STORE, b"1" * 1002)
    with pytest.raises(PeerLied):
        connection.read(most_bytes=1000)


@pytest.mark.parametrize("size", [0, 5])
def test_a_pdu_that_holds_no_value_is_a_lie(connection: Connection, size: int) -> None:
    connection.peer.sendall(b"\x04\0" + size.to_bytes(4, "big") + bytes(size))
    with pytest.raises(PeerLied):
        connection.read()


def test_what_the_target_raises_is_raised(connection: Connection) -> None:
    class Full(BytesIO):
        def write(self, data: object, /) -> int:
            raise NoSpace

    connection.send(STORE, b"12")
    with pytest.raises(NoSpace):
        Assembly("peer", int, lambda _message, _context_id: Full()).read(connection.wire)


def test_a_release_is_agreed_to_and_ends_the_connection(connection: Connection) -> None:
    connection.peer.sendall(RELEASE_REQUEST_PDU)
    with pytest.raises(ConnectionEnded):
        connection.read()
    assert connection.peer.recv(100) == RELEASE_RESPONSE_PDU
