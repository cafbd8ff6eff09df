"""Nothing that was planted in the corpus is left in any output, but for what a profile says it keeps."""

from datetime import date

import pytest

from tests.corpus import CorpusInstance, dated, instances
from tests.corpus.planting import Sort
from tests.corpus.search import Haystack
from tests.corpus.treatment import PROFILES, outputs

_CHARACTERISTICS = {"PatientSize", "PatientWeight", "EthnicGroup", "(0010,2162)", "(0010,0047)"}
_DEVICE = {
    *("DeviceSerialNumber", "StationName", "GantryID", "DetectorID", "CassetteID", "PlateID", "TreatmentMachineName"),
    *("UniqueDeviceIdentifier", "DeviceDescription", "LensSerialNumber", "SecondaryCaptureDeviceID"),
}
_TEN = {
    *("StudyTime", "SeriesTime", "AcquisitionTime", "ContentTime"),
    *("AcquisitionDateTime", "FrameReferenceDateTime"),
}
KEPT: dict[str, set[str]] = {
    "basic": set(),
    "research": _CHARACTERISTICS | _DEVICE,
    "adit-compatible": _CHARACTERISTICS | _DEVICE | _TEN,
}
"""Attributes in which a profile deliberately keeps what was planted, at every level: what the options Retain Patient
Characteristics and Retain Device Identity keep (K in table E.1-1), and the ten times and dates of ADIT."""
KEPT_SORTS: dict[str, set[Sort]] = {"basic": set(), "research": {Sort.TIME}, "adit-compatible": set()}
"""What a profile keeps wherever it stands: the time of day of shifted dates."""
KEPT_DATES = {
    "basic": frozenset[str](),
    "research": frozenset[str](),
    "adit-compatible": frozenset(
        {"(0008,0020)", "(0008,0021)", "(0008,0022)", "(0008,002A)", "(0008,0023)", "(0018,9151)"}
    ),
}
"""The dates among the ten that stay true as ADIT's did; the other four are times."""


DUMMIES = {"19000101", "19000101000000"}
"""What stands for a date that must be there and must not tell anything, such as a birth date in a report."""


def is_kept(profile: str, original: CorpusInstance, value: str) -> bool:
    is_of_kept_sort = original.planted.get(value) in KEPT_SORTS[profile] and value in original.places
    return is_of_kept_sort or original.places.get(value) in KEPT[profile]


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("released", [False, True])
def test_no_planted_identifier_is_left(profile: str, released: bool) -> None:
    left: dict[str, list[str]] = {}
    for kind, output in outputs(profile, released=released).items():
        file, plain = Haystack(output.part10), Haystack(output.plain)
        for value in output.original.identifiers:
            if (file.holds(value) or plain.holds(value)) and not is_kept(profile, output.original, value):
                left.setdefault(kind, []).append(f"{value} of {output.original.places.get(value, 'no attribute')}")
    assert left == {}


@pytest.mark.parametrize("profile", PROFILES)
def test_what_a_profile_says_it_keeps_is_there(profile: str) -> None:
    kept = {
        output.original.places[value]
        for output in outputs(profile).values()
        for value in output.original.places
        if output.original.places[value] in KEPT[profile] and Haystack(output.plain).holds(value)
    }
    assert kept == KEPT[profile]


@pytest.mark.parametrize("profile", PROFILES)
def test_no_original_date_is_left_but_those_that_the_profile_keeps(profile: str) -> None:
    left: list[str] = []
    for kind, output in outputs(profile).items():
        text = output.plain
        dates = output.original.dates.items()
        kept = {value[:8] for path, value in dates if path.rsplit(".", 1)[-1] in KEPT_DATES[profile]}
        left += [f"{kind} {path}" for path, value in dates if value[:8] not in kept and value[:8].encode() in text]
    assert left == []


@pytest.mark.parametrize("profile", ["research"])
def test_shifted_dates_keep_every_interval_of_a_patient(profile: str) -> None:
    shifts: dict[int, set[int]] = {}
    count = 0
    for output in outputs(profile).values():
        for path, value in dated(output.dataset):
            if path in output.original.dates and value not in DUMMIES:
                original = output.original.dates[path]
                assert value[8:] == original[8:], path
                days = (day(original) - day(value)).days
                shifts.setdefault(output.original.patient.number, set()).add(days)
                count += 1
    assert all(len(days) == 1 for days in shifts.values())
    assert all(365 <= min(days) <= 365 + 3650 for days in shifts.values())
    assert len({min(days) for days in shifts.values()}) == len(shifts)
    assert count > 5 * len(instances())


@pytest.mark.parametrize("profile", ["basic", "adit-compatible"])
def test_profiles_that_do_not_shift_have_no_date_that_tells_a_shift(profile: str) -> None:
    for output in outputs(profile).values():
        originals = {value[:8] for value in output.original.dates.values()}
        for path, value in dated(output.dataset):
            is_true = path.rsplit(".", 1)[-1] in KEPT_DATES[profile] and value[:8] in originals
            assert value in DUMMIES or is_true, f"{output.original.kind} {path}"


def test_dates_that_the_profile_keeps_are_the_true_ones() -> None:
    for kind, output in outputs("adit-compatible").items():
        if "(0008,0020)" in output.original.dates:
            assert output.dataset.StudyDate == output.original.dates["(0008,0020)"], kind


def test_the_search_finds_every_planted_value_in_the_originals() -> None:
    for original in instances():
        assert len(original.planted) > 100 or original.kind == "empty_values"
        assert original.patient.patient_id in original.identifiers


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8", "utf-16-le", "utf-16-be", "utf-32-le"])
def test_the_search_knows_how_text_may_be_written(encoding: str) -> None:
    assert Haystack(b"\x01\x02" + "von WYBAKELIMO selbst".encode(encoding)).holds("Wybakelimo")
    assert not Haystack("Wybakelim".encode(encoding)).holds("Wybakelimo")


@pytest.mark.parametrize(
    ("text", "encoding"),
    [("山田", "iso2022_jp"), ("山田", "utf-8"), ("王小东", "gb18030"), ("Жуковская", "iso8859-5"), ("Grün", "latin-1")],
)
def test_the_search_knows_other_scripts(text: str, encoding: str) -> None:
    assert Haystack(b"\x03" + f"a {text} b".encode(encoding)).holds(text)
    assert not Haystack(b"\x03" + "a b".encode(encoding)).holds(text)


def day(value: str) -> date:
    return date(int(value[:4]), int(value[4:6]), int(value[6:8]))
