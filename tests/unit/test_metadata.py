"""What an instance says of itself in DICOM JSON: everything but its pixels, whatever it is like."""

import json
from typing import Any

import pytest
from pydicom import Dataset

from dicom.metadata import metadata_of
from models.domain.errors import Unreadable
from models.domain.instances import EncodedInstance
from tests import corpus
from tests.corpus import instance_of
from tests.corpus.encoding import encoded_dataset


@pytest.mark.filterwarnings("ignore")  # pydicom's, of values that break rules; our programs silence them
@pytest.mark.parametrize("kind", corpus.kinds())
def test_every_kind_of_instance_can_be_described(kind: str) -> None:
    original = instance_of(kind)
    said: dict[str, Any] = json.loads(metadata_of(original.instance), parse_constant=pytest.fail)
    assert said["00080018"]["Value"] == [original.instance.sop_uid]
    assert not any(tag.startswith("7FE0") for tag in said)
    assert set(_vrs(said)) <= KNOWN_VRS
    described = Dataset.from_json(said)
    expected = {one.tag for one in original.dataset if one.tag.group != 0x7FE0 and one.tag.element}
    assert set(described.keys()) == expected
    assert str(described.PatientName) == str(original.dataset.PatientName)


KNOWN_VRS = {
    *("AE", "AS", "AT", "CS", "DA", "DS", "DT", "FL", "FD", "IS", "LO", "LT", "OB", "OD", "OF", "OL", "OV", "OW"),
    *("PN", "SH", "SL", "SQ", "SS", "ST", "SV", "TM", "UC", "UI", "UL", "UN", "UR", "US", "UT", "UV"),
}


def _vrs(said: dict[str, Any]) -> list[str]:
    found: list[str] = []
    for element in said.values():
        found.append(element["vr"])
        if element["vr"] == "SQ":
            for item in element.get("Value", []):
                found += _vrs(item)
    return found


def test_a_number_that_json_does_not_know_is_null() -> None:
    data_set = Dataset()
    data_set.SOPInstanceUID, data_set.SelectorFDValue = "1.2.3", [1.5, float("nan"), float("inf")]
    said = json.loads(metadata_of(encoded(data_set)))
    assert said["00720074"] == {"vr": "FD", "Value": [1.5, None, None]}


def test_a_value_that_its_vr_does_not_allow_leaves_the_attribute_empty_and_the_rest_whole() -> None:
    element = b"\x28\x00\x30\x00DS\x06\x00" + b"WYBABA"
    uid = b"\x08\x00\x18\x00UI\x06\x00" + b"1.2.3\0"
    said = json.loads(metadata_of(EncodedInstance("1.2", "1.2.3", "1.2.840.10008.1.2.1", (uid + element,))))
    assert said == {"00080018": {"vr": "UI", "Value": ["1.2.3"]}, "00280030": {"vr": "DS"}}


def test_what_is_no_data_set_is_unreadable_and_not_quoted() -> None:
    with pytest.raises(Unreadable) as caught:
        metadata_of(EncodedInstance("1.2", "1.2.3", "1.2.840.10008.1.2.1", (b"WYBABABAMO^WYBAKEHATI",)))
    assert "WYBA" not in str(caught.value)


def encoded(data_set: Dataset) -> EncodedInstance:
    data = encoded_dataset(data_set, "1.2.840.10008.1.2.1")
    return EncodedInstance("1.2", str(data_set.SOPInstanceUID), "1.2.840.10008.1.2.1", (data,))
