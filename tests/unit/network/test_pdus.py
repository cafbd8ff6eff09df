"""PDUs are cut as any peer takes them, and put together however a network cuts them."""

import hashlib
import socket
import threading
import tracemalloc
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom.mapping import give_back
from dicom.network import pdus
from dicom.network.pdus import ConnectionEnded, PduSocket, data_pdus
from tests.resident import MOST_BYTES, a_mapped_file, resident_bytes

PARTS = st.lists(st.binary(max_size=90), max_size=6)


def test_an_abort_does_not_wait_for_a_peer_that_reads_nothing(a_pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = a_pair
    ours.settimeout(0.1)
    with theirs:
        with pytest.raises(TimeoutError):
            while True:
                ours.send(bytes(65_536))
        ours.settimeout(600)
        PduSocket(ours).abort()  # with its time-out the test would not end
        ours.close()


def values_of(stream: bytes) -> list[tuple[int, bytes]]:
    """Control header and content of each presentation data value, with what PS3.8 says of their lengths checked."""
    found: list[tuple[int, bytes]] = []
    position = 0
    while position < len(stream):
        assert stream[position] == 4
        length = int.from_bytes(stream[position + 2 : position + 6], "big")
        value_length = int.from_bytes(stream[position + 6 : position + 10], "big")
        assert value_length == length - 4
        assert stream[position + 10] == 7
        found.append((stream[position + 11], stream[position + 12 : position + 6 + length]))
        position += 6 + length
    assert position == len(stream)
    return found


@given(
    PARTS, st.integers(16, 64), st.binary(min_size=2, max_size=80).map(lambda value: value + b"\0" * (len(value) % 2))
)
def test_a_message_is_cut_into_even_marked_pieces_that_join_to_it(
    parts: list[bytes], limit: int, command: bytes
) -> None:
    values = values_of(b"".join(data_pdus(7, command, parts, limit)))
    assert all(len(content) <= limit - 6 and len(content) % 2 == 0 for _, content in values)
    commands = [content for control, content in values if control & 1]
    data = [content for control, content in values if not control & 1]
    assert b"".join(commands) == command
    joined = b"".join(parts)
    assert b"".join(data) == joined + b"\0" * (len(joined) % 2)
    assert [control for control, _ in values] == [1] * (len(commands) - 1) + [3] + [0] * (len(data) - 1) + [2]


def test_a_message_without_a_data_set_ends_with_its_command() -> None:
    assert values_of(b"".join(data_pdus(7, b"abcd", None, 100))) == [(3, b"abcd")]


@pytest.fixture
def a_pair() -> tuple[socket.socket, socket.socket]:
    one, other = socket.socketpair()
    for each in (one, other):
        each.settimeout(10)
    return one, other


def test_large_buffers_are_sent_whole_to_a_slow_reader(a_pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = a_pair
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    sent = [bytes([number % 251]) * (number * 997 % 70_000) for number in range(1200)]
    received = bytearray()

    def read() -> None:
        while piece := theirs.recv(8191):
            received.extend(piece)

    reader = threading.Thread(target=read)
    reader.start()
    PduSocket(ours).write(sent)
    ours.close()
    reader.join(60)
    theirs.close()
    assert received == b"".join(sent)


def test_a_mapped_file_is_never_in_memory_whole_while_it_is_sent(
    a_pair: tuple[socket.socket, socket.socket], tmp_path: Path
) -> None:
    ours, theirs = a_pair
    content = a_mapped_file(tmp_path)
    digest = hashlib.sha256(content)
    give_back((content,))
    before = most = resident_bytes()
    received = hashlib.sha256()

    def read() -> None:
        nonlocal most
        while piece := theirs.recv(1 << 20):
            received.update(piece)
            most = max(most, resident_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    PduSocket(ours).write(content[begin : begin + 100_000] for begin in range(0, len(content), 100_000))
    ours.close()
    reader.join(60)
    theirs.close()
    assert received.digest() == digest.digest()
    assert most - before < MOST_BYTES


@given(st.lists(st.integers(1, 4000), min_size=1, max_size=40))
def test_what_arrives_in_any_pieces_is_read_in_any_pieces(cuts: list[int]) -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(10)
    content = bytes(range(256)) * 60
    with ours, theirs:
        wire = PduSocket(ours)
        position = 0
        target = BytesIO()
        for cut in cuts:
            theirs.sendall(content[position : position + cut])
            wire.pass_on(len(content[position : position + cut]), target)
            position = min(position + cut, len(content))
        assert target.getvalue() == content[:position]


def test_an_end_in_the_middle_is_noticed(a_pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = a_pair
    theirs.sendall(b"\4\0\0")
    theirs.close()
    with pytest.raises(ConnectionEnded):
        PduSocket(ours).head()
    ours.close()


class Clock:
    """What PduSocket takes for the time: each look at it is so many seconds after the one before."""

    def __init__(self, step_s: float) -> None:
        self.step_s = step_s
        self._now_s = 0.0

    def monotonic(self) -> float:
        self._now_s += self.step_s
        return self._now_s


@pytest.fixture
def a_wire(
    a_pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[PduSocket, socket.socket, Clock]]:
    """A connection whose end of ours waits ten seconds for all that comes, and the peer's end."""
    ours, theirs = a_pair
    clock = Clock(10.0)
    monkeypatch.setattr(pdus, "time", clock)
    with ours, theirs:
        yield PduSocket(ours), theirs, clock


def reads(wire: PduSocket, theirs: socket.socket, size: int, count: int = 1) -> None:
    """Send and read so many bytes, so many times."""
    for _ in range(count):
        theirs.sendall(bytes(size))
        wire.body(size)


def test_a_peer_that_trickles_within_a_message_is_given_up(a_wire: tuple[PduSocket, socket.socket, Clock]) -> None:
    wire, theirs, _ = a_wire
    wire.begin_message(60)
    reads(wire, theirs, 1, 6)
    with pytest.raises(TimeoutError):
        reads(wire, theirs, 1)


def test_the_first_byte_is_waited_for_as_long_as_the_socket_says(
    a_wire: tuple[PduSocket, socket.socket, Clock],
) -> None:
    wire, theirs, clock = a_wire
    wire.socket.settimeout(600)
    clock.step_s = 500
    wire.begin_message(60)
    assert wire.socket.gettimeout() == 600
    reads(wire, theirs, 1)
    assert wire.socket.gettimeout() == 60
    with pytest.raises(TimeoutError):
        reads(wire, theirs, 1)


def test_a_message_that_has_begun_to_arrive_is_paced_at_once(a_wire: tuple[PduSocket, socket.socket, Clock]) -> None:
    wire, theirs, _ = a_wire
    theirs.sendall(b"12")
    wire.body(1)
    wire.begin_message(10)
    assert wire.socket.gettimeout() == 10
    wire.body(1)
    with pytest.raises(TimeoutError):
        reads(wire, theirs, 1)


def test_a_slow_peer_that_sends_enough_is_never_given_up(a_wire: tuple[PduSocket, socket.socket, Clock]) -> None:
    wire, theirs, _ = a_wire
    wire.begin_message(60)
    reads(wire, theirs, 16 << 10, 100)


def test_each_message_has_a_pace_of_its_own(a_wire: tuple[PduSocket, socket.socket, Clock]) -> None:
    wire, theirs, _ = a_wire
    for _ in range(10):
        wire.begin_message(60)
        reads(wire, theirs, 1, 5)


def test_without_a_pace_only_the_socket_s_time_out_counts(a_wire: tuple[PduSocket, socket.socket, Clock]) -> None:
    wire, theirs, _ = a_wire
    reads(wire, theirs, 1, 100)


def test_a_connection_that_never_says_anything_costs_no_buffer(a_pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = a_pair
    with ours, theirs:
        tracemalloc.start()
        wires = [PduSocket(ours) for _ in range(10)]
        costs, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(wires) == 10
        assert costs < 100_000
