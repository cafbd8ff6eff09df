"""What is said when an association is opened, as bytes (PS3.8 section 9.3, PS3.7 annex D). No network.

Requests of peers are read and answered here, because pynetdicom takes 30 ms for that of an Orthanc, which proposes 126
contexts for each C-MOVE; answers of peers are read here, because it refuses them for items that mean nothing to us.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from dicom.network.association import MAX_PDU_BYTES
from dicom.network.commands import as_uid
from dicom.network.contexts import IMPLICIT_LITTLE
from dicom.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from models.domain.errors import PeerLied

ASSOCIATE_REQUEST = 1

_PDU, _ITEM, _NUMBER = struct.Struct(">BxI"), struct.Struct(">BxH"), struct.Struct(">I")
_ACCEPT, _REJECT = 2, 3
_APPLICATION_CONTEXT, _PROPOSED, _ANSWERED, _USER_INFORMATION = 0x10, 0x20, 0x21, 0x50
_ABSTRACT_SYNTAX, _TRANSFER_SYNTAX = 0x30, 0x40
_MAXIMUM_LENGTH, _IMPLEMENTATION, _VERSION = 0x51, 0x52, 0x55
_APPLICATION_CONTEXT_NAME = b"1.2.840.10008.3.1.1.1"
_VERSION_1 = 1
_FIXED_BYTES = 68
_SMALLEST_PDU_BYTES = 16
_CALLING = slice(20, 36)
_ACCEPTED = 0
_REASONS = {
    (1, 2): "application context name not supported",
    (1, 3): "calling AE title not recognised",
    (1, 7): "called AE title not recognised",
    (2, 2): "protocol version not supported",
    (3, 1): "temporary congestion",
    (3, 2): "local limit exceeded",
}
"""Source and reason of a rejection -> what they mean (PS3.8 section 9.3.4)."""


class Refusal(IntEnum):
    """Why a presentation context is not accepted (PS3.8 table 9-18)."""

    ABSTRACT_SYNTAX = 3
    TRANSFER_SYNTAXES = 4


@dataclass(frozen=True, slots=True)
class ProposedContext:
    """A presentation context that a peer proposes; the abstract syntax is empty where it names none that is valid."""

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AssociateRequest:
    """An A-ASSOCIATE-RQ. ``limit`` is the length of the longest PDU to send, within what the peer takes."""

    is_version_1: bool
    calling_ae_title: str
    contexts: tuple[ProposedContext, ...]
    limit: int
    fixed_part: bytes


def decoded_request(body: bytes) -> AssociateRequest:
    """The request in a PDU's body; raises PeerLied when it cannot be understood.

    Roles, identities, windows and all else that it may ask for beyond the contexts is read over: without an answer
    their defaults hold (PS3.7 annex D.3.3). A context proposed twice counts as it is proposed last.
    """
    if len(body) < _FIXED_BYTES:
        raise _nonsense()
    fixed_part = body[:_FIXED_BYTES]
    items = list(_items(body[_FIXED_BYTES:]))
    contexts = {context.context_id: context for context in (_proposed(v) for kind, v in items if kind == _PROPOSED)}
    return AssociateRequest(
        is_version_1=bool(fixed_part[1] & _VERSION_1),
        calling_ae_title=fixed_part[_CALLING].decode("ascii", "replace").strip(" \0"),
        contexts=tuple(context for _, context in sorted(contexts.items())),
        limit=_limit(items),
        fixed_part=fixed_part,
    )


def decoded_acceptance(body: bytes) -> tuple[dict[int, str], int]:
    """What the body of an A-ASSOCIATE-AC says: number and syntax of each accepted context, and the longest PDU to send.

    A syntax is empty where none that is valid is named. All other items are read over, and so is what stands in a
    context that is not accepted (PS3.8 section 9.3.3.2). Raises PeerLied when it cannot be understood.
    """
    if len(body) < _FIXED_BYTES:
        raise _nonsense()
    items = list(_items(body[_FIXED_BYTES:]))
    return dict(_accepted(value) for kind, value in items if kind == _ANSWERED and _is_accepted(value)), _limit(items)


def acceptance(request: AssociateRequest, answers: Sequence[str | Refusal]) -> bytes:
    """The A-ASSOCIATE-AC PDU with the accepted transfer syntax, or why there is none, for each proposed context."""
    user_information = b"".join(
        (
            _item(_MAXIMUM_LENGTH, _NUMBER.pack(MAX_PDU_BYTES)),
            _item(_IMPLEMENTATION, IMPLEMENTATION_CLASS_UID.encode()),
            _item(_VERSION, IMPLEMENTATION_VERSION_NAME.encode()),
        )
    )
    body = b"".join(
        (
            _VERSION_1.to_bytes(2, "big") + request.fixed_part[2:],  # the rest is sent back as it came
            _item(_APPLICATION_CONTEXT, _APPLICATION_CONTEXT_NAME),
            *(_item(_ANSWERED, _answered(*both)) for both in zip(request.contexts, answers, strict=True)),
            _item(_USER_INFORMATION, user_information),
        )
    )
    return _PDU.pack(_ACCEPT, len(body)) + body


def rejection(result: int, source: int, reason: int) -> bytes:
    """An A-ASSOCIATE-RJ PDU; the numbers are those of PS3.8 section 9.3.4."""
    return _PDU.pack(_REJECT, 4) + bytes((0, result, source, reason))


def rejection_reason(body: bytes) -> str:
    """Why a peer rejects, by the body of its A-ASSOCIATE-RJ."""
    return _REASONS.get((body[2], body[3]) if len(body) >= 4 else (0, 0), "no reason given")


def longest_pdu(announced: int, peer: str = "The peer") -> int:
    """The length of the longest PDU to send to a peer that takes so much, 0 for any length: no more than we want.

    Raises PeerLied, which names the peer, where that leaves no room for data.
    """
    limit = min(announced or MAX_PDU_BYTES, MAX_PDU_BYTES)
    if limit < _SMALLEST_PDU_BYTES:
        raise PeerLied(f"{peer} takes no data in messages of {limit} bytes.")
    return limit


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and value of each item; raises PeerLied where lengths do not fit."""
    position = 0
    while position < len(data):
        if position + _ITEM.size > len(data):
            raise _nonsense()
        kind, length = _ITEM.unpack_from(data, position)
        position += _ITEM.size
        if position + length > len(data):
            raise _nonsense()
        yield kind, data[position : position + length]
        position += length


def _proposed(value: bytes) -> ProposedContext:
    if len(value) < 4 or not value[0] % 2:
        raise _nonsense()
    items = list(_items(value[4:]))
    abstract = next((as_uid(uid) for kind, uid in items if kind == _ABSTRACT_SYNTAX), "")
    syntaxes = (as_uid(uid) for kind, uid in items if kind == _TRANSFER_SYNTAX)
    return ProposedContext(value[0], abstract, tuple(syntax for syntax in syntaxes if syntax))


def _is_accepted(value: bytes) -> bool:
    if len(value) < 4:
        raise _nonsense()
    return value[2] == _ACCEPTED


def _accepted(value: bytes) -> tuple[int, str]:
    return value[0], next((as_uid(uid) for kind, uid in _items(value[4:]) if kind == _TRANSFER_SYNTAX), "")


def _limit(items: Sequence[tuple[int, bytes]]) -> int:
    """The longest PDU to send, by what the peer announces in its user information or does not."""
    user_information = next((value for kind, value in items if kind == _USER_INFORMATION), b"")
    value = next((value for kind, value in _items(user_information) if kind == _MAXIMUM_LENGTH), bytes(_NUMBER.size))
    if len(value) != _NUMBER.size:
        raise _nonsense()
    return longest_pdu(_NUMBER.unpack(value)[0])


def _answered(proposed: ProposedContext, answer: str | Refusal) -> bytes:
    """A refused context has to name a transfer syntax, too, which is not significant."""
    is_refused = isinstance(answer, Refusal)
    syntax = (*proposed.transfer_syntaxes, IMPLICIT_LITTLE)[0] if is_refused else answer
    head = bytes((proposed.context_id, 0, answer if is_refused else _ACCEPTED, 0))
    return head + _item(_TRANSFER_SYNTAX, syntax.encode())


def _item(kind: int, value: bytes) -> bytes:
    return _ITEM.pack(kind, len(value)) + value


def _nonsense() -> PeerLied:
    return PeerLied("What the peer says to open an association cannot be understood.")
