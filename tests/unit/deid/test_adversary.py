"""What somebody found who tried to get an identity through the engine, or an ordinary study stopped by it."""

import io
import struct

import pydicom
import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence

from dicom.deid.profile import shipped
from models.domain.errors import ResidueFound, RuleFailed, Unreadable
from tests.unit.deid.test_deid_fails_closed import EXPLICIT, a_deidentifier, a_header, a_policy, encoded, treated

pytestmark = pytest.mark.filterwarnings("ignore:The value length:UserWarning")


def an_item(**values: object) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def a_code(value: str, scheme: str, meaning: str = "x") -> Dataset:
    return an_item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def raw(header: Dataset, *elements: tuple[int, bytes, bytes]) -> bytes:
    """The encoded header with elements in the place of those of their tags, or added; values as they are given."""
    plain = encoded(header)
    pieces: dict[int, bytes] = {}
    position = 0
    while position < len(plain):
        group, number, vr, length = struct.unpack_from("<HH2sH", plain, position)
        end = position + 8 + length
        if vr in {b"SQ", b"UN", b"OB", b"UT"}:
            end = position + 12 + struct.unpack_from("<I", plain, position + 8)[0]
        pieces[group << 16 | number] = plain[position:end]
        position = end
    for tag, vr, value in elements:
        pieces[tag] = struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value
    return b"".join(pieces[tag] for tag in sorted(pieces))


# --- UIDs


@pytest.mark.parametrize("profile", shipped())
@pytest.mark.parametrize("uid", ["1.2.840.10008.20230512.101500.4711", "1.2.840.10008.5.1.4.1.1.2.20230512.1"])
def test_a_made_up_uid_under_the_standards_root_is_replaced(profile: str, uid: str) -> None:
    header = treated(a_header(StudyInstanceUID=uid, SOPInstanceUID=uid), policy=a_policy(profile))
    assert header.StudyInstanceUID.startswith("2.25.")
    assert header.SOPInstanceUID.startswith("2.25.")


def test_a_made_up_uid_under_the_standards_root_is_searched_for() -> None:
    uid = "1.2.840.10008.20230512.101500.4711"
    with pytest.raises(ResidueFound):
        treated(a_header(StudyInstanceUID=uid, Manufacturer=uid))


def test_registered_uids_stay() -> None:
    known = "1.2.840.10008.1.4.1.1"
    assert treated(a_header(FrameOfReferenceUID=known)).FrameOfReferenceUID == known


@pytest.mark.parametrize("profile", shipped())
def test_an_instance_uid_in_the_place_of_a_class_is_replaced(profile: str) -> None:
    instance, known = "1.2.826.0.1.3680043.10.9999.8", "1.2.840.10008.5.1.4.1.1.2"
    source = a_header(
        ReferencedImageSequence=Sequence(
            [an_item(ReferencedSOPClassUID=uid, ReferencedSOPInstanceUID="1.2.3.4") for uid in (instance, known)]
        )
    )
    found = [item.ReferencedSOPClassUID for item in treated(source, policy=a_policy(profile)).ReferencedImageSequence]
    assert found[0].startswith("2.25.")
    assert found[1] == known


def test_a_device_uid_that_is_kept_may_stand_in_a_report_as_well() -> None:
    uid = "1.3.12.2.1107.5.1.4.83511"
    observer = an_item(
        RelationshipType="HAS OBS CONTEXT",
        ValueType="UIDREF",
        ConceptNameCodeSequence=Sequence([a_code("121012", "DCM", "Device Observer UID")]),
        UID=uid,
    )
    header = treated(a_header(DeviceUID=uid, ContentSequence=Sequence([observer])))
    assert header.DeviceUID == uid


# --- dates and ages


@pytest.mark.parametrize("value", [b"20230512", b"99999999", b"240000", b"1015 Uhr"])
def test_a_date_in_the_place_of_a_time_goes(value: bytes) -> None:
    header = a_deidentifier().header(raw(a_header(StudyDate="20230512"), (0x00080031, b"TM", value)), EXPLICIT)
    assert value not in header


@pytest.mark.parametrize("value", ["10", "1015", "101500", "101500.25", "235960", "10:15:00"])
def test_a_time_of_day_stays(value: str) -> None:
    data = value.encode() + b" " * (len(value) % 2)
    header = a_deidentifier().header(raw(a_header(), (0x00080031, b"TM", data)), EXPLICIT)
    assert value.encode() in header


@pytest.mark.parametrize(("code", "scheme"), [("121033", "DCM"), ("30525-0", "LN"), ("397669002", "SCT")])
@pytest.mark.parametrize(
    ("age", "unit", "left"), [("97", "a", "90"), ("45", "a", "45"), ("97", "mo", "97"), ("1200", "mo", "1080")]
)
def test_an_age_in_a_report_is_at_most_90_years(code: str, scheme: str, age: str, unit: str, left: str) -> None:
    measured = an_item(
        MeasurementUnitsCodeSequence=Sequence([a_code(unit, "UCUM")]), NumericValue=age, FloatingPointValue=float(age)
    )
    content = an_item(
        ValueType="NUM",
        ConceptNameCodeSequence=Sequence([a_code(code, scheme)]),
        MeasuredValueSequence=Sequence([measured]),
    )
    found = treated(a_header(ContentSequence=Sequence([content]))).ContentSequence[0].MeasuredValueSequence[0]
    assert str(found.NumericValue) == left
    assert "FloatingPointValue" not in found


def test_other_numbers_of_a_report_stay() -> None:
    measured = an_item(NumericValue="97.5", FloatingPointValue=97.5)
    content = an_item(
        ValueType="NUM",
        ConceptNameCodeSequence=Sequence([a_code("410668003", "SCT", "Length")]),
        MeasuredValueSequence=Sequence([measured]),
    )
    found = treated(a_header(ContentSequence=Sequence([content]))).ContentSequence[0].MeasuredValueSequence[0]
    assert str(found.NumericValue) == "97.5"
    assert found.FloatingPointValue == 97.5


@pytest.mark.parametrize(
    ("code", "scheme", "value"),
    [
        ("121031", "DCM", "19430517"),
        ("184099003", "SCT", "19991231"),
        ("21112-8", "LN", "19991231"),
        ("GEBDAT", "99KLINIK", "19430517"),
    ],
)
def test_a_birth_date_in_a_report_is_no_shifted_date(code: str, scheme: str, value: str) -> None:
    content = an_item(ValueType="DATE", ConceptNameCodeSequence=Sequence([a_code(code, scheme)]), Date=value)
    header = treated(a_header(PatientBirthDate="19430517", ContentSequence=Sequence([content])))
    assert header.ContentSequence[0].Date == "19000101"


def test_the_study_of_a_newborn_keeps_its_shifted_date() -> None:
    header = treated(a_header(PatientBirthDate="20230512", StudyDate="20230512"))
    assert header.StudyDate not in {"", "19000101", "20230512"}


# --- codes


@pytest.mark.parametrize("profile", shipped())
@pytest.mark.parametrize("meaning", ["Thorax, Dr. Brandstetter 0221 987654", "CT Thorax Frau Brandstetter"])
def test_a_person_in_the_meaning_of_a_public_code_goes(profile: str, meaning: str) -> None:
    source = a_header(ProcedureCodeSequence=Sequence([a_code("169069000", "SCT", meaning)]))
    found = treated(source, policy=a_policy(profile)).ProcedureCodeSequence[0].CodeMeaning
    assert "Brandstetter" not in found
    assert "987654" not in found


def test_what_a_local_scheme_is_called_goes() -> None:
    code = a_code("1", "99KLIN_MUSTERST")
    code.CodingSchemeVersion, code.CodingSchemeUID = "Musterstadt 2", "1.2.276.0.76.3.1.999.4"
    code.ContextUID = "1.2.276.0.76.3.1.999.5"
    found = treated(a_header(ProcedureCodeSequence=Sequence([code])), policy=a_policy("basic")).ProcedureCodeSequence[0]
    assert "MUSTER" not in found.CodingSchemeDesignator
    assert "Muster" not in found.CodingSchemeVersion
    assert found.CodingSchemeUID.startswith("2.25.")
    assert found.ContextUID.startswith("2.25.")


@pytest.mark.parametrize("profile", ["research", "adit-compatible"])
def test_places_that_the_device_option_would_keep_are_cleaned(profile: str) -> None:
    header = treated(a_header(ScheduledStudyLocation="CT Klinikum Musterstadt Dr. Huber"), policy=a_policy(profile))
    assert "Muster" not in header.ScheduledStudyLocation
    assert "Huber" not in header.ScheduledStudyLocation


# --- structure


def test_sequences_that_are_nested_too_deep_are_refused() -> None:
    content = b""
    for _ in range(1500):
        item = struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content
        content = struct.pack("<HH2sHI", 0x0008, 0x1140, b"SQ", 0, len(item)) + item
    data = raw(a_header())
    with pytest.raises(Unreadable):
        a_deidentifier().header(data[: data.index(b"\x10\x00\x10\x00PN")] + content + data[-40:], EXPLICIT)


@pytest.mark.parametrize("depth", [3, 30])
def test_deep_sequences_are_treated_to_the_last_level(depth: int) -> None:
    inner = an_item(PatientID="PATID4711", SeriesDescription="bei Knoppers")
    for _ in range(depth):
        inner = an_item(ReferencedSeriesSequence=Sequence([inner]))
    header = a_deidentifier().header(encoded(a_header(ReferencedSeriesSequence=Sequence([inner]))), EXPLICIT)
    assert b"PATID4711" not in header
    assert b"Knoppers" not in header


def test_a_full_method_is_refused_and_names_the_attribute() -> None:
    methods = [f"{number:05}" + "x" * 59 for number in range(1008)]
    with pytest.raises(RuleFailed, match=r"\(0012,0063\)"):
        treated(a_header(DeidentificationMethod=methods))


def test_a_name_of_very_many_people_is_refused() -> None:
    """To search for all of them would take minutes."""
    names = "\\".join(f"Wyba{number}^Ke" for number in range(1500)).encode()
    data = raw(a_header(), (0x00081070, b"PN", names + b" " * (len(names) % 2)))
    with pytest.raises(RuleFailed, match="more people"):
        a_deidentifier().header(data, EXPLICIT)


def test_a_stray_end_of_an_item_is_refused() -> None:
    with pytest.raises(Unreadable):
        a_deidentifier().header(raw(a_header()) + b"\xfe\xff\x0d\xe0\0\0\0\0" + raw(a_header(Rows=2)), EXPLICIT)


# --- names that are searched for


def test_a_name_under_another_vr_is_searched_for() -> None:
    header = a_header(SoftwareVersions="Hanna Kopf 1")
    with pytest.raises(ResidueFound):
        a_deidentifier().header(raw(header, (0x00100010, b"LO", b"Kopf^Hanna")), EXPLICIT)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("GARCIA LOPEZ DE LA TORRE^MARIA DEL CARMEN", "for CARMEN"),
        ("Mustermann^Erika^^^geb. Kopfermann", "by Kopfermann"),
        ("Mustermann^Erika^Anna", "for Mustermann"),
    ],
)
def test_every_part_of_a_name_is_searched_for(name: str, text: str) -> None:
    with pytest.raises(ResidueFound):
        treated(a_header(PatientName=name, SoftwareVersions=text))


def test_a_name_is_found_in_a_character_set_of_several_bytes() -> None:
    source = a_header(SpecificCharacterSet="GB18030", PatientName="Müller^Jörg", SoftwareVersions="for Müller")
    with pytest.raises(ResidueFound):
        treated(source)


@pytest.mark.parametrize(
    ("known", "other"),
    [
        ({"OperatorsName": "CT2"}, {"StationName": "CT2"}),
        ({"OperatorsName": "MRC35123"}, {"StationName": "MRC35123"}),
        ({"ReferringPhysicianName": "Radiologie Station 3"}, {"StationName": "RADIOLOGIE1"}),
        ({"PatientName": "van der Berg^Jan"}, {"SoftwareVersions": "CT van de schedel"}),
        ({"PatientName": "Lehr^Karin"}, {"CollimatorGridName": "LEHR"}),
        ({"PatientName": "Mira^Jo"}, {"ManufacturerModelName": "Mobilett Mira Max"}),
        ({"PatientID": "100000"}, {"ExposureInuAs": "100000"}),
        ({"PatientID": "E 11"}, {"SoftwareVersions": "syngo MR E11"}),
    ],
)
def test_an_ordinary_study_is_not_refused(known: dict[str, object], other: dict[str, object]) -> None:
    treated(a_header(**known, **other))


# --- values that research needs


def test_one_odd_value_does_not_cost_its_neighbours() -> None:
    values = b"ORIGINAL\\PRIMARY\\M\\ND\\NORM\\FM4_1\\bei Knoppers"
    header = a_deidentifier().header(raw(a_header(), (0x00080008, b"CS", values + b" ")), EXPLICIT)
    assert b"ORIGINAL\\PRIMARY\\M\\ND\\NORM\\FM4_1\\" in header
    assert b"Knoppers" not in header


@pytest.mark.parametrize(("age", "left"), [(b"45Y ", "045Y"), (b" 45Y", "045Y"), (b"097Y", "090Y"), (b"alt ", "")])
def test_ages_in_everyday_spelling_stay(age: bytes, left: str) -> None:
    header = a_deidentifier().header(raw(a_header(), (0x00101010, b"AS", age)), EXPLICIT)
    found = pydicom.filereader.read_dataset(io.BytesIO(header), False, True)
    assert (found.PatientAge or "") == left


def test_a_small_letter_for_the_sex_is_understood() -> None:
    header = a_deidentifier().header(raw(a_header(), (0x00100040, b"CS", b"m ")), EXPLICIT)
    assert b"\x10\x00\x40\x00CS\x02\x00M " in header
