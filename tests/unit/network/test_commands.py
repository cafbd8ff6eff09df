"""Command sets are those of pynetdicom, byte for byte, and nothing that a peer sends is taken for one by mistake."""

import struct
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.dimse_messages import (
    C_CANCEL_RQ,
    C_ECHO_RQ,
    C_FIND_RQ,
    C_GET_RQ,
    C_GET_RSP,
    C_MOVE_RQ,
    C_STORE_RQ,
    C_STORE_RSP,
)
from pynetdicom.dimse_primitives import C_GET
from pynetdicom.dsutils import encode

from dicom.network.commands import Message, Operation, decoded, encoded
from dicom.network.reactor import _message, _primitive
from models.domain.errors import PeerLied

CT, MODEL = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.2.2.3"


def a_store(uid: str = "1.2.3.45") -> Message:
    return Message(Operation.STORE, CT, uid, number=7)


def a_stored() -> Message:
    return Message(Operation.STORE, CT, "1.2.3.4", number=7, status=0)


MESSAGES = {
    C_STORE_RQ: a_store(),
    C_STORE_RSP: a_stored(),
    C_GET_RQ: Message(Operation.GET, MODEL, number=1),
    C_GET_RSP: Message(Operation.GET, MODEL, number=1, status=0xB000),
    C_FIND_RQ: Message(Operation.FIND, MODEL, number=65535),
    C_MOVE_RQ: Message(Operation.MOVE, MODEL, number=1, destination="ADIT"),
    C_ECHO_RQ: Message(Operation.ECHO, "1.2.840.10008.1.1", number=1),
}


def has_data_set(message: Message) -> bool:
    return message.status is None and message.operation is not Operation.ECHO


def by_pynetdicom(kind: type, message: Message) -> bytes:
    other = kind()
    other.primitive_to_message(_primitive(message, has_data_set(message)))
    values = [value for fragment in other.encode_msg(1, 16382) for _, value in fragment.presentation_data_value_list]
    return b"".join(value[1:] for value in values if value[0] & 1)


@pytest.mark.parametrize("kind", MESSAGES)
def test_a_command_set_is_that_of_pynetdicom(kind: type) -> None:
    message = MESSAGES[kind]
    assert encoded(message, has_data_set(message)) == by_pynetdicom(kind, message)


@pytest.mark.parametrize("kind", MESSAGES)
def test_what_was_written_is_read_again(kind: type) -> None:
    message = MESSAGES[kind]
    found, follows = decoded(encoded(message, has_data_set(message)))
    assert follows is has_data_set(message)
    assert found == replace(message, destination="")  # nobody sends us C-MOVE requests


def test_a_cancel_names_the_request_that_it_ends() -> None:
    by_pynetdicom = C_CANCEL_RQ()
    by_pynetdicom.command_set.CommandGroupLength = 0
    for keyword, value in {
        "CommandField": 0x0FFF,
        "MessageIDBeingRespondedTo": 7,
        "CommandDataSetType": 0x0101,
    }.items():
        setattr(by_pynetdicom.command_set, keyword, value)
    written = encoded(Message(Operation.CANCEL, number=7), has_data_set=False)
    assert written[12:] == encode(by_pynetdicom.command_set, True, True)[12:]
    assert decoded(written) == (Message(Operation.CANCEL, number=7), False)


def test_counts_of_sub_operations_are_read() -> None:
    primitive = C_GET()
    primitive.MessageIDBeingRespondedTo, primitive.AffectedSOPClassUID, primitive.Status = 1, MODEL, 0xB000
    primitive.NumberOfCompletedSuboperations, primitive.NumberOfFailedSuboperations = 3, 2
    primitive.NumberOfWarningSuboperations = 1
    other = C_GET_RSP()
    other.primitive_to_message(primitive)
    (fragment,) = other.encode_msg(1, 16382)
    found, _ = decoded(fragment.presentation_data_value_list[0][1][1:])
    assert (found.completed_count, found.failed_count, found.warning_count) == (3, 2, 1)


def test_pynetdicoms_messages_and_ours_say_the_same() -> None:
    for message in MESSAGES.values():
        assert _message(_primitive(message, has_data_set(message))) == replace(message, destination="")


def field(command: int) -> bytes:
    return struct.pack("<HHIH", 0, 0x0100, 2, command)


@pytest.mark.parametrize(
    "command",
    [
        b"",
        b"\0",
        encoded(a_store(), True)[:-3],
        encoded(a_store(), True) + b"\0\0\0",
        encoded(a_stored(), False).replace(
            struct.pack("<HHIH", 0, 0x0100, 2, 0x8001), struct.pack("<HHIH", 0, 0x0100, 2, 1)
        ),
        encoded(a_store(), True).replace(struct.pack("<HHI", 0, 0x0110, 2), struct.pack("<HHI", 0, 0x0110, 4)),
    ],
)
def test_what_is_no_command_set_is_a_lie(command: bytes) -> None:
    with pytest.raises(PeerLied) as caught:
        decoded(command)
    assert "1.2.3" not in str(caught.value)


@pytest.mark.parametrize("number", [0x0000, 0x0002, 0x0130, 0x0140, 0x7FFF])
def test_a_request_that_we_do_not_know_can_be_answered(number: int) -> None:
    asked = Message(Operation.OTHER, CT, "1.2.3", number=7, other_field=number)
    written = encoded(asked, has_data_set=True)
    assert field(number) in written
    assert decoded(written) == (asked, True)
    answer = encoded(asked.answer(0x0211), has_data_set=False)
    assert field(number | 0x8000) in answer
    assert decoded(answer) == (replace(asked, status=0x0211), False)


def test_an_answer_names_what_was_asked() -> None:
    assert replace(a_store("1.2.3.4"), data_set=memoryview(b"12")).answer(0) == a_stored()


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_a_message_or_a_lie(command: bytes) -> None:
    with suppress(PeerLied):
        decoded(bytes(command))


@given(st.integers(0, 150), st.binary(min_size=1, max_size=8))
def test_a_damaged_command_set_is_a_message_or_a_lie(position: int, damage: bytes) -> None:
    command = bytearray(encoded(a_store("1.2.826.0.1.3680043.8.498.11"), True))
    command[position : position + len(damage)] = damage
    with suppress(PeerLied):
        decoded(bytes(command))
