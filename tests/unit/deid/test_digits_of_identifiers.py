"""Identifiers of which only the digits are written, or whose digits are grouped otherwise, are found."""

import pytest

from dicom.deid.encoding import EXPLICIT_LITTLE
from dicom.deid.needles import Needles, Words, words_of
from dicom.deid.residue import check, check_bytes, check_pseudonym, check_text
from dicom.deid.rules import Rule
from dicom.deid.streams import padded
from models.domain.errors import ResidueFound

PATIENT_ID, STUDY_ID, MAKER = 0x00100020, 0x00200010, 0x00080070


def identified_by(text: str, tag: int = PATIENT_ID) -> Words:
    return words_of([(tag, b"LO", text.encode(), b"ISO_IR 192")])


def of(tag: int, text: str) -> Words:
    return words_of([(tag, b"DA" if tag == 0x00100030 else b"LO", text.encode(), b"ISO_IR 192")])


def is_found(text: str, words: Words, tag: int = MAKER, vr: bytes = b"LO", rule: Rule = Rule.KEEP) -> bool:
    header = EXPLICIT_LITTLE.encoded(tag, vr, padded(text.encode()))
    try:
        check(header, Needles(words), EXPLICIT_LITTLE, lambda *_: rule)
    except ResidueFound:
        return True
    return False


DIGITS_ALONE = [
    *(("PAT-0012345", "0012345"), ("PAT-0012345", "PAT 12345"), ("HH123456", "123456"), ("hh123456x", "No 123456")),
    *(
        ("KIS-4711081", "4711081"),
        ("KIS-4711081", "4711081.0"),
        ("KIS-4711081", "X4711081"),
        ("A_4711081_B", "4711081"),
    ),
    *(("PAT-001-2345", "0012345"), ("HH123456-02", "123456"), ("1234567/8", "1234567"), ("0001234", "0001234")),
    *(("RAD20240815123", "20240815123"), ("KH-123 456", "123456"), ("ID:4711081", "00004711081")),
]


@pytest.mark.parametrize("rule", [Rule.KEEP, Rule.CLEAN_TEXT, Rule.PSEUDONYM])
@pytest.mark.parametrize(("patient_id", "text"), DIGITS_ALONE)
def test_the_digits_of_an_identifier_alone_are_found(patient_id: str, text: str, rule: Rule) -> None:
    words = identified_by(patient_id)
    for written in (text, f"GE {text}", f"{text} b", f"5 {text}", f"({text})"):
        assert is_found(written, words, rule=rule), written


@pytest.mark.parametrize(("patient_id", "text"), [("HH123456", "123456"), ("KIS-4711081", "4711081")])
@pytest.mark.parametrize("written", ["{}", "{}.0", "{}.", "{}.00", "+{}", "00{}", "{}e0", "{}0e-1", "1\\{}\\2"])
@pytest.mark.parametrize(("tag", "vr"), [(0x00181411, b"DS"), (0x30060084, b"IS")])
def test_they_are_found_in_the_place_of_a_number(tag: int, vr: bytes, written: str, patient_id: str, text: str) -> None:
    words = identified_by(patient_id)
    assert is_found(written.format(text), words, tag, vr)
    assert not is_found(written.format(text.replace("4", "5")), words, tag, vr)


@pytest.mark.parametrize("patient_id", ["HH123456", "KIS-4711081", "PAT-0012345"])
def test_they_are_found_in_names_of_files_in_pseudonyms_and_between_pixels(patient_id: str) -> None:
    needles = Needles(identified_by(patient_id))
    digits = "".join(filter(str.isdigit, patient_id))
    for text in (f"PSEUDO1/20190314-101500-CT/3-{digits}-0a1b2c3d", f"X{digits}/1"):
        with pytest.raises(ResidueFound):
            check_text(text, needles)
    with pytest.raises(ResidueFound):
        check_pseudonym(f"STUDY {digits}", needles)
    with pytest.raises(ResidueFound):
        check_bytes(f"scanned for {digits}, 5".encode(), needles)


GROUPED = [
    "12 34-567",
    "1.234.567",
    "1,234,567",
    "1 234 567",
    "123/4567",
    "12\u00a034\u2013567",
    "1'234'567",
    "12_34_567",
]


@pytest.mark.parametrize("patient_id", ["1234567", "HH1234567", "12-34567", "HH 12.345.67", "01234567", "1 23 45 67"])
@pytest.mark.parametrize("grouped", GROUPED)
def test_an_identifier_is_found_in_other_groups(patient_id: str, grouped: str) -> None:
    words = identified_by(patient_id)
    for text in (grouped, f"GE {grouped} b", f"3 {grouped}", f"{grouped} 3", f"No. 7: {grouped}/1", f"HH {grouped}"):
        assert is_found(text, words), text
        assert not is_found(text.replace("67", "68"), words), text


@pytest.mark.parametrize(
    ("patient_id", "text"),
    [
        ("KIS-47AB11", "KIS 4-7 AB 1.1"),
        ("A1B2C3D4", "a1-b2-c3-d4"),
        ("AB12CD34", "ABCD AB 12 CD 34"),
        ("X12345", "X-12 345"),
    ],
)
def test_an_identifier_of_letters_and_digits_is_found_in_other_groups(patient_id: str, text: str) -> None:
    assert is_found(text, identified_by(patient_id))


@pytest.mark.parametrize(
    ("patient_id", "tag", "text"),
    [
        ("HH12345", PATIENT_ID, "12345"),
        ("PAT-0012345", PATIENT_ID, "12345"),
        ("HEAD-100000", PATIENT_ID, "100000"),
        ("PAT-000001", PATIENT_ID, "000001"),
        ("PAT-000001", PATIENT_ID, "1"),
        ("HEADNECK", PATIENT_ID, "HEAD NECK"),
        ("RAD20240815", PATIENT_ID, "20240815"),
        ("20240815-101500", PATIENT_ID, "101500"),
        ("20240815-101500", PATIENT_ID, "20240815"),
        ("1.2.840.113619.2.55.3", PATIENT_ID, "113619 2"),
        ("HH123456", PATIENT_ID, "0.123456"),
        ("HH123456", PATIENT_ID, "1234567"),
        ("HH123456", PATIENT_ID, "7123456"),
        ("HH1234567", PATIENT_ID, "1.2.34.56"),
        ("HH1234567", PATIENT_ID, "1 2 3 4 5 6"),
        ("ST123", STUDY_ID, "123"),
        ("ST12345", STUDY_ID, "12345"),
    ],
)
def test_other_numbers_are_no_residue(patient_id: str, tag: int, text: str) -> None:
    assert not is_found(text, identified_by(patient_id, tag))
    assert not is_found(f"GE {text} b", identified_by(patient_id, tag))


@pytest.mark.parametrize("patient_id", ["1.2.840.113619.2.55.3", "1.2.276.0.7230010.3.1.4"])
def test_the_root_of_a_uid_that_is_an_identifier_is_in_other_uids(patient_id: str) -> None:
    uid = f"{patient_id.rpartition('.')[0]}.99.1"
    assert not is_found(uid, identified_by(patient_id), 0x00181002, b"UI")


@pytest.mark.parametrize(("birth_date", "names"), [("19330602", "Jun June Juni"), ("19331121", "Nov November")])
@pytest.mark.parametrize(
    "written", ["{y}-{n}-{d}", "{y} {n} {d}", "{n} {d}{o}, {y}", "{d}{o} of {n} {y}", "{d}{o} {n} {y}"]
)
def test_a_birth_date_with_the_name_of_its_month_is_found_in_every_order(
    written: str, birth_date: str, names: str
) -> None:
    day, ordinal = (2, "nd") if birth_date.endswith("02") else (21, "st")
    words = of(0x00100030, birth_date)
    for name in names.split():
        text = written.format(y=1933, n=name, d=day, o=ordinal)
        assert is_found(text, words), text
        assert is_found(f"GE {text.upper()} b", words), text
        assert not is_found(text.replace("33", "34"), words), text


@pytest.mark.parametrize("address", ["Quellenstraße 17b", "Quellenstr. 17 B", "QUELLENSTRASSE NR. 17B"])
@pytest.mark.parametrize(
    "text", ["Quellenstr. 17b", "QUELLENSTRASSE 17 B", "Quellenstraße Nr. 17b", "quellenstr nr 17 b"]
)
def test_the_number_of_a_house_is_found_however_it_is_written(text: str, address: str) -> None:
    assert is_found(f"GE {text}", of(0x00101040, address))
    assert not is_found(f"GE {text.replace('7', '8')}", of(0x00101040, address))


@pytest.mark.parametrize("text", ["5639001", "56 390 01", "0049 6221 5639001", "5.6.3.9.0.0.1", "(06221) 56-39001"])
def test_a_telephone_number_is_found_without_the_code_of_its_place(text: str) -> None:
    assert is_found(f"GE {text}", of(0x00102154, "+49 6221 / 56-39001"))


def test_the_round_end_of_a_telephone_number_is_none() -> None:
    words = of(0x00102154, "+49 5550 0000003")
    assert not is_found("SERNO0000003", words)
    assert is_found("5550 0000003", words)


@pytest.mark.parametrize(
    ("tag", "text"), [(PATIENT_ID, "HH224394"), (PATIENT_ID, "224394"), (0x00102154, "06221 2243941")]
)
@pytest.mark.parametrize("codec", ["ascii", "utf-16-le", "utf-16-be"])
def test_a_number_alone_within_opaque_bytes_is_found(codec: str, tag: int, text: str) -> None:
    number = "2243941" if tag == 0x00102154 else "224394"
    for value in (number, f"X{number}"):
        raw = b"\x01\x02\xff\x00" + value.encode(codec) + b"\x00\x00\x07"
        with pytest.raises(ResidueFound):
            check(
                EXPLICIT_LITTLE.encoded(0x00282000, b"OB", raw + b"\0" * (len(raw) % 2)),
                Needles(of(tag, text)),
                EXPLICIT_LITTLE,
                lambda *_: Rule.KEEP,
            )
        check_bytes(raw.replace("2".encode(codec), "3".encode(codec)), Needles(of(tag, text)))
