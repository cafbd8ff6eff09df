"""Every attribute of the data dictionary, planted at the top and in a sequence: only what was reviewed passes."""

import pytest
from pydicom.datadict import DicomDictionary

from dicom.deid import rules
from dicom.deid.encoding import EXPLICIT_LITTLE, known_vr
from dicom.deid.engine import Deidentifier
from dicom.deid.keys import LinkageKey
from dicom.deid.ps3_15 import DELETE, DUMMY, EMPTY, MAP, NEWER_VRS

EXPLICIT = "1.2.840.10008.1.2.1"
PLANTED = {
    **dict.fromkeys((b"LO", b"SH", b"UC", b"LT", b"ST", b"UT", b"UR", b"AE"), b"Planted Zulu"),
    b"PN": b"Planted^Zulu",
    b"UI": b"1.2.826.0.1.99\0",
    b"DA": b"19610823",
    b"DT": b"19610823101112",
}
BASE = {
    rules.SOP_CLASS_UID: b"1.2.840.10008.5.1.4.1.1.2\0",
    rules.SOP_INSTANCE_UID: b"1.2.3.4.5\0",
    rules.STUDY_UID: b"1.2.3.4.6\0",
    rules.SERIES_UID: b"1.2.3.4.7\0",
}
NESTING = 0x00400340
"""PerformedSeriesSequence, of which the table says nothing."""
TAGS = sorted(
    tag
    for tag in {*DicomDictionary, *NEWER_VRS}
    if tag >> 16 >= 0x0008 and known_vr(tag) in PLANTED and tag not in {*BASE, rules.SPECIFIC_CHARACTER_SET}
)


def a_header(nested: bool, tag: int, value: bytes) -> bytes:
    elements = {known: EXPLICIT_LITTLE.encoded(known, b"UI", uid) for known, uid in BASE.items()}
    planted = EXPLICIT_LITTLE.encoded(tag, known_vr(tag), value)
    if nested:
        inner = EXPLICIT_LITTLE.encoded(NESTING, b"SQ", EXPLICIT_LITTLE.encoded_item(planted))
        elements[NESTING] = EXPLICIT_LITTLE.encoded(NESTING, b"SQ", EXPLICIT_LITTLE.encoded_item(inner))
    else:
        elements[tag] = planted
    return b"".join(elements[known] for known in sorted(elements))


def survivors(nested: bool) -> set[int]:
    engine = Deidentifier(LinkageKey(bytes(range(32))), "PSEUDO1")
    left: set[int] = set()
    for tag in TAGS:
        value = PLANTED[known_vr(tag)]
        if value in engine.header(a_header(nested, tag, value), EXPLICIT):
            left.add(tag)
    return left


@pytest.mark.parametrize("nested", [False, True])
def test_only_reviewed_attributes_survive(nested: bool) -> None:
    reviewed = {tag for tag in TAGS if rules.rule_for(tag, known_vr(tag)) in {rules.Rule.KEEP, rules.Rule.SCHEME}}
    left = survivors(nested)
    assert left <= reviewed
    assert len(left) < 100
    assert not [tag for tag in left if known_vr(tag) in {b"PN", b"DA", b"DT", b"LT", b"ST", b"UT", b"UR", b"AE"}]
    assert not left & (DELETE | EMPTY | DUMMY | MAP)


def test_attributes_that_the_table_deletes_are_gone_whatever_their_kind() -> None:
    spared = {tag for tag in DELETE if rules.rule_for(tag, known_vr(tag)) is not rules.Rule.DELETE}
    assert all(known_vr(tag) == b"PN" or tag in rules.IDENTIFIERS for tag in spared)
