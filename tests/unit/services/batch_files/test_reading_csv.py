"""CSV files are read in any everyday encoding, with any of four delimiters, rows counted as spreadsheets do."""

import csv
import io

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from models.domain.batches import BatchKind
from models.domain.errors import BadRequest
from services.batch_files.limits import limits_of
from services.batch_files.reading import read_table
from services.batch_files.tables import FileKind, Table

LIMITS = limits_of(BatchKind.QUERY, is_staff=False)
ROWS = [["PatientID", "PatientName"], ["007", "Müller, Jürgen"], ["008", "Doe; Jane | \t x"]]


def read(data: bytes | str) -> Table:
    return read_table(data.encode() if isinstance(data, str) else data, LIMITS)


def text(rows: list[list[str]], delimiter: str) -> str:
    written = io.StringIO(newline="")
    csv.writer(written, delimiter=delimiter).writerows(rows)
    return written.getvalue()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    ("encoding", "told"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8-sig"),
        ("cp1252", "cp1252"),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("utf-32", "utf-32"),
    ],
)
def test_encoding_and_delimiter_are_found_out(delimiter: str, encoding: str, told: str) -> None:
    table = read(text(ROWS, delimiter).encode(encoding))
    assert [list(row.cells) for row in table.rows] == ROWS
    assert (table.kind, table.delimiter, table.encoding) == (FileKind.CSV, delimiter, told)


def test_bytes_that_windows_does_not_know_are_latin_1() -> None:
    assert read(b"PatientName\nA\x81\xfc\n").encoding == "latin-1"


WORDS = st.text(st.characters(codec="cp1252", min_codepoint=32, exclude_characters="=+-@'\x7f"), max_size=8)


@settings(deadline=None)
@given(
    st.lists(st.lists(WORDS, min_size=3, max_size=3), max_size=8),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["utf-8", "utf-8-sig", "cp1252", "utf-16"]),
)
def test_every_table_is_read_as_it_was_written(rows: list[list[str]], delimiter: str, encoding: str) -> None:
    """What Python's own writer wrote, below headings that nobody could take for anything else."""
    written = text([["PatientID", "PatientName", "Modality"], *rows], delimiter)
    data = written.encode(encoding)
    if encoding == "cp1252":
        assume(not is_utf_8(data))
    table = read(data)
    found = {row.line: [*row.cells, None, None, None][:3] for row in table.rows[1:]}
    expected = {line: [cell or None for cell in row] for line, row in enumerate(rows, start=2) if any(row)}
    assert found == expected


def is_utf_8(data: bytes) -> bool:
    try:
        return data.decode("utf-8") is not None
    except UnicodeDecodeError:
        return False


def test_a_line_break_in_a_cell_does_not_begin_a_row() -> None:
    table = read('PatientID,PatientName\r\n1,"Doe,\r\nJane"\r\n\r\n2,x\r\n')
    assert [(row.line, row.cells) for row in table.rows[1:]] == [(2, ("1", "Doe,\r\nJane")), (4, ("2", "x"))]


@pytest.mark.parametrize("body", ["a;b\n1;2\n", "a;b\r1;2\r", "a;b\r\n1;2\r\n", "a;b\n1;2"])
def test_every_way_to_end_a_line_is_known(body: str) -> None:
    assert [row.cells for row in read(body).rows] == [("a", "b"), ("1", "2")]


def test_names_with_commas_do_not_hide_the_semicolon() -> None:
    assert read("PatientName;Modality\nDoe, Jane, Dr;CT,MR,SR\nRoe, Jim, Dr;CT,MR,SR\n").delimiter == ";"


def test_a_file_of_one_column_has_one_column() -> None:
    assert [row.cells for row in read("PatientID\n1\n2\n").rows] == [("PatientID",), ("1",), ("2",)]


def test_the_line_by_which_excel_names_the_delimiter_is_no_row() -> None:
    table = read("sep=|\nPatientID|Name\n1|Doe; Jane\n")
    assert [(row.line, row.cells) for row in table.rows] == [(1, ("PatientID", "Name")), (2, ("1", "Doe; Jane"))]


def test_what_keeps_zeros_or_guards_against_formulas_is_no_part_of_the_value() -> None:
    table = read('PatientID,PatientName,X\n"=""007""",\'=1+1,\'plain\n')
    assert table.rows[1].cells == ("007", "=1+1", "'plain")


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b'PatientID,Name\n"1,2\n3,4\n', "quotation marks"),
        (b"", "empty"),
        (b" \n ", "empty"),
        (b"PatientID\n\x00\x01\x02", "no .xlsx"),
        (b"%PDF-1.4", "no .xlsx"),
        (b"<html><table></table></html>", "no .xlsx"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100), "old .xls"),
        (b"\xff\xfea\x00b", "UTF-16"),
        (b"a" + b",x" * 300, "columns"),
        (b"a" * 40_000, "characters"),
    ],
)
def test_what_is_no_such_file_is_refused_with_a_reason(data: bytes, word: str) -> None:
    with pytest.raises(BadRequest, match=word):
        read(data)
