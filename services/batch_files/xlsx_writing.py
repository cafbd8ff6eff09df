"""Writes an .xlsx workbook of one sheet (ECMA-376 part 1, section 18) in which every text is text.

openpyxl was measured and left: it needs ten times as long, which the web process would spend on every large verdict
file, and takes a text for a formula or an error value unless it is kept from it cell by cell.
"""

import io
import math
import re
import zipfile
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from itertools import islice

from services.batch_files.tables import column_letters
from services.formula_guard import is_dangerous, plain

Written = str | int | float | bool | date | datetime | None

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'

_GENERAL, _TEXT, _GUARDED, _DAY, _MOMENT, _HEADING = range(6)
"""Places of the styles in ``cellXfs``. With ``quotePrefix`` a text stays text when somebody edits it."""
_STYLES = (
    f'<styleSheet xmlns="{_MAIN}"><numFmts count="2"><numFmt numFmtId="164" formatCode="yyyy\\-mm\\-dd"/>'
    '<numFmt numFmtId="165" formatCode="yyyy\\-mm\\-dd\\ hh:mm:ss"/></numFmts>'
    '<fonts count="2"><font><sz val="11"/><name val="Calibri"/></font>'
    '<font><b/><sz val="11"/><name val="Calibri"/></font></fonts>'
    '<fills count="2"><fill><patternFill patternType="none"/></fill><fill><patternFill patternType="gray125"/></fill>'
    '</fills><borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>'
    '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs><cellXfs count="6">'
    '<xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>'
    '<xf numFmtId="49" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
    '<xf numFmtId="49" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1" quotePrefix="1"/>'
    '<xf numFmtId="164" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
    '<xf numFmtId="165" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
    '<xf numFmtId="49" fontId="1" fillId="0" borderId="0" xfId="0" applyNumberFormat="1" applyFont="1" '
    'applyAlignment="1" quotePrefix="1"><alignment vertical="top" wrapText="1"/></xf></cellXfs>'
    '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>'
)
_PARTS = {
    "[Content_Types].xml": (
        f'<Types xmlns="{_PACKAGE}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPE}.sheet.main+xml"/>'
        f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_TYPE}.worksheet+xml"/>'
        f'<Override PartName="/xl/styles.xml" ContentType="{_TYPE}.styles+xml"/></Types>'
    ),
    "_rels/.rels": (
        f'<Relationships xmlns="{_PACKAGE}/relationships">'
        f'<Relationship Id="rId1" Type="{_RELATIONS}/officeDocument" Target="xl/workbook.xml"/></Relationships>'
    ),
    "xl/workbook.xml": (
        f'<workbook xmlns="{_MAIN}" xmlns:r="{_RELATIONS}"><bookViews><workbookView/></bookViews>'
        '<sheets><sheet name="Batch" sheetId="1" r:id="rId1"/></sheets></workbook>'
    ),
    "xl/_rels/workbook.xml.rels": (
        f'<Relationships xmlns="{_PACKAGE}/relationships">'
        f'<Relationship Id="rId1" Type="{_RELATIONS}/worksheet" Target="worksheets/sheet1.xml"/>'
        f'<Relationship Id="rId2" Type="{_RELATIONS}/styles" Target="styles.xml"/></Relationships>'
    ),
    "xl/styles.xml": _STYLES,
}
_SHEET_BEGINS = (
    f'<worksheet xmlns="{_MAIN}"><sheetViews><sheetView workbookViewId="0"><pane ySplit="1" topLeftCell="A2" '
    'activePane="bottomLeft" state="frozen"/></sheetView></sheetViews>'
)
_SHEET_ENDS = "</sheetData></worksheet>"
_EPOCH = datetime(1899, 12, 30)
_LONGEST = 32_767
_UNWRITABLE = re.compile(r"_(?=x[0-9A-Fa-f]{4}_)|[\x00-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff&<>]")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_ALWAYS = (2000, 1, 1, 0, 0, 0)
"""When every part was written: the same rows give the same bytes."""
_ROWS_AT_ONCE = 500


def workbook(headings: Sequence[str], rows: Sequence[Sequence[Written]], widths: Sequence[int]) -> bytes:
    """A workbook with one sheet; ``widths`` are those of the columns, in characters.

    Days before March 1900 cannot be written: programs disagree about which number means them.
    """
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in _PARTS.items():
            archive.writestr(_entry(name), _XML + content)
        with archive.open(_entry("xl/worksheets/sheet1.xml"), "w") as sheet:
            pieces = _sheet(headings, rows, widths)
            while piece := "".join(islice(pieces, _ROWS_AT_ONCE)):
                sheet.write(piece.encode())
    return data.getvalue()


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _ALWAYS)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def _sheet(headings: Sequence[str], rows: Sequence[Sequence[Written]], widths: Sequence[int]) -> Iterator[str]:
    yield _XML + _SHEET_BEGINS + _columns(widths) + "<sheetData>"
    letters = [column_letters(place) for place in range(max(map(len, (headings, *rows))))]
    yield _row(1, [_of_text(f"{letter}1", text, _HEADING) for letter, text in zip(letters, headings, strict=False)])
    for line, row in enumerate(rows, start=2):
        yield _row(line, [_cell(f"{letter}{line}", value) for letter, value in zip(letters, row, strict=False)])
    yield _SHEET_ENDS


def _columns(widths: Sequence[int]) -> str:
    found = (
        f'<col min="{place}" max="{place}" width="{width}" customWidth="1"/>'
        for place, width in enumerate(widths, start=1)
    )
    inside = "".join(found)
    return f"<cols>{inside}</cols>" if inside else ""


def _row(line: int, cells: Sequence[str]) -> str:
    return f'<row r="{line}">{"".join(cells)}</row>'


def _cell(reference: str, value: Written) -> str:
    if value is None or value == "":
        return ""
    if isinstance(value, str):
        return _of_text(reference, value, _GUARDED if is_dangerous(value) else _TEXT)
    if isinstance(value, bool):
        return f'<c r="{reference}" t="b"><v>{value:d}</v></c>'
    if isinstance(value, datetime):
        days = (value.replace(tzinfo=None) - _EPOCH).total_seconds() / 86_400
        return f'<c r="{reference}" s="{_MOMENT}"><v>{days!r}</v></c>'
    if isinstance(value, date):
        return f'<c r="{reference}" s="{_DAY}"><v>{value.toordinal() - _EPOCH.toordinal()}</v></c>'
    if not math.isfinite(value):
        return _of_text(reference, str(value), _TEXT)
    return f'<c r="{reference}"><v>{value!r}</v></c>'


def _of_text(reference: str, text: str, style: int) -> str:
    """A cell of text; what looks guarded gets one more apostrophe, since reading takes one away."""
    text = f"'{text}" if plain(text) != text else text
    inside = _UNWRITABLE.sub(_written, text[:_LONGEST])
    return f'<c r="{reference}" s="{style}" t="inlineStr"><is><t xml:space="preserve">{inside}</t></is></c>'


def _written(found: re.Match[str]) -> str:
    """What XML cannot hold, as spreadsheet programs write it (22.9.2.19)."""
    sign = found[0]
    return _ENTITIES.get(sign) or (f"_x{ord(sign):04X}_" if not "\ud800" <= sign <= "\udfff" else "\ufffd")
