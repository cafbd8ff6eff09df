"""Every kind of study that the demonstration has, through the engine."""

import hashlib
import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.encaps import generate_frames

from deployments.demo import studies
from deployments.demo.studies import StudyFiles
from dicom.deid.engine import Deidentifier
from dicom.deid.keys import LinkageKey
from dicom.deid.policy import compiled
from dicom.deid.profile import load, shipped
from dicom.part10 import part10_prefix, split_part10
from models.domain.instances import EncodedInstance

ROOT = Path(__file__).parents[3]
SECRET = bytes(range(32))
KINDS = {
    "ct": lambda d: studies.write_ct(d, 1, 1, (2, 1), 16, 16),
    "mr": lambda d: studies.write_mr(d, 2, 2, (2,), 16, 16),
    "mr_implicit": studies.write_mr_implicit,
    "us": lambda d: studies.write_us(d, rows=16, columns=16),
    "sr": studies.write_sr,
    "compressed": studies.write_compressed,
    "deflated": studies.write_deflated,
    "enhanced": studies.write_enhanced,
}


@pytest.fixture(scope="module", params=sorted(KINDS))
def a_study(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> StudyFiles:
    return KINDS[request.param](tmp_path_factory.mktemp("study"))


def a_deidentifier(secret: bytes = SECRET, profile: str = "research") -> Deidentifier:
    return Deidentifier(compiled(load(profile)), LinkageKey(secret), "PSEUDO1", "TRIAL7", "A trial")


def instances(study: StudyFiles) -> Iterator[EncodedInstance]:
    for file in study.files:
        yield split_part10(file.read_bytes())


def as_file(instance: EncodedInstance) -> bytes:
    prefix = part10_prefix(instance.sop_class_uid, instance.sop_uid, instance.transfer_syntax_uid)
    return prefix + b"".join(instance.parts)


def decoded(instance: EncodedInstance) -> Dataset:
    return dcmread(io.BytesIO(as_file(instance)))


def readable_text(dataset: Dataset) -> str:
    """Every value at every level, which also decodes them all; pixels are compared elsewhere."""
    values = [str(element.value) for element in dataset.iterall() if element.tag.group != 0x7FE0]
    return "\n".join(values).lower()


def kept_on_purpose(source: Dataset, profile: str) -> set[str]:
    """The scanner's name and number in the places that Retain Device Identity names, and ADIT's true dates."""
    if profile == "basic":
        return set()
    device = {
        str(source.get(keyword, "")) for keyword in ("StationName", "DeviceSerialNumber", "GantryID", "DetectorID")
    }
    return {value.lower() for value in device} | ({studies.STUDY_DATE} if profile == "adit-compatible" else set())


@pytest.mark.parametrize("profile", shipped())
def test_no_planted_value_is_left_at_any_level(a_study: StudyFiles, profile: str) -> None:
    engine = a_deidentifier(profile=profile)
    for source in instances(a_study):
        before, treated = decoded(source), engine.instance(source)
        assert all(value.lower() in readable_text(before) for value in (a_study.patient_id, a_study.birth_date))
        text = readable_text(decoded(treated))
        planted = {*a_study.planted, a_study.study_uid, studies.ROOT, studies.STUDY_DATE}
        searched = {value.lower() for value in planted} - kept_on_purpose(before, profile)
        assert len(searched) > 8
        assert {value for value in searched if value in text} == set()
        raw = b"".join(bytes(part) for part in treated.parts[:1]).lower()
        assert {value for value in searched if value.encode("latin-1") in raw} == set()


def test_no_private_element_is_left_at_any_level(a_study: StudyFiles) -> None:
    engine = a_deidentifier()
    for source in instances(a_study):
        assert any(element.tag.is_private for element in decoded(source).iterall())
        assert not any(element.tag.is_private for element in decoded(engine.instance(source)).iterall())


def test_the_output_says_what_was_done(a_study: StudyFiles) -> None:
    header = decoded(a_deidentifier().instance(next(instances(a_study))))
    assert header.PatientID == header.PatientName == "PSEUDO1"
    assert header.PatientIdentityRemoved == "YES"
    product, policy, key = header.DeidentificationMethod
    assert product.startswith("ADIT ")
    assert policy.startswith("policy research ")
    assert key.startswith("key ")
    assert "113107" in {code.CodeValue for code in header.DeidentificationMethodCodeSequence}
    assert header.LongitudinalTemporalInformationModified == "MODIFIED"
    assert header.ClinicalTrialProtocolID == "TRIAL7"
    assert header.ClinicalTrialProtocolName == "A trial"
    assert header.PatientBirthDate == ""


def test_pixels_stay_the_same(a_study: StudyFiles) -> None:
    engine = a_deidentifier()
    for source in instances(a_study):
        before, after = decoded(source), decoded(engine.instance(source))
        assert before.get("PixelData") == after.get("PixelData")
        if after.file_meta.TransferSyntaxUID.is_encapsulated:
            assert len(list(generate_frames(after.PixelData, number_of_frames=1))) == 1


def test_uids_are_mapped_alike_wherever_they_stand(a_study: StudyFiles) -> None:
    engine = a_deidentifier()
    mapped = {str(decoded(source).SOPInstanceUID): engine.instance(source) for source in instances(a_study)}
    assert len({instance.sop_uid for instance in mapped.values()}) == len(a_study.files)
    for original, instance in mapped.items():
        header = decoded(instance)
        assert header.SOPInstanceUID == instance.sop_uid == engine.uid(original)
        assert header.StudyInstanceUID == engine.uid(a_study.study_uid)
        assert header.SOPClassUID == instance.sop_class_uid


def test_the_same_key_gives_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    script = (
        "import sys, hashlib; from pathlib import Path; from dicom.part10 import split_part10;"
        "from dicom.deid.engine import Deidentifier; from dicom.deid.keys import LinkageKey;"
        "from dicom.deid.policy import compiled; from dicom.deid.profile import load;"
        "given = compiled(load('research')), LinkageKey(bytes(range(32))), 'PSEUDO1', 'TRIAL7', 'A trial';"
        "sources = [split_part10(Path(file).read_bytes()) for file in sys.argv[1:]];"
        "print(*[hashlib.sha256(b''.join(Deidentifier(*given).instance(each).parts)).hexdigest() for each in sources])"
    )
    found = {kind: KINDS[kind](tmp_path / kind) for kind in KINDS}
    command = [sys.executable, "-c", script, *(str(study.files[-1]) for study in found.values())]
    elsewhere = subprocess.run(command, capture_output=True, check=True, cwd=ROOT, text=True).stdout.split()
    here = {kind: last_digest(study) for kind, study in found.items()}
    assert dict(zip(found, elsewhere, strict=True)) == here


def last_digest(study: StudyFiles) -> str:
    """Of the last instance, after all others of the study."""
    engine = a_deidentifier()
    *_, last = (engine.instance(source) for source in instances(study))
    return hashlib.sha256(b"".join(last.parts)).hexdigest()


def test_another_key_has_nothing_in_common(a_study: StudyFiles) -> None:
    source = next(instances(a_study))
    one = decoded(a_deidentifier().instance(source))
    other = decoded(a_deidentifier(bytes(32)).instance(source))
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "AccessionNumber", "StudyDate"):
        assert one[keyword].value != other[keyword].value


def test_pixels_are_a_view_of_the_original_and_no_copy(tmp_path: Path) -> None:
    file = studies.write_ct(tmp_path, instances=(1,), rows=16, columns=16).files[0].read_bytes()
    _, pixels = a_deidentifier().instance(split_part10(file)).parts
    assert isinstance(pixels, memoryview)
    assert pixels.obj is file
    assert pixels[-512:] == file[-512:]


def test_an_instance_in_pieces_gives_the_same_bytes(a_study: StudyFiles) -> None:
    source = next(instances(a_study))
    whole = bytes(source.parts[0])
    pieces = tuple(whole[start : start + 1000] for start in range(0, len(whole), 1000))
    cut = EncodedInstance(source.sop_class_uid, source.sop_uid, source.transfer_syntax_uid, pieces)
    assert b"".join(a_deidentifier().instance(cut).parts) == b"".join(a_deidentifier().instance(source).parts)


def test_a_header_alone_is_treated_like_the_instance(a_study: StudyFiles) -> None:
    source = next(instances(a_study))
    header = a_deidentifier().header(b"".join(source.parts), source.transfer_syntax_uid)
    assert header == b"".join(a_deidentifier().instance(source).parts)


def test_a_few_attributes_are_treated_as_in_the_instances(a_study: StudyFiles) -> None:
    engine = a_deidentifier()
    source = decoded(next(instances(a_study)))
    wanted = Dataset()
    for keyword in ("StudyDate", "StudyTime", "PatientID", "StudyInstanceUID"):
        wanted[keyword] = source[keyword]
    treated = engine.dataset(wanted)
    header = decoded(engine.instance(next(instances(a_study))))
    for keyword in ("StudyDate", "StudyTime", "PatientID", "StudyInstanceUID"):
        assert treated[keyword].value == header[keyword].value
    assert source.PatientID == a_study.patient_id


def test_a_report_keeps_its_tree_codes_and_numbers(tmp_path: Path) -> None:
    study = studies.write_sr(tmp_path)
    engine = a_deidentifier()
    before, after = (decoded(i) for i in (next(instances(study)), engine.instance(next(instances(study)))))
    kinds = [item.ValueType for item in before.ContentSequence]
    assert [item.ValueType for item in after.ContentSequence] == kinds
    name, uid, birth_date, subject, findings = after.ContentSequence
    assert name.PersonName
    assert engine.uid(study.study_uid) == uid.UID
    assert birth_date.Date == "19000101"
    assert subject.TextValue == "REMOVED"
    finding, length, image = findings.ContentSequence
    assert finding.TextValue == "Leber"  # without the name in front of it
    assert finding.ConceptNameCodeSequence[0].CodeMeaning == "Finding"
    assert length.MeasuredValueSequence[0].NumericValue == 44.5
    assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID.startswith("2.25.")
