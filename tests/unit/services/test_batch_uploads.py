"""Batch files as people hand them in: everything that is wrong at once, by the limits of who they are."""

import io

import pytest
from openpyxl import Workbook, load_workbook

from models.domain.batch_requests import BatchFile
from models.domain.errors import BadRequest
from models.domain.people import Actor
from services.batches import uploads

SECRET = "Geheim-4711"


def an_actor(is_staff: bool = False) -> Actor:
    return Actor("somebody", is_staff=is_staff)


def csv(*lines: str) -> BatchFile:
    return BatchFile("mine.csv", "\n".join(lines).encode())


def xlsx(**sheets: list[list[object]]) -> bytes:
    book = Workbook()
    book.remove(book.worksheets[0])
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    data = io.BytesIO()
    book.save(data)
    return data.getvalue()


def test_a_good_query_file_gives_its_rows() -> None:
    read = uploads.read_query(an_actor(), csv("PatientID,Modality,RowID", "0012,CT,a", "0013,MR,b"))
    assert read.is_good and not read.problems and not read.sheets
    assert [(row.line, row.patient_id, row.row_id) for row in read.rows] == [(2, "0012", "a"), (3, "0013", "b")]


def test_every_problem_of_every_row_is_told_at_once_and_stands_in_the_copy() -> None:
    read = uploads.read_query(
        an_actor(), csv("PatientID,Modality,From", "0012,CT,never", ",CT,", "0013,,", "0014,CT,2020-01-01")
    )
    assert not read.is_good
    assert {problem.row for problem in read.errors} == {2, 3, 4}
    assert [row.line for row in read.rows] == [5]
    copy = read.annotated()
    assert copy.name == "batch_file_checked.csv"
    lines = copy.data.decode("utf-8-sig").splitlines()
    assert lines[0].endswith(",Problems") and lines[1].startswith("0012,CT,never,From: ")
    assert lines[4].endswith(",")


def test_warnings_do_not_keep_a_file_from_being_good() -> None:
    read = uploads.read_query(an_actor(), csv("PatientID,Modality", "0012,CT", "0012,CT"))
    assert read.is_good and read.warnings and not read.errors


def test_another_sheet_can_be_chosen_also_where_the_first_one_is_empty() -> None:
    content = xlsx(Notes=[], Rows=[["PatientID", "StudyInstanceUID"], ["0012", "1.2.3"]])
    read = uploads.read_transfer(an_actor(), BatchFile("b.xlsx", content))
    assert read.sheets == ("Notes", "Rows")
    assert [problem.sentence for problem in read.errors] == ["The file has no rows."]
    chosen = uploads.read_transfer(an_actor(), BatchFile("b.xlsx", content, "Rows"))
    assert chosen.is_good and chosen.file.sheet == "Rows" and chosen.sheets == ("Rows", "Notes")
    assert [row.study_uid for row in chosen.rows] == ["1.2.3"]
    with pytest.raises(BadRequest, match="no sheet of this name"):
        uploads.read_transfer(an_actor(), BatchFile("b.xlsx", content, "Nowhere"))


def test_an_empty_sheet_can_be_had_back_with_what_is_wrong() -> None:
    read = uploads.read_query(an_actor(), BatchFile("b.xlsx", xlsx(Notes=[])))
    sheet = load_workbook(io.BytesIO(read.annotated().data)).worksheets[0]
    assert "no rows" in str(sheet.cell(1, 1).value)


@pytest.mark.parametrize("read", [uploads.read_query, uploads.read_transfer])
def test_what_is_no_spreadsheet_is_refused(read) -> None:
    for content in (b"", b"%PDF-1.7", b"PK\x03\x04 nothing"):
        with pytest.raises(BadRequest):
            read(an_actor(), BatchFile("b.xlsx", content))


@pytest.mark.parametrize(("read", "most"), [(uploads.read_query, 1000), (uploads.read_transfer, 500)])
def test_staff_may_hand_in_more_rows_than_others(read, most: int) -> None:
    file = csv("PatientID,Modality,StudyInstanceUID", *(f"P{number},CT,1.2.{number}" for number in range(most + 1)))
    refused = read(an_actor(), file)
    assert [problem.row for problem in refused.errors] == [0] and f"{most} are the most" in refused.errors[0].sentence
    assert not refused.rows
    assert len(read(an_actor(is_staff=True), file).rows) == most + 1


def test_the_export_of_a_query_is_a_transfer_file_and_rows_that_found_nothing_are_skipped() -> None:
    read = uploads.read_transfer(
        an_actor(),
        csv("PatientID,StudyInstanceUID,Pseudonym,QueryResult", "0012,1.2.3,P1,found", "0013,,,The server knows none."),
    )
    assert read.is_good and read.skipped_lines == (3,) and len(read.rows) == 1


def test_nothing_of_a_row_shows_where_an_upload_is_printed() -> None:
    read = uploads.read_query(an_actor(), csv("PatientID,Modality,From", f"{SECRET},CT,{SECRET}", f"{SECRET},CT,"))
    assert SECRET not in repr(read)
