"""Names at a folder destination are safe on every file system and do not collide."""

import re
import unicodedata
from datetime import UTC, datetime
from pathlib import PurePosixPath, PureWindowsPath

from hypothesis import given
from hypothesis import strategies as st

from dicom.files import layout

TEXT = st.text() | st.from_regex(r"[.~ ]*(CON|aux|com1|LPT9|nul)[ .]*(\.txt)?[. ]*", fullmatch=True)
ANY_UTF16 = st.text(alphabet=st.characters(min_codepoint=0, max_codepoint=0x10FFFF, categories=None))
RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])\s*(\..*)?", re.IGNORECASE)


def assert_safe(name: str) -> None:
    assert len(name.encode()) <= 120
    assert name == name.strip()
    assert name not in {"", ".", ".."}
    assert not name.startswith(".")
    assert not name.endswith(".")
    assert not RESERVED.fullmatch(name)
    assert not any(letter in '<>:"/\\|?*' or unicodedata.category(letter) in {"Cc", "Cf", "Cs"} for letter in name)
    assert PurePosixPath(name).parts == (name,)
    assert PureWindowsPath(name).parts == (name,)
    assert unicodedata.is_normalized("NFC", name)


@given(TEXT | ANY_UTF16)
def test_any_text_becomes_one_safe_component(text: str) -> None:
    assert_safe(layout.component(text))
    assert_safe(layout.patient_folder(text))
    assert_safe(layout.instance_file(text))
    assert_safe(layout.job_folder("batch_transfer", 7, datetime(2026, 11, 23, tzinfo=UTC), text))


@given(TEXT, TEXT, TEXT, TEXT)
def test_any_study_and_series_become_one_safe_component(one: str, two: str, three: str, four: str) -> None:
    assert_safe(layout.study_folder(one, two, (three, one), four))
    assert_safe(layout.series_folder(one, two, three, four))


@given(TEXT)
def test_a_safe_component_stays_as_it_is(text: str) -> None:
    name = layout.component(text)
    assert layout.component(name) == name


@given(TEXT, TEXT)
def test_two_patients_never_share_a_folder(one: str, other: str) -> None:
    if one.strip() != other.strip():
        assert layout.patient_folder(one) != layout.patient_folder(other)


def test_patients_that_differ_in_forbidden_letters_only_have_folders_of_their_own() -> None:
    assert layout.patient_folder("A/1") != layout.patient_folder("A\\1") != layout.patient_folder("A_1")
    assert layout.patient_folder("ANON-1") == "ANON-1"


def test_the_job_folder_names_kind_job_day_and_owner() -> None:
    assert (
        layout.job_folder("batch_transfer", 12, datetime(2026, 3, 4, 23, tzinfo=UTC), "ada")
        == "adit_batch_transfer_12_20260304_ada"
    )


def test_two_studies_of_one_second_and_modality_have_folders_of_their_own() -> None:
    folders = [layout.study_folder("20260102", "030405.123", ("CT", "SR"), uid) for uid in ("1.2.3", "1.2.4")]
    assert folders[0] != folders[1]
    assert all(re.fullmatch(r"20260102-030405-CT,SR-[0-9a-f]{8}", folder) for folder in folders)


def test_dates_and_times_of_any_dicom_age_are_read() -> None:
    assert layout.study_folder("1995.02.03", "04:05:06", ("MR",), "1").startswith("19950203-040506-MR-")
    assert layout.study_folder("20260102", "0304", ("MR",), "1").startswith("20260102-030400-MR-")
    assert layout.study_folder("", "", (), "1").startswith("00000000-000000-")


def test_a_study_of_countless_modalities_keeps_its_digest() -> None:
    folders = {layout.study_folder("20260102", "030405", ("ABCDEFGHIJKLMNOP",) * 50, uid) for uid in ("1.2.3", "1.2.4")}
    assert len(folders) == 2


def test_a_series_is_named_by_its_description_or_else_its_modality() -> None:
    assert re.fullmatch(r"3-Thorax _ Abdomen-[0-9a-f]{8}", layout.series_folder("3", "CT", "Thorax / Abdomen", "1.2"))
    assert re.fullmatch(r"3-CT-[0-9a-f]{8}", layout.series_folder("3", "CT", "", "1.2"))
    assert re.fullmatch(r"Undefined-[0-9a-f]{8}", layout.series_folder("", "", "", "1.2"))


def test_a_series_number_that_is_none_is_left_out() -> None:
    named = layout.series_folder("Mustermann 3", "CT", "", "1.2.3")
    assert named == layout.series_folder("", "CT", "", "1.2.3")
    assert layout.series_folder(" -4 ", "CT", "", "1.2.3").startswith("-4-CT-")
