"""Command sets are those of pynetdicom, byte for byte, and nothing that a peer sends is taken for one by mistake."""

import struct
from contextlib import suppress
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.dimse_messages import C_ECHO_RQ, C_FIND_RQ, C_GET_RQ, C_GET_RSP, C_MOVE_RQ, C_STORE_RQ, C_STORE_RSP
from pynetdicom.dimse_primitives import C_ECHO, C_FIND, C_GET, C_MOVE, C_STORE

from dicom.network.commands import Message, decoded, encoded
from models.domain.errors import PeerLied

CT, MODEL = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.2.2.3"


def a_store(uid: str = "1.2.3.45") -> C_STORE:
    message = C_STORE()
    message.MessageID, message.Priority = 7, 0
    message.AffectedSOPClassUID, message.AffectedSOPInstanceUID = CT, uid
    message.DataSet = BytesIO()
    return message


def a_stored() -> C_STORE:
    message = C_STORE()
    message.MessageIDBeingRespondedTo = 7
    message.AffectedSOPClassUID, message.AffectedSOPInstanceUID, message.Status = CT, "1.2.3.4", 0
    return message


def a_get() -> C_GET:
    message = C_GET()
    message.MessageID, message.Priority, message.AffectedSOPClassUID = 1, 0, MODEL
    message.Identifier = BytesIO(b"x")
    return message


def a_got() -> C_GET:
    message = C_GET()
    message.MessageIDBeingRespondedTo, message.AffectedSOPClassUID, message.Status = 1, MODEL, 0xB000
    message.NumberOfCompletedSuboperations, message.NumberOfFailedSuboperations = 3, 2
    message.NumberOfWarningSuboperations = 0
    return message


def a_find() -> C_FIND:
    message = C_FIND()
    message.MessageID, message.Priority, message.AffectedSOPClassUID = 65535, 2, MODEL
    message.Identifier = BytesIO(b"x")
    return message


def a_move() -> C_MOVE:
    message = C_MOVE()
    message.MessageID, message.Priority, message.AffectedSOPClassUID = 1, 0, MODEL
    message.MoveDestination, message.Identifier = "ADIT", BytesIO(b"x")
    return message


def an_echo() -> C_ECHO:
    message = C_ECHO()
    message.MessageID, message.AffectedSOPClassUID = 1, "1.2.840.10008.1.1"
    return message


MESSAGES = {
    C_STORE_RQ: a_store,
    C_STORE_RSP: a_stored,
    C_GET_RQ: a_get,
    C_GET_RSP: a_got,
    C_FIND_RQ: a_find,
    C_MOVE_RQ: a_move,
    C_ECHO_RQ: an_echo,
}


def by_pynetdicom(kind: type, message: Message) -> bytes:
    other = kind()
    other.primitive_to_message(message)
    values = [value for fragment in other.encode_msg(1, 16382) for _, value in fragment.presentation_data_value_list]
    return b"".join(value[1:] for value in values if value[0] & 1)


@pytest.mark.parametrize("kind", MESSAGES)
def test_a_command_set_is_that_of_pynetdicom(kind: type) -> None:
    message = MESSAGES[kind]()
    assert encoded(message) == by_pynetdicom(kind, message)


@pytest.mark.parametrize("kind", MESSAGES)
def test_what_was_written_is_read_again(kind: type) -> None:
    message = MESSAGES[kind]()
    found, follows = decoded(encoded(message))
    assert type(found) is type(message)
    assert follows is (message.Status is None and not isinstance(message, C_ECHO))
    for name in ("MessageID", "AffectedSOPClassUID", "AffectedSOPInstanceUID", "Status", "Priority"):
        assert getattr(found, name, None) == getattr(message, name, None)


def test_counts_of_sub_operations_are_read() -> None:
    found, _ = decoded(encoded(a_got()))
    assert isinstance(found, C_GET)
    assert (found.NumberOfCompletedSuboperations, found.NumberOfFailedSuboperations) == (3, 2)


def test_a_response_with_a_data_set_says_so() -> None:
    command = encoded(a_got()).replace(
        struct.pack("<HHIH", 0, 0x0800, 2, 0x0101), struct.pack("<HHIH", 0, 0x0800, 2, 1)
    )
    assert decoded(command)[1]


@pytest.mark.parametrize(
    "command",
    [
        b"",
        b"\0",
        encoded(a_store())[:-3],
        encoded(a_store()) + b"\0\0\0",
        encoded(a_store()).replace(struct.pack("<HHIH", 0, 0x0100, 2, 1), struct.pack("<HHIH", 0, 0x0100, 2, 0x0140)),
        encoded(a_stored()).replace(struct.pack("<HHIH", 0, 0x0100, 2, 0x8001), struct.pack("<HHIH", 0, 0x0100, 2, 1)),
        encoded(a_store()).replace(struct.pack("<HHI", 0, 0x0110, 2), struct.pack("<HHI", 0, 0x0110, 4)),
    ],
)
def test_what_is_no_command_set_is_a_lie(command: bytes) -> None:
    with pytest.raises(PeerLied) as caught:
        decoded(command)
    assert "1.2.3" not in str(caught.value)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_a_message_or_a_lie(command: bytes) -> None:
    with suppress(PeerLied):
        decoded(command)


@given(st.integers(0, 150), st.binary(min_size=1, max_size=8))
def test_a_damaged_command_set_is_a_message_or_a_lie(position: int, damage: bytes) -> None:
    command = bytearray(encoded(a_store("1.2.826.0.1.3680043.8.498.11")))
    command[position : position + len(damage)] = damage
    with suppress(PeerLied):
        decoded(command)
