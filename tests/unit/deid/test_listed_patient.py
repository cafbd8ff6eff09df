"""What the source lists of a patient is searched for in instances that do not say it themselves."""

import io
from collections.abc import Callable
from dataclasses import replace

import pytest
from pydicom import Dataset
from pydicom.filereader import read_dataset
from pydicom.sequence import Sequence

from dicom.deid import identifiers
from dicom.deid.engine import Deidentifier
from dicom.deid.keys import LinkageKey
from dicom.deid.needles import Original, Words
from dicom.deid.policy import Policy, compiled
from dicom.deid.profile import Action, load
from dicom.part10 import split_part10
from models.domain.errors import AditError, ResidueFound
from models.domain.instances import EncodedInstance
from models.domain.refs import StudyFound
from tests.corpus import instance_of, instances
from tests.unit.deid.test_deid_fails_closed import EXPLICIT, a_header, a_policy, encoded
from tests.unit.deid.test_templates import next_one, outcome

STUDY_UID = "1.2.826.0.1.3680043.10.9999.2"
LISTED = StudyFound(STUDY_UID, "PATID4711", "Zwirnbald^Odo", "19610823", "RAD20240815")


def an_engine(study: StudyFound | None = LISTED, policy: Policy | None = None) -> Deidentifier:
    return Deidentifier(policy or a_policy(), LinkageKey(bytes(range(32))), "PSEUDO1", study=study)


def a_nameless(**values: object) -> Dataset:
    return a_header(**({"PatientName": "", "PatientID": "", "StationName": "CT1"} | values))


def an_instance(header: Dataset) -> EncodedInstance:
    return EncodedInstance(header.SOPClassUID, header.SOPInstanceUID, EXPLICIT, (encoded(header),))


def treated(header: Dataset, study: StudyFound | None = LISTED, policy: Policy | None = None) -> Dataset:
    data = b"".join(an_engine(study, policy).instance(an_instance(header)).parts)
    return read_dataset(io.BytesIO(data), is_implicit_VR=False, is_little_endian=True)


@pytest.mark.parametrize("name", ["", None, "Anonymous", "Somebody^Else"])
@pytest.mark.parametrize("text", ["ZWIRNBALD_ODO", "GE 23.08.1961", "PATID4711", "RAD20240815"])
def test_what_an_instance_does_not_say_of_its_patient_is_found_in_it(name: str | None, text: str) -> None:
    header = a_nameless(PatientName=name, StationName=text)
    with pytest.raises(ResidueFound, match=r"\(0008,1010\)") as caught:
        treated(header)
    assert text not in f"{caught.value!r} {an_engine()!r}"


def test_cleaning_drops_the_name_that_an_instance_does_not_say() -> None:
    listed = replace(LISTED, patient_name="Kopf^Hans")
    assert treated(a_nameless(SeriesDescription="Kopf nativ"), listed).SeriesDescription == "nativ"
    assert treated(a_nameless(SeriesDescription="Kopf nativ")).SeriesDescription == "Kopf nativ"


def test_a_template_searches_for_it_too() -> None:
    engine = an_engine()
    first = an_instance(a_nameless())
    engine.instance(first)
    follower = an_instance(a_nameless(SOPInstanceUID="1.2.826.0.1.3680043.10.9999.77", StationName="ZWIRNBALD"))
    with pytest.raises(ResidueFound):
        engine.instance(follower)
    engine.instance(an_instance(a_nameless(SOPInstanceUID="1.2.826.0.1.3680043.10.9999.78", StationName="CT2")))


@pytest.mark.parametrize("charset", ["ISO_IR 100", "ISO_IR 192", "GB18030", "ISO_IR 126"])
def test_accents_are_found_in_the_character_set_of_an_instance_that_names_nobody(charset: str) -> None:
    header = a_nameless(SpecificCharacterSet=charset)
    name = "Jiménez" if charset != "ISO_IR 126" else "Παπαδόπουλος"
    header.Manufacturer = f"GE {name}"
    with pytest.raises(ResidueFound):
        treated(header, replace(LISTED, patient_name=f"{name}^Odo"))


@pytest.mark.parametrize("accession_number", ["", "1", "MRT", "KOPF", "THORAX", "NONE", "UNKNOWN", "0000", "100000"])
def test_what_is_listed_refuses_no_more_than_if_the_instance_said_it(accession_number: str) -> None:
    listed = replace(LISTED, patient_id="PATID4711", accession_number=accession_number)
    rest = {"Manufacturer": "MRT Thorax Systems", "StationName": "KOPF1", "SeriesDescription": "MRT Kopf nativ 1"}
    said = a_header(AccessionNumber=accession_number, PatientBirthDate="19610823", **rest)
    silent = a_nameless(**rest)
    assert _outcome(silent, listed) == _outcome(said, None)


def _outcome(header: Dataset, study: StudyFound | None) -> tuple[str, ...]:
    try:
        output = treated(header, study)
    except AditError as error:
        return error.code, error.message
    return tuple(str(output.get(keyword)) for keyword in ("Manufacturer", "StationName", "SeriesDescription"))


def test_what_a_profile_keeps_on_purpose_is_not_searched_for() -> None:
    keeping = replace(load("research"), overrides={0x00080050: Action.KEEP})
    header = a_nameless(AccessionNumber="", StationName="RAD20240815")
    assert treated(header, policy=compiled(keeping)).StationName == "RAD20240815"


@pytest.mark.parametrize("kind", [each.kind for each in instances()])
def test_instances_that_say_what_is_listed_come_out_the_same(kind: str) -> None:
    original = instance_of(kind)
    header = original.dataset
    study = StudyFound(
        *(str(header.get(keyword) or "") for keyword in ("StudyInstanceUID", "PatientID", "PatientName")),
        birth_date=str(header.get("PatientBirthDate") or ""),
        accession_number=str(header.get("AccessionNumber") or ""),
    )
    instance = split_part10(original.part10)
    with_list, without = an_engine(study), an_engine(None)
    for each in (instance, next_one(instance, 1), next_one(instance, 2)):
        assert outcome(with_list, each) == outcome(without, each)


def test_what_to_search_for_is_worked_out_once_for_instances_that_name_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worked_out: list[None] = []
    real: Callable[[object], Words] = identifiers.words_of

    def counted(originals: set[Original]) -> Words:
        worked_out.append(None)
        return real(originals)

    monkeypatch.setattr(identifiers, "words_of", counted)
    engine = an_engine()
    for number in range(30):
        name = ("", "Zwirnbald^Odo")[number % 2]
        engine.instance(an_instance(a_nameless(PatientName=name, SOPInstanceUID=f"1.2.826.0.1.3680043.10.99.{number}")))
    assert len(worked_out) == 2


def test_a_birth_date_in_a_report_that_does_not_say_whose_it_is_becomes_a_dummy() -> None:
    item = Dataset()
    item.ValueType, item.Date = "DATE", "19610823"
    report = a_nameless(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", ContentSequence=Sequence([item]))
    assert treated(report).ContentSequence[0].Date == "19000101"
    assert treated(report, replace(LISTED, birth_date="")).ContentSequence[0].Date not in {"19000101", "19610823"}


def test_a_list_with_letters_that_no_text_has_is_no_failure() -> None:
    listed = replace(LISTED, patient_name="Zwirnbald\ud800^Odo", birth_date="\ud800")
    with pytest.raises(ResidueFound):
        treated(a_nameless(StationName="ZWIRNBALD"), listed)


def test_names_of_files_are_searched_for_what_only_the_list_says() -> None:
    engine = an_engine()
    engine.instance(an_instance(a_nameless()))
    engine.check_name("PSEUDO1/20240101-101010-CT")
    with pytest.raises(ResidueFound):
        engine.check_name("Zwirnbald/20240101-101010-CT")
