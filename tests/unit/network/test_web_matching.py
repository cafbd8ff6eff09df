"""What counts as a match is decided here and not by the peer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom.network.matching import (
    matches_date,
    matches_keys,
    matches_modality,
    matches_name,
    matches_patient,
    matches_study,
    matches_text,
    matches_time,
)
from models.domain.refs import Level, PatientFound, PatientQuery, StudyFound, StudyQuery

STUDY = StudyFound(
    study_uid="1.2.3",
    patient_id="P1",
    patient_name="Muster^Max",
    birth_date="19610823",
    accession_number="A1",
    study_date="20240312",
    study_time="101500.250",
    study_description="CT Abdomen",
    modalities=("CT", "SR"),
)


@pytest.mark.parametrize(
    ("wanted", "found", "expected"),
    [
        ("", "x", True),
        ("*", "x", True),
        ("CT*", "CT Abdomen", True),
        ("ct*", "CT Abdomen", False),
        ("C?", "CT", True),
        ("C?", "CTA", False),
        ("CT", "CTA", False),
        (" CT ", "CT", True),
        ("a.c", "abc", False),
        ("[ab]", "a", False),
        ("CT", "", True),
        ("**********x", "y" * 60, False),
    ],
)
def test_text_fits_as_a_whole_and_with_its_case(wanted: str, found: str, expected: bool) -> None:
    assert matches_text(wanted, found) is expected


def fits_slowly(wanted: str, found: str) -> bool:
    """The rule for wildcards as the standard words it, tried in every way."""
    if not wanted:
        return not found
    if wanted[0] == "*":
        return any(fits_slowly(wanted[1:], found[at:]) for at in range(len(found) + 1))
    return bool(found) and wanted[0] in ("?", found[0]) and fits_slowly(wanted[1:], found[1:])


@given(st.text("ab.\\*?", min_size=1, max_size=8), st.text("ab.\\\n", min_size=1, max_size=8))
def test_wildcards_stand_for_any_text_and_any_character(wanted: str, found: str) -> None:
    assert matches_text(wanted, found) is (not found.strip() or fits_slowly(wanted, found.strip()))


@pytest.mark.parametrize("wanted", ["*?" * 150 + "Q", "*a" * 150 + "Q", "*" * 300 + "Q", "?*" * 150 + "Q*"])
def test_no_wildcards_take_longer_than_the_texts_are_long(wanted: str) -> None:
    assert not matches_text(wanted, "a" * 300)
    assert not matches_name(wanted, "a" * 300)


@pytest.mark.parametrize(
    ("wanted", "found", "expected"),
    [
        ("muster*", "MUSTER^MAX", True),
        ("Muster^Max", "Muster^Max^^^", True),
        ("Muster", "Muster^Max", False),
        ("Müller*", "Muller^Jörg", True),
        ("Yamada^Tarou", "Yamada^Tarou=山田^太郎=やまだ^たろう", True),
        ("山田*", "Yamada^Tarou=山田^太郎", True),
        ("Meier*", "Yamada^Tarou=山田^太郎", False),
        ("Meier*", "", True),
    ],
)
def test_names_fit_whatever_their_case_accents_and_script(wanted: str, found: str, expected: bool) -> None:
    assert matches_name(wanted, found) is expected


@pytest.mark.parametrize(
    ("wanted", "found", "expected"),
    [
        ("20240312", "20240312", True),
        ("20240312", "20240313", False),
        ("20240301-20240331", "20240331", True),
        ("20240301-20240331", "20240401", False),
        ("-20240331", "19990101", True),
        ("20240301-", "20240229", False),
        ("20240312", "2024.03.12", True),
        ("20240312", "unknown", True),
        ("20240312", "", True),
    ],
)
def test_dates_lie_in_ranges_and_odd_ones_are_kept(wanted: str, found: str, expected: bool) -> None:
    assert matches_date(wanted, found) is expected


@pytest.mark.parametrize(
    ("wanted", "found", "expected"),
    [
        ("1000-1100", "101500.250", True),
        ("1000-1100", "110059", True),
        ("1000-1100", "110100", False),
        ("1015", "101559.9", True),
        ("101500", "10", True),
        ("-095959", "101500", False),
    ],
)
def test_a_coarse_time_is_the_whole_span_it_names(wanted: str, found: str, expected: bool) -> None:
    assert matches_time(wanted, found) is expected


def test_one_wanted_modality_is_enough() -> None:
    assert matches_modality(("MR", "SR"), ("CT", "SR"))
    assert not matches_modality(("MR",), ("CT", "SR"))
    assert matches_modality((), ("CT",))
    assert matches_modality(("MR",), ())


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (StudyQuery(), True),
        (StudyQuery(study_uid="1.2.3", patient_id="P1", study_date="2024-2025", modalities=("SR",)), True),
        (StudyQuery(study_uid="1.2.4\\1.2.3"), True),
        (StudyQuery(study_uid="1.2.4"), False),
        (StudyQuery(patient_id="p1"), False),
        (StudyQuery(patient_id="P?"), True),
        (StudyQuery(birth_date="19610824"), False),
        (StudyQuery(accession_number="A2"), False),
        (StudyQuery(study_description="*Thorax*"), False),
    ],
)
def test_a_study_fits_every_key(query: StudyQuery, expected: bool) -> None:
    assert matches_study(query, STUDY) is expected


def test_a_result_without_patient_id_is_never_somebodys() -> None:
    assert not matches_study(StudyQuery(patient_id="P1"), StudyFound(study_uid="1.2.3"))
    assert not matches_patient(PatientQuery(patient_id="P1"), PatientFound(patient_id=""))


def test_a_patient_fits_every_key() -> None:
    found = PatientFound("P1", "Muster^Max", "19610823")
    assert matches_patient(PatientQuery("P*", "muster*", "19600101-19691231"), found)
    assert not matches_patient(PatientQuery("P*", "muster*", "19600101"), found)


@given(st.text(max_size=30))
def test_every_text_fits_itself_and_the_star(text: str) -> None:
    assert matches_text(text, text)
    assert matches_text("*", text)
    assert matches_name(text, text)


ITEM = {
    "00100020": {"vr": "LO", "Value": ["P1"]},
    "0020000D": {"vr": "UI", "Value": ["1.2"]},
    "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe^John"}]},
    "00080020": {"vr": "DA", "Value": ["20240312"]},
    "00080061": {"vr": "CS", "Value": ["CT", "SR"]},
    "00101001": {"vr": "PN"},
    "00200013": {"vr": "IS", "Value": [7]},
    "00400275": {"vr": "SQ", "Value": [{}, {"00401001": {"vr": "SH", "Value": ["RP1"]}}]},
}


@pytest.mark.parametrize(
    ("path", "wanted", "expected"),
    [
        ("00100020", "P*", True),
        ("00100020", "P2", False),
        ("0020000D", "1.3\\1.2", True),
        ("0020000D", "1.*", False),
        ("00100010", "doe^*", True),
        ("00080020", "20240301-", True),
        ("00080020", "-20240301", False),
        ("00080061", "MR\\SR", True),
        ("00080061", "MR", False),
        ("00101001", "Anything", True),
        ("00104000", "not told", True),
        ("00200013", "07", True),
        ("00200013", "8", False),
        ("00400275.00401001", "RP?", True),
        ("00400275.00401001", "other", False),
        ("00321064.00080100", "not told", True),
    ],
)
def test_any_key_is_compared_by_its_value_representation(path: str, wanted: str, expected: bool) -> None:
    assert matches_keys(Level.STUDY, {path: wanted}, ITEM) is expected


def test_a_result_without_the_wanted_identity_is_never_a_match() -> None:
    assert not matches_keys(Level.STUDY, {"00100020": "P1"}, {})
    assert not matches_keys(Level.SERIES, {"0020000E": "1.2.3"}, {})
    assert matches_keys(Level.SERIES, {"00100020": "P1", "0020000D": "1.2"}, {})
