"""Identifiers of queries: what we write any peer can read, and whatever a peer writes we can read."""

import json
import struct
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from dicom.network import dicom_json
from dicom.network import identifiers as ids
from dicom.network.identifiers import Identifier, encode, nested
from models.domain.errors import BadRequest, PeerLied


def element(tag: int, value: bytes) -> bytes:
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value


def decoded(encoded: bytes) -> Dataset:
    return read_dataset(BytesIO(encoded), True, True)


@pytest.mark.parametrize(
    ("name", "charset"), [("Smith^Ann", None), ("Müller^Jörg", "ISO_IR 100"), ("Wałęsa^Lech", "ISO_IR 192")]
)
def test_a_name_is_written_in_the_smallest_character_set_that_has_it(name: str, charset: str | None) -> None:
    found = decoded(encode("STUDY", {ids.PATIENT_NAME: name, ids.STUDY_UID: "1.2.3"}))
    assert str(found.PatientName) == name
    assert found.get("SpecificCharacterSet") == charset
    assert found.QueryRetrieveLevel == "STUDY" and found.StudyInstanceUID == "1.2.3"


def test_elements_are_in_order_and_of_even_length() -> None:
    encoded = encode("IMAGE", {ids.SOP_UID: "1.2.3\\4.5", ids.STUDY_UID: "1.2", ids.SOP_CLASS_UID: ""})
    found = decoded(encoded)
    assert len(encoded) % 2 == 0
    assert list(found.keys()) == sorted(found.keys())
    assert list(found.SOPInstanceUID) == ["1.2.3", "4.5"]


def test_odd_values_of_a_peer_break_nothing() -> None:
    found = Identifier(
        element(0x00080005, b"ISO_IR NONSENSE ")
        + element(ids.STUDY_DATE, b"20.13.99x ")
        + element(ids.MODALITIES_IN_STUDY, b"CT\\\\SR")
        + element(ids.PATIENT_NAME, b"\xff\xfe\xfd^\x80")
        + element(ids.STUDY_INSTANCE_COUNT, b"many")
        + element(ids.SERIES_COUNT, b"3.0 ")
    )
    assert found.text(ids.STUDY_DATE) == "20.13.99x"
    assert found.texts(ids.MODALITIES_IN_STUDY) == ["CT", "SR"]
    assert "^" in found.text(ids.PATIENT_NAME)
    assert found.count(ids.STUDY_INSTANCE_COUNT) is None
    assert found.count(ids.SERIES_COUNT) == 3
    assert found.text(ids.PATIENT_ID) == "" and found.count(ids.SERIES_INSTANCE_COUNT) is None


def test_a_number_that_no_database_can_hold_is_no_count() -> None:
    for told, count in (("2147483647", 2147483647), ("4294967295", None), ("1e300", None)):
        assert Identifier(element(ids.SERIES_COUNT, told.encode())).count(ids.SERIES_COUNT) == count
        assert dicom_json.count({"00201206": {"vr": "IS", "Value": [told]}}, "00201206") == count


@pytest.mark.parametrize(
    ("charset", "encoded", "name"),
    [
        (b"ISO_IR 100", "Müller^Jörg".encode("latin-1"), "Müller^Jörg"),
        (b"ISO_IR 192", "Wałęsa^Lech".encode(), "Wałęsa^Lech"),
        (b"\\ISO 2022 IR 87 ", b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "Yamada^Tarou=山田^太郎"),
    ],
)
def test_names_are_read_in_the_peers_character_set(charset: bytes, encoded: bytes, name: str) -> None:
    padded = encoded + b" " * (len(encoded) % 2)
    assert Identifier(element(0x00080005, charset) + element(ids.PATIENT_NAME, padded)).text(ids.PATIENT_NAME) == name


def test_sequences_are_passed_over_whatever_their_length_is_given_as() -> None:
    data_set = Dataset()
    inner = Dataset()
    inner.PatientID = "INNER"
    inner.OtherPatientIDsSequence = [Dataset()]
    data_set.OtherPatientIDsSequence = [inner, Dataset()]
    data_set.PatientID = "OUTER"
    data_set.StudyInstanceUID = "1.2.3"
    for is_undefined in (False, True):
        for sequence in (data_set["OtherPatientIDsSequence"], inner["OtherPatientIDsSequence"]):
            sequence.is_undefined_length = is_undefined
        buffer = DicomBytesIO()
        buffer.is_implicit_VR, buffer.is_little_endian = True, True
        write_dataset(buffer, data_set)
        found = Identifier(buffer.getvalue())
        assert (found.text(ids.PATIENT_ID), found.text(ids.STUDY_UID)) == ("OUTER", "1.2.3")


def test_what_is_no_data_set_is_called_a_lie_without_quoting_it() -> None:
    with pytest.raises(PeerLied) as caught:
        Identifier(element(ids.PATIENT_NAME, b"Secret^Name ")[:-4])
    assert "Secret" not in str(caught.value)


def test_a_key_in_a_sequence_and_a_number_are_written_as_any_peer_reads_them() -> None:
    paths = {"00400275": "", "00400275.00401001": "RP*", "00400275.00400009": "", "00280010": "512", "00280009": ""}
    found = decoded(encode("SERIES", nested(paths)))
    (item,) = found.RequestAttributesSequence
    assert item.RequestedProcedureID == "RP*" and item.ScheduledProcedureStepID in ("", None)
    assert found.Rows == 512
    with pytest.raises(BadRequest, match="Rows") as raised:
        encode("IMAGE", nested({"00280010": "many"}))
    assert "many" not in str(raised.value)


@pytest.mark.parametrize("is_undefined_length", [True, False])
def test_an_identifier_becomes_json_with_everything_in_it(is_undefined_length: bool) -> None:
    below = Dataset()
    below.RequestedProcedureID, below.RequestedProcedureDescription = "RP1", "Schädel"
    below.is_undefined_length_sequence_item = is_undefined_length
    told = Dataset()
    told.SpecificCharacterSet, told.PatientName = "ISO_IR 192", "Yamada^Tarou=山田^太郎"
    told.RequestAttributesSequence = [below, Dataset()]
    told["RequestAttributesSequence"].is_undefined_length = is_undefined_length
    told.Rows, told.PixelSpacing, told.InstanceNumber, told.SeriesNumber = 512, [0.5, 2], 7, None
    told.SimpleFrameList, told.FrameIncrementPointer = [1, 2], 0x00181063
    told.add_new(0x00091010, "UN", b"\x01\x02")
    target = DicomBytesIO()
    target.is_implicit_VR, target.is_little_endian = True, True
    write_dataset(target, told)
    found = Identifier(target.getvalue()).item()
    assert found["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}]}
    assert found["00280010"] == {"vr": "US", "Value": [512]}
    assert found["00280030"] == {"vr": "DS", "Value": [0.5, 2]}
    assert found["00200013"] == {"vr": "IS", "Value": [7]} and found["00200011"] == {"vr": "IS"}
    assert found["00081161"] == {"vr": "UL", "Value": [1, 2]}
    assert found["00280009"] == {"vr": "AT", "Value": ["00181063"]}
    assert found["00091010"] == {"vr": "UN", "InlineBinary": "AQI="}
    assert found["00400275"] == {
        "vr": "SQ",
        "Value": [
            {"00401001": {"vr": "SH", "Value": ["RP1"]}, "00321060": {"vr": "LO", "Value": ["Schädel"]}},
            {},
        ],
    }


@pytest.mark.parametrize(
    "value",
    [
        b"\xfe\xff\x00\xe0\xff\xff\xff\x7f",
        b"\xfe\xff\x00\xe0\xff\xff\xff\xff",
        b"\x10\x00\x10\x00\x02\x00\x00\x00ab",
        b"\xfe\xff",
    ],
)
def test_a_broken_sequence_is_a_lie_and_no_crash(value: bytes) -> None:
    with pytest.raises(PeerLied):
        Identifier(element(0x00400275, value)).item()


TAGS = st.sampled_from([0x00080005, 0x00100010, 0x00400275, 0x00280010, 0x00280009, 0x00200013, 0x00091010, 0x0040A730])
ELEMENTS = st.recursive(
    st.lists(st.tuples(TAGS, st.binary(max_size=12)), max_size=4).map(
        lambda found: b"".join(element(*one) for one in found)
    ),
    lambda below: below.map(lambda inner: element(0x00400275, element(0xFFFEE000, inner))),
)


@given(st.one_of(ELEMENTS, st.binary(max_size=60)))
def test_whatever_a_peer_sends_is_json_or_a_lie(encoded: bytes) -> None:
    try:
        found = Identifier(encoded).item()
    except PeerLied:
        return
    assert json.loads(json.dumps(found, allow_nan=False)) == found
