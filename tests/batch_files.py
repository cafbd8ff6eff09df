"""Makes spreadsheet files part by part, as no spreadsheet program would."""

import io
import zipfile
from collections.abc import Mapping

_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_RELATION = '<Relationship Id="{id}" Type="' + _RELATIONS + '/{kind}" Target="{target}"/>'
_STYLES = (
    '<styleSheet><numFmts><numFmt numFmtId="164" formatCode="dd\\.mm\\.yyyy"/></numFmts><cellXfs><xf numFmtId="0"/>'
    '<xf numFmtId="14"/><xf numFmtId="164"/><xf numFmtId="21"/><xf numFmtId="49"/></cellXfs></styleSheet>'
)
PLAIN, DAY, GERMAN_DAY, TIME, TEXT = range(5)
"""Styles that cells may have."""

_ODS_NAMESPACES = " ".join(
    f'xmlns:{name}="urn:{name}"' for name in ("office", "table", "text", "style", "calcext", "draw")
)


def packed(parts: Mapping[str, str | bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive of some parts."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", compression) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return data.getvalue()


def unpacked(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def xlsx_parts(rows: str, after: str = "", before: str = "", properties: str = "", texts: str = "") -> dict[str, str]:
    """The parts of a workbook with the XML of its rows, and of what stands around them."""
    return {
        "_rels/.rels": _relations(("rId1", "officeDocument", "xl/workbook.xml")),
        "xl/workbook.xml": (
            f'<workbook xmlns:r="{_RELATIONS}"><workbookPr {properties}/>'
            '<sheets><sheet name="First" sheetId="1" r:id="rId1"/></sheets></workbook>'
        ),
        "xl/_rels/workbook.xml.rels": _relations(
            ("rId1", "worksheet", "worksheets/sheet1.xml"),
            ("rId2", "styles", "styles.xml"),
            ("rId3", "sharedStrings", "/xl/sharedStrings.xml"),
        ),
        "xl/styles.xml": _STYLES,
        "xl/sharedStrings.xml": f"<sst>{texts}</sst>",
        "xl/worksheets/sheet1.xml": f"<worksheet>{before}<sheetData>{rows}</sheetData>{after}</worksheet>",
    }


def xlsx(rows: str, after: str = "", before: str = "", properties: str = "", texts: str = "") -> bytes:
    return packed(xlsx_parts(rows, after, before, properties, texts))


def texts(reference: str, text: str) -> str:
    """A cell of text."""
    return f'<c r="{reference}" t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>'


def ods(rows: str, styles: str = "", tables: str = "") -> bytes:
    """A file with one sheet, and maybe more after it."""
    content = (
        f"<office:document-content {_ODS_NAMESPACES}><office:automatic-styles>{styles}</office:automatic-styles>"
        f'<office:body><office:spreadsheet><table:table table:name="First">{rows}</table:table>{tables}'
        "</office:spreadsheet></office:body></office:document-content>"
    )
    return packed({"mimetype": "application/vnd.oasis.opendocument.spreadsheet", "content.xml": content})


def ods_row(*cells: str, **attributes: str) -> str:
    return f"<table:table-row {_attributes(attributes)}>{''.join(cells)}</table:table-row>"


def ods_text(text: str, **attributes: str) -> str:
    inside = f"<text:p>{text}</text:p>"
    return f'<table:table-cell office:value-type="string" {_attributes(attributes)}>{inside}</table:table-cell>'


def ods_value(kind: str, attribute: str, value: str) -> str:
    return f'<table:table-cell office:value-type="{kind}" office:{attribute}="{value}"/>'


def _attributes(attributes: Mapping[str, str]) -> str:
    return " ".join(f'table:{name.replace("_", "-")}="{value}"' for name, value in attributes.items())


def _relations(*relations: tuple[str, str, str]) -> str:
    inside = "".join(_RELATION.format(id=key, kind=kind, target=target) for key, kind, target in relations)
    return f"<Relationships>{inside}</Relationships>"
