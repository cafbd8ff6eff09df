"""Batch files with damage: of their bytes, of the parts that are packed in them, of the values in the parts."""

import random
import re
import zipfile
from collections.abc import Callable, Iterator

from models.domain.batches import BatchKind, QueryResultLine
from services.batch_files.results import export
from services.batch_files.tables import FileKind
from services.batch_files.templates import sample
from tests.batch_files import ods, ods_row, ods_text, ods_value, packed, texts, unpacked, xlsx

_NUMBER = re.compile(rb"\d+")
_ELEMENT = re.compile(rb"<[^<>]+>")
_HOSTILE = (
    *(b"", b"-1", b"0", b"1", b"60", b"16384", b"1048576", b"4294967296", b"99999999999999999999", b"1e308", b"nan"),
    *(b"=1+1", b"'", b'"', b"<", b"&", b"&amp;", b"&#0;", b"&#xD800;", b"\x00", b"\xff", b"\xc3", b"\xef\xbb\xbf"),
    *(b"XFD1048576", b"A1:XFD1048576", b"true", b"#REF!", b"_x0000_", b"..", b"/", b"\r\n", b";", b"\t"),
    *("\u202e\u0661".encode(), b"x" * 5000),
)

Damage = Callable[[random.Random, bytes], bytes]


def mutants(seed: int, count: int) -> Iterator[bytes]:
    """Yield damaged files, the same ones for the same seed."""
    chance = random.Random(seed)
    whole = originals()
    for _ in range(count):
        yield mutant(chance, chance.choice(whole))


def originals() -> list[bytes]:
    lines = [
        QueryResultLine(2, "a", "", "001", "Doe^Jane", "19701231", "A1", "20230517", "101112", "CT", ("CT",), 3, "1.2"),
        QueryResultLine(3, "b", "Nothing was found.", "=2"),
    ]
    rows = (
        f'<row r="1">{texts("A1", "PatientID")}{texts("B1", "Modality")}{texts("C1", "From")}</row>'
        '<row r="2" hidden="1"><c r="A2" t="s"><v>0</v></c><c r="B2"><f>A1</f></c>'
        '<c r="C2" s="1"><v>45291</v></c></row>'
        f'<row r="3"><c r="A3"><v>17</v></c>{texts("B3", "CT")}<c r="C3" t="e"><v>#N/A</v></c></row>'
    )
    merged = '<mergeCells count="1"><mergeCell ref="A2:A3"/></mergeCells>'
    sheet = (
        ods_row(ods_text("PatientID"), ods_text("Modality"), ods_text("From"))
        + ods_row(ods_value("float", "value", "12"), ods_text("CT"), ods_value("date", "date-value", "2023-12-31"))
        + ods_row(ods_text("7", number_columns_repeated="2"), number_rows_repeated="3")
        + ods_row('<table:table-cell table:number-columns-repeated="1000"/>', number_rows_repeated="9999")
    )
    return [
        *(sample(kind, file_kind).data for kind in BatchKind for file_kind in (FileKind.XLSX, FileKind.CSV)),
        *(export(lines, file_kind, "x").data for file_kind in (FileKind.XLSX, FileKind.CSV)),
        xlsx(rows, after=merged, properties='date1904="1"', texts="<si><r><t>0012</t></r></si>"),
        ods(sheet),
        'PatientID;Modality;From\n"00;1";CT;03/04/2023\n2;"MR\n";31/12/2023\n'.encode("utf-16"),
    ]


def mutant(chance: random.Random, data: bytes) -> bytes:
    """A file with some damage; most often inside the parts, since damage of the archive is soon found."""
    if data.startswith(b"PK") and chance.random() < 0.8:
        return _repacked(chance, data)
    for _ in range(chance.randint(1, 4)):
        data = chance.choice(_DAMAGES)(chance, data)
    return data


def _repacked(chance: random.Random, data: bytes) -> bytes:
    parts = unpacked(data)
    for _ in range(chance.randint(1, 3)):
        name = chance.choice(sorted(parts))
        parts[name] = chance.choice(_DAMAGES)(chance, parts[name])
        if chance.random() < 0.05:
            del parts[name]
        if not parts:
            break
    return packed(parts, zipfile.ZIP_STORED)


def _flipped(chance: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(min(len(changed), chance.randint(1, 5))):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def _cut(chance: random.Random, data: bytes) -> bytes:
    first, last = _slice(chance, data)
    return data[:first] + data[last:]


def _shortened(chance: random.Random, data: bytes) -> bytes:
    return data[: chance.randint(0, len(data))]


def _doubled(chance: random.Random, data: bytes) -> bytes:
    first, last = _slice(chance, data)
    return data[:last] + data[first:last] * chance.randint(1, 3) + data[last:]


def _with_hostile(chance: random.Random, data: bytes) -> bytes:
    first, last = _slice(chance, data, 8)
    return data[:first] + chance.choice(_HOSTILE) + data[last:]


def _with_hostile_number(chance: random.Random, data: bytes) -> bytes:
    return _with_one_replaced(chance, data, _NUMBER, chance.choice(_HOSTILE))


def _without_element(chance: random.Random, data: bytes) -> bytes:
    return _with_one_replaced(chance, data, _ELEMENT, b"")


def _with_another_element(chance: random.Random, data: bytes) -> bytes:
    elements = _ELEMENT.findall(data)
    return _with_one_replaced(chance, data, _ELEMENT, chance.choice(elements)) if elements else data


def _with_one_replaced(chance: random.Random, data: bytes, pattern: re.Pattern[bytes], by: bytes) -> bytes:
    found = list(pattern.finditer(data))
    if not found:
        return data
    place = chance.choice(found)
    return data[: place.start()] + by + data[place.end() :]


def _slice(chance: random.Random, data: bytes, longest: int = 200) -> tuple[int, int]:
    first = chance.randint(0, len(data))
    return first, min(len(data), first + chance.randint(0, longest))


_DAMAGES: tuple[Damage, ...] = (
    _flipped,
    _cut,
    _shortened,
    _doubled,
    _with_hostile,
    _with_hostile_number,
    _with_hostile_number,
    _without_element,
    _with_another_element,
)
