"""Which UIDs and names of an original are searched for: nothing that an attribute lets go or keeps hides them."""

import struct

import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence

from dicom.deid.encoding import EXPLICIT_BIG, EXPLICIT_LITTLE, Syntax, known_vr, read_elements
from dicom.deid.engine import Deidentifier
from dicom.deid.identifiers import Found, Identifiers
from dicom.deid.keys import LinkageKey
from dicom.deid.policy import compiled
from dicom.deid.profile import load
from models.domain.errors import ResidueFound
from models.domain.instances import EncodedInstance
from tests.unit.deid.test_deid_fails_closed import EXPLICIT, a_header, a_policy, decoded, encoded, treated

STUDY_UID = "1.2.826.0.1.3680043.10.9999.2"
OTHER_UID = "1.2.826.0.1.3680043.10.9999.88123456"
PRIVATE_CLASS = "1.3.12.2.1107.5.9.1"
RULE_FOR = compiled(load("research")).rule_for
LONG = 5000
"""Bytes of a sequence that is not read element by element."""


def an_item(**values: object) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def with_item(item: Dataset, **values: object) -> Dataset:
    return a_header(DerivationCodeSequence=Sequence([item]), **values)


def with_element(header: Dataset, tag: int, vr: str, value: str) -> Dataset:
    header.add_new(tag, vr, value)
    return header


# --- SOP Class UIDs


@pytest.mark.parametrize("hidden", [STUDY_UID, OTHER_UID, PRIVATE_CLASS])
def test_a_class_in_an_item_is_kept_only_when_it_is_of_the_standard(hidden: str) -> None:
    kept = treated(with_item(an_item(SOPClassUID="1.2.840.10008.5.1.4.1.1.4"))).DerivationCodeSequence[0]
    assert kept.SOPClassUID == "1.2.840.10008.5.1.4.1.1.4"
    replaced = treated(with_item(an_item(SOPClassUID=hidden))).DerivationCodeSequence[0]
    assert replaced.SOPClassUID.startswith("2.25.")


@pytest.mark.parametrize("sop_class_uid", ["1.2.840.10008.5.1.4.1.1.2", PRIVATE_CLASS])
def test_the_class_of_an_instance_is_kept_as_it_is(sop_class_uid: str) -> None:
    header = a_header(SOPClassUID=sop_class_uid)
    engine = Deidentifier(a_policy(), LinkageKey(bytes(32)), "PSEUDO1", released=[header.SOPInstanceUID])
    for number in range(3):
        header.SeriesNumber = number
        output = engine.instance(EncodedInstance(sop_class_uid, header.SOPInstanceUID, EXPLICIT, (encoded(header),)))
        assert decoded(b"".join(output.parts)).SOPClassUID == output.sop_class_uid == sop_class_uid


# --- what hides a UID from the search


@pytest.mark.parametrize(
    "header",
    [
        with_item(an_item(SOPClassUID=STUDY_UID)),
        with_item(an_item(CodingSchemeUID=STUDY_UID)),
        with_element(a_header(), 0x00091001, "UI", STUDY_UID),
        with_element(a_header(), 0x04000010, "UI", STUDY_UID),
    ],
    ids=["class", "scheme", "private", "signature"],
)
def test_a_uid_that_stands_where_it_goes_or_is_judged_is_still_searched_for(header: Dataset) -> None:
    header.StationName = STUDY_UID[-16:]
    treated(header)
    header.Manufacturer = f"bei {STUDY_UID} da"
    with pytest.raises(ResidueFound):
        treated(header)


def test_a_study_uid_as_that_of_a_public_coding_scheme_is_found() -> None:
    item = an_item(CodeValue="1", CodingSchemeDesignator="DCM", CodingSchemeUID=STUDY_UID, CodeMeaning="CT")
    with pytest.raises(ResidueFound):
        treated(with_item(item))


# --- long sequences


def element(syntax: Syntax, tag: int, vr: bytes, value: bytes) -> bytes:
    return syntax.encoded(tag, vr, value + b" " * (len(value) % 2))


def found_in(syntax: Syntax, content: bytes, is_long: bool) -> Found:
    filling = element(syntax, 0x00209158, b"LT", b"." * (LONG if is_long else 10))
    data = memoryview(syntax.encoded(0x52009230, b"SQ", syntax.encoded_item(content + filling)))
    return Identifiers().found_in(data, read_elements(data, syntax), b"", syntax, RULE_FOR)


SYNTAXES = pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, EXPLICIT_BIG], ids=["little", "big"])


@SYNTAXES
@pytest.mark.parametrize("tag", [0x00081050, 0x00080090, 0x00100010, 0x00100020, 0x00081048])
@pytest.mark.parametrize("vr", [b"LO", b"SH", b"ST", b"LT", b"UT", b"UC"])
def test_a_name_or_id_of_another_vr_is_collected_from_a_long_sequence_as_from_a_short_one(
    syntax: Syntax, tag: int, vr: bytes
) -> None:
    content = element(syntax, tag, vr, b"KESS-7781")
    short, long = (found_in(syntax, content, is_long) for is_long in (False, True))
    assert long.originals == short.originals != set()
    assert known_vr(tag)


@SYNTAXES
@pytest.mark.parametrize(
    "value", [b"1.2.826.77.1\\1.2.826.999.88123456.2", b"1.2.826.999.88123456.2 ", b"\\1.2.826.999.88123456.2"]
)
def test_every_uid_of_a_value_is_collected_from_a_long_sequence(syntax: Syntax, value: bytes) -> None:
    content = element(syntax, 0x00081155, b"UI", value)
    short, long = (found_in(syntax, content, is_long) for is_long in (False, True))
    assert b"1.2.826.999.88123456.2" in short.uid_needles
    assert long.uid_needles == short.uid_needles


def test_a_uid_ends_where_its_length_says_though_the_next_tag_looks_like_digits() -> None:
    """(3030,3030), which is nobody's, is written with the same bytes as four zeros."""
    value = b"1.2.826.999.88123456.2"
    following = struct.pack("<HH2sH", 0x3030, 0x3030, b"LO", 0)
    content = element(EXPLICIT_LITTLE, 0x00081155, b"UI", value) + following
    assert found_in(EXPLICIT_LITTLE, content, is_long=True).uid_needles == {value}
