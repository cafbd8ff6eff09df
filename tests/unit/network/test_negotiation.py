"""What both sides read and write of an association's negotiation: as pynetdicom does, whatever the bytes are."""

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    AsynchronousOperationsWindowNegotiation,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)
from pynetdicom.presentation import PresentationContext, build_context

from dicom.network.association import MAX_PDU_BYTES
from dicom.network.negotiation import (
    AssociateRequest,
    Refusal,
    acceptance,
    decoded_acceptance,
    decoded_request,
    rejection,
    rejection_reason,
)
from dicom.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from models.domain.errors import PeerLied

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
IMPLICIT, EXPLICIT, JPEG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.70"
HEAD = 6
A_CONTEXT = struct.pack(">BxH", 0x20, 4) + b"\x01\0\0\0"


def extras() -> list[object]:
    """One item of each kind that a request may hold beyond what is needed."""
    role, identity, window = (
        SCP_SCU_RoleSelectionNegotiation(),
        UserIdentityNegotiation(),
        AsynchronousOperationsWindowNegotiation(),
    )
    role.sop_class_uid, role.scu_role, role.scp_role = CT, True, True
    identity.user_identity_type, identity.primary_field, identity.secondary_field = 2, b"user", b"secret"
    identity.positive_response_requested = True
    window.maximum_number_operations_invoked = window.maximum_number_operations_performed = 5
    extended, common = SOPClassExtendedNegotiation(), SOPClassCommonExtendedNegotiation()
    extended.sop_class_uid, extended.service_class_application_information = CT, b"\x02\0\x03\0\x01\0"
    common.sop_class_uid, common.service_class_uid = MR, "1.2.840.10008.4.2"
    return [role, identity, window, extended, common]


def request(contexts: dict[int, tuple[str, list[str]]], limit: int = 16384, items: list[object] | None = None) -> bytes:
    """A request as pynetdicom writes it, with its head."""
    asked = A_ASSOCIATE()
    asked.application_context_name = "1.2.840.10008.3.1.1.1"
    asked.calling_ae_title, asked.called_ae_title = "PACS", "ADIT"
    proposed = []
    for context_id, (abstract, syntaxes) in contexts.items():
        context = build_context(abstract, syntaxes)
        context.context_id = context_id
        proposed.append(context)
    asked.presentation_context_definition_list = proposed
    length, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    length.maximum_length_received = limit
    implementation.implementation_class_uid = "1.2.3"
    asked.user_information = [length, implementation, *(items or ())]
    encoded = A_ASSOCIATE_RQ()
    encoded.from_primitive(asked)
    return encoded.encode()


def user_information(limit: int) -> bytes:
    return struct.pack(">BxHBxHI", 0x50, 8, 0x51, 4, limit)


def read_back(accepted: bytes) -> A_ASSOCIATE:
    answer = A_ASSOCIATE_AC()
    answer.decode(accepted)
    return answer.to_primitive()


def test_a_request_is_read_as_it_was_written() -> None:
    found = decoded_request(request({1: (CT, [JPEG, IMPLICIT]), 5: (MR, [EXPLICIT])})[HEAD:])
    assert found.is_version_1
    assert (found.calling_ae_title, found.limit) == ("PACS", 16384)
    assert [(one.context_id, one.abstract_syntax, one.transfer_syntaxes) for one in found.contexts] == [
        (1, CT, (JPEG, IMPLICIT)),
        (5, MR, (EXPLICIT,)),
    ]


def test_roles_identities_and_windows_are_read_over_and_not_answered() -> None:
    found = decoded_request(request({1: (CT, [IMPLICIT])}, items=extras())[HEAD:])
    assert found.limit == 16384
    told = read_back(acceptance(found, [IMPLICIT])).user_information
    assert {type(item).__name__ for item in told} == {
        "MaximumLengthNotification",
        "ImplementationClassUIDNotification",
        "ImplementationVersionNameNotification",
    }


def test_an_acceptance_tells_of_each_context_and_who_we_are() -> None:
    found = decoded_request(request({1: (CT, [JPEG]), 3: (MR, [JPEG, EXPLICIT]), 255: (MR, [JPEG])})[HEAD:])
    answer = read_back(acceptance(found, [Refusal.ABSTRACT_SYNTAX, EXPLICIT, Refusal.TRANSFER_SYNTAXES]))
    results = answer.presentation_context_definition_results_list
    assert [(one.context_id, one.result) for one in results] == [(1, 3), (3, 0), (255, 4)]
    assert results[1].transfer_syntax == [EXPLICIT]
    assert answer.maximum_length_received == MAX_PDU_BYTES
    assert answer.implementation_class_uid == IMPLEMENTATION_CLASS_UID
    assert answer.user_information[2].implementation_version_name == IMPLEMENTATION_VERSION_NAME
    assert (answer.calling_ae_title, answer.called_ae_title) == ("PACS", "ADIT")


def test_a_context_without_any_valid_syntax_can_be_refused() -> None:
    found = decoded_request(bytes([0, 1]) + bytes(66) + A_CONTEXT)
    (context,) = found.contexts
    assert (context.abstract_syntax, context.transfer_syntaxes) == ("", ())
    (result,) = read_back(acceptance(found, [Refusal.ABSTRACT_SYNTAX])).presentation_context_definition_results_list
    assert (result.context_id, result.result) == (1, 3)


@pytest.mark.parametrize(
    ("announced", "limit"), [(0, MAX_PDU_BYTES), (16, 16), (16384, 16384), (0xFFFFFFFF, MAX_PDU_BYTES)]
)
def test_nobody_is_sent_more_at_a_time_than_both_sides_want(announced: int, limit: int) -> None:
    assert decoded_request(request({1: (CT, [IMPLICIT])}, announced)[HEAD:]).limit == limit
    assert decoded_acceptance(bytes(68) + user_information(announced)) == ({}, limit)


def test_a_peer_that_takes_next_to_nothing_is_refused() -> None:
    for read in (decoded_request, decoded_acceptance):
        with pytest.raises(PeerLied, match="15 bytes"):
            read(bytes(68) + user_information(15))


def test_a_request_without_user_information_sets_no_limit() -> None:
    fixed = bytes([0, 1]) + bytes(66)
    assert decoded_request(fixed) == AssociateRequest(True, "", (), MAX_PDU_BYTES, fixed)


def test_what_we_answer_is_what_the_other_side_reads() -> None:
    asked = decoded_request(request({1: (CT, [JPEG]), 3: (MR, [JPEG, EXPLICIT]), 255: (MR, [JPEG])})[HEAD:])
    answer = acceptance(asked, [Refusal.ABSTRACT_SYNTAX, EXPLICIT, JPEG])
    assert decoded_acceptance(answer[HEAD:]) == ({3: EXPLICIT, 255: JPEG}, MAX_PDU_BYTES)


def test_an_acceptance_is_read_as_pynetdicom_writes_it() -> None:
    answer = A_ASSOCIATE()
    answer.application_context_name = "1.2.840.10008.3.1.1.1"
    answer.calling_ae_title, answer.called_ae_title = "PACS", "ADIT"
    answer.result, answer.result_source = 0, 1
    results = []
    for context_id, result, syntax in ((1, 0, JPEG), (3, 3, IMPLICIT), (5, 0, EXPLICIT)):
        context = PresentationContext()
        context.context_id, context.result, context.transfer_syntax = context_id, result, [syntax]
        results.append(context)
    answer.presentation_context_definition_results_list = results
    length, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    length.maximum_length_received, implementation.implementation_class_uid = 20000, "1.2.3"
    answer.user_information = [length, implementation, *extras()]
    accepted = A_ASSOCIATE_AC()
    accepted.from_primitive(answer)
    assert decoded_acceptance(accepted.encode()[HEAD:]) == ({1: JPEG, 5: EXPLICIT}, 20000)


@given(st.binary(max_size=300))
def test_any_bytes_are_an_acceptance_or_refused(items: bytes) -> None:
    for body in (items, bytes(68) + items):
        with suppress(PeerLied):
            decoded_acceptance(body)


@given(st.data())
def test_an_acceptance_with_a_byte_changed_is_an_acceptance_or_refused(data: st.DataObject) -> None:
    asked = decoded_request(request({1: (CT, [JPEG]), 3: (MR, [EXPLICIT])})[HEAD:])
    body = bytearray(acceptance(asked, [JPEG, EXPLICIT])[HEAD:])
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with suppress(PeerLied):
        decoded_acceptance(bytes(body))


@pytest.mark.parametrize(
    "items",
    [
        b"\x21",
        struct.pack(">BxH", 0x21, 100) + bytes(99),
        struct.pack(">BxH", 0x21, 3) + bytes(3),
        struct.pack(">BxH", 0x21, 6) + bytes(6),
        struct.pack(">BxHBxH", 0x50, 5, 0x51, 1) + b"\0",
    ],
    ids=["half an item", "an item cut off", "no context", "half a syntax", "half a limit"],
)
def test_what_is_no_acceptance_is_refused(items: bytes) -> None:
    for body in (bytes(67), bytes(68) + items):
        with pytest.raises(PeerLied):
            decoded_acceptance(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        bytes(67),
        bytes(68) + b"\x20",
        bytes(68) + struct.pack(">BxH", 0x20, 100) + bytes(99),
        bytes(68) + struct.pack(">BxH", 0x20, 3) + bytes(3),
        bytes(68) + struct.pack(">BxH", 0x20, 4) + b"\x02\0\0\0",
        bytes(68) + struct.pack(">BxHBxH", 0x50, 5, 0x51, 1) + b"\0",
    ],
    ids=["nothing", "too short", "half an item", "an item cut off", "no context", "an even context", "half a limit"],
)
def test_what_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(PeerLied):
        decoded_request(body)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_request_or_refused(items: bytes) -> None:
    for body in (items, bytes(68) + items):
        try:
            found = decoded_request(body)
        except PeerLied:
            continue
        read_back(acceptance(found, [Refusal.ABSTRACT_SYNTAX] * len(found.contexts)))


@given(st.data())
def test_a_request_with_a_byte_changed_is_a_request_or_refused(data: st.DataObject) -> None:
    body = bytearray(request({1: (CT, [JPEG, IMPLICIT]), 3: (MR, [EXPLICIT])}, items=extras())[HEAD:])
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = decoded_request(bytes(body))
    except PeerLied:
        return
    assert acceptance(found, [Refusal.ABSTRACT_SYNTAX] * len(found.contexts))


@pytest.mark.parametrize(("source", "reason"), [(1, 2), (1, 3), (1, 7), (2, 2), (3, 1), (3, 2), (1, 1), (9, 9)])
def test_a_rejection_is_read_as_by_pynetdicom(source: int, reason: int) -> None:
    other = A_ASSOCIATE_RJ()
    other.decode(rejection(1, source, reason))
    try:
        said = other.reason_str
    except ValueError:
        said = "No reason given"
    assert rejection_reason(rejection(1, source, reason)[HEAD:]) == said[:1].lower() + said[1:]


def test_half_a_rejection_gives_no_reason() -> None:
    assert rejection_reason(b"\0\1\1") == "no reason given"


def test_a_rejection_says_why() -> None:
    found = A_ASSOCIATE_RJ()
    found.decode(rejection(2, 3, 2))
    assert (found.result, found.source, found.reason_diagnostic) == (2, 3, 2)
    assert found.reason_str == "Local limit exceeded"
