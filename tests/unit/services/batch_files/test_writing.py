"""What we write is read back as it was, is no formula for anybody, and keeps the zeros of identifiers."""

import io
import re
import unicodedata
from dataclasses import replace
from datetime import date, datetime, time
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from python_calamine import CalamineWorkbook

from models.domain.batches import BatchKind, Problem, QueryResultLine, grouped
from services.batch_files.annotating import annotated
from services.batch_files.checking import check_query, check_transfer
from services.batch_files.columns import FOUND, RESULTS
from services.batch_files.limits import limits_of
from services.batch_files.reading import read_table
from services.batch_files.results import export, person_name
from services.batch_files.tables import FileKind, Row, Table, Trouble, Value
from services.batch_files.templates import names, sample, template
from services.batch_files.writing import write
from tests.batch_files import ods, ods_row, ods_text, unpacked

LIMITS = limits_of(BatchKind.QUERY, is_staff=True)
FILE_KINDS = [FileKind.XLSX, FileKind.CSV]
HOSTILE = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "'=1",
    "'",
    '="007"',
    "007",
    "_x0041_",
    "a\rb",
    "#REF!",
    " x ",
]

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20) | st.sampled_from(
    HOSTILE
)
CSV_TEXTS = TEXTS.filter(lambda text: not re.search(r"[\x01-\x08\x0b-\x1f\ufeff]", text.replace("\r", "")))


def written(kind: FileKind, rows: list[list[Any]], **options: str) -> list[tuple[Value, ...]]:
    data = write("x", kind, ["One", "Two", "Three"], rows, **options).data
    return [row.cells for row in read_table(data, LIMITS).rows[1:]]


@settings(deadline=None)
@given(st.lists(st.lists(TEXTS, min_size=3, max_size=3).map(lambda row: ["x", *row[1:]]), max_size=5))
def test_every_text_of_an_xlsx_file_comes_back(rows: list[list[str]]) -> None:
    assert padded(written(FileKind.XLSX, rows)) == rows


@settings(deadline=None)
@given(
    st.lists(st.lists(CSV_TEXTS, min_size=3, max_size=3).map(lambda row: ["x", *row[1:]]), max_size=5),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["utf-8-sig", "utf-16"]),
)
def test_every_text_of_a_csv_file_comes_back(rows: list[list[str]], delimiter: str, encoding: str) -> None:
    assert padded(written(FileKind.CSV, rows, delimiter=delimiter, encoding=encoding)) == rows


def padded(rows: list[tuple[Value, ...]]) -> list[list[Value]]:
    return [["" if cell is None else cell for cell in (*row, None, None, None)[:3]] for row in rows]


@pytest.mark.parametrize("kind", FILE_KINDS)
def test_no_row_of_many_is_lost(kind: FileKind) -> None:
    rows = [[str(number), "x", ""] for number in range(3000)]
    assert padded(written(kind, rows)) == rows


def test_the_same_rows_give_the_same_bytes() -> None:
    assert export(LINES, FileKind.XLSX, "x") == export(LINES, FileKind.XLSX, "x")


@pytest.mark.parametrize("text", HOSTILE)
def test_no_cell_of_an_xlsx_file_is_a_formula(text: str) -> None:
    data = write("x", FileKind.XLSX, [text], [[text]]).data
    assert b"<f" not in unpacked(data)["xl/worksheets/sheet1.xml"]
    sheet = openpyxl.load_workbook(io.BytesIO(data)).active
    assert [cell.data_type for row in sheet.iter_rows() for cell in row] == ["s", "s"]  # type: ignore[union-attr]
    cell = sheet["A2"]  # type: ignore[index]
    assert cell.number_format == "@"
    assert cell.quotePrefix or not text.lstrip().startswith(("=", "+", "-", "@"))


@pytest.mark.parametrize("text", HOSTILE)
def test_no_cell_of_a_csv_file_begins_like_a_formula(text: str) -> None:
    body = write("x", FileKind.CSV, ["One", text], [["a", text]]).data.decode("utf-8-sig")
    assert not re.search(r'(^|,)"?[\s]*[=+\-@]', body)


def test_numbers_days_and_zeros_are_of_their_own_type() -> None:
    row = [
        "007",
        7,
        1.5,
        True,
        date(2023, 12, 31),
        datetime(2023, 12, 31, 8, 15),
        date(1850, 1, 1),
        time(8),
        Trouble.MERGED,
    ]
    data = write("x", FileKind.XLSX, ["x"] * len(row), [row]).data
    expected = (
        "007",
        7.0,
        1.5,
        True,
        date(2023, 12, 31),
        datetime(2023, 12, 31, 8, 15),
        "1850-01-01",
        "08:00:00",
        "#VALUE!",
    )
    assert read_table(data, LIMITS).rows[1].cells == expected
    other = CalamineWorkbook.from_filelike(io.BytesIO(data)).get_sheet_by_index(0).to_python()
    assert tuple(other[1]) == expected


@pytest.mark.parametrize("file_kind", FILE_KINDS)
@pytest.mark.parametrize("kind", BatchKind)
def test_the_sample_is_accepted_and_the_template_has_its_headings(kind: BatchKind, file_kind: FileKind) -> None:
    check = check_query if kind is BatchKind.QUERY else check_transfer
    checked = check(read_table(sample(kind, file_kind).data, LIMITS), LIMITS)
    assert checked.problems == ()
    assert len(checked.rows) >= 4
    empty = template(kind, file_kind)
    assert read_table(empty.data, LIMITS).rows == (Row(1, tuple(names(kind))),)
    assert empty.name == f"batch_{kind.value}_template.{file_kind.value}"


LINES = [
    QueryResultLine(
        2, "a", "", "0012", "Doe^Jane", "19701231", "A1", "20230517", "101112.5", "=CT", ("CT", "SR"), 3, "1.2.3",
        "1.2.3.4", "lung", "2", "P1", "PACS",
    ),
    QueryResultLine(3, "b", "No patient has this ID.", "0*13"),
    QueryResultLine(4, "c", "", "0014", "Roe", "", "A\\*2", "2023", "", "", (), None, "1.2.4"),
]  # fmt: skip


@pytest.mark.parametrize("file_kind", FILE_KINDS)
def test_an_export_is_a_transfer_file_without_editing(file_kind: FileKind) -> None:
    table = read_table(export(LINES, file_kind, "results").data, LIMITS)
    assert table.rows[0].cells == RESULTS
    checked = check_transfer(table, LIMITS)
    assert checked.is_good
    assert checked.skipped_lines == (3,)
    first, second = grouped(checked.rows)
    assert (first.patient_id, first.study_uid, first.series_uids, first.pseudonym) == (
        "0012",
        "1.2.3",
        ("1.2.3.4",),
        "P1",
    )
    assert (first.row_ids, second.row_ids, second.patient_id) == (("a",), ("c",), "0014")


def test_an_export_leaves_out_what_no_line_has_and_shows_days_as_days() -> None:
    plain = QueryResultLine(2, patient_id="1", patient_name="Doe^Jane", birth_date="19701231", study_date="20230517",
                            study_time="101112", study_uid="1.2", instance_count=5)  # fmt: skip
    heading, row = read_table(export([plain], FileKind.XLSX, "x").data, LIMITS).rows
    values = dict(zip(map(str, heading.cells), row.cells, strict=True))
    assert not {"Pseudonym", "SeriesInstanceUID", "Source", "RowID"} & set(values)
    assert values["BirthDate"] == date(1970, 12, 31)
    assert values["StudyTime"] == "10:11:12"
    assert values["PatientName"] == "Doe, Jane"
    assert values["NumberOfStudyRelatedInstances"] == 5.0
    assert values["QueryResult"] == FOUND


SHORT = st.text(st.characters(codec="utf-8", min_codepoint=33, exclude_characters="\\*?^=\x7f"), min_size=1, max_size=9)


@settings(deadline=None)
@given(
    st.lists(st.builds(QueryResultLine, line=st.integers(2, 99), patient_id=SHORT, study_description=TEXTS,
                       accession_number=CSV_TEXTS, pseudonym=st.just("")), min_size=1, max_size=4),
    st.sampled_from(FILE_KINDS),
)  # fmt: skip
def test_what_a_query_found_arrives_in_the_transfer_as_it_was(lines: list[QueryResultLine], kind: FileKind) -> None:
    lines = [
        replace(
            line, study_uid=f"1.{number}", study_description="x" if kind is FileKind.CSV else line.study_description
        )
        for number, line in enumerate(lines, start=1)
        if not re.search(r"[\s\x80-\x9f#]|E\+", line.patient_id, re.IGNORECASE) and is_visible(line.patient_id)
    ]
    if not lines:
        return
    checked = check_transfer(read_table(export(lines, kind, "x").data, LIMITS), LIMITS)
    assert [(row.patient_id, row.study_uid) for row in checked.rows] == [
        (line.patient_id, line.study_uid) for line in lines
    ]


def is_visible(text: str) -> bool:
    return not any(unicodedata.category(sign) in ("Cf", "Cc", "Mn", "Zl", "Zp") for sign in text)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Doe^Jane", "Doe, Jane"),
        ("Doe^Jane^^^", "Doe, Jane"),
        ("Doe", "Doe"),
        ("Doe^Jane^M", "Doe^Jane^M"),
        ("A,B^C", "A,B^C"),
    ],
)
def test_names_are_shown_as_people_write_them(name: str, shown: str) -> None:
    assert person_name(name) == shown


PROBLEMS = [
    Problem(3, "PatientID", "It is wrong."),
    Problem(3, "", "And so is all."),
    Problem(0, "From", "Of the file."),
]


def test_a_copy_has_the_same_rows_and_columns_and_what_is_to_be_said() -> None:
    data = "PatientID;Note\n=1;Größe\n\n'007;x\n".encode("cp1252")
    copy = annotated(read_table(data, LIMITS), [Problem(4, "", "Wrong.")], {2: "complete", 4: "-"})
    assert copy.name == "batch_file_checked.csv"
    body = copy.data.decode("cp1252")
    assert body.splitlines() == [
        "PatientID;Note;Problems;Verdict",
        "'=1;Größe;;complete",
        "",
        "'007;x;Wrong.;'-",
    ]


def test_a_copy_of_a_copy_replaces_what_was_said() -> None:
    rows = (Row(2, ("PatientID", "From")), Row(3, ("001", "2023-01-01")), Row(5, ("002",)))
    table = Table(FileKind.XLSX, rows)
    first = annotated(table, PROBLEMS)
    second = read_table(annotated(read_table(first.data, LIMITS), [], {3: "complete"}).data, LIMITS)
    assert [(row.line, row.cells) for row in read_table(first.data, LIMITS).rows] == [
        (2, ("PatientID", "From", "Problems: From: Of the file.")),
        (3, ("001", "2023-01-01", "PatientID: It is wrong. And so is all.")),
        (5, ("002",)),
    ]
    assert [(row.line, row.cells) for row in second.rows] == [
        (2, ("PatientID", "From", "Problems", "Verdict")),
        (3, ("001", "2023-01-01", None, "complete")),
        (5, ("002",)),
    ]


def test_a_copy_of_an_ods_file_is_an_xlsx_file() -> None:
    copy = annotated(read_table(ods(ods_row(ods_text("PatientID"))), LIMITS), [])
    assert copy.name.endswith(".xlsx")
    assert read_table(copy.data, LIMITS).kind is FileKind.XLSX


VALUES = st.one_of(
    st.none(), TEXTS, st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.dates(), st.times(),
    st.datetimes(), st.sampled_from(Trouble),
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(st.lists(VALUES, max_size=4), max_size=4), st.sampled_from(FileKind))
def test_any_table_can_be_copied(rows: list[list[Value]], kind: FileKind) -> None:
    table = Table(kind, tuple(Row(line, tuple(cells)) for line, cells in enumerate(rows, start=1)))
    assert annotated(table, PROBLEMS, {1: "complete"}).data
