"""The engine with one of its safeguards switched off at a time: a named check notices each of them.

The rules of single rows are switched off in test_table_rows.py.
"""

import struct
from collections.abc import Callable
from dataclasses import replace

import pytest
from pydicom.datadict import tag_for_keyword
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit

from dicom.deid import concepts, dates, engine, policy, residue, rules, safe_private, walker
from dicom.deid.concepts import Concept
from dicom.deid.engine import Deidentifier
from dicom.deid.keys import LinkageKey
from dicom.deid.policy import Policy
from dicom.deid.profile import Profile, load
from dicom.deid.rules import Rule
from models.domain.errors import AditError, ResidueFound
from tests.corpus.pixels import jpeg_baseline, noise
from tests.deid_rows import EXPLICIT, elements, encoded, items

Values = dict[str, object]
"""Keyword -> (VR, value), where the value of a sequence is a list of such mappings."""
BASE: Values = {
    "SOPClassUID": ("UI", b"1.2.840.10008.5.1.4.1.1.2\0"),
    "SOPInstanceUID": ("UI", b"1.2.826.0.1.3680043.8.498.11"),
    "StudyDate": ("DA", b"20190603"),
    "PatientName": ("PN", b"Zwirnbald^Odo "),
    "PatientID": ("LO", b"PATID4711 "),
    "StudyInstanceUID": ("UI", b"1.2.826.0.1.3680043.8.498.12"),
    "SeriesInstanceUID": ("UI", b"1.2.826.0.1.3680043.8.498.13"),
}
ORDINARY = "ReferencedSeriesSequence"
STRICT = "PersonIdentificationCodeSequence"
"""A sequence that must be there, and of which nothing may stay (D in the table)."""


def a_code(scheme: bytes, value: bytes, meaning: bytes, value_keyword: str = "CodeValue") -> Values:
    vr = "SH" if value_keyword == "CodeValue" else "UC"
    return {
        value_keyword: (vr, value),
        "CodingSchemeDesignator": ("SH", scheme),
        "CodeMeaning": ("LO", meaning),
    }


def data_set(values: Values) -> bytes:
    found: dict[int, bytes] = {}
    for keyword, (vr, value) in values.items():  # type: ignore[misc]
        tag = int(keyword, 16) if keyword[0].isdigit() else tag_for_keyword(keyword)
        assert tag is not None
        found[tag] = encoded(tag, vr, sequence(value) if isinstance(value, list) else value, False)
    return b"".join(found[tag] for tag in sorted(found))


def sequence(contents: list[Values]) -> bytes:
    encoded_items = [data_set(content) for content in contents]
    return b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item for item in encoded_items)


def a_deidentifier(profile: Profile | None = None, pseudonym: str = "PSEUDO1") -> Deidentifier:
    return Deidentifier(Policy(profile or load("research")), LinkageKey(bytes(range(32))), pseudonym)


def treated(
    values: Values | None = None, name: str = "research", pseudonym: str = "PSEUDO1", profile: Profile | None = None
) -> dict[int, bytes]:
    """The top level of an output, made by an engine that has seen nothing before."""
    deidentifier = a_deidentifier(profile or load(name), pseudonym)
    return elements(deidentifier.header(data_set({**BASE, **(values or {})}), EXPLICIT), False)


def item_of(values: Values, tag: int, name: str = "research") -> dict[int, bytes]:
    return elements(next(items(treated(values, name)[tag])), False)


# --- the checks: each is true of the engine as it is


def whoever_has_no_name_and_id_gets_the_pseudonym() -> bool:
    nobody = {keyword: value for keyword, value in BASE.items() if keyword[:7] != "Patient"}
    top = elements(a_deidentifier().header(data_set(nobody), EXPLICIT), False)
    return top[rules.PATIENT_NAME].strip() == top[rules.PATIENT_ID].strip() == b"PSEUDO1"


def names_become_the_pseudonym_in_items_too() -> bool:
    inner: Values = {"PatientName": ("PN", b"Zwirnbald "), "PatientID": ("LO", b"PATID4711 ")}
    found = item_of({ORDINARY: ("SQ", [inner])}, 0x00081115)
    return found.get(rules.PATIENT_NAME, b"").strip() == b"PSEUDO1"


def ids_become_the_pseudonym_in_items_too() -> bool:
    inner: Values = {"PatientID": ("LO", b"PATID4711 ")}
    return item_of({ORDINARY: ("SQ", [inner])}, 0x00081115).get(rules.PATIENT_ID, b"").strip() == b"PSEUDO1"


def text_of_an_item_is_read_in_the_items_own_character_set() -> bool:
    inner: Values = {
        "SpecificCharacterSet": ("CS", b"ISO_IR 192"),
        "SeriesDescription": ("LO", "Größe".encode() + b" "),
    }
    approving = replace(load("research"), approved_texts=frozenset({"Größe"}))
    top = treated({"SpecificCharacterSet": ("CS", b"ISO_IR 100"), ORDINARY: ("SQ", [inner])}, profile=approving)
    item = elements(next(items(top[0x00081115])), False)
    return item.get(0x0008103E, b"").strip() == "Größe".encode()


def public_codes_stay(value_keyword: str = "CodeValue") -> bool:
    value = b"121071" if value_keyword == "CodeValue" else b"http://xyzzy.example/abcdefg"
    found = item_of(
        {"ProcedureCodeSequence": ("SQ", [a_code(b"DCM ", value, b"Xyzzy plugh ", value_keyword)])}, 0x00081032
    )
    return value in found.values() and found[rules.CODE_MEANING] == b"Xyzzy plugh "


def long_public_codes_stay() -> bool:
    return public_codes_stay("LongCodeValue")


def local_codes_go(value_keyword: str = "CodeValue") -> bool:
    code = a_code(b"99HOUSE ", b"Zirbel", b"Chest of Zirbel ", value_keyword)
    found = item_of({ORDINARY: ("SQ", [{"PurposeOfReferenceCodeSequence": ("SQ", [code])}])}, 0x00081115)
    return not any(b"Zirbel" in value or b"Chest" in value for value in found.values())


def long_local_codes_go() -> bool:
    return local_codes_go("LongCodeValue")


def coding_schemes_stay_where_all_other_text_goes() -> bool:
    found = item_of({STRICT: ("SQ", [a_code(b"DCM ", b"121071", b"Finding ")])}, 0x00401101, "basic")
    return found.get(rules.CODING_SCHEME) == b"DCM "


def a_d_of_the_table_leaves_nothing_of_a_sequence() -> bool:
    found = item_of({STRICT: ("SQ", [a_code(b"DCM ", b"121071", b"Finding ")])}, 0x00401101, "basic")
    return not {b"121071", b"Finding "} & set(found.values())


def a_birth_date_in_a_report_is_not_shifted() -> bool:
    birth_date: Values = {
        "ConceptNameCodeSequence": ("SQ", [a_code(b"DCM ", b"121031", b"Subject Birth Date")]),
        "Date": ("DA", b"19431114"),
    }
    return item_of({"ContentSequence": ("SQ", [birth_date])}, 0x0040A730)[0x0040A121] == b"19000101"


def other_dates_in_a_report_are_shifted() -> bool:
    concept = a_code(b"DCM ", b"111060", b"Study Date")
    dated: Values = {"ConceptNameCodeSequence": ("SQ", [concept]), "Date": ("DA", b"20190603")}
    top = treated({"ContentSequence": ("SQ", [dated])})
    return elements(next(items(top[0x0040A730])), False)[0x0040A121] == top[rules.STUDY_DATE] != b"20190603"


def dates_are_shifted() -> bool:
    return treated()[rules.STUDY_DATE] < b"20180701"


def each_patient_has_another_shift() -> bool:
    return treated()[rules.STUDY_DATE] != treated(pseudonym="PSEUDO2")[rules.STUDY_DATE]


def uids_are_mapped() -> bool:
    top = treated()
    return all(top[tag].startswith(b"2.25.") for tag in (rules.STUDY_UID, rules.SERIES_UID, rules.SOP_INSTANCE_UID))


def a_name_in_text_that_is_kept_is_refused() -> bool:
    try:
        treated({"Manufacturer": ("LO", b"by Zwirnbald")})
    except ResidueFound:
        return True
    return False


def a_name_between_compressed_pixels_is_refused() -> bool:
    fragments = encapsulate([jpeg_baseline(noise(1, 4, 4, bits=8), b"for Zwirnbald")])
    pixels = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF) + fragments + b"\xfe\xff\xdd\xe0\0\0\0\0"
    try:
        a_deidentifier().header(data_set(BASE) + pixels, JPEGBaseline8Bit)
    except ResidueFound:
        return True
    return False


def an_unknown_private_attribute_goes() -> bool:
    top = treated({"00090010": ("LO", b"SOME MAKER"), "00091001": ("LO", b"Vogelsang ")})
    return not any(tag >> 16 & 1 for tag in top)


def a_safe_private_attribute_stays() -> bool:
    return 0x00191027 in treated({"00190010": ("LO", b"GEMS_ACQU_01"), "00191027": ("DS", b"1.0 ")})


def high_ages_are_capped() -> bool:
    return treated({"PatientAge": ("AS", b"104Y")})[0x00101010] == b"090Y"


def a_name_in_the_place_of_an_age_goes() -> bool:
    return b"Vogel" not in treated({"PatientAge": ("AS", b"Vogelsang ")}).get(0x00101010, b"")


def a_name_under_another_vr_goes() -> bool:
    return 0x00280010 not in treated({"Rows": ("LO", b"Vogelsang ")})


def a_name_under_a_lost_vr_goes() -> bool:
    return 0x00280010 not in treated({"Rows": ("UN", b"Vogelsang ")})


def a_type_2_id_of_a_reference_stays_empty() -> bool:
    request: Values = {"RequestedProcedureID": ("SH", b"RP4711")}
    found = item_of({"ReferencedRequestSequence": ("SQ", [request])}, 0x0040A370, "basic")
    return found.get(0x00401001) == b""


def the_class_of_an_instance_stays() -> bool:
    newer = b"1.2.840.10008.5.1.4.1.1.9999"
    return treated({"SOPClassUID": ("UI", newer)})[rules.SOP_CLASS_UID] == newer


def a_scheme_of_the_house(**more: tuple[str, bytes]) -> dict[int, bytes]:
    code: Values = {**a_code(b"99KLINIK", b"K1", b"x "), **more}
    return item_of({ORDINARY: ("SQ", [code])}, 0x00081115)


def versions_of_local_schemes_go() -> bool:
    found = a_scheme_of_the_house(CodingSchemeVersion=("SH", b"Vogelsang "))
    return b"Vogel" not in found[0x00080103] and b"KLINIK" not in found[rules.CODING_SCHEME]


def uids_of_local_schemes_go() -> bool:
    return a_scheme_of_the_house(CodingSchemeUID=("UI", b"1.2.276.0.76.3.1.99\0"))[0x0008010C].startswith(b"2.25.")


def uids_of_public_schemes_stay() -> bool:
    code: Values = {**a_code(b"LN", b"1 ", b"x "), "CodingSchemeUID": ("UI", b"2.16.840.1.113883.6.1")}
    return item_of({ORDINARY: ("SQ", [code])}, 0x00081115)[0x0008010C].startswith(b"2.16.840")


def other_study_numbers_go() -> bool:
    return 0x00201070 not in treated({"OtherStudyNumbers": ("IS", b"20230099")})


def graphics_find_their_renamed_layer() -> bool:
    layer: Values = {"GraphicLayer": ("CS", b"VOGELSANG ")}
    top = treated({"GraphicLayerSequence": ("SQ", [layer]), "GraphicAnnotationSequence": ("SQ", [layer])}, "basic")
    labels = {elements(next(items(top[tag])), False)[0x00700002] for tag in (0x00700001, 0x00700060)}
    return len(labels) == 1 and not labels & {b"VOGELSANG ", b"REMOVED "}


def labels_of_contents_are_cleaned() -> bool:
    return treated({"ContentLabel": ("CS", b"LUNG VOGELSANG")})[0x00700080].strip() == b"LUNG"


def words_in_the_place_of_a_number_go() -> bool:
    top = treated({"SliceThickness": ("DS", b"5 mm, bei Knoppers"), "EchoNumbers": ("IS", b"1 ")})
    return top[0x00180050] == b"" and top[0x00180086] == b"1 "


def words_in_the_place_of_a_code_are_cleaned() -> bool:
    top = treated({"BodyPartExamined": ("CS", b"Head Knoppers "), "ScanOptions": ("CS", b"HELIX_2 ")})
    return top[0x00180015].strip() == b"Head" and top[0x00180022] == b"HELIX_2 "


def overlays_go() -> bool:
    top = treated({"60003000": ("OW", b"\0\1"), "60000022": ("LO", b"Vogelsang ")})
    return not any(tag >> 16 == 0x6000 for tag in top)


def signatures_go() -> bool:
    return not any(tag >> 16 == 0x0400 for tag in treated({"MACIDNumber": ("US", b"\0\1")}))


def the_output_says_that_it_is_deidentified() -> bool:
    return treated()[0x00120062].strip() == b"YES"


CHECKS: tuple[Callable[[], bool], ...] = (
    whoever_has_no_name_and_id_gets_the_pseudonym,
    names_become_the_pseudonym_in_items_too,
    ids_become_the_pseudonym_in_items_too,
    text_of_an_item_is_read_in_the_items_own_character_set,
    public_codes_stay,
    long_public_codes_stay,
    local_codes_go,
    long_local_codes_go,
    coding_schemes_stay_where_all_other_text_goes,
    a_d_of_the_table_leaves_nothing_of_a_sequence,
    a_birth_date_in_a_report_is_not_shifted,
    other_dates_in_a_report_are_shifted,
    dates_are_shifted,
    each_patient_has_another_shift,
    uids_are_mapped,
    a_name_in_text_that_is_kept_is_refused,
    a_name_between_compressed_pixels_is_refused,
    an_unknown_private_attribute_goes,
    a_safe_private_attribute_stays,
    high_ages_are_capped,
    a_name_in_the_place_of_an_age_goes,
    a_name_under_another_vr_goes,
    a_name_under_a_lost_vr_goes,
    a_type_2_id_of_a_reference_stays_empty,
    the_class_of_an_instance_stays,
    versions_of_local_schemes_go,
    uids_of_local_schemes_go,
    uids_of_public_schemes_stay,
    other_study_numbers_go,
    graphics_find_their_renamed_layer,
    labels_of_contents_are_cleaned,
    words_in_the_place_of_a_number_go,
    words_in_the_place_of_a_code_are_cleaned,
    overlays_go,
    signatures_go,
    the_output_says_that_it_is_deidentified,
)


@pytest.mark.parametrize("check", CHECKS)
def test_the_engine_passes_the_check(check: Callable[[], bool]) -> None:
    assert check()


def is_noticed(check: Callable[[], bool]) -> bool:
    """Whether a check is not true any more, or what it looks at is refused."""
    try:
        return not check()
    except (AditError, KeyError, StopIteration):
        return True


# --- what is always done, whatever a profile says

ALWAYS_NOTICED_BY = {
    rules.SPECIFIC_CHARACTER_SET: text_of_an_item_is_read_in_the_items_own_character_set,
    rules.PATIENT_NAME: names_become_the_pseudonym_in_items_too,
    rules.PATIENT_ID: ids_become_the_pseudonym_in_items_too,
    rules.CODING_SCHEME: coding_schemes_stay_where_all_other_text_goes,
    0x00080100: public_codes_stay,
    0x00080119: long_public_codes_stay,
    rules.CODE_MEANING: public_codes_stay,
    rules.CONCEPT_NAME: a_birth_date_in_a_report_is_not_shifted,
    0x00080103: versions_of_local_schemes_go,
    0x0008010C: uids_of_public_schemes_stay,
    0x00201070: other_study_numbers_go,
    0x00700002: graphics_find_their_renamed_layer,
}


def test_each_rule_that_always_holds_has_its_check() -> None:
    assert set(ALWAYS_NOTICED_BY) == set(policy._ALWAYS)


@pytest.mark.parametrize("tag", ALWAYS_NOTICED_BY)
def test_a_rule_that_always_holds_cannot_be_left_out(tag: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(policy._ALWAYS, tag)
    assert is_noticed(ALWAYS_NOTICED_BY[tag])


KEPT_NOTICED_BY = {
    **ALWAYS_NOTICED_BY,
    0x0008010C: uids_of_local_schemes_go,
    rules.CODING_SCHEME: coding_schemes_stay_where_all_other_text_goes,
    0x00080100: local_codes_go,
    0x00080119: long_local_codes_go,
    rules.CODE_MEANING: local_codes_go,
}


@pytest.mark.parametrize("tag", KEPT_NOTICED_BY)
def test_a_rule_that_always_holds_cannot_become_keeping(tag: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(policy._ALWAYS, tag, Rule.KEEP)
    assert is_noticed(KEPT_NOTICED_BY[tag])


# --- other safeguards


def _without_identity_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    real = engine.marks
    names = {rules.PATIENT_NAME, rules.PATIENT_ID}
    monkeypatch.setattr(engine, "marks", lambda *given: (mark for mark in real(*given) if mark.tag not in names))


def _without_mark_of_removal(monkeypatch: pytest.MonkeyPatch) -> None:
    real = engine.marks
    monkeypatch.setattr(engine, "marks", lambda *given: (mark for mark in real(*given) if mark.tag != 0x00120062))


def _without_residue_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(residue, "check", lambda *_: None)


def _without_search_of_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(residue, "check_fragments", lambda *_: None)


def _without_shift(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dates, "days_back", lambda *_: 0)


def _with_one_shift_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dates, "days_back", lambda *_: 1000)


def _with_the_same_uids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LinkageKey, "uid", lambda _, original: original)


def _with_all_private_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe_private, "kept", lambda _, found: frozenset(each.tag for each in found))


def _without_safe_private_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe_private, "kept", lambda *_: frozenset())


def _without_strictness(monkeypatch: pytest.MonkeyPatch) -> None:
    real = policy.Policy.rule_for

    def lax(self: policy.Policy, tag: int, vr: bytes) -> Rule:
        rule = real(self, tag, vr)
        return Rule.DESCEND if rule is Rule.DESCEND_STRICTLY else rule

    monkeypatch.setattr(policy.Policy, "rule_for", lax)


def _without_highest_age(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walker, "OLDEST_YEARS", 999)


def _with_any_age(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walker, "_age", lambda value: value)


def _with_any_vr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "known_vrs", lambda _: frozenset({b"LO", b"US", b"UN"}))


def _with_any_lost_vr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walker.values, "is_valid", lambda *_: True)


def _with_every_scheme_public(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walker, "PUBLIC_SCHEMES", frozenset({b"DCM", b"99HOUSE"}))


def _with_no_scheme_public(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walker, "PUBLIC_SCHEMES", frozenset[bytes]())


def _without_birth_dates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concepts, "BIRTH_DATES", frozenset[bytes]())


def _with_every_date_a_birth_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walker, "concept_of", lambda _: Concept.BIRTH_DATE)


def _without_what_must_be_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walker, "_EMPTY_INSTEAD", frozenset[tuple[int, int]]())


def _with_any_label(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "_TEXT_IN_CODE_STRING", 0)


def _without_its_own_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walker, "SOP_CLASS_UID", 0)


def _with_any_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "_NUMBER_VRS", frozenset[bytes]())


def _with_any_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walker.values, "is_valid", lambda *_: True)


def _with_overlays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "_is_deleted_by_group", lambda _: False)


def _with_signatures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "_SIGNATURES", 0)


MUTATIONS: dict[Callable[[pytest.MonkeyPatch], None], Callable[[], bool]] = {
    _without_identity_marks: whoever_has_no_name_and_id_gets_the_pseudonym,
    _without_mark_of_removal: the_output_says_that_it_is_deidentified,
    _without_residue_check: a_name_in_text_that_is_kept_is_refused,
    _without_search_of_comments: a_name_between_compressed_pixels_is_refused,
    _without_shift: dates_are_shifted,
    _with_one_shift_for_all: each_patient_has_another_shift,
    _with_the_same_uids: uids_are_mapped,
    _with_all_private_attributes: an_unknown_private_attribute_goes,
    _without_safe_private_attributes: a_safe_private_attribute_stays,
    _without_strictness: a_d_of_the_table_leaves_nothing_of_a_sequence,
    _without_highest_age: high_ages_are_capped,
    _with_any_age: a_name_in_the_place_of_an_age_goes,
    _with_any_vr: a_name_under_another_vr_goes,
    _with_any_lost_vr: a_name_under_a_lost_vr_goes,
    _with_every_scheme_public: local_codes_go,
    _with_no_scheme_public: public_codes_stay,
    _without_birth_dates: a_birth_date_in_a_report_is_not_shifted,
    _with_every_date_a_birth_date: other_dates_in_a_report_are_shifted,
    _without_what_must_be_empty: a_type_2_id_of_a_reference_stays_empty,
    _with_any_label: labels_of_contents_are_cleaned,
    _without_its_own_class: the_class_of_an_instance_stays,
    _with_any_number: words_in_the_place_of_a_number_go,
    _with_any_code: words_in_the_place_of_a_code_are_cleaned,
    _with_overlays: overlays_go,
    _with_signatures: signatures_go,
}


@pytest.mark.parametrize("mutate", MUTATIONS)
def test_a_safeguard_cannot_be_left_out(
    mutate: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutate(monkeypatch)
    assert is_noticed(MUTATIONS[mutate])


def test_every_check_notices_something() -> None:
    used = {*ALWAYS_NOTICED_BY.values(), *KEPT_NOTICED_BY.values(), *MUTATIONS.values()}
    assert used == set(CHECKS)
