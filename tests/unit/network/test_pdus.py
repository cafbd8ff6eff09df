"""PDUs are cut as any peer takes them, and put together however a network cuts them."""

import hashlib
import socket
import threading
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom.mapping import give_back
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
