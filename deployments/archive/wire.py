"""One association over a blocking socket: PDUs and DIMSE messages, without any decoded data set (PS3.7, PS3.8)."""

import contextlib
import select
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from dicom.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from models.domain.instances import Bytes

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"

_MAX_PDU_BYTES = 1 << 18
_SILENCE_S, _CONNECT_S = 600, 15
_NO_DATA_SET, _WITH_DATA_SET = 0x0101, 0x0001
_MAX_BUFFERS = 512


class WireError(Exception):
    """The association broke, or the peer does not keep to the protocol."""


class Pdu(IntEnum):
    """PS3.8 section 9.3."""

    REQUEST = 1
    ACCEPT = 2
    REJECT = 3
    DATA = 4
    RELEASE = 5
    RELEASED = 6
    ABORT = 7


class Part(IntEnum):
    """Items of an association PDU (PS3.8 section 9.3.2, PS3.7 annex D.3.3)."""

    APPLICATION_CONTEXT = 0x10
    PROPOSED = 0x20
    ANSWERED = 0x21
    ABSTRACT_SYNTAX = 0x30
    TRANSFER_SYNTAX = 0x40
    USER = 0x50
    MAX_LENGTH = 0x51
    IMPLEMENTATION_CLASS = 0x52
    ROLE = 0x54
    IMPLEMENTATION_VERSION = 0x55


class Element(IntEnum):
    """Elements of group 0000 (PS3.7 annex E)."""

    SOP_CLASS = 0x0002
    COMMAND = 0x0100
    MESSAGE_ID = 0x0110
    ANSWERED_MESSAGE_ID = 0x0120
    MOVE_DESTINATION = 0x0600
    PRIORITY = 0x0700
    DATA_SET_TYPE = 0x0800
    STATUS = 0x0900
    SOP_INSTANCE = 0x1000
    REMAINING = 0x1020
    COMPLETED = 0x1021
    FAILED = 0x1022
    WARNING = 0x1023
    ORIGINATOR_AE_TITLE = 0x1030
    ORIGINATOR_MESSAGE_ID = 0x1031


class Command(IntEnum):
    """Command Field (0000,0100) of requests; a response has bit 15 set."""

    STORE = 0x0001
    GET = 0x0010
    FIND = 0x0020
    MOVE = 0x0021
    ECHO = 0x0030
    CANCEL = 0x0FFF


RESPONSE = 0x8000

Values = Mapping[int, int | str]


@dataclass(frozen=True, slots=True)
class Message:
    """A command set with the bytes of its data set; ``data`` is empty when there is none."""

    context_id: int
    values: dict[int, int | str]
    data: bytearray = field(repr=False)

    @property
    def command(self) -> int:
        return self.number(Element.COMMAND)

    def number(self, element: Element) -> int:
        """The value of a numeric element of the command, 0 when it is not there."""
        value = self.values.get(element, 0)
        return value if isinstance(value, int) else 0

    def text(self, element: Element) -> str:
        return str(self.values.get(element, ""))


@dataclass(frozen=True, slots=True)
class Context:
    """A presentation context: proposed with a list of transfer syntaxes, accepted with one."""

    id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


Choice = Callable[[Context], str | None]
"""Picks the transfer syntax for a proposed context, or None to refuse it."""


class Wire:
    """An established association. ``accepted`` are its contexts, each with its one transfer syntax, by id."""

    def __init__(self, connection: socket.socket) -> None:
        self.called = self.calling = ""
        self.accepted: dict[int, Context] = {}
        self._socket = connection
        self._fragment_bytes = _MAX_PDU_BYTES
        connection.settimeout(_SILENCE_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def context_for(self, sop_class_uid: str, transfer_syntax_uid: str) -> int | None:
        """The id of the context in which such an instance can be sent as it is."""
        for context in self.accepted.values():
            if context.abstract_syntax == sop_class_uid and context.transfer_syntaxes == (transfer_syntax_uid,):
                return context.id
        return None

    def receive(self) -> Message | None:
        """The next message, or None when the peer has released the association."""
        values: dict[int, int | str] | None = None
        command, data = bytearray(), bytearray()
        while True:
            kind, body = self._receive_pdu()
            if kind == Pdu.RELEASE:
                self._send([_pdu(Pdu.RELEASED, bytes(4))])
                return None
            if kind != Pdu.DATA:
                raise WireError("The peer has aborted.")
            for context_id, flags, fragment in _fragments(body):
                (command if flags & 1 else data).extend(fragment)
                if flags == 3:
                    values = _decoded(command)
                if values is not None and flags & 2 and (not flags & 1 or not _has_data_set(values)):
                    return Message(context_id, values, data)

    def send(self, context_id: int, values: Values, parts: Sequence[Bytes] = ()) -> None:
        """Send a message; the data set leaves in fragments as large as the peer takes them, without being joined."""
        data_set_type = _WITH_DATA_SET if parts else _NO_DATA_SET
        command = _encoded({**values, Element.DATA_SET_TYPE: data_set_type})
        buffers: list[Bytes] = [_data_head(context_id, 3, len(command)), command]
        left, room = sum(len(part) for part in parts), 0
        for part in parts:
            view = memoryview(part)
            while view:
                if not room:
                    room = min(left, self._fragment_bytes)
                    left -= room
                    buffers.append(_data_head(context_id, 0 if left else 2, room))
                buffers.append(view[:room])
                taken = len(buffers[-1])
                view, room = view[taken:], room - taken
        self._send(buffers)

    def is_readable(self) -> bool:
        """Whether the peer has said something while we were sending: usually C-CANCEL."""
        return bool(select.select([self._socket], [], [], 0)[0])

    def release(self) -> None:
        """End a requested association politely, or not at all."""
        with contextlib.suppress(WireError):
            self._send([_pdu(Pdu.RELEASE, bytes(4))])
            self._receive_pdu()
        self.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def accept(self, ae_title: str, choose: Choice) -> None:
        """Answer the request for an association; raises WireError when it was refused."""
        kind, body = self._receive_pdu()
        if kind != Pdu.REQUEST:
            raise WireError("The peer does not speak DICOM.")
        self.called, self.calling = _ae_titles(body)
        proposed, roles = _read_request(body, self._note_max_length)
        if self.called != ae_title:
            self._send([_pdu(Pdu.REJECT, b"\0\1\1\7")])  # permanent, by the user, called AE title not recognized
            raise WireError("Called by another name.")
        answers: list[bytes] = []
        for context in proposed:
            syntax = choose(context)
            if syntax is not None:
                self.accepted[context.id] = Context(context.id, context.abstract_syntax, (syntax,))
            answers.append(_answer(context, syntax))
        self._send(
            [
                _pdu(
                    Pdu.ACCEPT,
                    body[:68] + _item(Part.APPLICATION_CONTEXT, APPLICATION_CONTEXT.encode()),
                    *answers,
                    _user_item(roles),
                )
            ]
        )

    def request(self, called: str, calling: str, contexts: Sequence[Context]) -> None:
        """Ask for an association; raises WireError when it is refused."""
        self.called, self.calling = called, calling
        titles = called.encode().ljust(16) + calling.encode().ljust(16)
        proposals = [_proposal(context) for context in contexts]
        self._send(
            [
                _pdu(
                    Pdu.REQUEST,
                    b"\0\1\0\0" + titles + bytes(32),
                    _item(Part.APPLICATION_CONTEXT, APPLICATION_CONTEXT.encode()),
                    *proposals,
                    _user_item([]),
                )
            ]
        )
        kind, body = self._receive_pdu()
        if kind != Pdu.ACCEPT:
            raise WireError("The association was refused.")
        asked = {context.id: context for context in contexts}
        for item_kind, content in _items(body[68:]):
            if item_kind == Part.ANSWERED and content[2] == 0 and content[0] in asked:
                syntax = next(_text(value) for _, value in _items(content[4:]))
                self.accepted[content[0]] = Context(content[0], asked[content[0]].abstract_syntax, (syntax,))
            elif item_kind == Part.USER:
                self._note_max_length(content)

    def _note_max_length(self, user: bytes) -> None:
        """0 means no limit (PS3.8 annex D.1)."""
        for kind, content in _items(user):
            if kind == Part.MAX_LENGTH:
                (limit,) = struct.unpack(">I", content)
                self._fragment_bytes = min(limit or _MAX_PDU_BYTES, _MAX_PDU_BYTES) - 6

    def _receive_pdu(self) -> tuple[int, bytes]:
        kind, length = struct.unpack(">BxI", self._read(6))
        if length > 4 * _MAX_PDU_BYTES:
            raise WireError("A PDU is larger than agreed.")
        return kind, bytes(self._read(length))

    def _read(self, count: int) -> bytearray:
        buffer = bytearray(count)
        view = memoryview(buffer)
        while view:
            try:
                got = self._socket.recv_into(view)
                self._acknowledge_at_once()
            except OSError as exc:
                raise WireError("The connection broke.") from exc
            if not got:
                raise WireError("The peer has closed the connection.")
            view = view[got:]
        return buffer

    def _send(self, buffers: list[Bytes]) -> None:
        try:
            while buffers:
                sent = self._socket.sendmsg(buffers[:_MAX_BUFFERS])
                while buffers and sent >= len(buffers[0]):
                    sent -= len(buffers.pop(0))
                if sent:
                    buffers[0] = memoryview(buffers[0])[sent:]
            self._acknowledge_at_once()
        except OSError as exc:
            raise WireError("The connection broke.") from exc

    def _acknowledge_at_once(self) -> None:
        """A peer with Nagle's algorithm waits 40 ms for each delayed acknowledgement. Linux forgets this option."""
        if hasattr(socket, "TCP_QUICKACK"):
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def connect(host: str, port: int, called: str, calling: str, contexts: Sequence[Context]) -> Wire:
    """Open an association; raises WireError when nobody is there or it is refused."""
    try:
        wire = Wire(socket.create_connection((host, port), _CONNECT_S))
    except OSError as exc:
        raise WireError("The peer cannot be reached.") from exc
    try:
        wire.request(called, calling, contexts)
    except BaseException:
        wire.close()
        raise
    return wire


def _pdu(kind: Pdu, *parts: bytes) -> bytes:
    return struct.pack(">BxI", kind, sum(map(len, parts))) + b"".join(parts)


def _item(kind: Part, content: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(content)) + content


def _items(content: bytes) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    position = 0
    while position + 4 <= len(content):
        kind, length = struct.unpack_from(">BxH", content, position)
        found.append((kind, content[position + 4 : position + 4 + length]))
        position += 4 + length
    return found


def _text(value: bytes) -> str:
    return value.rstrip(b"\0 ").decode("ascii", "replace")


def _ae_titles(body: bytes) -> tuple[str, str]:
    return _text(body[4:20]).strip(), _text(body[20:36]).strip()


def _read_request(body: bytes, note_user: Callable[[bytes], None]) -> tuple[list[Context], list[bytes]]:
    """The proposed contexts, and the role selections as they are."""
    contexts: list[Context] = []
    roles: list[bytes] = []
    for kind, content in _items(body[68:]):
        if kind == Part.PROPOSED:
            syntaxes = _items(content[4:])
            abstract = next((_text(value) for k, value in syntaxes if k == Part.ABSTRACT_SYNTAX), "")
            transfer = tuple(_text(value) for k, value in syntaxes if k == Part.TRANSFER_SYNTAX)
            contexts.append(Context(content[0], abstract, transfer))
        elif kind == Part.USER:
            note_user(content)
            roles += [value for k, value in _items(content) if k == Part.ROLE]
    return contexts, roles


def _proposal(context: Context) -> bytes:
    syntaxes = [_item(Part.TRANSFER_SYNTAX, uid.encode()) for uid in context.transfer_syntaxes]
    abstract = _item(Part.ABSTRACT_SYNTAX, context.abstract_syntax.encode())
    return _item(Part.PROPOSED, struct.pack(">Bxxx", context.id) + abstract + b"".join(syntaxes))


def _answer(context: Context, syntax: str | None) -> bytes:
    """Result 0 is acceptance, 3 an abstract syntax that is not supported (PS3.8 table 9-18)."""
    chosen = syntax or (context.transfer_syntaxes or ("",))[0]
    result = 3 if syntax is None else 0
    return _item(Part.ANSWERED, struct.pack(">BxBx", context.id, result) + _item(Part.TRANSFER_SYNTAX, chosen.encode()))


def _user_item(roles: Sequence[bytes]) -> bytes:
    return _item(
        Part.USER,
        _item(Part.MAX_LENGTH, struct.pack(">I", _MAX_PDU_BYTES))
        + _item(Part.IMPLEMENTATION_CLASS, IMPLEMENTATION_CLASS_UID.encode())
        + b"".join(_item(Part.ROLE, role) for role in roles)
        + _item(Part.IMPLEMENTATION_VERSION, IMPLEMENTATION_VERSION_NAME.encode()),
    )


def _data_head(context_id: int, flags: int, length: int) -> bytes:
    """Heads of a P-DATA-TF and of its one fragment; flag 1 is a command, 2 the last fragment (PS3.8 annex E.2)."""
    return struct.pack(">BxIIBB", Pdu.DATA, length + 6, length + 2, context_id, flags)


def _fragments(body: bytes) -> list[tuple[int, int, memoryview]]:
    found: list[tuple[int, int, memoryview]] = []
    position, view = 0, memoryview(body)
    while position + 6 <= len(body):
        length, context_id, flags = struct.unpack_from(">IBB", body, position)
        found.append((context_id, flags & 3, view[position + 6 : position + 4 + length]))
        position += 4 + max(length, 2)
    return found


def _has_data_set(values: Values) -> bool:
    return values.get(Element.DATA_SET_TYPE) != _NO_DATA_SET


def _encoded(values: Values) -> bytes:
    """A command set in implicit VR little endian, in order of its elements."""
    elements: list[bytes] = []
    for number, value in sorted(values.items()):
        if isinstance(value, int):
            content = struct.pack("<H", value)
        else:
            padding = b" " if number in (Element.MOVE_DESTINATION, Element.ORIGINATOR_AE_TITLE) else b"\0"
            content = value.encode() + padding * (len(value) % 2)
        elements.append(struct.pack("<HHI", 0, number, len(content)) + content)
    body = b"".join(elements)
    return struct.pack("<HHII", 0, 0, 4, len(body)) + body


def _decoded(command: bytearray) -> dict[int, int | str]:
    values: dict[int, int | str] = {}
    position = 0
    while position + 8 <= len(command):
        _, number, length = struct.unpack_from("<HHI", command, position)
        content = bytes(command[position + 8 : position + 8 + length])
        is_number = number in _NUMBERS
        values[number] = int.from_bytes(content, "little") if is_number else _text(content).strip()
        position += 8 + length
    return values


_NUMBERS = frozenset(
    {
        Element.COMMAND,
        Element.MESSAGE_ID,
        Element.ANSWERED_MESSAGE_ID,
        Element.PRIORITY,
        Element.DATA_SET_TYPE,
        Element.STATUS,
        Element.REMAINING,
        Element.COMPLETED,
        Element.FAILED,
        Element.WARNING,
        Element.ORIGINATOR_MESSAGE_ID,
    }
)
