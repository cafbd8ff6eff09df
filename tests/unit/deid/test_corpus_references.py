"""UIDs map one to one across the whole corpus, so that what referred to an instance still does."""

import re
from collections.abc import Iterator

import pytest
from pydicom import Dataset

from tests.corpus import instance_of
from tests.corpus.planting import ROOT
from tests.corpus.treatment import PROFILES, outputs

Pairs = dict[str, str]

REFERRING = {
    "mr": {"ct"},
    "enhanced_mr": {"ct"},
    "enhanced_ct": {"ct"},
    "segmentation": {"ct"},
    "rt_structures": {"ct"},
    "rt_plan": {"rt_structures"},
    "rt_dose": {"rt_plan", "rt_structures"},
    "rt_image": {"rt_plan"},
    "report": {"ct", "mr"},
    "key_object": {"ct", "mr", "pet"},
    "presentation_state": {"ct"},
    "changed_attributes": {"ct"},
    "cr_linked": {"cr_deflated"},
}
"""Which kinds refer to which, by SOP Instance UID."""


KINDS_OF_THINGS = ("1.2.840.10008.", "1.3.12.2.1107.5.9.1")
"""UIDs of the standard, and the class of the corpus that only its maker knows."""
DEVICE_UID = "(0018,1002)"
RETAINING_DEVICES = {"research", "adit-compatible"}


def uids(dataset: Dataset, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the path and value of each UID that names something and not a kind of thing."""
    for element in dataset:
        here = f"{path}({element.tag.group:04X},{element.tag.element:04X})"
        if element.VR == "SQ":
            for number, item in enumerate(element.value):
                yield from uids(item, f"{here}[{number}].")
        elif element.VR == "UI" and element.value and not str(element.value).startswith(KINDS_OF_THINGS):
            yield here, str(element.value)


def mapped(profile: str) -> Pairs:
    """Original UID -> the one that stands for it, read off the places where both stand."""
    pairs: Pairs = {}
    for output in outputs(profile).values():
        after = dict(uids(output.dataset))
        for path, original in uids(output.original.dataset):
            if path in after and not path.endswith(DEVICE_UID):
                assert pairs.setdefault(original, after[path]) == after[path], path
    return pairs


@pytest.mark.parametrize("profile", PROFILES)
def test_uids_map_one_to_one_across_the_corpus(profile: str) -> None:
    pairs = mapped(profile)
    assert len(pairs) > 100
    assert len(set(pairs.values())) == len(pairs)
    assert set(pairs).isdisjoint(pairs.values())
    assert all(uid.startswith("2.25.") and len(uid) <= 64 for uid in pairs.values())


@pytest.mark.parametrize("profile", PROFILES)
def test_no_original_uid_is_left_anywhere(profile: str) -> None:
    """But for the device's own, where a profile retains device identity (K in table E.1-1)."""
    for kind, output in outputs(profile).items():
        kept = {str(output.original.dataset.DeviceUID)} if profile in RETAINING_DEVICES else set[str]()
        found = set(re.findall(re.escape(ROOT.encode()) + rb"\.\d+", output.part10 + output.plain))
        assert {uid.decode() for uid in found} == kept, kind
        assert kept <= output.original.uids


@pytest.mark.parametrize("profile", PROFILES)
def test_every_reference_leads_to_an_output(profile: str) -> None:
    results = outputs(profile)
    sop_uids = {output.original.instance.sop_uid: kind for kind, output in results.items()}
    for kind, referred in REFERRING.items():
        after = dict(uids(results[kind].dataset))
        kept = {path: sop_uids[uid] for path, uid in uids(instance_of(kind).dataset) if sop_uids.get(uid) in referred}
        assert {kept[path] for path in kept if path in after} == referred, kind
        assert all(after[path] == results[kept[path]].instance.sop_uid for path in kept if path in after), kind


@pytest.mark.parametrize("profile", PROFILES)
def test_no_reference_leads_nowhere(profile: str) -> None:
    """A reference to a study, series, frame of reference or instance of the corpus is to one of its outputs."""
    results = outputs(profile)
    pairs = mapped(profile)
    datasets = {kind: output.dataset for kind, output in results.items()}
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
        present = {str(each[keyword].value) for each in datasets.values() if keyword in each}
        for output in results.values():
            original = output.original.dataset
            if keyword in original:
                assert pairs[str(original[keyword].value)] in present


@pytest.mark.parametrize("profile", PROFILES)
def test_instance_and_data_set_say_the_same(profile: str) -> None:
    for kind, output in outputs(profile).items():
        read = output.dataset
        assert (read.SOPInstanceUID, read.SOPClassUID) == (output.instance.sop_uid, output.instance.sop_class_uid), kind
        assert read.file_meta.MediaStorageSOPInstanceUID == output.instance.sop_uid, kind


@pytest.mark.parametrize("profile", PROFILES)
def test_studies_and_series_stay_together_and_apart(profile: str) -> None:
    read = [(output.original, output.dataset) for output in outputs(profile).values()]
    studies = {(original.dataset.StudyInstanceUID, each.StudyInstanceUID) for original, each in read}
    series = {(original.dataset.SeriesInstanceUID, each.SeriesInstanceUID) for original, each in read}
    assert len(studies) == len({new for _, new in studies}) == len({old for old, _ in studies})
    assert len(series) == len({new for _, new in series}) == len(read)
