"""What an output says about itself (PS3.15 section E.1.1): by whom, how and under which policy it was treated."""

import io
import re

import pytest
from pydicom import Dataset
from pydicom.filereader import read_dataset
from pydicom.sequence import Sequence

from dicom.deid.engine import Deidentifier
from dicom.deid.keys import LinkageKey
from dicom.deid.marks import Method, Trial, foreign_methods, marks
from dicom.deid.policy import compiled
from dicom.deid.profile import Action, Option, Profile, load, shipped
from models.domain.errors import ResidueFound
from tests.unit.deid.test_deid_fails_closed import EXPLICIT, IMPLICIT, a_header, decoded, encoded

KEY = LinkageKey(bytes(range(32)))
PLAIN = Method("research", "0123456789abcdef", "cafe0123", "MODIFIED", (("113100", "Basic"),))


def treated(
    header: Dataset, profile: Profile, syntax_uid: str = EXPLICIT, pseudonym: str = "PSEUDO1", **trial: str
) -> Dataset:
    engine = Deidentifier(compiled(profile), KEY, pseudonym, **trial)
    return decoded(engine.header(encoded(header, syntax_uid), syntax_uid), syntax_uid)


def codes(header: Dataset) -> list[str]:
    return [str(item.CodeValue) for item in header.DeidentificationMethodCodeSequence]


def test_marks_are_in_the_order_of_tags() -> None:
    trial = Trial("TRIAL7", "A trial")
    method = Method("basic", "0" * 16, "00000000", "REMOVED", (("113100", "Basic"),), has_blanked_pixels=True)
    tags = [mark.tag for mark in marks("PSEUDO1", method, trial, "20200101-101112", ())]
    assert tags == sorted(set(tags))
    assert len(tags) == 10


@pytest.mark.parametrize("syntax_uid", [EXPLICIT, IMPLICIT])
@pytest.mark.parametrize("name", shipped())
def test_an_output_says_what_was_done_under_which_policy_and_key(name: str, syntax_uid: str) -> None:
    policy = compiled(load(name))
    header = treated(a_header(), load(name), syntax_uid)
    assert (header.PatientName, header.PatientID) == ("PSEUDO1", "PSEUDO1")
    assert header.PatientIdentityRemoved == "YES"
    product, policy_text, key = header.DeidentificationMethod
    assert re.fullmatch(r"ADIT \S+; PS3\.15 2026d", product)
    assert policy_text == f"policy {name} {policy.digest[:8]}"
    assert key == f"key {KEY.fingerprint}"
    assert codes(header) == [value for value, _ in policy.codes]
    assert {item.CodingSchemeDesignator for item in header.DeidentificationMethodCodeSequence} == {"DCM"}
    assert [item.CodeMeaning for item in header.DeidentificationMethodCodeSequence] == [m for _, m in policy.codes]
    assert header.LongitudinalTemporalInformationModified == policy.temporal_information
    assert "BurnedInAnnotation" not in header


def test_no_value_of_the_method_is_longer_than_its_vr_allows() -> None:
    longest = Profile("a" * 40)
    assert all(len(text) <= 64 for text in treated(a_header(), longest).DeidentificationMethod)


def test_marks_replace_what_the_source_claims() -> None:
    source = a_header(
        PatientIdentityRemoved="NO", LongitudinalTemporalInformationModified="UNMODIFIED", PatientName="Zwirnbald"
    )
    header = treated(source, load("research"))
    assert header.PatientIdentityRemoved == "YES"
    assert header.LongitudinalTemporalInformationModified == "MODIFIED"


def test_a_claimed_absence_of_burned_in_text_is_not_touched_unless_pixels_were_blanked() -> None:
    assert treated(a_header(BurnedInAnnotation="NO"), load("research")).BurnedInAnnotation == "NO"
    blanked = Method("basic", "0" * 16, "00000000", "REMOVED", (("113100", "Basic"),), has_blanked_pixels=True)
    assert [code for code, _ in blanked.all_codes] == ["113100", "113101"]
    assert [code for code, _ in PLAIN.all_codes] == ["113100"]
    found = {mark.tag: mark.text for mark in marks("P", blanked, Trial(), "", ())}
    assert found[0x00280301] == "NO"


def test_without_conformance_there_is_no_code_and_no_empty_sequence() -> None:
    keeping = Profile("x", overrides={0x00104000: Action.KEEP})
    header = treated(a_header(), keeping)
    assert "DeidentificationMethodCodeSequence" not in header
    assert header.PatientIdentityRemoved == "YES"


def test_options_that_were_chosen_are_declared_and_no_others() -> None:
    profile = Profile("x", options=frozenset({Option.CLEAN_DESCRIPTORS, Option.RETAIN_INSTITUTION_IDENTITY}))
    assert codes(treated(a_header(), profile)) == ["113100", "113105", "113112"]


def test_an_earlier_method_and_its_codes_stay_in_front() -> None:
    earlier = Dataset()
    earlier.CodeValue, earlier.CodingSchemeDesignator, earlier.CodeMeaning = "113108", "DCM", "Earlier"
    source = a_header(DeidentificationMethod="Site tool 1", DeidentificationMethodCodeSequence=Sequence([earlier]))
    header = treated(source, load("basic"))
    assert header.DeidentificationMethod[0] == "Site tool 1"
    assert len(header.DeidentificationMethod) == 4
    assert codes(header) == ["113108", "113100"]


@pytest.mark.parametrize("name", shipped())
def test_treating_an_output_again_adds_nothing(name: str) -> None:
    once = treated(a_header(DeidentificationMethod="Site tool 1"), load(name))
    twice = treated(once, load(name), pseudonym="PSEUDO2")
    assert twice.DeidentificationMethod == once.DeidentificationMethod
    assert twice.DeidentificationMethodCodeSequence == once.DeidentificationMethodCodeSequence


def test_a_name_in_an_earlier_method_does_not_pass() -> None:
    source = a_header(DeidentificationMethod="tool of Zwirnbald")
    with pytest.raises(ResidueFound, match=r"\(0012,0063\)") as caught:
        treated(source, load("research"))
    assert "wirnbald" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \0", []),
        ("Site tool 1", ["Site tool 1"]),
        ("Site tool 1\\ADIT 1.2; PS3.15 2026d\\policy research 01234567\\key cafe0123", ["Site tool 1"]),
        ("ADIT 0.9; PS3.15 2024e", []),
        ("ADIT is great", ["ADIT is great"]),
        ("policy of the house", ["policy of the house"]),
        ("key cafe0123 of Zwirnbald", ["key cafe0123 of Zwirnbald"]),
    ],
)
def test_only_what_others_wrote_counts_as_earlier(text: str, expected: list[str]) -> None:
    assert foreign_methods(text) == expected


def test_a_trial_is_named_with_its_session() -> None:
    source = a_header(StudyDate="20240312", StudyTime="101112", PatientComments="Zwirnbald was here")
    header = treated(source, load("research"), trial_protocol_id="TRIAL7", trial_protocol_name="A trial")
    assert header.ClinicalTrialProtocolID == "TRIAL7"
    assert header.ClinicalTrialProtocolName == "A trial"
    date = header.StudyDate
    assert date != "20240312"
    assert header.PatientComments == f"Project:TRIAL7 Subject:PSEUDO1 Session:PSEUDO1_{date}-101112"


def test_a_trials_session_has_no_true_date_in_any_profile_that_shifts_or_removes() -> None:
    source = a_header(StudyDate="20240312", StudyTime="101112")
    for name in ("basic", "research"):
        header = treated(source, load(name), trial_protocol_id="TRIAL7")
        assert "20240312" not in str(header.PatientComments)
    assert "20240312-101112" in str(treated(source, load("adit-compatible"), trial_protocol_id="T").PatientComments)


def test_without_a_trial_nothing_is_said_about_one() -> None:
    header = treated(a_header(), load("research"))
    assert not {"PatientComments", "ClinicalTrialProtocolID", "ClinicalTrialProtocolName"} & set(header.dir())


def test_the_marks_stand_at_the_top_only() -> None:
    item = Dataset()
    item.Rows = 5
    header = treated(a_header(ReferencedSeriesSequence=Sequence([item])), load("research"))
    assert set(header.ReferencedSeriesSequence[0].dir()) == {"Rows"}


def test_elements_stay_in_ascending_order() -> None:
    source = a_header(StudyDate="20240312", Rows=5, BodyPartExamined="HEAD", PatientAge="047Y")
    engine = Deidentifier(compiled(load("research")), KEY, "PSEUDO1", "TRIAL7", "A trial")
    data = engine.header(encoded(source), EXPLICIT)
    tags = list(read_dataset(io.BytesIO(data), False, True).keys())
    assert tags == sorted(set(tags))
