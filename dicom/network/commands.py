"""DIMSE messages (PS3.7), and their command sets as bytes: elements of group 0000 in Implicit VR Little Endian.

pynetdicom's own classes and encoder take half a millisecond for each message, more than all else that is done for an
instance of half a megabyte.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from models.domain.errors import PeerLied

LARGEST_BYTES = 1 << 16
"""Of a command set; those of the standard have a few hundred bytes."""
_RESPONSE = 0x8000
_NO_DATA_SET, _DATA_SET = 0x0101, 0x0001
_UID = re.compile(rb"[0-9.]{1,64}")
_HEAD = struct.Struct("<HHI")
_NUMBER = struct.Struct("<H")
_CLASS, _FIELD, _NUMBER_OF_REQUEST, _NUMBER_ANSWERED = 0x0002, 0x0100, 0x0110, 0x0120
_DESTINATION, _PRIORITY, _DATA_SET_TYPE, _STATUS, _INSTANCE = 0x0600, 0x0700, 0x0800, 0x0900, 0x1000
_COMPLETED, _FAILED, _WARNING = 0x1021, 0x1022, 0x1023
_MEDIUM = 0


class Operation(Enum):
    """A service, by the command field of its request (PS3.7 table E.1-1); ``OTHER`` is any that we do not know."""

    OTHER = 0x0000
    STORE = 0x0001
    GET = 0x0010
    FIND = 0x0020
    MOVE = 0x0021
    ECHO = 0x0030
    CANCEL = 0x0FFF

    @classmethod
    def _missing_(cls, value: object) -> "Operation":
        return cls.OTHER

    @property
    def word(self) -> str:
        """As people write it."""
        return f"C-{self.name}"


_WITH_PRIORITY = frozenset({Operation.STORE, Operation.GET, Operation.FIND, Operation.MOVE})


@dataclass(slots=True)
class Message:
    """A request, or with a ``status`` a response. ``number`` is that of the request, in its response as well.

    ``data_set`` is what belongs to a message that was received. The counts are of sub-operations, None where the
    server does not tell. ``other_field`` is the command field of a request whose operation we do not know.
    """

    operation: Operation
    sop_class_uid: str = ""
    sop_uid: str = ""
    number: int = 0
    status: int | None = None
    destination: str = ""
    completed_count: int | None = None
    failed_count: int | None = None
    warning_count: int | None = None
    data_set: memoryview | None = None
    other_field: int = 0

    def answer(self, status: int) -> "Message":
        """The response to this request."""
        return Message(
            self.operation, self.sop_class_uid, self.sop_uid, self.number, status, other_field=self.other_field
        )


def encoded(message: Message, has_data_set: bool) -> bytes:
    """The command set of a message behind which a data set follows or not."""
    is_response = message.status is not None
    body = b"".join(_head(tag, value) for tag, value in _elements(message, is_response, has_data_set))
    return _head(0, struct.pack("<I", len(body))) + body


def decoded(command: bytes) -> tuple[Message, bool]:
    """The message without its data set, and whether one follows; raises PeerLied when it is none."""
    try:
        values = dict(_read(command))
        field = _as_number(values[_FIELD])
        is_response = bool(field & _RESPONSE)
        operation = Operation(field & ~_RESPONSE)
        message = Message(
            operation=operation,
            sop_class_uid=as_uid(values.get(_CLASS, b"")),
            sop_uid=as_uid(values.get(_INSTANCE, b"")),
            number=_as_number(values[_number_element(operation, is_response)]),
            status=_as_number(values[_STATUS]) if is_response else None,
            completed_count=_as_count(values.get(_COMPLETED)),
            failed_count=_as_count(values.get(_FAILED)),
            warning_count=_as_count(values.get(_WARNING)),
            other_field=field & ~_RESPONSE if operation is Operation.OTHER else 0,
        )
        return message, _as_number(values[_DATA_SET_TYPE]) != _NO_DATA_SET
    except (struct.error, KeyError, ValueError) as exc:
        raise PeerLied("The server sent a message that cannot be understood.") from exc


def _elements(message: Message, is_response: bool, has_data_set: bool) -> Iterator[tuple[int, bytes]]:
    """In the order of tags, those that have something to say."""
    if message.sop_class_uid:
        yield _CLASS, _uid(message.sop_class_uid)
    field = message.other_field or message.operation.value
    yield _FIELD, _NUMBER.pack(field | (_RESPONSE if is_response else 0))
    yield _number_element(message.operation, is_response), _NUMBER.pack(message.number)
    if message.destination:
        yield _DESTINATION, _even(message.destination.strip().encode("ascii"), b" ")
    if message.operation in _WITH_PRIORITY and not is_response:
        yield _PRIORITY, _NUMBER.pack(_MEDIUM)
    yield _DATA_SET_TYPE, _NUMBER.pack(_DATA_SET if has_data_set else _NO_DATA_SET)
    if message.status is not None:
        yield _STATUS, _NUMBER.pack(message.status)
    if message.sop_uid:
        yield _INSTANCE, _uid(message.sop_uid)


def _number_element(operation: Operation, is_response: bool) -> int:
    """Where the number of the request stands: a C-CANCEL, too, names that of another message."""
    return _NUMBER_ANSWERED if is_response or operation is Operation.CANCEL else _NUMBER_OF_REQUEST


def _read(command: bytes) -> Iterator[tuple[int, bytes]]:
    """Element number and value of each element of group 0000; raises struct.error where lengths do not fit."""
    position = 0
    while position < len(command):
        group, element, length = _HEAD.unpack_from(command, position)
        position += 8
        if position + length > len(command):
            raise struct.error
        if group == 0:
            yield element, command[position : position + length]
        position += length


def _head(element: int, value: bytes) -> bytes:
    return _HEAD.pack(0, element, len(value)) + value


def _uid(uid: str) -> bytes:
    return _even(uid.encode("ascii"), b"\0")


def _even(value: bytes, padding: bytes) -> bytes:
    return value + padding * (len(value) % 2)


def as_uid(value: bytes) -> str:
    """Return a UID as text, empty for what is none: what becomes of it is for those to say who know what it names."""
    uid = value.rstrip(b"\0 ")
    return uid.decode("ascii") if _UID.fullmatch(uid) else ""


def _as_count(value: bytes | None) -> int | None:
    return None if not value else _as_number(value)


def _as_number(value: bytes) -> int:
    (number,) = _NUMBER.unpack(value)
    return number
