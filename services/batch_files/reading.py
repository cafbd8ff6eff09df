"""Reads a batch file into a table: what kind of file it is tell its bytes, not its name."""

from models.domain.errors import BadRequest
from services.batch_files.delimited import open_text, read_text
from services.batch_files.limits import Limits
from services.batch_files.ods import read_ods
from services.batch_files.parts import DAMAGED, Parts
from services.batch_files.tables import FileKind, Grid, Table
from services.batch_files.workbooks import SheetName, open_workbook
from services.batch_files.xlsx import read_sheet

_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_FOREIGN = (b"%PDF", b"{\\rtf", b"<", b"\xef\xbb\xbf<", b"PK", b"Rar!", b"\x1f\x8b", b"7z\xbc\xaf")
_NO_SHEET = "The file has no sheet of this name. Choose one of its sheets."


def read_table(data: bytes, limits: Limits, sheet: str = "") -> Table:
    """Read the sheet with a name, or the first visible one; of an empty sheet the table has no rows.

    Raises BadRequest for what cannot be read or is beyond the limits. The rows are not counted here: see ``checking``.
    """
    if len(data) > limits.file_bytes:
        raise BadRequest(f"The file has more than {limits.file_bytes // (1024 * 1024)} MB.")
    if not data.strip():
        raise BadRequest("The file is empty.")
    if data.startswith(_OLE):
        raise BadRequest("This is an old .xls file, or one with a password. Save it as .xlsx, without a password.")
    if data.startswith(_ZIP):
        return _packed(Parts(data, limits), limits, sheet)
    if data.lstrip()[:8].startswith(_FOREIGN):
        raise BadRequest("This is no .xlsx, .ods or .csv file.")
    return _delimited(data, limits)


def _packed(parts: Parts, limits: Limits, sheet: str) -> Table:
    if "content.xml" in parts:
        return _ods(parts, limits, sheet)
    if "xl/workbook.bin" in parts:
        raise BadRequest("This is an .xlsb file. Save it as .xlsx.")
    return _xlsx(parts, limits, sheet)


def _xlsx(parts: Parts, limits: Limits, sheet: str) -> Table:
    workbook = open_workbook(parts, limits)
    if not workbook.sheets:
        raise BadRequest(DAMAGED)
    chosen = _chosen(workbook.sheets, sheet)
    shown = [each.name for each in workbook.sheets if not each.is_hidden]
    return _table(FileKind.XLSX, read_sheet(parts, workbook, chosen.part, limits), limits, chosen.name, shown)


def _chosen(sheets: tuple[SheetName, ...], wanted: str) -> SheetName:
    if wanted:
        found = next((each for each in sheets if each.name == wanted), None)
        if found is None:
            raise BadRequest(_NO_SHEET)
        return found
    return next((each for each in sheets if not each.is_hidden), sheets[0])


def _ods(parts: Parts, limits: Limits, sheet: str) -> Table:
    read = read_ods(parts, limits, sheet)
    if sheet and read.name != sheet:
        raise BadRequest(_NO_SHEET)
    return _table(FileKind.ODS, read.grid, limits, read.name, read.shown)


def _delimited(data: bytes, limits: Limits) -> Table:
    text = open_text(data)
    rows = read_text(text, limits).rows(limits.cells)
    return Table(FileKind.CSV, rows, delimiter=text.delimiter, encoding=text.encoding)


def _table(kind: FileKind, grid: Grid, limits: Limits, name: str, shown: list[str]) -> Table:
    return Table(
        kind,
        grid.rows(limits.cells),
        sheet=name,
        other_sheets=tuple(each for each in shown if each != name),
        hidden_lines=frozenset(grid.hidden_lines),
        hidden_columns=frozenset(grid.hidden_columns),
    )
