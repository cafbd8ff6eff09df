"""Private attributes that PS3.15 table E.3.10-1 calls safe, each row: kept as a number or short code, or gone."""

import csv
import struct
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from dicom.deid.engine import Deidentifier
from dicom.deid.keys import LinkageKey
from dicom.deid.policy import compiled
from dicom.deid.profile import load
from models.domain.errors import ResidueFound
from tests.deid_rows import EXPLICIT, IMPLICIT, elements, encoded, items

CSV = Path(__file__).parents[3] / "dicom" / "deid" / "data" / "ps3.15-e3-10-1-safe-private.csv"
NUMBERS = {"SS": "<h", "US": "<H", "FL": "<f", "SL": "<l", "UL": "<L", "FD": "<d"}
CODES = {"CS": b"ABC_12", "SH": b"V1.2", "DS": b"-0.25 ", "IS": b"4711"}


@dataclass(frozen=True)
class SafeRow:
    """One attribute of the table; ``low`` is the low byte of its element number."""

    creator: str
    group: int
    low: int
    vr: str

    @property
    def value(self) -> bytes:
        if self.vr in NUMBERS:
            return struct.pack(NUMBERS[self.vr], 7)
        return CODES.get(self.vr, b"ABC_12" if self.vr != "UI" else b"1.2.3.44")

    @property
    def is_kept(self) -> bool:
        """Sequences, UIDs, free text and bytes are opaque: the table's word is not enough for them."""
        return self.vr in NUMBERS or self.vr in CODES

    def tag(self, block: int = 0x10) -> int:
        return self.group << 16 | block << 8 | self.low


@cache
def rows() -> tuple[SafeRow, ...]:
    with CSV.open(encoding="utf-8", newline="") as file:
        records = list(csv.DictReader(file))
    return tuple(
        SafeRow(each["private_creator"], int(each["group"], 16), int(each["element"], 16), (each["vr"] or "UN")[:2])
        for each in records
    )


def a_row(vr: str, creator: str = "") -> SafeRow:
    return next(row for row in rows() if row.vr == vr and creator in row.creator)


@cache
def engine(name: str = "research") -> Deidentifier:
    return Deidentifier(compiled(load(name)), LinkageKey(bytes(range(32))), "PSEUDO1")


def private(row: SafeRow, block: int = 0x10, implicit: bool = False, value: bytes | None = None) -> dict[int, bytes]:
    """The creator and one element of its block."""
    creator_tag = row.group << 16 | block
    given = row.value if value is None else value
    return {
        creator_tag: encoded(creator_tag, "LO", _even(row.creator.encode()), implicit),
        row.tag(block): encoded(row.tag(block), row.vr, b"" if row.vr == "SQ" else _even(given), implicit),
    }


def _even(value: bytes) -> bytes:
    return value + b" " * (len(value) % 2)


def header(private: dict[int, bytes], implicit: bool = False, name: str = "Zwirnbald^Odo") -> bytes:
    base = {
        0x00080016: ("UI", "1.2.840.10008.5.1.4.1.1.2\0"),
        0x00080018: ("UI", "1.2.826.0.1.3680043.8.498.11"),
        0x00100010: ("PN", name + " " * (len(name) % 2)),
        0x00100020: ("LO", "4711081 "),
        0x0020000D: ("UI", "1.2.826.0.1.3680043.8.498.12"),
        0x0020000E: ("UI", "1.2.826.0.1.3680043.8.498.13"),
    }
    found = {tag: encoded(tag, vr, value.encode(), implicit) for tag, (vr, value) in base.items()} | private
    return b"".join(found[tag] for tag in sorted(found))


def left(private: dict[int, bytes], implicit: bool = False, profile: str = "research") -> dict[int, bytes]:
    """The private elements at the top of the treated header."""
    output = engine(profile).header(header(private, implicit), IMPLICIT if implicit else EXPLICIT)
    return {tag: value for tag, value in elements(output, implicit).items() if tag >> 16 & 1}


def in_an_item(private: dict[int, bytes], implicit: bool = False) -> dict[int, bytes]:
    content = b"".join(private[tag] for tag in sorted(private))
    item = struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content
    return {0x00081115: encoded(0x00081115, "SQ", item, implicit)}


def left_in_item(private: dict[int, bytes], implicit: bool = False) -> dict[int, bytes]:
    output = engine().header(header(in_an_item(private, implicit), implicit), IMPLICIT if implicit else EXPLICIT)
    return elements(next(items(elements(output, implicit)[0x00081115])), implicit)


def test_the_table_has_all_its_rows() -> None:
    assert len(rows()) == 479
    assert len({row.creator for row in rows()}) == 20
    assert sum(row.is_kept for row in rows()) == 356


@pytest.mark.parametrize("implicit", [False, True], ids=["explicit", "implicit"])
@pytest.mark.parametrize("block", [0x10, 0x11, 0xFF])
def test_each_row_is_kept_with_its_creator_or_goes(block: int, implicit: bool) -> None:
    for row in rows():
        expected = {row.group << 16 | block: _even(row.creator.encode()), row.tag(block): _even(row.value)}
        found = left(private(row, block, implicit), implicit)
        assert found == (expected if row.is_kept else {}), row
        assert left_in_item(private(row, block, implicit), implicit) == found, row


@pytest.mark.parametrize("profile", ["basic", "adit-compatible"])
def test_only_profiles_that_say_so_keep_any(profile: str) -> None:
    found = [left(private(row), profile=profile) for row in rows()]
    assert sum(map(bool, found)) == (0 if profile == "basic" else 356)


def test_of_two_creators_of_a_group_each_has_its_own_block() -> None:
    for row in (row for row in rows() if row.is_kept):
        stranger = SafeRow("SOME MAKER", row.group, row.low, row.vr)
        both = private(stranger, 0x10) | private(row, 0x11)
        assert set(left(both)) == {row.group << 16 | 0x11, row.tag(0x11)}


def test_a_creator_of_another_group_counts_for_nothing() -> None:
    row = a_row("US")
    other = SafeRow(row.creator, row.group + 2, row.low, row.vr)
    assert (
        left(
            {row.group << 16 | 0x10: private(row)[row.group << 16 | 0x10]} | {other.tag(): private(other)[other.tag()]}
        )
        == {}
    )


def test_an_item_does_not_inherit_the_creators_around_it() -> None:
    row = a_row("US")
    alone = {row.tag(): private(row)[row.tag()]}
    assert left_in_item(alone) == {}
    assert left(in_an_item(alone) | private(row)) == left(private(row))


@pytest.mark.parametrize(
    "creator", ["siemens mr header", "Siemens Mr Header", " SIEMENS MR HEADER ", "SIEMENS MR HEADER\0"]
)
def test_a_creator_is_known_in_any_case_and_padding(creator: str) -> None:
    row = a_row("IS", "SIEMENS MR HEADER")
    assert row.tag() in left(private(SafeRow(creator, row.group, row.low, row.vr)))


@pytest.mark.parametrize("creator", ["SIEMENS MR HEADERX", "SIEMENS MR HEADE", "SIEMENSMRHEADER", "SIEMENS MR", ""])
def test_a_creator_that_is_only_similar_is_another_one(creator: str) -> None:
    row = a_row("IS", "SIEMENS MR HEADER")
    assert left(private(SafeRow(creator, row.group, row.low, row.vr))) == {}


def test_a_creator_without_a_kept_element_goes() -> None:
    row = a_row("US")
    creator_tag = row.group << 16 | 0x10
    assert left({creator_tag: private(row)[creator_tag]}) == {}


def test_an_element_without_its_creator_goes() -> None:
    row = a_row("US")
    assert left({row.tag(): private(row)[row.tag()]}) == {}


def test_an_unsafe_neighbour_goes_and_the_safe_one_stays() -> None:
    row = a_row("IS", "SIEMENS MR HEADER")
    taken = {each.low for each in rows() if each.creator == row.creator and each.group == row.group}
    free = next(low for low in range(1, 256) if low not in taken)
    neighbour = SafeRow(row.creator, row.group, free, "LO")
    found = left(private(row) | private(neighbour, value=b"Zwirnbald "))
    assert set(found) == {row.group << 16 | 0x10, row.tag()}


@pytest.mark.parametrize(
    ("vr", "value"),
    [
        ("US", b"\1\0\2"),
        ("US", b"Vogelsang"),
        ("FL", b"\1\0"),
        ("FD", b"\1\0\0\0"),
        ("UL", b"\1\0"),
        ("CS", b"Vogelsang "),
        ("CS", b"A" * 18),
        ("CS", b"OK\\vogel "),
        ("SH", b"Vogelsang "),
        ("SH", b"V\xc3\x96GEL"),
        ("SH", b"A" * 18),
        ("DS", b"1.0 m "),
        ("IS", b"4711A "),
        ("IS", b"19.5"),
        ("DS", b"12:30 "),
    ],
)
def test_a_value_that_is_no_number_or_code_goes(vr: str, value: bytes) -> None:
    row = a_row(vr)
    creator_tag = row.group << 16 | 0x10
    raw = encoded(row.tag(), vr, value, False)
    assert left({creator_tag: private(row)[creator_tag], row.tag(): raw}) == {}


@pytest.mark.parametrize("vr", ["LO", "PN", "LT", "OB", "SH"])
def test_a_value_of_another_vr_than_the_tables_goes(vr: str) -> None:
    for row in (row for row in rows() if row.is_kept and row.vr != vr):
        creator_tag = row.group << 16 | 0x10
        other = encoded(row.tag(), vr, _even(row.value), False)
        assert left({creator_tag: private(row)[creator_tag], row.tag(): other}) == {}


@pytest.mark.parametrize("vr", [b"UN", b"SQ"])
def test_a_value_of_undefined_length_goes(vr: bytes) -> None:
    row = a_row("US")
    creator_tag = row.group << 16 | 0x10
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 8) + struct.pack("<HH2sH", 0x0010, 0x0010, b"PN", 0)
    if vr == b"UN":
        item = item[:8] + struct.pack("<HHI", 0x0010, 0x0010, 0)
    end = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    raw = struct.pack("<HH2sHI", row.group, row.tag() & 0xFFFF, vr, 0, 0xFFFFFFFF) + item + end
    assert left({creator_tag: private(row)[creator_tag], row.tag(): raw}) == {}


@pytest.mark.parametrize(
    ("vr", "value", "name"),
    [
        ("SH", b"ID.4711081", "Zwirnbald^Odo"),
        ("IS", b"4711081 ", "Zwirnbald^Odo"),
        ("DS", b"4711081 ", "Zwirnbald^Odo"),
    ],
)
def test_an_identifier_of_the_patient_in_a_safe_attribute_is_refused(vr: str, value: bytes, name: str) -> None:
    data = header(private(a_row(vr), value=value), name=name)
    with pytest.raises(ResidueFound):
        Deidentifier(compiled(load("research")), LinkageKey(bytes(range(32))), "PSEUDO1").header(data, EXPLICIT)


def test_nothing_is_left_of_a_private_sequence_whatever_is_in_it() -> None:
    row = a_row("US")
    content = b"".join(private(row)[tag] for tag in sorted(private(row)))
    item = struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content
    for sequence in (each for each in rows() if each.vr == "SQ"):
        creator_tag = sequence.group << 16 | 0x10
        found = {
            creator_tag: private(sequence)[creator_tag],
            sequence.tag(): encoded(sequence.tag(), "SQ", item, False),
        }
        assert left(found) == {}


def test_safe_attributes_of_one_group_stay_whatever_other_groups_hold() -> None:
    """Some makers write a block before the patient's name, others behind it; both are looked at."""
    row = next(row for row in rows() if row.group == 0x0043 and row.vr == "SH")
    others = {
        0x00090010: encoded(0x00090010, "LO", b"GEMS_IDEN_01", False),
        0x00091001: encoded(0x00091001, "LO", b"secret", False),
    }
    assert set(left({**others, **private(row)})) == {row.group << 16 | 0x10, row.tag()}


def test_what_may_stay_is_decided_for_each_item_by_itself() -> None:
    row = a_row("DS", "GEMS")
    known, unknown = private(row), private(SafeRow("SOMEBODY ELSE", row.group, row.low, row.vr))
    contents = [b"".join(block[tag] for tag in sorted(block)) for block in (unknown, known, unknown)]
    value = b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content for content in contents)
    output = engine().header(header({0x00081115: encoded(0x00081115, "SQ", value, False)}), EXPLICIT)
    found = [set(elements(item, False)) for item in items(elements(output, False)[0x00081115])]
    assert found == [set(), {row.group << 16 | 0x10, row.tag()}, set()]


@pytest.mark.parametrize("vr", ["CS", "SH"])
def test_a_name_in_capitals_is_no_code(vr: str) -> None:
    assert left(private(a_row(vr), value=b"KNOPPERS")) == {}
    assert left(private(a_row(vr), value=b"HEAD_2 ")) != {}


@pytest.mark.parametrize("vr", ["US", "DS", "CS", "FD"])
def test_a_safe_value_that_has_lost_its_vr_stays(vr: str) -> None:
    row = a_row(vr)
    creator_tag = row.group << 16 | 0x10
    lost = encoded(row.tag(), "UN", _even(row.value), False)
    assert row.tag() in left({creator_tag: private(row)[creator_tag], row.tag(): lost})
    wrong = encoded(row.tag(), "UN", b"bei Knoppers zu Haus", False)
    assert left({creator_tag: private(row)[creator_tag], row.tag(): wrong}) == {} or vr == "US"
