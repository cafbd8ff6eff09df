"""What an .xlsx workbook (ECMA-376 part 1, section 18) says about all its sheets: names, texts, formats, dates."""

import posixpath
import re
from dataclasses import dataclass

from models.domain.errors import BadRequest
from services.batch_files.limits import Limits
from services.batch_files.parts import DAMAGED, TRUE, Attributes, Parts, Reader
from services.batch_files.serials import kind_of_format

_DATE_FORMATS = {*range(14, 18), 22, *range(27, 37), *range(50, 59)}
_TIME_FORMATS = {*range(18, 22), *range(45, 48)}
"""Number formats without a code of their own (18.8.30); 22 is a date with a time."""
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")


@dataclass(frozen=True, slots=True)
class SheetName:
    """A sheet that the workbook lists, and the part that holds it."""

    name: str
    part: str
    is_hidden: bool


@dataclass(slots=True)
class Workbook:
    """What the parts of a workbook say about all sheets."""

    sheets: tuple[SheetName, ...]
    has_1904_dates: bool
    texts: list[str]
    formats: list[str]


def open_workbook(parts: Parts, limits: Limits) -> Workbook:
    """Read what is needed before any sheet can be; raises BadRequest for what is no workbook."""
    types = _targets(parts, "_rels/.rels", "")
    main = next((target for kind, target in types.values() if kind == "officeDocument"), "xl/workbook.xml")
    listed = _SheetList()
    parts.parse(main, listed)
    folder = posixpath.dirname(main)
    targets = _targets(parts, f"{folder}/_rels/{posixpath.basename(main)}.rels", folder)
    sheets = tuple(
        SheetName(name, targets[key][1], is_hidden)
        for name, key, is_hidden in listed.sheets
        if key in targets and targets[key][0] == "worksheet"
    )
    named = dict(targets.values())
    texts, formats = _Texts(limits), _Formats()
    parts.parse(named.get("sharedStrings", ""), texts)
    parts.parse(named.get("styles", ""), formats)
    return Workbook(sheets, listed.has_1904_dates, texts.found, formats.kinds())


def unescaped(text: str) -> str:
    """A text of a workbook, with the characters that XML cannot hold (22.9.2.19)."""
    return _ESCAPED.sub(lambda found: _character(found), text) if "_x" in text else text


def _targets(parts: Parts, name: str, folder: str) -> dict[str, tuple[str, str]]:
    found = _Relations()
    parts.parse(name, found)
    return {
        key: (kind, target[1:] if target.startswith("/") else posixpath.normpath(posixpath.join(folder, target)))
        for key, (kind, target) in found.found.items()
    }


class _Relations(Reader):
    def __init__(self) -> None:
        self.found: dict[str, tuple[str, str]] = {}

    def begin(self, name: str, attributes: Attributes) -> None:
        if name == "Relationship":
            kind = attributes.get("Type", "").rpartition("/")[2]
            self.found[attributes.get("Id", "")] = (kind, attributes.get("Target", ""))


class _SheetList(Reader):
    def __init__(self) -> None:
        self.sheets: list[tuple[str, str, bool]] = []
        self.has_1904_dates = False

    def begin(self, name: str, attributes: Attributes) -> None:
        if name == "workbookPr":
            self.has_1904_dates = attributes.get("date1904", "").lower() in TRUE
        elif name == "sheet":
            key = next((value for key, value in attributes.items() if key.endswith(":id")), "")
            is_hidden = attributes.get("state", "visible") != "visible"
            self.sheets.append((attributes.get("name", ""), key, is_hidden))


class RichText(Reader):
    """Collects the text of ``si`` and ``is`` elements, without the hints how it is read aloud."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self._is_text = False
        self._spoken = 0

    def begin(self, name: str, attributes: Attributes) -> None:
        if name == "t":
            self._is_text = not self._spoken
        elif name == "rPh":
            self._spoken += 1

    def end(self, name: str) -> None:
        if name == "t":
            self._is_text = False
        elif name == "rPh":
            self._spoken -= 1

    def text(self, text: str) -> None:
        if self._is_text:
            self.pieces.append(text)

    def taken(self) -> str:
        """The text since the last time."""
        text = "".join(self.pieces)
        self.pieces.clear()
        return unescaped(text)


class _Texts(RichText):
    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self._most = limits.cells
        self.found: list[str] = []

    def end(self, name: str) -> None:
        super().end(name)
        if name == "si":
            self.found.append(self.taken())
            if len(self.found) > self._most:
                raise BadRequest(DAMAGED)


class _Formats(Reader):
    """For every cell format whether it shows a number, a date or a time."""

    def __init__(self) -> None:
        self._codes: dict[str, str] = {}
        self._used: list[str] = []
        self._is_inside = False

    def begin(self, name: str, attributes: Attributes) -> None:
        if name == "numFmt":
            self._codes.setdefault(attributes.get("numFmtId", ""), attributes.get("formatCode", ""))
        elif name == "cellXfs":
            self._is_inside = True
        elif name == "xf" and self._is_inside:
            self._used.append(attributes.get("numFmtId", "0"))

    def end(self, name: str) -> None:
        if name == "cellXfs":
            self._is_inside = False

    def kinds(self) -> list[str]:
        known = {number: kind_of_format(code) for number, code in self._codes.items()}
        known |= {str(number): "date" for number in _DATE_FORMATS if str(number) not in known}
        known |= {str(number): "time" for number in _TIME_FORMATS if str(number) not in known}
        return [known.get(number, "number") for number in self._used]


def _character(found: re.Match[str]) -> str:
    code = int(found[1], 16)
    return found[0] if 0xD800 <= code < 0xE000 else chr(code)
