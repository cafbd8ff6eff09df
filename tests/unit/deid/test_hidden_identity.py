"""Identity in places a reviewer hid it: lost VRs, defined terms, codes, character sets, behind the pixels."""

import struct
import zlib

import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence

from dicom.deid.identity import check_identity
from models.domain.errors import IdentityConflict, NeedsReview, ResidueFound
from models.domain.instances import EncodedInstance
from models.domain.refs import StudyRef
from tests.unit.deid.test_deid_fails_closed import EXPLICIT, IMPLICIT, a_deidentifier, a_header, encoded, treated

DEFLATED = "1.2.840.10008.1.2.1.99"
STUDY = "1.2.826.0.1.3680043.10.9999.2"


def an_instance(header: Dataset, syntax_uid: str = EXPLICIT) -> EncodedInstance:
    data = encoded(header, EXPLICIT if syntax_uid == DEFLATED else syntax_uid)
    if syntax_uid == DEFLATED:
        compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        data = compressor.compress(data) + compressor.flush()
    return EncodedInstance(str(header.SOPClassUID), str(header.SOPInstanceUID), syntax_uid, (data,))


def raw(tag: int, vr: bytes, value: bytes, undefined: bool = False) -> bytes:
    """An element of a VR with a long length, as nobody should write it."""
    end = b"\xfe\xff\xdd\xe0\0\0\0\0" if undefined else b""
    length = 0xFFFFFFFF if undefined else len(value)
    return struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, vr, 0, length) + value + end


def a_code(scheme: str, value: str = "V1", meaning: str = "something") -> Sequence:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return Sequence([item])


@pytest.mark.parametrize("syntax_uid", [EXPLICIT, IMPLICIT, DEFLATED])
@pytest.mark.parametrize("study", [StudyRef("1.2.3"), StudyRef(STUDY, "SOMEBODY-ELSE")])
def test_an_instance_of_another_study_or_patient_is_refused(study: StudyRef, syntax_uid: str) -> None:
    instance = an_instance(a_header(), syntax_uid)
    with pytest.raises(IdentityConflict):
        check_identity(instance, study)


@pytest.mark.parametrize("study", [StudyRef(STUDY), StudyRef(STUDY, " PATID4711 ")])
@pytest.mark.parametrize("patient_id", ["PATID4711 ", ""])
def test_an_instance_of_the_study_passes_also_without_a_patient_id(study: StudyRef, patient_id: str) -> None:
    if not study.patient_id:
        patient_id = "ANYBODY"
    instance = an_instance(a_header(PatientID=patient_id))
    check_identity(instance, study)


@pytest.mark.parametrize("vr", [b"LO", b"UI", b"CS", b"AE", b"PN", b"DS", b"UN", b"OB"])
def test_a_patient_id_is_searched_for_under_whatever_vr_it_was_written(vr: bytes) -> None:
    header = encoded(a_header(Manufacturer="Maker PATID4711"))
    written = b"\x10\x00\x20\x00LO\x0a\x00PATID4711 "
    assert written in header
    short = b"\x10\x00\x20\x00" + vr + b"\x0a\x00PATID4711 "
    changed = raw(0x00100020, vr, b"PATID4711 ") if vr in {b"UN", b"OB"} else short
    with pytest.raises(ResidueFound):
        a_deidentifier().header(header.replace(written, changed), EXPLICIT)


def test_what_stands_behind_the_study_uid_is_not_read_for_the_identity() -> None:
    instance = an_instance(a_header())
    data = bytes(instance.parts[0]) + b"broken"
    check_identity(EncodedInstance(instance.sop_class_uid, instance.sop_uid, EXPLICIT, (data,)), StudyRef(STUDY))


@pytest.mark.parametrize(
    "rows",
    [
        raw(0x00280010, b"UN", b"Zwirnbald "),
        raw(0x00280010, b"OB", b"Zwirnbald "),
        raw(0x00280010, b"UN", b"\xfe\xff\x00\xe0\x0a\0\0\0Zwirnbald ", undefined=True),
        raw(0x00280010, b"UN", b"Vogelsang "),
        raw(0x00280030, b"UN", b"Vogelsang "),
        raw(0x00280051, b"UN", b"Vogelsang "),
        raw(0x00281201, b"UN", b"Vogelsang "),
    ],
)
def test_a_name_in_a_lost_or_wrong_vr_does_not_pass(rows: bytes) -> None:
    result = a_deidentifier().header(encoded(a_header()) + rows, EXPLICIT)
    assert b"Zwirnbald" not in result
    assert b"Vogelsang" not in result


def test_valid_values_of_a_lost_vr_stay() -> None:
    elements = raw(0x00280010, b"UN", b"\x00\x02") + raw(0x00280030, b"UN", b"0.5\\0.5 ")
    assert elements in a_deidentifier().header(encoded(a_header()) + elements, EXPLICIT)


def test_either_vr_of_the_dictionary_stays() -> None:
    elements = b"\x28\0\x06\x01SS\x02\0\x01\0" + b"\x28\0\x07\x01US\x02\0\x01\0"
    assert elements in a_deidentifier().header(encoded(a_header()) + elements, EXPLICIT)


@pytest.mark.parametrize(
    "values",
    [
        {"BodyPartExamined": "ZWIRNBALD"},
        {"BodyPartExamined": "ABD_ZWIRNBALD1"},
        {"ScanOptions": ["A", "ODO"]},
        {"InstanceNumber": "4711081", "PatientID": "4711081"},
        {"WindowCenter": "4711081", "PatientID": "4711081"},
        {"SoftwareVersions": "4711 08", "PatientID": "4711_08"},
        {"SoftwareVersions": "V 23.08.1961", "PatientBirthDate": "19610823"},
        {"SoftwareVersions": "V 23081961", "PatientBirthDate": "19610823"},
        {"SoftwareVersions": "V 1961-08-23", "PatientBirthDate": "19610823"},
        {"Manufacturer": "by LINA", "PatientName": "Li^Na"},
        {"Manufacturer": "by Li, Na", "PatientName": "Li^Na"},
        {"Manufacturer": "by Knoppers", "OperatorsName": "Knoppers^Udo"},
        {"Manufacturer": "see ALT-0815", "OtherPatientIDs": ["X", "ALT-0815"]},
        {"Manufacturer": "MÜLLERS Werk", "PatientName": "müller^Jo", "SpecificCharacterSet": "ISO_IR 192"},
        {"Manufacturer": "MÜLLERS Werk", "PatientName": "müller^Jo", "SpecificCharacterSet": "ISO_IR 100"},
        {"Manufacturer": "GROSS", "PatientName": "Groß^Jo", "SpecificCharacterSet": "ISO_IR 100"},
        {"Manufacturer": "für 山田", "PatientName": "Yamada^T=山田^太郎", "SpecificCharacterSet": "ISO_IR 192"},
    ],
)
def test_an_identifier_is_found_however_it_is_written(values: dict[str, object]) -> None:
    with pytest.raises(ResidueFound):
        treated(a_header(**values))


def test_names_and_ids_in_nested_items_are_searched_for() -> None:
    item = Dataset()
    item.PatientID, item.PersonName = "ALT-0815", "Knoppers^Udo"
    for text in ("ALT-0815", "Knoppers"):
        with pytest.raises(ResidueFound):
            treated(a_header(OtherPatientIDsSequence=Sequence([item]), Manufacturer=text))


@pytest.mark.parametrize("name", ["Head^Odo", "Chest^Odo", "Prima^Odo", "Primary^Odo", "Siemens^Odo"])
def test_a_term_that_is_also_a_name_does_not_block(name: str) -> None:
    header = a_header(
        PatientName=name, BodyPartExamined="HEAD", ImageType=["ORIGINAL", "PRIMARY"], Manufacturer="SIEMENS"
    )
    header.AnatomicRegionSequence = a_code("SCT", "1", "Chest")
    assert treated(header).BodyPartExamined == "HEAD"


@pytest.mark.parametrize("scheme", ["99KLINIK", "L", "", "KLINIK", "DCM2"])
def test_codes_of_other_than_public_schemes_are_removed(scheme: str) -> None:
    code = treated(a_header(ProcedureCodeSequence=a_code(scheme, "Vogelsang", "Vogelsang"))).ProcedureCodeSequence[0]
    assert (code.CodeValue, code.CodeMeaning) == ("REMOVED", "REMOVED")


@pytest.mark.parametrize("scheme", ["DCM", "SRT", "SCT", "UCUM", "NCIt", "LN", "FMA", "RADLEX"])
def test_codes_of_public_schemes_stay(scheme: str) -> None:
    codes = a_code(scheme)
    assert treated(a_header(ProcedureCodeSequence=codes)).ProcedureCodeSequence == codes


def with_pixels(length: int, **values: object) -> bytes:
    header = a_header(Rows=3, Columns=3, SamplesPerPixel=1, BitsAllocated=8, **values)
    return encoded(header) + raw(0x7FE00010, b"OB", bytes(length))


@pytest.mark.parametrize(("frames", "length"), [("1", 12), ("2", 20)])
def test_data_behind_the_last_frame_needs_a_review(frames: str, length: int) -> None:
    with pytest.raises(NeedsReview, match="last frame"):
        a_deidentifier().header(with_pixels(length, NumberOfFrames=frames), EXPLICIT)
    a_deidentifier().header(with_pixels(length - 2, NumberOfFrames=frames), EXPLICIT)


def test_an_overlay_within_the_pixels_needs_a_review() -> None:
    header = encoded(a_header(Rows=1, Columns=2, BitsAllocated=8))
    overlay = b"\x00\x60\x10\0US\x02\0\x01\0"
    data = b"\x00\x60\x00\x30OW\0\0\x02\0\0\0\0\0"
    pixels = raw(0x7FE00010, b"OB", b"\1\2")
    with pytest.raises(NeedsReview, match="overlay"):
        a_deidentifier().header(header + overlay + pixels, EXPLICIT)
    assert a_deidentifier().header(header + overlay + data + pixels, EXPLICIT).endswith(pixels)
