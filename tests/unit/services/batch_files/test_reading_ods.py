"""Cells of .ods files are what the file says; what is repeated stands as often as it says, within limits."""

from datetime import date, datetime, time

import pytest

from models.domain.batches import BatchKind
from models.domain.errors import BadRequest
from services.batch_files.limits import limits_of
from services.batch_files.reading import read_table
from services.batch_files.tables import FileKind, Table, Trouble, Value
from tests.batch_files import ods, ods_row, ods_text, ods_value, packed, unpacked

LIMITS = limits_of(BatchKind.QUERY, is_staff=False)
EMPTY = "<table:table-cell/>"


def read(data: bytes, sheet: str = "") -> Table:
    return read_table(data, LIMITS, sheet)


def only(cell: str) -> Value:
    rows = read(ods(ods_row(cell, ods_text("x")))).rows
    return rows[0].cells[0]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (ods_text("007"), "007"),
        (ods_text('a<text:s text:c="2"/>b<text:tab/>c<text:line-break/>d'), "a  b\tc\nd"),
        (ods_text("<text:span>a</text:span><text:a>b</text:a>"), "ab"),
        (ods_text("one</text:p><text:p>two"), "one\ntwo"),
        ('<table:table-cell office:value-type="string" office:string-value="stored"/>', "stored"),
        (ods_value("float", "value", "12"), 12.0),
        (ods_value("percentage", "value", "0.5"), 0.5),
        (ods_value("float", "value", "x"), Trouble.NO_NUMBER),
        (ods_value("date", "date-value", "2023-12-31"), date(2023, 12, 31)),
        (ods_value("date", "date-value", "2023-12-31T08:30:00"), datetime(2023, 12, 31, 8, 30)),
        (ods_value("date", "date-value", "31.12."), Trouble.NO_NUMBER),
        (ods_value("time", "time-value", "PT08H30M00S"), time(8, 30)),
        (ods_value("time", "time-value", "PT99H30M00S"), Trouble.NO_NUMBER),
        (ods_value("boolean", "boolean-value", "true"), True),
        ('<table:table-cell table:formula="of:=1+1"/>', Trouble.NO_RESULT),
        (ods_text("#REF!").replace(" ", ' calcext:value-type="error" ', 1), Trouble.FORMULA_ERROR),
        (EMPTY, None),
    ],
)
def test_a_cell_is_read_by_its_type(cell: str, expected: Value) -> None:
    assert only(cell) == expected


def test_a_comment_on_a_cell_is_not_its_text() -> None:
    comment = "<office:annotation><text:p>by the way</text:p></office:annotation>"
    drawing = "<draw:frame><text:p>picture</text:p></draw:frame>"
    cell = f'<table:table-cell office:value-type="string">{comment}{drawing}<text:p>text</text:p></table:table-cell>'
    assert only(cell) == "text"


def test_repeated_cells_and_rows_stand_as_often_as_the_file_says() -> None:
    rows = (
        ods_row(ods_text("a", number_columns_repeated="2"), EMPTY, ods_text("b"))
        + ods_row(EMPTY, number_rows_repeated="3")
        + ods_row(ods_text("c"), number_rows_repeated="2")
        + ods_row('<table:table-cell table:number-columns-repeated="16384"/>', number_rows_repeated="1048570")
    )
    assert [(row.line, row.cells) for row in read(ods(rows)).rows] == [
        (1, ("a", "a", None, "b")),
        (5, ("c",)),
        (6, ("c",)),
    ]


@pytest.mark.parametrize(
    ("rows", "word"),
    [
        (ods_row(ods_text("a", number_columns_repeated="999999999")), "columns"),
        (ods_row(ods_text("a"), number_rows_repeated="999999999"), "below line"),
        (ods_row(EMPTY, number_rows_repeated="999999999") + ods_row(ods_text("a")), "below line"),
        (ods_row(ods_text("a"), number_rows_repeated="-1"), "damaged"),
        (ods_row(ods_text("a", number_columns_repeated="250"), number_rows_repeated="99999"), "too many cells"),
    ],
)
def test_repetition_is_no_way_to_fill_the_memory(rows: str, word: str) -> None:
    with pytest.raises(BadRequest, match=word):
        read(ods(rows))


def test_merged_and_hidden_is_noted() -> None:
    columns = '<table:table-column/><table:table-column table:visibility="collapse"/>'
    rows = (
        ods_row(ods_text("one", number_rows_spanned="2"), ods_text("x"))
        + ods_row("<table:covered-table-cell/>", ods_text("y"), visibility="filter")
        + ods_row(ods_text("two", number_columns_spanned="2"), "<table:covered-table-cell/>")
    )
    table = read(ods(columns + rows))
    assert [row.cells for row in table.rows] == [("one", "x"), ("one", "y"), (Trouble.MERGED, Trouble.MERGED)]
    assert (table.hidden_lines, table.hidden_columns) == ({2}, {1})


def test_the_first_visible_sheet_is_read_unless_another_is_named() -> None:
    styles = '<style:style style:name="ta1"><style:table-properties table:display="false"/></style:style>'
    more = f'<table:table table:name="Rows">{ods_row(ods_text("rows"))}</table:table><table:table table:name="More"/>'
    data = ods(ods_row(ods_text("hidden")), styles, more)
    parts = unpacked(data)
    content = parts["content.xml"].replace(b'table:name="First"', b'table:name="First" table:style-name="ta1"')
    data = packed({**parts, "content.xml": content})
    assert (read(data).sheet, read(data).other_sheets) == ("Rows", ("More",))
    assert read(data, "First").rows[0].cells == ("hidden",)
    with pytest.raises(BadRequest, match="no sheet of this name"):
        read(data, "Else")


def test_an_encrypted_file_is_refused_with_the_remedy() -> None:
    parts = {**unpacked(ods("")), "META-INF/manifest.xml": b"<manifest:encryption-data/>"}
    with pytest.raises(BadRequest, match="password"):
        read(packed(parts))


def test_the_kind_is_ods() -> None:
    assert read(ods(ods_row(ods_text("x")))).kind is FileKind.ODS
