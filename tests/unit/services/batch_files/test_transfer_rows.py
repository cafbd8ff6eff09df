"""Rows of a batch transfer: by UID or to be resolved, checked against one another, grouped by study."""

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.domain.batches import BatchKind, BatchTransferItem, BatchTransferRow, CheckedTransfer, Problem, grouped
from services.batch_files.checking import check_transfer
from services.batch_files.limits import limits_of
from services.batch_files.tables import FileKind, Row, Table, Value

LIMITS = limits_of(BatchKind.TRANSFER, is_staff=True)
USUAL = "PatientID StudyInstanceUID SeriesInstanceUID Pseudonym"


def checked(headings: str, *rows: tuple[Value, ...]) -> CheckedTransfer:
    lines = [Row(1, tuple(headings.split())), *(Row(line, row) for line, row in enumerate(rows, start=2))]
    return check_transfer(Table(FileKind.XLSX, tuple(lines)), LIMITS)


def told(result: CheckedTransfer) -> list[tuple[int, str, bool]]:
    return [(problem.row, problem.column, problem.is_error) for problem in result.problems]


def sentences(problems: tuple[Problem, ...]) -> str:
    return " ".join(problem.sentence for problem in problems)


def test_rows_by_uid_are_typed() -> None:
    result = checked(
        f"TRANSFER_ID {USUAL}", ("a", "001", "1.2.3", "1.2.3.4, 1.2.3.5", "P1"), ("b", "002", "1.2.4", None, "")
    )
    assert result.is_good
    assert result.rows == (
        BatchTransferRow(2, "a", "001", "1.2.3", ("1.2.3.4", "1.2.3.5"), "P1"),
        BatchTransferRow(3, "b", "002", "1.2.4"),
    )


def test_rows_without_uid_are_resolved_by_accession_number_or_patient_date_and_modality() -> None:
    result = checked(
        "PatientID StudyInstanceUID AccessionNumber StudyDate Modality",
        (None, None, "A1"),
        ("001", None, "A2"),
        ("001", None, None, "17.05.2023", "CT"),
    )
    assert result.is_good
    assert [(row.accession_number, row.study_date, row.modalities) for row in result.rows] == [
        ("A1", None, ()),
        ("A2", None, ()),
        ("", date(2023, 5, 17), ("CT",)),
    ]
    assert not any(row.study_uid for row in result.rows)


def test_what_a_study_uid_makes_unnecessary_is_not_read() -> None:
    """An archive may have accession numbers and dates that no file may ask for; its export is still a transfer."""
    headings = "PatientID StudyInstanceUID AccessionNumber StudyDate Modality"
    result = checked(
        headings, ("001", "1.2.3", "A*\\", "03/04/2023", "no such thing"), ("001", "1.2.4", "A*", "x", "?")
    )
    assert result.is_good
    assert result.rows[0] == BatchTransferRow(2, "", "001", "1.2.3")


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ((None, "1.2.3"), "PatientID"),
        (("001", "1.2.x"), "StudyInstanceUID"),
        (("001", "1.2.3, 1.2.4"), "StudyInstanceUID"),
        (("001", 1.2), "StudyInstanceUID"),
        (("001", "1.2.3", "1.2.3.x"), "SeriesInstanceUID"),
        (("001", None, "1.2.3.4"), "StudyInstanceUID"),
        (("001", None, None, "P1"), ""),
        (("001", "1.2.3", None, "a^b"), "Pseudonym"),
        (("0*1", "1.2.3"), "PatientID"),
        (("001", "1." * 40 + "1"), "StudyInstanceUID"),
    ],
)
def test_a_row_that_cannot_be_is_told(row: tuple[Value, ...], column: str) -> None:
    result = checked(f"{USUAL} AccessionNumber", row)
    assert told(result) == [(2, column, True)]
    assert result.rows == ()


def test_one_study_belongs_to_one_patient() -> None:
    result = checked(USUAL, ("001", "1.2.3"), ("002", "1.2.3", "1.2.3.4"), ("003", "1.2.5"))
    errors = [(problem.row, problem.column) for problem in result.problems if problem.is_error]
    assert errors == [(2, "PatientID"), (3, "PatientID")]
    assert "line 3" in result.problems[0].sentence


def test_one_patient_has_one_pseudonym() -> None:
    result = checked(USUAL, ("001", "1.1", "", "A"), ("001", "1.2", "", "B"), ("001", "1.3"), ("001", "1.4", "", "A"))
    assert told(result) == [(2, "Pseudonym", True), (3, "Pseudonym", True), (5, "Pseudonym", True)]
    assert "another one in line 3" in result.problems[0].sentence


def test_one_study_has_one_pseudonym_also_without_a_patient() -> None:
    result = checked("AccessionNumber Pseudonym", ("A1", "X"), ("A1", "Y"), ("A2", "Z"), ("A2", "Z"))
    assert [row for row, _, is_error in told(result) if is_error] == [2, 3]
    assert "The same study has another one in line 3." in sentences(result.problems)


def test_two_patients_never_share_a_pseudonym_however_it_is_spelled() -> None:
    result = checked(USUAL, ("001", "1.1", "", "Anon"), ("002", "1.2", "", "ANON"), ("003", "1.3", "", "other"))
    assert told(result) == [(2, "Pseudonym", True), (3, "Pseudonym", True)]
    assert "Another patient" in sentences(result.problems)


def test_a_pseudonym_is_no_patient_id_of_the_file() -> None:
    result = checked(USUAL, ("ab1", "1.1", "", "X"), ("ab2", "1.2", "", "AB1"))
    assert told(result) == [(3, "Pseudonym", True)]


def test_a_patient_may_have_the_pseudonym_in_one_row_only() -> None:
    result = checked(USUAL, ("001", "1.1"), ("001", "1.1", "1.1.1", "P"), ("001", "1.1", "1.1.2"))
    assert result.is_good
    (item,) = grouped(result.rows)
    assert (item.pseudonym, item.series_uids, item.lines) == ("P", (), (2, 3, 4))


def test_repeated_series_and_studies_are_taken_once_and_told() -> None:
    result = checked(
        USUAL, ("1", "1.1", "1.1.1"), ("1", "1.1", "1.1.1"), ("1", "1.2"), ("1", "1.2"), ("1", "1.2", "1.2.1")
    )
    assert result.is_good
    assert [problem.row for problem in result.problems] == [3, 5, 6]
    assert [item.series_uids for item in grouped(result.rows)] == [("1.1.1",), ()]


def test_a_series_belongs_to_one_study_and_is_none() -> None:
    assert told(checked(USUAL, ("1", "1.1", "1.9"), ("1", "1.2", "1.9"))) == [
        (2, "SeriesInstanceUID", True),
        (3, "SeriesInstanceUID", True),
    ]
    assert told(checked(USUAL, ("1", "1.1", "1.1"))) == [(2, "SeriesInstanceUID", True)]


def test_rows_that_a_query_did_not_find_are_skipped_with_a_warning() -> None:
    result = checked(
        "PatientID StudyInstanceUID QueryResult",
        ("001", "1.2.3", "found"),
        ("0*2", None, "No patient has this ID."),
        ("003", "1.2.5", "changed by hand"),
        ("004", None, "found"),
    )
    assert result.skipped_lines == (3,)
    assert told(result) == [(3, "QueryResult", False), (5, "", True)]
    assert [row.line for row in result.rows] == [2, 4]


def test_rows_of_one_study_become_one_item_in_the_order_of_the_file() -> None:
    result = checked(
        f"RowID {USUAL}",
        ("a", "1", "1.2", "1.2.2", "P"),
        ("b", "2", "1.3", "1.3.1", "Q"),
        ("c", "1", "1.2", "1.2.1", "P"),
        ("d", "2", "1.3", None, "Q"),
    )
    assert grouped(result.rows) == (
        BatchTransferItem((2, 4), ("a", "c"), "1", "1.2", ("1.2.2", "1.2.1"), "P"),
        BatchTransferItem((3, 5), ("b", "d"), "2", "1.3", (), "Q"),
    )


def test_rows_that_are_not_resolved_are_grouped_by_what_they_ask_for() -> None:
    result = checked(
        "PatientID AccessionNumber StudyDate Modality",
        ("1", "A1"), ("1", "A1"), ("2", "A1"), ("1", None, "2023-01-01", "CT,MR"), ("1", None, "2023-01-01", "MR,CT"),
    )  # fmt: skip
    assert [item.lines for item in grouped(result.rows)] == [(2, 3), (4,), (5, 6)]
    assert result.is_good


def test_a_pseudonym_of_ten_thousand_patients_is_told_in_time() -> None:
    result = checked(USUAL, *((f"{number}", f"1.{number}", "", "P") for number in range(10_000)))
    assert len(result.problems) == 10_000
    assert max(len(problem.sentence) for problem in result.problems) < 150


ROWS = st.builds(
    BatchTransferRow,
    line=st.integers(2, 99),
    patient_id=st.sampled_from(["", "1", "2"]),
    study_uid=st.sampled_from(["", "1.1", "1.2"]),
    series_uids=st.lists(st.sampled_from(["1.1.1", "1.1.2"]), max_size=2).map(tuple),
    accession_number=st.sampled_from(["", "A"]),
)


@settings(deadline=None)
@given(st.lists(ROWS, unique_by=lambda row: row.line))
def test_no_line_is_lost_or_doubled_by_grouping(rows: list[BatchTransferRow]) -> None:
    items = grouped(rows)
    assert sorted(line for item in items for line in item.lines) == sorted(row.line for row in rows)
    assert len({row.study_key for row in rows}) == len(items)
