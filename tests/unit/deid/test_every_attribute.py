"""Every attribute of the data dictionary, planted at the top and in a sequence: only what was reviewed passes."""

from functools import cache

import pytest
from pydicom.datadict import DicomDictionary, keyword_for_tag

from dicom.deid.device_texts import DEVICE_TEXTS
from dicom.deid.encoding import NEWER_VRS
from dicom.deid.engine import Deidentifier
from dicom.deid.keys import LinkageKey
from dicom.deid.policy import compiled
from dicom.deid.profile import load
from tests import deid_rows
from tests.deid_rows import EXPLICIT, IMPLICIT, SHIPPED_OPTIONS, Place, TableRow, Verdict

PLANTED = {
    **dict.fromkeys(("LO", "SH", "UC", "LT", "ST", "UT", "UR", "AE"), b"Xyplugh Xyzzulu "),
    "PN": b"Xyplugh^Xyzzulu ",
    "UI": b"1.2.826.0.1.9999",
    "DA": b"19610823",
    "DT": b"19610823101112",
}
SET_FOR_EVERYBODY = frozenset({0x00080005, 0x00080016, 0x00080018, 0x00100010, 0x00100020, 0x0020000D, 0x0020000E})
KINDS_OF_THINGS = frozenset({"CodingSchemeUID", "ContextUID", "MappingResourceUID"})
"""UIDs of vocabularies; with those whose keyword ends in ClassUID, they tell no thing but a kind."""
WRITTEN_BY_DEVICES = 61
"""So many attributes have text that devices and vocabularies write. Whoever adds one has to change this, too."""


@cache
def attributes() -> tuple[TableRow, ...]:
    """Every attribute of the dictionary that can hold text, a date or a UID, as if it were a row of the table."""
    in_table = {row.tag: row for row in deid_rows.rows()}
    known = {tag: entry[0][:2] for tag, entry in DicomDictionary.items()} | NEWER_VRS
    found = [
        in_table.get(tag) or TableRow(0, tag, keyword_for_tag(tag), vr, "", {})
        for tag, vr in known.items()
        if tag >> 16 >= 0x0008 and vr in PLANTED and tag not in SET_FOR_EVERYBODY
    ]
    return tuple(row for row in found if row.vr in PLANTED)


@cache
def survivors(name: str, place: Place, implicit: bool) -> frozenset[str]:
    """Keywords of the attributes whose value is left somewhere in the output."""
    engine = Deidentifier(compiled(load(name)), LinkageKey(bytes(range(32))), "PSEUDO1")
    left: set[str] = set()
    for row in attributes():
        value = PLANTED[row.vr]
        output = engine.header(deid_rows.header(row, place, implicit, value), IMPLICIT if implicit else EXPLICIT)
        traces = value.replace(b"^", b" ").split(b" ") if row.vr != "DT" else [value[:8]]
        if any(trace in output for trace in traces if trace):
            left.add(row.keyword)
    return frozenset(left)


def reviewed(name: str) -> set[str]:
    """What may survive: the table keeps it under the profile's options, or a person has looked at it."""
    kept = {
        row.keyword
        for row in deid_rows.rows()
        if deid_rows.demanded(row, SHIPPED_OPTIONS[name], name) == {Verdict.KEPT} and row.vr in PLANTED
    }
    kinds = {row.keyword for row in attributes() if row.keyword.endswith("ClassUID")} | KINDS_OF_THINGS
    return kept | kinds | DEVICE_TEXTS


@pytest.mark.parametrize("implicit", [False, True], ids=["explicit", "implicit"])
@pytest.mark.parametrize("place", [Place.TOP, Place.NESTED])
@pytest.mark.parametrize("name", sorted(SHIPPED_OPTIONS))
def test_only_reviewed_attributes_survive(name: str, place: Place, implicit: bool) -> None:
    assert len(attributes()) == 978
    assert survivors(name, place, implicit) - reviewed(name) == set()


def test_the_list_of_texts_written_by_devices_is_short_and_apart_from_the_table() -> None:
    in_table = {row.keyword for row in deid_rows.rows()}
    assert len(DEVICE_TEXTS) == WRITTEN_BY_DEVICES
    assert not DEVICE_TEXTS & in_table
    assert {row.keyword for row in attributes()} >= DEVICE_TEXTS - {"DeidentificationMethod"}


def test_no_name_survives_and_in_the_basic_profile_no_prose_address_or_date() -> None:
    vrs = {row.keyword: row.vr for row in attributes()}
    for name in SHIPPED_OPTIONS:
        left = {vrs[keyword] for keyword in survivors(name, Place.TOP, implicit=False)}
        assert not left & ({"PN"} if name != "basic" else {"PN", "LT", "ST", "UT", "UR", "AE", "DA", "DT"})
