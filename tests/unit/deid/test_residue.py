"""Every kind of identifier is found in every place where it could hide, and chance finds nobody."""

import time
from collections.abc import Callable

import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence
from pydicom.valuerep import STANDARD_VR

from dicom.deid import residue
from dicom.deid.encoding import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, read_elements
from dicom.deid.policy import compiled
from dicom.deid.profile import Action, Profile, load
from dicom.deid.residue import Identifiers, check, check_bytes, check_pseudonym, check_text, check_values
from dicom.deid.rules import Rule
from dicom.deid.streams import padded
from dicom.deid.text import Cleaner
from models.domain.errors import ResidueFound
from tests.unit.deid.test_deid_fails_closed import BIG_ENDIAN, EXPLICIT, IMPLICIT, a_deidentifier, a_header, encoded

pytestmark = pytest.mark.filterwarnings("ignore:The value length:UserWarning")
"""Identifiers are planted in attributes that are too short for them, as people do."""

SYNTAXES = {EXPLICIT: EXPLICIT_LITTLE, IMPLICIT: IMPLICIT_LITTLE, BIG_ENDIAN: EXPLICIT_BIG}
RESEARCH = compiled(load("research"))
STUDY_UID = "1.2.826.0.1.3680043.10.9999.2"
NESTED_UID = "1.3.12.2.1107.5.2.32.35177.30000011051706423"


def an_item(**values: object) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def an_original(**values: object) -> Dataset:
    """A header with one identifier of each kind, at several levels."""
    known = {
        "SpecificCharacterSet": "ISO_IR 192",
        "PatientName": "Vogelsäng^Äda Maria^^Dr.",
        "PatientID": "KIS-4711081",
        "PatientBirthDate": "19610823",
        "AccessionNumber": "RAD20240815",
        "AdmissionID": "0081234567",
        "OperatorsName": "Knoppers^Udo",
        "PlacerOrderNumberImagingServiceRequest": "ORD-778899",
        "InsurancePlanIdentification": "AOK 98761234",
        "PatientTelephoneNumbers": "+49 6221 / 56-39001",
        "PatientTelecomInformation": "a.vogelsaeng@example.org",
        "PatientAddress": "Quellenstraße 17b, 69123 Mauerbach",
        "StudyID": "ST778123",
        "OtherPatientIDsSequence": Sequence([an_item(PatientID="ALT-99887")]),
        "ReferencedImageSequence": Sequence([an_item(ReferencedSOPInstanceUID=NESTED_UID)]),
        "RequestAttributesSequence": Sequence([an_item(AccessionNumber="SEK556677")]),
    }
    return a_header(**(known | values))


def needles_of(original: Dataset, profile: Profile | None = None, identifiers: Identifiers | None = None):
    policy = compiled(profile) if profile else RESEARCH
    data = memoryview(encoded(original))
    elements = read_elements(data, EXPLICIT_LITTLE)
    values = {
        element.tag: bytes(data[element.begin : element.stop]) for element in elements if element.tag < 0x00080010
    }
    return (identifiers or Identifiers()).needles(data, elements, values, EXPLICIT_LITTLE, policy.rule_for)


def checked(output: Dataset, original: Dataset | None = None, syntax_uid: str = EXPLICIT) -> None:
    header = encoded(output, syntax_uid)
    check(header, needles_of(an_original() if original is None else original), SYNTAXES[syntax_uid], RESEARCH.rule_for)


KINDS = {
    "family name": "Vogelsäng",
    "family name in capitals": "VOGELSÄNG",
    "family name without accents": "Vogelsang",
    "family name written out": "Vogelsaeng",
    "given and family name": "Äda Vogelsäng",
    "names in a row": "VOGELSAENG,ADA",
    "operator": "Knoppers",
    "patient id": "KIS-4711081",
    "patient id otherwise separated": "kis 4711081",
    "patient id without separators": "KIS4711081",
    "other patient id in a sequence": "ALT-99887",
    "accession number": "RAD20240815",
    "accession number of a request": "sek556677",
    "admission": "0081234567",
    "admission without its zeros": "81234567",
    "order": "ORD-778899",
    "insurance": "AOK 98761234",
    "study id": "ST778123",
    "telephone": "06221 5639001",
    "telephone in groups": "0 62 21-56 39 001",
    "mail address": "A.Vogelsaeng@example.org",
    "street": "Quellenstr. 17b",
    "postcode and place": "69123 Mauerbach",
    "birth date": "23.08.1961",
    "birth date as DICOM has it": "19610823",
    "birth date of the Americans": "8/23/1961",
    "birth date with a month": "23. August 1961",
    "birth date in English": "Aug 23, 1961",
    "study UID": STUDY_UID,
    "instance UID of a sequence": NESTED_UID,
    "UID that begins with another": f"{STUDY_UID}.77",
}


def with_maker(text: str) -> Dataset:
    return an_item(SpecificCharacterSet="ISO_IR 192", Manufacturer=f"bei {text} da")


def in_an_item(text: str) -> Dataset:
    item = an_item(ConvolutionKernel=f"B30f {text}")
    return an_item(SpecificCharacterSet="ISO_IR 192", CTReconstructionSequence=Sequence([item]))


def deep_inside(text: str) -> Dataset:
    inner = an_item(AnatomicRegionSequence=Sequence([an_item(Manufacturer=text)]))
    return an_item(SpecificCharacterSet="ISO_IR 192", CTReconstructionSequence=Sequence([inner]))


def as_meaning(text: str) -> Dataset:
    code = an_item(CodeValue="1", CodingSchemeDesignator="DCM", CodeMeaning=f"Head {text}")
    return an_item(SpecificCharacterSet="ISO_IR 192", AnatomicRegionSequence=Sequence([code]))


def as_cleaned(text: str) -> Dataset:
    return an_item(SpecificCharacterSet="ISO_IR 192", StudyDescription=f"Thorax {text} nativ")


def over_two_values(text: str) -> Dataset:
    head, _, tail = text.partition(" ")
    return an_item(SpecificCharacterSet="ISO_IR 192", SoftwareVersions=["x", head, *([tail] if tail else [])])


def privately(text: str) -> Dataset:
    output = an_item(SpecificCharacterSet="ISO_IR 192")
    output.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x08, "SH", text[:60])
    return output


PLACES: dict[str, Callable[[str], Dataset]] = {
    "device text": with_maker,
    "an item": in_an_item,
    "items in items": deep_inside,
    "the meaning of a public code": as_meaning,
    "cleaned text": as_cleaned,
    "several values": over_two_values,
    "a private value": privately,
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", KINDS)
def test_an_identifier_is_found_wherever_it_hides(kind: str, place: str) -> None:
    checked(PLACES[place]("etwas"))
    with pytest.raises(ResidueFound) as caught:
        checked(PLACES[place](KINDS[kind]))
    assert not [word for word in KINDS.values() if word.lower() in str(caught.value).lower()]


@pytest.mark.parametrize("syntax_uid", SYNTAXES)
@pytest.mark.parametrize("kind", KINDS)
def test_an_identifier_is_found_in_every_transfer_syntax(kind: str, syntax_uid: str) -> None:
    checked(in_an_item("etwas"), syntax_uid=syntax_uid)
    with pytest.raises(ResidueFound):
        checked(in_an_item(KINDS[kind]), syntax_uid=syntax_uid)


@pytest.mark.parametrize("kind", KINDS)
def test_an_identifier_is_found_in_names_of_files(kind: str) -> None:
    needles = needles_of(an_original())
    check_text("PSEUDO1/20190314-101500-CT-5ac83f21/3-Thorax_nativ-0a1b2c3d/2.25.1239087123.dcm", needles)
    if kind == "birth date of the Americans":  # no name has slashes, a path has
        return
    with pytest.raises(ResidueFound) as caught:
        check_text(f"PSEUDO1/20190314-101500-CT-5ac83f21/3-{KINDS[kind]}-0a1b2c3d", needles)
    assert KINDS[kind] not in str(caught.value)


def test_the_digits_of_our_own_uids_are_nobodys_number() -> None:
    needles = needles_of(an_original())
    own = "2.25.98765432109876543210622156390011234567"
    check_text(f"PSEUDO1/20190314-101500-CT-5ac83f21/3-CT-0a1b2c3d/{own}.dcm", needles)
    check_values([(own, False)], needles)
    for telling in (check_text, lambda text, known: check_values([(text, False)], known)):
        with pytest.raises(ResidueFound):
            telling(f"{own} 062215639001", needles)


@pytest.mark.parametrize("codec", ["latin-1", "utf-8", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", ["Vogelsäng", "VOGELSÄNG", "Vogelsaeng", "KIS-4711081", "RAD20240815", STUDY_UID])
def test_an_identifier_is_found_within_opaque_bytes(text: str, codec: str) -> None:
    value = b"\x01\x02\xff\x00" + text.encode(codec) + b"\x00\x00\x07"
    with pytest.raises(ResidueFound):
        checked(an_item(ICCProfile=value + b"\x00" * (len(value) % 2)))
    with pytest.raises(ResidueFound):
        check_bytes(value, needles_of(an_original()))
    harmless = value.replace(text.encode(codec), "Elsewhere".encode(codec))
    checked(an_item(ICCProfile=harmless + b"\x00" * (len(harmless) % 2)))
    check_bytes(harmless, needles_of(an_original()))


def test_a_comment_between_pixels_is_searched_like_text() -> None:
    needles = needles_of(an_original(PatientName="Li^Na"))
    for comment in (b"Name: Li, Na", b"born 23.08.1961", b"\0\0tel 06221 5639001", b"ORD-778899\0"):
        with pytest.raises(ResidueFound):
            check_bytes(comment, needles)
    check_bytes(b"Lossy JPEG, quality 92, LEAD Technologies", needles)


@pytest.mark.parametrize(
    ("charset", "name", "output_charset", "text"),
    [
        ("ISO_IR 100", "Größmann^Jo", "ISO_IR 192", "GRÖSSMANN"),
        ("ISO_IR 192", "Größmann^Jo", "ISO_IR 100", "Größmann"),
        ("ISO_IR 192", "Größmann^Jo", "", "Groessmann"),
        ("", "Groessmann^Jo", "ISO_IR 100", "Größmann"),
        ("", "Groessmann^Jo", "ISO_IR 192", "Größmann"),
        ("", "Dupre^Jo", "ISO_IR 192", "Dupré"),
        ("ISO_IR 101", "Dvořák^Jan", "ISO_IR 192", "Dvořák"),
        ("ISO_IR 144", "Люксембург^Роза", "ISO_IR 192", "ЛЮКСЕМБУРГ"),
        ("ISO_IR 192", "Yamada^Tarou=山田^太郎=やまだ^たろう", "ISO_IR 192", "山田"),
        ("ISO_IR 192", "Yamada^Tarou=山田^太郎=やまだ^たろう", "GB18030", "山田"),
        ("GB18030", "Wang^XiaoDong=王^小东", "ISO_IR 192", "小东"),
        ("ISO_IR 192", "Øster^Åse", "ISO_IR 100", "ØSTER"),
        ("ISO_IR 192", "Åse^Øster", "", "Aase"),
    ],
)
def test_a_name_is_found_in_another_character_set(charset: str, name: str, output_charset: str, text: str) -> None:
    original = an_original(SpecificCharacterSet=charset, PatientName=name, PatientAddress=None)
    item = an_item(SpecificCharacterSet=output_charset, Manufacturer=f"fur {text} da".replace("ü", "u"))
    for output in (item, an_item(CTReconstructionSequence=Sequence([item]))):
        with pytest.raises(ResidueFound):
            checked(output, original)


def test_a_name_in_utf_8_that_nobody_declared_is_found() -> None:
    output = an_item(Manufacturer="X")
    raw = encoded(output).replace(b"\x02\x00X ", b"\x0e\x00" + "bei Vogelsäng".encode())
    with pytest.raises(ResidueFound):
        check(raw, needles_of(an_original()), EXPLICIT_LITTLE, RESEARCH.rule_for)


def test_letters_with_their_accent_behind_them_are_found() -> None:
    with pytest.raises(ResidueFound):
        checked(with_maker("Vogelsa\u0308ng"))


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("Kopf^Hand", {"Manufacturer": "Kopf"}),
        ("Head^Odo", {"BodyPartExamined": "HEAD", "ScanOptions": "HEAD MODE"}),
        ("Siemens^Odo", {"Manufacturer": "SIEMENS", "ManufacturerModelName": "Siemens Symphony"}),
        ("Dixon^Ray", {"SequenceName": "Dixon", "ScanOptions": ["DIXON"]}),
        ("Ann^Max", {"Manufacturer": "Scanner Maxwell"}),
        ("Thora^Odo", {"ReceiveCoilName": "Thorax Coil", "BodyPartExamined": "THORAX"}),
        ("Spin^Odo", {"SequenceName": "SpinEcho", "ScanningSequence": "SE"}),
        ("Research^Key", {"DeidentificationMethod": "policy research 0123abcd"}),
        ("Adit^Policy", {"DeidentificationMethod": ["ADIT 0.1; PS3.15 2026d", "key 0123abcd"]}),
        ("Anonymous", {"Manufacturer": "Anonymous"}),
        ("Unknown^Test", {"Manufacturer": "unknown", "SequenceName": "test"}),
        ("X^Y", {"Manufacturer": "X Y Z"}),
    ],
)
def test_a_reviewed_word_is_no_name_in_what_devices_write(name: str, output: dict[str, object]) -> None:
    checked(an_item(**output), an_original(PatientName=name))


@pytest.mark.parametrize(
    ("original", "output"),
    [
        ({"PatientID": "1024"}, {"WindowWidth": "1024", "Manufacturer": "Model 1024"}),
        ({"PatientID": "101500"}, {"AcquisitionTime": "101500", "StudyTime": "101500.25"}),
        ({"PatientID": "123456"}, {"WindowCenter": "0.123456", "SliceThickness": "1.123456"}),
        ({"StudyID": "1"}, {"Manufacturer": "Model 1"}),
        ({"StudyID": "2024"}, {"SoftwareVersions": "VB 2024"}),
        ({"AccessionNumber": "UNKNOWN"}, {"Manufacturer": "unknown"}),
        ({"PatientBirthDate": "19000101"}, {"SoftwareVersions": "1900-01-01"}),
        ({"PatientBirthDate": "20240312"}, {"StudyDate": "20240312"}),
        ({"PatientTelephoneNumbers": "100"}, {"Manufacturer": "Model 100"}),
        ({"PatientAddress": "Am Ring 3"}, {"Manufacturer": "Ring 1 3"}),
        ({"PatientAddress": "Erlangen"}, {"Manufacturer": "Siemens Erlangen"}),
        ({"PatientID": "8712309"}, {"StudyInstanceUID": "2.25.312348712309123098712309871230987123"}),
        ({"SOPInstanceUID": "1.2.3"}, {"Manufacturer": "Release 1.2.3"}),
        ({"StudyInstanceUID": "1.2.840.10008.1.1"}, {"SOPClassUID": "1.2.840.10008.1.1"}),
    ],
)
def test_what_is_equal_by_chance_is_no_residue(original: dict[str, object], output: dict[str, object]) -> None:
    checked(an_item(**output), an_original(**original))


@pytest.mark.parametrize(
    "text", ["14.03.1956", "1956-03-14", "19560314", "14031956", "+03141956", "1\\14.03.1956", "14.3.56"]
)
@pytest.mark.parametrize(("tag", "vr"), [(0x00181411, b"DS"), (0x30060084, b"IS")])
def test_a_birth_date_is_found_in_the_place_of_a_number(tag: int, vr: bytes, text: str) -> None:
    needles = needles_of(an_original(PatientBirthDate="19560314"))
    for value in ("1.5\\-2e3\\", "560314", "195603145"):
        check(EXPLICIT_LITTLE.encoded(tag, vr, padded(value.encode())), needles, EXPLICIT_LITTLE, RESEARCH.rule_for)
    with pytest.raises(ResidueFound):
        check(EXPLICIT_LITTLE.encoded(tag, vr, padded(text.encode())), needles, EXPLICIT_LITTLE, RESEARCH.rule_for)


def test_cleaned_text_keeps_no_word_of_the_patient_and_is_then_clean() -> None:
    original = an_original(PatientName="Kopf^Thora", PatientID="L4-12", PatientAddress="Herzstr. 5")
    needles = needles_of(original)
    text = Cleaner().cleaned("MRT Kopf Thorax L4 Herz nativ", needles.scrub)
    assert text == "MRT Thorax Herz nativ"
    checked(an_item(StudyDescription=text), original)
    with pytest.raises(ResidueFound, match=r"\(0008,1030\)"):
        checked(an_item(StudyDescription="MRT Kopf"), original)


@pytest.mark.parametrize("pseudonym", ["1024", "VOGELSAENG1", "VA230861", "19610823", "kis 4711081", "61"])
def test_a_pseudonym_made_of_the_identity_is_found(pseudonym: str) -> None:
    patient_id = pseudonym if pseudonym in {"1024", "61"} else "KIS-4711081"
    needles = needles_of(an_original(PatientID=patient_id))
    with pytest.raises(ResidueFound, match="pseudonym") as caught:
        check_pseudonym(pseudonym, needles)
    assert pseudonym not in str(caught.value)
    check_pseudonym("PSEUDO77", needles)


SPELLED_DATES = [
    *("5.8.1961", "05.8.1961", "5.08.1961", "1961-8-05", "8/5/1961", "5 Aug 61", "05.August.1961", "august5_1961"),
    *("mai 5, 1961", "05mai1961", "19610805", "05081961", "610805"),
]
SPELLED_PARTS = [
    "Vogelsaeng",
    "VOGELSANG",
    "vogel-saeng",
    "V.ogelsang",
    "Aeda",
    "Ada-Maria",
    "maria ada",
    "Udo",
    "Knoppers",
]
SPELLED_NUMBERS = [
    "4711081",
    "KIS4711081",
    "kis-4711081",
    "0081234567",
    "81234567",
    "SEK-556677",
    "39001",
    "56 390 01",
    "98761234",
]
SPELLED_PLACES = ["quellenstr. 17b", "Quellenstrasse17b", "69123 Mauerbach", "a.vogelsaeng", "a_vogelsaeng@example.org"]


@pytest.mark.parametrize("birth_date", ["19610805", "19610508", "19611112", "20040229"])
@pytest.mark.parametrize("name", ["Vogelsäng^Äda Maria^^Dr.", "Li^Bo", "Łukasz^Strauß", "Weiss^Jessica", "山口^花子"])
def test_the_quick_look_at_a_pseudonym_overlooks_nothing(
    birth_date: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    needles = needles_of(an_original(PatientBirthDate=birth_date, PatientName=name))
    own = [*name.replace("^", " ").split(), name.replace("^", ""), "lukasz", "strauss", "straus", "bo_li", "yamaguchi"]
    for text in [*SPELLED_DATES, *SPELLED_PARTS, *SPELLED_NUMBERS, *SPELLED_PLACES, *own]:
        for pseudonym in (text, f"X {text}", f"{text}-7", f"P{text}", text.upper(), f"{text} {text[::-1]}"):
            quick = is_refused(pseudonym, needles)
            with monkeypatch.context() as patched:
                patched.setattr(residue, "_may_be_in", lambda *_: True)
                assert is_refused(pseudonym, needles) is quick, pseudonym


def is_refused(pseudonym: str, needles: residue.Needles) -> bool:
    try:
        check_pseudonym(pseudonym, needles)
    except ResidueFound:
        return True
    return False


def test_an_instance_is_refused_when_its_pseudonym_is_made_of_its_identity() -> None:
    header = encoded(a_header(PatientID="61"))
    with pytest.raises(ResidueFound, match="pseudonym"):
        a_deidentifier("61").header(header, EXPLICIT)
    a_deidentifier("62").header(header, EXPLICIT)


@pytest.mark.parametrize(
    ("keyword", "text"),
    [("StudyInstanceUID", "1.2.840.10008.4711081"), ("SeriesInstanceUID", "1.2.840.10008.Knoppers")],
)
def test_an_identifier_in_the_shape_of_a_standard_uid_is_found(keyword: str, text: str) -> None:
    output = encoded(an_item(**{keyword: "9" * len(text)})).replace(b"9" * len(text), text.encode())
    with pytest.raises(ResidueFound):
        check(output, needles_of(an_original(PatientID="4711081")), EXPLICIT_LITTLE, RESEARCH.rule_for)


def test_what_a_policy_keeps_is_not_searched_for_but_names_and_patient_ids_are() -> None:
    keeping = Profile("keeping", overrides={0x00080050: Action.KEEP, 0x00101000: Action.KEEP})
    policy = compiled(keeping)
    original = an_original(OtherPatientIDs="ALT-55443", RequestAttributesSequence=None)
    needles = needles_of(original, keeping)
    check(encoded(an_item(AccessionNumber="RAD20240815")), needles, EXPLICIT_LITTLE, policy.rule_for)
    for text in ("ALT-55443", "Knoppers", "KIS-4711081"):
        with pytest.raises(ResidueFound):
            check(encoded(an_item(Manufacturer=text)), needles, EXPLICIT_LITTLE, policy.rule_for)


def test_uids_that_a_policy_keeps_are_no_residue() -> None:
    keeping = Profile("keeping", options=frozenset({*load("research").options, *()}) | _retain_uids())
    policy = compiled(keeping)
    output = an_item(StudyInstanceUID=STUDY_UID)
    check(encoded(output), needles_of(an_original(), keeping), EXPLICIT_LITTLE, policy.rule_for)
    with pytest.raises(ResidueFound):
        checked(output)


def _retain_uids() -> frozenset:
    from dicom.deid.profile import Option

    return frozenset({Option.RETAIN_UIDS})


def test_invented_values_are_not_searched() -> None:
    assert RESEARCH.rule_for(0x00080020, b"DA") in {Rule.DATE, Rule.PLAIN_DATE}
    checked(an_item(StudyDate="19610823"))


def test_instances_of_the_same_people_share_what_is_searched_for() -> None:
    identifiers = Identifiers()
    one = needles_of(an_original(), identifiers=identifiers)
    other = needles_of(an_original(SOPInstanceUID="1.2.826.0.1.3680043.10.9999.77"), identifiers=identifiers)
    assert one == other
    assert hash(one) == hash(other)
    assert one.scrub is other.scrub
    assert one.uids != other.uids
    assert {"vogelsang", "vogelsaeng", "ada", "maria", "knoppers", "kis", "4711081"} <= one.scrub
    assert one != needles_of(an_original(PatientName="Meier"), identifiers=identifiers)


def test_identifiers_of_a_long_sequence_are_found_without_names_in_it() -> None:
    items = [an_item(ReferencedSOPInstanceUID=f"{NESTED_UID}.{n}", FrameComments="." * 40) for n in range(200)]
    items[150].AccessionNumber = "SEK998877"
    original = an_original(PerFrameFunctionalGroupsSequence=Sequence(items), RequestAttributesSequence=None)
    for text in ("SEK998877", f"{NESTED_UID}.177"):
        with pytest.raises(ResidueFound):
            checked(with_maker(text), original)
    checked(with_maker("etwas"), original)


@pytest.mark.parametrize("syntax_uid", [EXPLICIT, BIG_ENDIAN])
@pytest.mark.parametrize("vr", sorted(STANDARD_VR - {"SQ"}))
def test_an_identifier_of_a_long_sequence_is_found_under_whatever_vr(vr: str, syntax_uid: str) -> None:
    syntax = SYNTAXES[syntax_uid]
    filler = syntax.encoded_item(syntax.encoded(0x00209158, b"LT", b"." * 60)) * 100
    for tag in (0x00080050, 0x00100010, 0x00100020, 0x00380010):
        item = syntax.encoded_item(syntax.encoded(tag, vr.encode(), b"SEK998877 "))
        data = memoryview(syntax.encoded(0x00400275, b"SQ", filler + item + filler))
        needles = Identifiers().needles(data, read_elements(data, syntax), {}, syntax, RESEARCH.rule_for)
        with pytest.raises(ResidueFound):
            check(encoded(with_maker("SEK998877"), syntax_uid), needles, syntax, RESEARCH.rule_for)


def test_many_uids_of_their_own_root_are_searched_fast_and_found() -> None:
    uids = [f"2.25.{n}1234567890123456789012345678901" for n in range(100000, 101500)]
    items = [an_item(ReferencedSOPInstanceUID=uid) for uid in uids]
    original = an_original(PerFrameFunctionalGroupsSequence=Sequence(items))
    needles = needles_of(original)
    big = encoded(an_item(Manufacturer="X" * 64, DataSetTrailingPadding=b"1.2.3.4.5.6.7.8 " * 60_000))
    started = time.process_time()
    check(big, needles, EXPLICIT_LITTLE, RESEARCH.rule_for)
    assert time.process_time() - started < 5
    with pytest.raises(ResidueFound, match=r"\(0008,0070\)"):
        checked(an_item(Manufacturer=uids[777]), original)


def test_no_names_and_no_identifiers_refuse_nothing() -> None:
    bare = a_header(PatientName="", PatientID="", PatientBirthDate="")
    checked(with_maker("Vogelsäng 4711081"), bare)
