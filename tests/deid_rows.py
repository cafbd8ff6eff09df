"""An own reading of PS3.15 table E.1-1: what it demands of each attribute, and what an output did with it.

Reads the packaged table, encodes and decodes by itself, and takes nothing from the policy or the walker: what they
decide is what is to be proven with this.
"""

import csv
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from functools import cache
from pathlib import Path

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
CSV = Path(__file__).parents[1] / "dicom" / "deid" / "data" / "ps3.15-e1-1.csv"
COLUMNS = {
    "retain_safe_private": "rtn_safe_priv",
    "retain_uids": "rtn_uids",
    "retain_device_identity": "rtn_dev_id",
    "retain_institution_identity": "rtn_inst_id",
    "retain_patient_characteristics": "rtn_pat_chars",
    "retain_full_dates": "rtn_long_full_dates",
    "retain_modified_dates": "rtn_long_modif_dates",
    "clean_descriptors": "clean_desc",
    "clean_structured_content": "clean_struct_cont",
    "clean_graphics": "clean_graph",
}
SHIPPED_OPTIONS: Mapping[str, frozenset[str]] = {
    "basic": frozenset(),
    "research": frozenset(COLUMNS) - {"retain_uids", "retain_institution_identity", "retain_full_dates"},
    "adit-compatible": frozenset(COLUMNS)
    - {"retain_uids", "retain_institution_identity", "retain_full_dates", "retain_modified_dates"},
}
"""What the shipped profiles are meant to choose; written here once more, so that a change there shows."""
TEN_DATES = frozenset(
    {
        *("StudyDate", "StudyTime", "SeriesDate", "SeriesTime", "AcquisitionDate", "AcquisitionTime"),
        *("AcquisitionDateTime", "ContentDate", "ContentTime", "FrameReferenceDateTime"),
    }
)
"""What ADIT keeps, and adit-compatible with it: no other date."""
TEXTS, PROSE = frozenset({"LO", "SH", "UC"}), frozenset({"ST", "LT", "UT"})
DATES = frozenset({"DA", "DT", "TM"})
WORD = "Chest"
"""A reviewed word within each planted text: cleaning may keep it, a dummy has nothing of it."""
LOCAL_SCHEME, PUBLIC_CODE, PUBLIC_MEANING = "99XYLOCAL", "121071", "Finding"
STUDY_DATE = date(2019, 6, 3)
_EPOCH = date(1931, 1, 1)
_LONG = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "UC", "UN", "UR", "UT", "SV", "UV"})
_BINARY = frozenset({"OB", "OW", "UN", "US"})
_OWN_UID = re.compile(r"2\.25\.[1-9][0-9]{0,38}")


class Verdict(StrEnum):
    """What happened to an attribute."""

    REMOVED = "removed"
    EMPTIED = "emptied"
    REPLACED = "replaced"
    """It has a value, with nothing of the original."""
    MAPPED = "mapped"
    SHIFTED = "shifted"
    KEPT = "kept"
    CLEANED = "cleaned"
    """Of its text the reviewed word is left."""
    DESCENDED = "descended"
    """The sequence's items are there, treated: public codes stay, names, ids and texts do not."""
    LEAKED = "leaked"


@dataclass(frozen=True)
class TableRow:
    """One row as it stands in the file, with a number for planting values that no other row has."""

    number: int
    tag: int
    keyword: str
    vr: str
    basic: str
    marks: Mapping[str, str]
    """Option -> K or C."""

    @property
    def token(self) -> str:
        """A word that looks like a name and occurs nowhere else."""
        rest, letters = self.number, "Xy"
        for _ in range(3):
            rest, place = divmod(rest, 70)
            letters += "bdfgklmnprstvz"[place % 14] + "aeiou"[place // 14]
        return letters

    @property
    def uid(self) -> str:
        return f"1.2.826.0.1.3680043.8.498.{self.number + 100_000}"

    @property
    def day(self) -> date:
        return _EPOCH + timedelta(days=37 * self.number)


@cache
def rows() -> tuple[TableRow, ...]:
    """All 657; the four patterns stand for one attribute each."""
    with CSV.open(encoding="utf-8", newline="") as file:
        records = list(csv.DictReader(file))
    return tuple(_row(number, record) for number, record in enumerate(records))


_EXAMPLES = {
    "50xx,xxxx": (0x50022500, "LO"),
    "60xx,3000": (0x60023000, "OW"),
    "60xx,4000": (0x60024000, "LT"),
    "gggg,eeee(odd)": (0x00091001, "LO"),
}


def _row(number: int, record: Mapping[str, str]) -> TableRow:
    tag, vr = _EXAMPLES.get(record["tag"]) or (int(record["tag"].replace(",", ""), 16), record["vr"] or "LO")
    marks = {option: record[column] for option, column in COLUMNS.items() if record[column]}
    return TableRow(number, tag, record["keyword"], vr, record["basic"], marks)


# --- what is demanded


def demanded(row: TableRow, options: frozenset[str], profile: str = "") -> frozenset[Verdict]:
    """Every verdict that the table allows for a row under a profile's options (PS3.15 sections E.1.1 and E.3)."""
    if row.tag >> 16 < 0x0008:  # commands, file meta information and directories are no part of a data set
        return frozenset({Verdict.REMOVED})
    if excepted := EXCEPTIONS.get(row.keyword):
        return excepted
    if profile in {"research", "adit-compatible"} and row.keyword in CLEANED_PLACES:
        return _cleaned(row)
    if profile == "adit-compatible" and row.vr in DATES:
        return frozenset({Verdict.KEPT}) if row.keyword in TEN_DATES else _basic(row)
    chosen = {row.marks[option] for option in options if option in row.marks}
    if "C" in chosen:
        return _cleaned(row)
    if "K" in chosen:
        return frozenset({Verdict.DESCENDED if row.vr == "SQ" else Verdict.KEPT})
    return _basic(row)


CLEANED_PLACES = frozenset({"ScheduledStudyLocation", "ScheduledProcedureStepLocation"})
"""What the device option keeps, and these profiles clean: people write names of places and physicians there."""
EXCEPTIONS: Mapping[str, frozenset[Verdict]] = {
    # bitmaps and curves can show a name that no cleaning of text finds; they go whatever the options say
    "CurveGroup": frozenset({Verdict.REMOVED}),
    "OverlayData": frozenset({Verdict.REMOVED}),
    "OverlayComments": frozenset({Verdict.REMOVED}),
    # what may stay of it is the subject of test_safe_private.py; this one has an unknown creator
    "PrivateAttributes": frozenset({Verdict.REMOVED}),
}
_ACTIONS = {
    "X": {Verdict.REMOVED},
    "Z": {Verdict.EMPTIED, Verdict.REPLACED, Verdict.MAPPED},
    "D": {Verdict.REPLACED, Verdict.MAPPED},
    "U": {Verdict.MAPPED},
    "U*": {Verdict.DESCENDED},
}


def _basic(row: TableRow) -> frozenset[Verdict]:
    allowed: set[Verdict] = set()
    for action in row.basic.split("/"):
        allowed |= _ACTIONS[action]
    return frozenset(allowed if row.vr in {"UI", "SQ"} or "U" in row.basic else allowed - {Verdict.MAPPED})


def _cleaned(row: TableRow) -> frozenset[Verdict]:
    if row.vr == "SQ":
        return frozenset({Verdict.DESCENDED})
    if row.vr in {"DA", "DT"}:
        return frozenset({Verdict.SHIFTED})
    if row.vr == "TM" or row.keyword == "TimezoneOffsetFromUTC":
        return frozenset({Verdict.KEPT})
    # what is no text (AE titles, defined terms, opaque bytes) cannot be cleaned and follows the Basic Profile
    return frozenset({Verdict.CLEANED}) if row.vr in TEXTS | PROSE else _basic(row)


# --- what is planted


def planted(row: TableRow, implicit: bool) -> bytes:
    """A value for the row that would tell something, valid for its VR; of sequences the encoded items."""
    if row.vr == "SQ":
        return _item(_content(row, implicit)) * 2
    value = _value(row)
    return value + (b"\0" if row.vr in {"UI", "OB", "UN"} else b" ") * (len(value) % 2)


def _value(row: TableRow) -> bytes:
    if row.keyword == "TimezoneOffsetFromUTC":
        return b"+0130"
    match row.vr:
        case "PN":
            return f"{row.token}^{row.token}us^M".encode()
        case "UI":
            return row.uid.encode()
        case "DA":
            return f"{row.day:%Y%m%d}".encode()
        case "DT":
            return f"{row.day:%Y%m%d}101112.250000+0130".encode()
        case "TM":
            return f"10{row.number % 60:02d}{row.number // 60:02d}.25".encode()
        case "AS":
            return b"047Y"
        case "DS" | "IS":
            return str(70_000 + row.number).encode()
        case "US":
            return struct.pack("<H", 20_000 + row.number)
        case "CS" | "AE":
            return row.token.upper().encode()
        case "UR":
            return f"http://{row.token}.example/{row.number}".encode()
        case _:
            return f"{WORD} {row.token}".encode()


def malformed(row: TableRow) -> bytes:
    """A name where a date, time or age should be."""
    return row.token.encode()


def _content(row: TableRow, implicit: bool) -> bytes:
    text = f"{WORD} {row.token}".encode()
    local = (
        encoded(0x00080100, "SH", f"{row.token}".encode(), implicit)
        + encoded(0x00080102, "SH", LOCAL_SCHEME.encode() + b" ", implicit)
        + encoded(0x00080104, "LO", text, implicit)
    )
    return b"".join(
        (
            encoded(0x00080024, "DA", f"{row.day:%Y%m%d}".encode(), implicit),
            encoded(0x00080100, "SH", PUBLIC_CODE.encode(), implicit),
            encoded(0x00080102, "SH", b"DCM ", implicit),
            encoded(0x00080104, "LO", PUBLIC_MEANING.encode() + b" ", implicit),
            encoded(0x00081155, "UI", row.uid.encode(), implicit),
            encoded(0x00100010, "PN", f"{row.token}^Odo".encode(), implicit),
            encoded(0x00100020, "LO", f"{row.token}ID".encode(), implicit),
            encoded(0x0040A123, "PN", f"{row.token}^Ada".encode(), implicit),
            encoded(0x0040A160, "UT", text, implicit),
            encoded(0x0040A170, "SQ", _item(local), implicit),
        )
    )


# --- where it is planted


class Place(StrEnum):
    """Where in a data set an attribute stands."""

    TOP = "top"
    NESTED = "nested"
    """In an item of an item of sequences of which the table says nothing."""
    GROUPS = "functional groups"
    PRIVATE = "private sequence"


PATHS = {
    Place.TOP: ((),),
    Place.NESTED: ((0x00081115, 0x0008114A),),
    Place.GROUPS: ((0x52009229, 0x00289110), (0x52009230, 0x00209111)),
    Place.PRIVATE: ((0x00091001,),),
}
"""ReferencedSeriesSequence > ReferencedInstanceSequence; SharedFunctionalGroupsSequence > PixelMeasuresSequence and
PerFrameFunctionalGroupsSequence > FrameContentSequence; a private sequence."""


def header(row: TableRow, place: Place, implicit: bool, value: bytes | None = None, lost_vr: bool = False) -> bytes:
    """An encoded data set with one attribute planted in one place (in functional groups: in two).

    With a lost VR the attribute is encoded as UN; items of UN are implicit (PS3.5 section 6.2.2).
    """
    given = planted(row, implicit or lost_vr) if value is None else value
    elements = _base(implicit)
    for path in PATHS[place]:
        tag, content = row.tag, encoded(row.tag, "UN" if lost_vr else row.vr[:2], given, implicit)
        for sequence in reversed(path):
            tag, content = sequence, encoded(sequence, "SQ", _item(content), implicit)
        elements[tag] = content
    if place is Place.PRIVATE or row.tag >> 16 & 1:
        elements[0x00090010] = encoded(0x00090010, "LO", b"SOME MAKER", implicit)
    if row.keyword == "OverlayComments":  # without its bitmap, an overlay would lie within the pixels
        elements[0x60023000] = encoded(0x60023000, "OW", b"\0\1", implicit)
    return b"".join(elements[tag] for tag in sorted(elements))


def _base(implicit: bool) -> dict[int, bytes]:
    values = {
        0x00080016: ("UI", "1.2.840.10008.5.1.4.1.1.2\0"),
        0x00080018: ("UI", "1.2.826.0.1.3680043.8.498.11"),
        0x00080020: ("DA", f"{STUDY_DATE:%Y%m%d}"),
        0x00100010: ("PN", "Basispatient^Ute"),
        0x00100020: ("LO", "BASIS-4711"),
        0x0020000D: ("UI", "1.2.826.0.1.3680043.8.498.12"),
        0x0020000E: ("UI", "1.2.826.0.1.3680043.8.498.13"),
    }
    return {tag: encoded(tag, vr, value.encode(), implicit) for tag, (vr, value) in values.items()}


def encoded(tag: int, vr: str, value: bytes, implicit: bool) -> bytes:
    """One element in little endian."""
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    if implicit:
        return head + struct.pack("<I", len(value)) + value
    if vr in _LONG:
        return head + struct.pack("<2sHI", vr.encode(), 0, len(value)) + value
    return head + struct.pack("<2sH", vr.encode(), len(value)) + value


def _item(content: bytes) -> bytes:
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content


def elements(data: bytes, implicit: bool) -> dict[int, bytes]:
    """Tag -> value of one level."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data):
        group, number = struct.unpack_from("<HH", data, at)
        if implicit or data[at + 4 : at + 6].decode() in _LONG:
            (length,) = struct.unpack_from("<I", data, at + (4 if implicit else 8))
            at += 8 if implicit else 12
        else:
            (length,) = struct.unpack_from("<H", data, at + 6)
            at += 8
        found[group << 16 | number] = data[at : at + length]
        at += length
    return found


def items(value: bytes) -> Iterator[bytes]:
    """The contents of a sequence's items, which must have defined lengths."""
    at = 0
    while at < len(value):
        group, number, length = struct.unpack_from("<HHI", value, at)
        assert (group, number) == (0xFFFE, 0xE000)
        yield value[at + 8 : at + 8 + length]
        at += 8 + length


def found_at(data: bytes, path: tuple[int, ...], tag: int, implicit: bool) -> bytes | None:
    """The value at the end of a path through the first items of sequences, or None where it does not stand."""
    level = elements(data, implicit)
    for sequence in path:
        inner = list(items(level[sequence])) if sequence in level else []
        if not inner:
            return None
        level = elements(inner[0], implicit)
    return level.get(tag)


# --- what happened


@dataclass(frozen=True)
class Outcome:
    """What became of a planted attribute: a verdict for each place where it was planted, and its new UIDs."""

    verdicts: frozenset[Verdict]
    uids: frozenset[str]


def outcome(
    row: TableRow,
    place: Place,
    output: bytes,
    implicit: bool,
    options: frozenset[str] = frozenset(),
    shift_days: int = 0,
    value: bytes | None = None,
    lost_vr: bool = False,
) -> Outcome:
    """What an output did with the row's attribute; ``value`` and ``lost_vr`` as it was planted with.

    ``shift_days`` is by how many days all of the patient's dates must have gone back, 0 when none may be shifted.
    """
    given = planted(row, implicit or lost_vr) if value is None else value
    now = [found_at(output, path, row.tag, implicit) for path in PATHS[place]]
    verdicts = {_verdict(row, given, each, output, implicit or lost_vr, options, shift_days) for each in now}
    uids = {each.decode().rstrip("\0") for each in now if each and row.vr == "UI"}
    return Outcome(frozenset(verdicts), frozenset(uids))


def _verdict(
    row: TableRow,
    given: bytes,
    now: bytes | None,
    output: bytes,
    implicit: bool,
    options: frozenset[str],
    shift_days: int,
) -> Verdict:
    if now is not None and now.rstrip(b" \0") == given.rstrip(b" \0") and row.vr != "SQ":
        return Verdict.KEPT
    if _is_somewhere(row, output, options):
        return Verdict.LEAKED
    if now is None:
        return Verdict.REMOVED
    if not now or (row.vr not in _BINARY and not now.strip(b" \0")):
        return Verdict.EMPTIED
    if row.vr == "SQ":
        return _of_items(row, now, implicit, options, shift_days)
    return _of_value(row, given, now, shift_days)


def _of_value(row: TableRow, given: bytes, now: bytes, shift_days: int) -> Verdict:
    if row.vr == "UI":
        return Verdict.MAPPED if _is_own_uid(now) else Verdict.LEAKED
    if row.vr in {"DA", "DT"} and shift_days and now[:8] == _shifted(row.day, shift_days):
        return Verdict.SHIFTED if now[8:].rstrip(b" \0") == given[8:].rstrip(b" \0") else Verdict.LEAKED
    if row.vr in TEXTS | PROSE and now.strip(b" \0") == WORD.encode():
        return Verdict.CLEANED
    pieces = [given.strip(b" \0"), *re.findall(rb"[A-Za-z]{3,}|[0-9]{4,}", given)]
    return Verdict.LEAKED if any(piece in now for piece in pieces) else Verdict.REPLACED


def _of_items(row: TableRow, now: bytes, implicit: bool, options: frozenset[str], shift_days: int) -> Verdict:
    found = [elements(item, implicit) for item in items(now)]
    if not any(PUBLIC_CODE.encode() in item or PUBLIC_MEANING.encode() in item for item in items(now)):
        return Verdict.REPLACED
    is_whole = len(found) == 2 and all(_is_treated(row, item, options, shift_days) for item in found)
    return Verdict.DESCENDED if is_whole else Verdict.LEAKED


def _is_treated(row: TableRow, item: Mapping[int, bytes], options: frozenset[str], shift_days: int) -> bool:
    """Whether an item still has its public code, a reference that leads to the same instance, and no other date."""
    uid, day = item.get(0x00081155, b""), item.get(0x00080024, b"")
    days = {b"", b"19000101", _shifted(row.day, shift_days) if shift_days else b""}
    if "retain_full_dates" in options:
        days = {_shifted(row.day, 0)}
    has_code = item.get(0x00080100) == PUBLIC_CODE.encode() and item.get(0x00080104, b"").strip() == b"Finding"
    has_uid = uid.rstrip(b"\0") == row.uid.encode() if "retain_uids" in options else _is_own_uid(uid)
    return has_code and has_uid and day in days


def _is_somewhere(row: TableRow, output: bytes, options: frozenset[str]) -> bool:
    """Whether anything that tells the value is left anywhere in the output."""
    traces = [row.token.encode()]
    if "retain_uids" not in options or row.vr != "SQ":
        traces.append(row.uid.encode())
    if "retain_full_dates" not in options or row.vr != "SQ":
        traces.append(_shifted(row.day, 0))
    return any(trace.lower() in output.lower() for trace in traces)


def _is_own_uid(value: bytes) -> bool:
    return _OWN_UID.fullmatch(value.decode().rstrip("\0")) is not None


def _shifted(day: date, days: int) -> bytes:
    return f"{day - timedelta(days=days):%Y%m%d}".encode()
