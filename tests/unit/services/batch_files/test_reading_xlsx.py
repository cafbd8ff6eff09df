"""Cells of .xlsx files are what the file says, and where that cannot be known, they say so."""

import io
from datetime import date, datetime, time, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import Workbook
from openpyxl.utils.datetime import CALENDAR_MAC_1904
from python_calamine import CalamineWorkbook

from models.domain.batches import BatchKind
from models.domain.errors import BadRequest
from services.batch_files.limits import limits_of
from services.batch_files.reading import read_table
from services.batch_files.serials import date_of, kind_of_format
from services.batch_files.tables import Table, Trouble, Value
from tests.batch_files import DAY, GERMAN_DAY, TIME, packed, texts, xlsx, xlsx_parts

LIMITS = limits_of(BatchKind.QUERY, is_staff=False)


def read(data: bytes, sheet: str = "") -> Table:
    return read_table(data, LIMITS, sheet)


def values(data: bytes) -> list[tuple[Value, ...]]:
    return [row.cells for row in read(data).rows]


def cell(attributes: str, inside: str) -> Value:
    found = values(xlsx(f'<row r="1"><c r="A1" {attributes}>{inside}</c></row>'))
    return found[0][0] if found else None


def saved(book: Workbook) -> bytes:
    data = io.BytesIO()
    book.save(data)
    return data.getvalue()


@pytest.mark.parametrize(
    ("attributes", "inside", "expected"),
    [
        ("", "<v>12345</v>", 12345.0),
        ('t="n"', "<v>1.5E3</v>", 1500.0),
        ('t="str"', "<f>A2</f><v>007</v>", "007"),
        ('t="str"', "<f>A2</f><v></v>", None),
        ('t="b"', "<v>1</v>", True),
        ('t="b"', "<v>0</v>", False),
        ('t="d"', "<v>2023-12-31</v>", date(2023, 12, 31)),
        ('t="d"', "<v>2023-12-31T00:00:00</v>", date(2023, 12, 31)),
        ('t="inlineStr"', "<is><t>one </t></is>", "one "),
        ('t="inlineStr"', "<is><r><t>one</t></r><r><t> two</t></r><rPh><t>spoken</t></rPh></is>", "one two"),
        ('t="inlineStr"', "<is><t>a_x000D_b_x005F_x0041_</t></is>", "a\rb_x0041_"),
        ("", "<f>1+1</f><v>2</v>", 2.0),
        ("", "<f>1+1</f>", Trouble.NO_RESULT),
        ("", "<f>1+1</f><v/>", Trouble.NO_RESULT),
        ("", '<f t="shared" si="0"/>', Trouble.NO_RESULT),
        ('t="e"', "<v>#REF!</v>", Trouble.FORMULA_ERROR),
        ('t="e"', "<f>A1/0</f><v>#DIV/0!</v>", Trouble.FORMULA_ERROR),
        ("", "<v>abc</v>", Trouble.NO_NUMBER),
        ("", "<v>1e999</v>", Trouble.NO_NUMBER),
        ("", "<v>nan</v>", Trouble.NO_NUMBER),
        ("", "<v>1_000</v>", Trouble.NO_NUMBER),
        (f's="{DAY}"', "<v>45291</v>", date(2023, 12, 31)),
        (f's="{GERMAN_DAY}"', "<v>45291</v>", date(2023, 12, 31)),
        (f's="{DAY}"', "<v>45291.5</v>", datetime(2023, 12, 31, 12)),
        (f's="{DAY}"', "<v>1e9</v>", Trouble.NO_NUMBER),
        (f's="{DAY}"', "<v>-5</v>", Trouble.NO_NUMBER),
        (f's="{DAY}"', "<v>60</v>", Trouble.NO_NUMBER),
        (f's="{DAY}"', "<v>59</v>", date(1900, 2, 28)),
        (f's="{DAY}"', "<v>61</v>", date(1900, 3, 1)),
        (f's="{TIME}"', "<v>0.5</v>", time(12)),
        ('s="99"', "<v>45291</v>", 45291.0),
        ("", "", None),
    ],
)
def test_a_cell_is_read_by_its_type_and_format(attributes: str, inside: str, expected: Value) -> None:
    assert cell(attributes, inside) == expected


def test_shared_texts_are_looked_up_and_a_missing_one_is_damage() -> None:
    shared = "<si><t>first</t></si><si><r><t>sec</t></r><r><t>ond</t></r></si>"
    assert values(xlsx('<row><c t="s"><v>1</v></c></row>', texts=shared)) == [("second",)]
    with pytest.raises(BadRequest, match="damaged"):
        read(xlsx('<row><c t="s"><v>2</v></c></row>', texts=shared))


def test_dates_are_counted_from_1904_where_the_workbook_says_so() -> None:
    rows = f'<row><c s="{DAY}"><v>43829</v></c></row>'
    assert values(xlsx(rows, properties='date1904="1"')) == [(date(2023, 12, 31),)]
    assert values(xlsx(rows, properties='date1904="0"')) == [(date(2019, 12, 30),)]


@settings(deadline=None)
@given(st.dates(date(1900, 3, 1), date(9999, 12, 30)), st.booleans())
def test_every_day_is_read_in_both_calendars(day: date, has_1904_dates: bool) -> None:
    begin = date(1904, 1, 1) if has_1904_dates else date(1899, 12, 30)
    if day > begin:
        assert date_of(float((day - begin).days), has_1904_dates) == day


@settings(deadline=None)
@given(st.datetimes(datetime(1904, 1, 2), datetime(2200, 1, 1)), st.booleans())
def test_dates_written_by_openpyxl_are_read_as_they_were(moment: datetime, has_1904_dates: bool) -> None:
    book = Workbook()
    if has_1904_dates:
        book.epoch = CALENDAR_MAC_1904
    book.active["A1"] = moment.replace(microsecond=0)  # type: ignore[index]
    ((found,),) = values(saved(book))
    expected = moment.replace(microsecond=0)
    assert found == (expected if expected.time() != time() else expected.date())


CELLS = st.one_of(
    st.none(),
    st.integers(-(10**14), 10**14),
    st.floats(-1e12, 1e12, allow_nan=False),
    st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_characters="\x7f"), max_size=12).filter(
        lambda text: not text.startswith("=") and "_x" not in text and not text.startswith("#") and "'" not in text
    ),
    st.booleans(),
    st.dates(date(1901, 1, 1), date(2199, 1, 1)),
)


@settings(deadline=None)
@given(st.lists(st.lists(CELLS, max_size=5), max_size=6))
def test_two_other_readers_of_workbooks_see_the_same(rows: list[list[Any]]) -> None:
    """openpyxl writes, and python-calamine reads what we read; it skips what is empty at the top and left."""
    book = Workbook()
    for row in rows:
        book.active.append(row)  # type: ignore[union-attr]
    data = saved(book)
    (sheet,) = [CalamineWorkbook.from_filelike(io.BytesIO(data)).get_sheet_by_index(0)]
    expected = {
        (number, place): value
        for number, row in enumerate(sheet.to_python(skip_empty_area=False), start=1)
        for place, value in enumerate(row)
        if value != ""
    }
    found = {(row.line, place): value for row in read(data).rows for place, value in enumerate(row.cells)}
    assert {place: value for place, value in found.items() if value is not None} == expected


def test_rows_and_cells_without_numbers_follow_one_another() -> None:
    table = read(xlsx("<row><c><v>1</v></c><c><v>2</v></c></row><row/><row><c/><c><v>3</v></c></row>"))
    assert [(row.line, row.cells) for row in table.rows] == [(1, (1.0, 2.0)), (3, (None, 3.0))]


def test_empty_rows_and_columns_keep_the_lines_as_they_are_counted_in_the_program() -> None:
    table = read(xlsx(f'<row r="4">{texts("C4", "heading")}</row><row r="9">{texts("C9", "x")}</row>'))
    assert [(row.line, row.cells) for row in table.rows] == [(4, (None, None, "heading")), (9, (None, None, "x"))]


def test_formatted_but_empty_rows_are_no_rows() -> None:
    blank = "".join(f'<row r="{line}"><c r="A{line}" s="1"/></row>' for line in range(2, 5000))
    assert len(read(xlsx(f"<row>{texts('A1', 'x')}</row>{blank}")).rows) == 1


def test_a_cell_merged_over_rows_stands_in_each_of_them() -> None:
    rows = "".join(f'<row r="{line}">{texts(f"B{line}", "x")}</row>' for line in (2, 3, 4, 7))
    merged = '<mergeCells><mergeCell ref="A2:A4"/></mergeCells>'
    table = read(xlsx(rows.replace('<row r="2">', f'<row r="2">{texts("A2", "one")}'), after=merged))
    assert [row.cells for row in table.rows] == [("one", "x"), ("one", "x"), ("one", "x"), (None, "x")]


def test_a_cell_merged_over_columns_is_trouble_since_nobody_can_tell_what_it_means() -> None:
    merged = '<mergeCells><mergeCell ref="A1:B1"/></mergeCells>'
    table = read(xlsx(f"<row>{texts('A1', 'one')}</row>", after=merged))
    assert table.rows[0].cells == (Trouble.MERGED, Trouble.MERGED)


def test_a_merged_area_of_the_whole_column_makes_no_rows() -> None:
    merged = (
        '<mergeCells><mergeCell ref="A1:A1048576"/><mergeCell ref="C1:XFD1048576"/><mergeCell ref="B1"/></mergeCells>'
    )
    assert len(read(xlsx(f"<row>{texts('A1', 'one')}</row>", after=merged)).rows) == 1


def test_what_is_hidden_is_read_and_noted() -> None:
    rows = f'<row r="1">{texts("A1", "x")}</row><row r="2" hidden="1">{texts("A2", "y")}</row>'
    table = read(xlsx(rows, before='<cols><col min="2" max="3" hidden="1"/></cols>'))
    assert table.hidden_lines == {2}
    assert table.hidden_columns == {1, 2}
    assert len(table.rows) == 2


def test_the_first_visible_sheet_is_read_unless_another_is_named() -> None:
    book = Workbook()
    book.active.title = "Notes"  # type: ignore[union-attr]
    book.active["A1"] = "hidden"  # type: ignore[index]
    book.active.sheet_state = "hidden"  # type: ignore[union-attr]
    for name in ("Rows", "More"):
        book.create_sheet(name)["A1"] = name
    book.active = 1
    data = saved(book)
    assert (read(data).sheet, read(data).other_sheets) == ("Rows", ("More",))
    assert read(data, "More").rows[0].cells == ("More",)
    assert read(data, "Notes").rows[0].cells == ("hidden",)
    with pytest.raises(BadRequest, match="no sheet of this name"):
        read(data, "Else")


def test_prefixed_names_and_a_strict_workbook_are_read() -> None:
    parts = xlsx_parts("")
    parts["xl/worksheets/sheet1.xml"] = (
        '<x:worksheet xmlns:x="http://purl.oclc.org/ooxml/spreadsheetml/main"><x:sheetData><x:row>'
        '<x:c t="inlineStr"><x:is><x:t>one</x:t></x:is></x:c></x:row></x:sheetData></x:worksheet>'
    )
    parts["xl/_rels/workbook.xml.rels"] = parts["xl/_rels/workbook.xml.rels"].replace(
        "http://schemas.openxmlformats.org/officeDocument/2006", "http://purl.oclc.org/ooxml/officeDocument"
    )
    assert values(packed(parts)) == [("one",)]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("General", "number"),
        ("0.00", "number"),
        ('#,##0.00\\ "days"', "number"),
        ("[Red]0;[Blue]-0", "number"),
        ("0.00E+00", "number"),
        ("@", "number"),
        ("yyyy-mm-dd", "date"),
        ("[$-407]d. mmmm yyyy;@", "date"),
        ("mmm", "date"),
        ("dd/mm/yyyy hh:mm", "date"),
        ("h:mm AM/PM", "time"),
        ("[h]:mm:ss", "time"),
        ("[mm]:ss", "time"),
    ],
)
def test_formats_are_told_apart_by_their_letters(code: str, kind: str) -> None:
    assert kind_of_format(code) == kind


def test_a_second_before_midnight_is_no_other_day() -> None:
    almost = timedelta(hours=23, minutes=59, seconds=59) / timedelta(days=1)
    assert date_of(45291 + almost, False) == datetime(2023, 12, 31, 23, 59, 59)
    assert date_of(45291 + 0.999999, False) == date(2024, 1, 1)
