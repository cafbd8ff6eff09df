"""How a profile becomes rules: what goes before what, what the policy says about itself, and its digest."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.datadict import dictionary_has_tag, tag_for_keyword

from dicom.deid.policy import Policy, compiled, option_codes
from dicom.deid.profile import Action, Option, Profile, StandIn, load, shipped
from dicom.deid.rules import Rule
from tests.deid_rows import TEN_DATES, rows

ROOT = Path(__file__).parents[3]
CODES = {
    Option.CLEAN_GRAPHICS: "113103",
    Option.CLEAN_STRUCTURED_CONTENT: "113104",
    Option.CLEAN_DESCRIPTORS: "113105",
    Option.RETAIN_FULL_DATES: "113106",
    Option.RETAIN_MODIFIED_DATES: "113107",
    Option.RETAIN_PATIENT_CHARACTERISTICS: "113108",
    Option.RETAIN_DEVICE_IDENTITY: "113109",
    Option.RETAIN_UIDS: "113110",
    Option.RETAIN_SAFE_PRIVATE: "113111",
    Option.RETAIN_INSTITUTION_IDENTITY: "113112",
}
"""PS3.16 CID 7050, typed in once more."""
DATES_OF_DEVICES = [
    *("(0014,407C)", "(0014,407E)", "(0018,1200)", "(0018,1201)", "(0018,1202)", "(0018,1203)"),
    *("(0018,1204)", "(0018,1205)", "(0018,700C)", "(0018,700E)", "(300C,0127)"),
]
DATE_RULES = {Rule.DATE, Rule.DATE_TIME, Rule.PLAIN_DATE, Rule.PLAIN_DATE_TIME}


def tag_of(keyword: str) -> int:
    tag = tag_for_keyword(keyword)
    assert tag is not None
    return int(tag)


def rule(profile: Profile, keyword: str, vr: str) -> Rule:
    return compiled(profile).rule_for(tag_of(keyword), vr.encode())


def with_options(*options: Option, **overrides: Action) -> Profile:
    return Profile(
        "test", options=frozenset(options), overrides={tag_of(name): action for name, action in overrides.items()}
    )


# --- precedence


def test_an_override_goes_before_an_option_and_an_option_before_the_basic_profile() -> None:
    clean, keyword = Option.CLEAN_DESCRIPTORS, "StudyDescription"
    assert rule(with_options(), keyword, "LO") is Rule.DELETE
    assert rule(with_options(clean), keyword, "LO") is Rule.CLEAN_TEXT
    assert rule(with_options(clean, StudyDescription=Action.EMPTY), keyword, "LO") is Rule.EMPTY
    assert rule(with_options(StudyDescription=Action.KEEP), keyword, "LO") is Rule.KEEP


@pytest.mark.parametrize(
    ("keyword", "vr", "action", "expected"),
    [
        ("Manufacturer", "LO", Action.DELETE, Rule.DELETE),
        ("Manufacturer", "LO", Action.EMPTY, Rule.EMPTY),
        ("Manufacturer", "LO", Action.DUMMY, Rule.DUMMY),
        ("StudyID", "SH", Action.CLEAN, Rule.CLEAN_TEXT),
        ("StudyDate", "DA", Action.KEEP, Rule.PLAIN_DATE),
        ("AcquisitionDateTime", "DT", Action.KEEP, Rule.PLAIN_DATE_TIME),
        ("StudyTime", "TM", Action.KEEP, Rule.TIME),
        ("PatientAge", "AS", Action.KEEP, Rule.AGE),
        ("SOPClassUID", "UI", Action.MAP, Rule.UID),
        ("FrameOfReferenceUID", "UI", Action.KEEP, Rule.KEEP),
        ("FrameOfReferenceUID", "UI", Action.DUMMY, Rule.UID),
        ("ContentSequence", "SQ", Action.DUMMY, Rule.ONE_DUMMY_ITEM),
        ("ContentSequence", "SQ", Action.CLEAN, Rule.DESCEND),
        ("ProcedureCodeSequence", "SQ", Action.DUMMY, Rule.DESCEND_STRICTLY),
        ("IssuerOfPatientIDQualifiersSequence", "SQ", Action.KEEP, Rule.DESCEND),
    ],
)
def test_every_action_becomes_its_rule(keyword: str, vr: str, action: Action, expected: Rule) -> None:
    assert rule(with_options(**{keyword: action}), keyword, vr) is expected


def test_a_shift_is_one_by_the_attributes_vr() -> None:
    profile = with_options(Option.RETAIN_MODIFIED_DATES, PatientBirthDate=Action.SHIFT)
    assert rule(profile, "PatientBirthDate", "DA") is Rule.DATE


def test_the_dates_of_devices_are_shifted_although_the_device_is_kept() -> None:
    keeps = with_options(Option.RETAIN_DEVICE_IDENTITY)
    shifts = with_options(Option.RETAIN_DEVICE_IDENTITY, Option.RETAIN_MODIFIED_DATES)
    conflicts = [
        row
        for row in rows()
        if {"retain_device_identity": "K", "retain_modified_dates": "C"}.items() <= row.marks.items()
    ]
    assert [f"({row.tag >> 16:04X},{row.tag & 0xFFFF:04X})" for row in conflicts] == DATES_OF_DEVICES
    for row in conflicts:
        kept = compiled(keeps).rule_for(row.tag, row.vr.encode())
        shifted = compiled(shifts).rule_for(row.tag, row.vr.encode())
        expected = {"DA": Rule.DATE, "DT": Rule.DATE_TIME, "TM": Rule.TIME}
        plain = {"DA": Rule.PLAIN_DATE, "DT": Rule.PLAIN_DATE_TIME, "TM": Rule.TIME}
        assert (kept, shifted) == (plain[row.vr], expected[row.vr])


def test_no_shipped_profile_keeps_a_true_date_beside_a_shifted_one() -> None:
    for name in shipped():
        policy = compiled(load(name))
        found = {policy.rule_for(row.tag, row.vr.encode()) for row in rows() if row.vr in {"DA", "DT"}} & DATE_RULES
        assert not (found & {Rule.DATE, Rule.DATE_TIME} and found & {Rule.PLAIN_DATE, Rule.PLAIN_DATE_TIME})


def test_adit_compatible_keeps_its_ten_dates_and_times_and_no_other() -> None:
    policy = compiled(load("adit-compatible"))
    dated = [row for row in rows() if row.vr in {"DA", "DT", "TM"}]
    kept = {row.keyword for row in dated if policy.rule_for(row.tag, row.vr.encode()) in {*DATE_RULES, Rule.TIME}}
    assert kept == TEN_DATES


def test_stand_ins_take_the_place_of_empty_and_dummy_values_only() -> None:
    everybody = Profile("test", stand_ins=frozenset(StandIn))
    assert rule(everybody, "AccessionNumber", "SH") is Rule.STAND_IN
    assert rule(everybody, "ReferringPhysicianName", "PN") is Rule.STAND_IN
    assert rule(everybody, "OtherPatientIDs", "LO") is Rule.DELETE
    assert rule(with_options(), "AccessionNumber", "SH") is Rule.EMPTY
    assert rule(with_options(), "ReferringPhysicianName", "PN") is Rule.EMPTY


# --- outside the table


@pytest.mark.parametrize(
    ("keyword", "vr", "expected"),
    [
        ("Rows", "US", Rule.KEEP),
        ("Manufacturer", "LO", Rule.KEEP),
        ("SOPClassUID", "UI", Rule.KIND),
        ("CodingSchemeUID", "UI", Rule.SCHEME_UID),
        ("TargetFrameOfReferenceUID", "UI", Rule.UID),
        ("AcquisitionMode", "LO", Rule.DUMMY),
        ("SelectorUCValue", "UC", Rule.DUMMY),
        ("TextValue", "UT", Rule.DUMMY),
        ("SegmentDescription", "ST", Rule.DELETE),
        ("SurfaceComments", "LT", Rule.DELETE),
        ("RetrieveURL", "UR", Rule.DELETE),
        ("SecondaryReviewerName", "PN", Rule.DUMMY),
        ("ProcedureCreationDate", "DA", Rule.DUMMY),
        ("SecondaryReviewTime", "TM", Rule.DUMMY),
        ("StudyUpdateDateTime", "DT", Rule.DUMMY),
        ("PixelMeasuresSequence", "SQ", Rule.DESCEND),
        ("WaveformData", "OB", Rule.KEEP),
        ("ICCProfile", "OB", Rule.KEEP),
        ("RecordKey", "OB", Rule.DELETE),
        ("PriorRecordKey", "OB", Rule.DELETE),
        ("HPGLDocument", "OB", Rule.DELETE),
        ("ObjectBinaryIdentifierTrial", "OB", Rule.DELETE),
        ("DetectorCalibrationData", "OB", Rule.DELETE),
    ],
)
def test_what_the_table_does_not_name_goes_by_its_vr(keyword: str, vr: str, expected: Rule) -> None:
    assert tag_of(keyword) not in {row.tag for row in rows()}
    assert rule(with_options(), keyword, vr) is expected


@pytest.mark.parametrize(
    ("option", "keyword", "vr", "expected"),
    [
        (Option.CLEAN_DESCRIPTORS, "SegmentDescription", "ST", Rule.CLEAN_TEXT),
        (Option.CLEAN_DESCRIPTORS, "AcquisitionMode", "LO", Rule.CLEAN_LABEL),
        (Option.CLEAN_DESCRIPTORS, "RetrieveURL", "UR", Rule.DELETE),
        (Option.CLEAN_DESCRIPTORS, "SecondaryReviewerName", "PN", Rule.DUMMY),
        (Option.RETAIN_MODIFIED_DATES, "ProcedureCreationDate", "DA", Rule.DATE),
        (Option.RETAIN_FULL_DATES, "ProcedureCreationDate", "DA", Rule.PLAIN_DATE),
        (Option.RETAIN_UIDS, "TargetFrameOfReferenceUID", "UI", Rule.KEEP),
        (Option.RETAIN_SAFE_PRIVATE, "RetrieveURL", "UR", Rule.DELETE),
    ],
)
def test_options_reach_beyond_the_table(option: Option, keyword: str, vr: str, expected: Rule) -> None:
    assert tag_of(keyword) not in {row.tag for row in rows()}
    assert rule(with_options(option), keyword, vr) is expected


@pytest.mark.parametrize("vr", [b"LO", b"UN", b"OB", b"SQ"])
def test_what_nobody_knows_is_deleted_and_not_remembered(vr: bytes) -> None:
    policy = compiled(load("research"))
    policy.rule_for(0x00080070, b"LO")
    remembered = _size_of(policy)
    in_table = {row.tag for row in rows()}
    even = [group << 16 | number for group in range(0x0008, 0x0088, 2) for number in range(1, 0xFFFF, 991)]
    unknown = [tag for tag in even if not dictionary_has_tag(tag) and tag not in in_table]
    assert len(unknown) > 4000
    assert {policy.rule_for(tag, vr) for tag in unknown} == {Rule.DELETE}
    assert _size_of(policy) == remembered


def _size_of(policy: Policy) -> int:
    return sum(len(value) for value in vars(policy).values() if isinstance(value, dict))


def test_asking_twice_gives_the_same_answer() -> None:
    policy = compiled(load("research"))
    asked = [(row.tag, vr) for row in rows() for vr in (row.vr[:2].encode(), b"UN", b"OB")]
    assert [policy.rule_for(*each) for each in asked] == [policy.rule_for(*each) for each in asked]


@pytest.mark.parametrize("name", shipped())
def test_no_encoding_lets_more_pass_than_the_attributes_own(name: str) -> None:
    policy = compiled(load(name))
    for row in rows():
        right = policy.rule_for(row.tag, row.vr[:2].encode())
        for vr in (b"LO", b"OB", b"UN", b"PN", b"SQ"):
            if policy.rule_for(row.tag, vr) is Rule.KEEP:
                assert right is Rule.KEEP


# --- what it says about itself


@pytest.mark.parametrize("option", Option)
def test_an_option_is_declared_by_its_code(option: Option) -> None:
    codes = compiled(with_options(option)).codes
    assert [value for value, _ in codes] == ["113100", CODES[option]]
    assert option_codes()[option] == codes[1]
    assert all(meaning.endswith("Option") for _, meaning in codes[1:])


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("basic", ["113100"]),
        ("research", ["113100", "113103", "113104", "113105", "113107", "113108", "113109", "113111"]),
        ("adit-compatible", ["113100", "113103", "113104", "113105", "113106", "113108", "113109", "113111"]),
    ],
)
def test_the_shipped_profiles_declare_their_codes(name: str, codes: list[str]) -> None:
    assert [value for value, _ in compiled(load(name)).codes] == codes


def test_keeping_what_no_option_keeps_leaves_no_conformance_to_claim() -> None:
    assert compiled(with_options(PatientComments=Action.KEEP)).codes == ()
    assert [value for value, _ in compiled(with_options(PatientSex=Action.KEEP)).codes] == ["113100", "113108"]
    assert [value for value, _ in compiled(with_options(Manufacturer=Action.KEEP)).codes] == ["113100"]


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        (with_options(), "REMOVED"),
        (with_options(Option.RETAIN_FULL_DATES), "UNMODIFIED"),
        (with_options(Option.RETAIN_MODIFIED_DATES), "MODIFIED"),
        (with_options(StudyDate=Action.KEEP), "UNMODIFIED"),
        (with_options(StudyTime=Action.KEEP), "REMOVED"),
    ],
)
def test_what_happened_to_the_dates_is_declared(profile: Profile, expected: str) -> None:
    assert compiled(profile).temporal_information == expected


# --- the digest


def test_the_digest_changes_with_whatever_changes_an_output() -> None:
    profile = load("research")
    others = [
        *(replace(profile, options=profile.options - {option}) for option in profile.options),
        replace(profile, options=profile.options | {Option.RETAIN_UIDS}),
        replace(profile, overrides={0x00080070: Action.DELETE}),
        replace(profile, overrides={0x00080070: Action.EMPTY}),
        replace(profile, stand_ins=frozenset()),
        replace(profile, stand_ins=frozenset({StandIn.NAMES})),
        replace(profile, approved_texts=frozenset({"T1 Haus"})),
        replace(profile, approved_words=frozenset({"haus"})),
        replace(profile, pixels=replace(profile.pixels, trusts_declared_no=False)),
        replace(profile, pixels=replace(profile.pixels, treatments={})),
    ]
    digests = [compiled(each).digest for each in (profile, *others)]
    assert len(set(digests)) == len(digests)


def test_the_digest_does_not_change_with_what_changes_no_output() -> None:
    profile = load("research")
    renamed = replace(profile, name="other", title="x", summary="x", discloses=("x",))
    reordered = replace(profile, approved_words=frozenset(sorted(profile.approved_words, reverse=True)))
    kept_already = {0x00100040: Action.KEEP}  # PatientSex, by an option
    told_twice = replace(profile, overrides={**profile.overrides, **kept_already})
    assert len({Policy(each).digest for each in (profile, renamed, reordered, told_twice)}) == 1


def test_the_digest_is_16_digits_and_does_not_depend_on_what_was_asked_before() -> None:
    fresh, used = Policy(load("research")), Policy(load("research"))
    for row in rows():
        used.rule_for(row.tag, b"UN")
    assert fresh.digest == used.digest
    assert len(fresh.digest) == 16
    assert int(fresh.digest, 16)


def test_profiles_that_say_the_same_share_one_policy_and_others_do_not() -> None:
    profile = load("research")
    assert compiled(load("research")) is compiled(profile)
    for other in (
        load("basic"),
        replace(profile, title="x"),
        replace(profile, overrides={0x00080070: Action.DELETE}),
        replace(profile, pixels=replace(profile.pixels, trusts_declared_no=False)),
    ):
        assert compiled(other).profile == other != profile


@pytest.mark.parametrize("hash_seed", ["1", "4242"])
def test_the_digests_are_the_same_in_another_process_with_another_hash_seed(hash_seed: str) -> None:
    script = (
        "from dicom.deid.policy import compiled; from dicom.deid.profile import load, shipped;"
        "print(*[compiled(load(name)).digest for name in shipped()])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        check=True,
        cwd=ROOT,
        env={"PYTHONHASHSEED": hash_seed},
        text=True,
    )
    assert done.stdout.split() == [compiled(load(name)).digest for name in shipped()]
