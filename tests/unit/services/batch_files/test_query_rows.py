"""Rows of a batch query: typed where they are right, every problem told at once where not, no value ever quoted."""

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.domain.batches import BatchKind, BatchQueryRow, CheckedQuery, Problem
from models.domain.errors import BadRequest
from services.batch_files.checking import check_query, dicom_name
from services.batch_files.limits import limits_of
from services.batch_files.tables import FileKind, Row, Table, Trouble, Value

LIMITS = limits_of(BatchKind.QUERY, is_staff=False)
SECRET = "Geheim"


def checked(headings: str, *rows: tuple[Value, ...]) -> CheckedQuery:
    lines = [Row(1, tuple(headings.split())), *(Row(line, row) for line, row in enumerate(rows, start=2))]
    return check_query(Table(FileKind.XLSX, tuple(lines)), LIMITS)


def errors(result: CheckedQuery) -> list[Problem]:
    return [problem for problem in result.problems if problem.is_error]


def test_all_columns_become_a_typed_row() -> None:
    result = checked(
        "RowID PatientID PatientName PatientBirthDate AccessionNumber From Until Modality StudyDescription "
        "SeriesDescription SeriesNumber Pseudonym",
        (7.0, " 0012 ", "Doe, Jane", date(1970, 12, 31), "A1", "01.02.2020", "2023-12-31", "ct, MR;ct",
         "*thorax*", "lung?", "2,3", "P-1"),
    )  # fmt: skip
    assert result.is_good
    assert result.rows == (
        BatchQueryRow(
            2, "7", "0012", "Doe^Jane", date(1970, 12, 31), "A1", date(2020, 2, 1), date(2023, 12, 31), ("CT", "MR"),
            "*thorax*", "lung?", ("2", "3"), "P-1",
        ),
    )  # fmt: skip
    assert result.rows[0].asks_for_series


def test_a_study_date_means_that_day_alone() -> None:
    (row,) = checked("PatientID StudyDate Modality", ("1", "2023-12-31", "CT")).rows
    assert row.from_date == row.until_date == date(2023, 12, 31)
    assert not row.asks_for_series


def test_rows_that_are_empty_in_all_known_columns_are_skipped_and_lines_stay() -> None:
    result = checked("PatientID Modality Notes", ("1", "CT"), (" ", None, "only a note"), ("2", "MR"))
    assert [row.line for row in result.rows] == [2, 4]
    assert result.is_good


@pytest.mark.parametrize(
    ("row", "names"),
    [
        ((None, "Doe", None, "A1", None), ["PatientBirthDate"]),
        ((None, None, "1970-12-31", "A1", None), ["PatientID"]),
        (("1", None, None, None, None), ["AccessionNumber", "Modality"]),
        ((None, "Doe", None, None, None), ["PatientID", "Modality"]),
    ],
)
def test_what_a_row_lacks_is_named(row: tuple[Value, ...], names: list[str]) -> None:
    result = checked("PatientID PatientName PatientBirthDate AccessionNumber Modality", row)
    assert result.rows == ()
    assert {problem.row for problem in errors(result)} == {2}
    said = " ".join(problem.sentence for problem in errors(result))
    assert all(name in said for name in names)


def test_what_is_given_but_wrong_is_not_called_missing_too() -> None:
    result = checked("PatientID Modality", ("a*b", "C.T"))
    assert [problem.column for problem in errors(result)] == ["PatientID", "Modality"]


@pytest.mark.parametrize(
    ("column", "value", "word"),
    [
        ("PatientID", f"{SECRET}\\", "Backslashes"),
        ("PatientID", f"{SECRET}\n1", "line breaks"),
        ("PatientID", f"{SECRET}\x07", "control"),
        ("PatientID", f"{SECRET}*", "wildcards"),
        ("PatientID", f"{SECRET}\u200b", "cannot be seen"),
        ("PatientID", SECRET * 11, "64"),
        ("PatientID", 12345.5, "decimals"),
        ("PatientID", 1e16, "digits"),
        ("PatientID", 1e15, "digits"),
        ("PatientID", "1.23457E+15", "digits"),
        ("PatientID", "1,23457E+15", "digits"),
        ("PatientID", date(2023, 12, 31), "date"),
        ("PatientID", True, "TRUE"),
        ("PatientID", Trouble.NO_RESULT, "no stored result"),
        ("PatientID", Trouble.FORMULA_ERROR, "#REF!"),
        ("PatientID", "#BEZUG!", "error"),
        ("PatientID", Trouble.MERGED, "merged"),
        ("PatientName", f"{SECRET}?", "wildcards"),
        ("AccessionNumber", f"{SECRET}?", "wildcards"),
        ("AccessionNumber", "1" * 33, "32"),
        ("Modality", f"{SECRET}!", "Abbreviations"),
        ("SeriesNumber", "1, x", "Whole numbers"),
        ("SeriesNumber", "1234567890123", "Whole numbers"),
        ("StudyDescription", f"{SECRET}\\", "Backslashes"),
        ("Pseudonym", f"{SECRET}^x", "allowed"),
        ("Pseudonym", f"{SECRET}*", "allowed"),
        ("From", SECRET, "no date"),
        ("PatientBirthDate", "31.12.70", "two digits"),
        ("PatientBirthDate", "2199-01-01", "not come yet"),
    ],
)
def test_a_cell_that_cannot_be_is_told_with_row_and_column(column: str, value: Value, word: str) -> None:
    others = {name: text for name, text in {"PatientID": "1", "Modality": "CT"}.items() if name != column}
    result = checked(" ".join([*others, column]), (*others.values(), value))
    assert result.rows == ()
    (problem,) = errors(result)
    assert (problem.row, problem.column) == (2, column)
    assert word in problem.sentence
    assert problem.value_hint
    assert SECRET not in f"{problem.sentence}{problem.value_hint}"


def test_every_problem_of_every_row_is_told_at_once() -> None:
    result = checked(
        "PatientID From Until Modality",
        ("1*", "2023-02-30", None, "CT"),
        ("2", "2023-12-31", "2023-01-01", "CT"),
        ("3", None, None, "CT"),
        ("4", "soon", "later", None),
    )
    assert [(problem.row, problem.column) for problem in errors(result)] == [
        (2, "PatientID"), (2, "From"), (3, "Until"), (5, "From"), (5, "Until"), (5, ""),
    ]  # fmt: skip
    assert [row.line for row in result.rows] == [4]


def test_numbers_among_identifiers_are_text_and_a_warning_names_their_lines() -> None:
    result = checked("PatientID AccessionNumber Modality", ("0012", 4711.0, "CT"), (12345.0, "0815", "CT"))
    assert [(row.patient_id, row.accession_number) for row in result.rows] == [("0012", "4711"), ("12345", "0815")]
    assert [(problem.column, problem.row, problem.is_error) for problem in result.problems] == [
        ("PatientID", 0, False),
        ("AccessionNumber", 0, False),
    ]
    assert "line 3" in result.problems[0].sentence


def test_zero_and_false_are_values() -> None:
    assert checked("PatientID Modality", (0.0, "CT")).rows[0].patient_id == "0"
    assert errors(checked("PatientID Modality", (False, None)))


def test_a_day_and_a_range_together_are_refused() -> None:
    result = checked("PatientID StudyDate From Modality", ("1", "2023-12-31", "2023-01-01", "CT"))
    assert [problem.column for problem in errors(result)] == ["StudyDate"]


def test_rows_that_ask_for_the_same_are_a_warning() -> None:
    result = checked("RowID PatientID Modality", ("1", "1", "CT"), ("2", "1", "CT"), ("3", "1", "MR"))
    assert result.is_good
    assert [(problem.row, problem.sentence) for problem in result.problems] == [(3, "It asks for the same as line 2.")]


def test_pseudonyms_that_a_transfer_would_refuse_are_a_warning() -> None:
    result = checked("PatientID Modality Pseudonym", ("1", "CT", "A"), ("2", "CT", "a"), ("2", "CT", "B"))
    assert result.is_good
    assert {problem.row for problem in result.problems} == {2, 3, 4}


def test_hidden_rows_and_columns_are_a_warning() -> None:
    rows = (Row(1, ("PatientID", "Modality")), Row(2, ("1", "CT")), Row(3, ("2", "CT")))
    table = Table(FileKind.XLSX, rows, hidden_lines=frozenset({3, 9}), hidden_columns=frozenset({1, 5}))
    result = check_query(table, LIMITS)
    assert result.is_good
    assert [problem.column for problem in result.problems] == ["", "Modality"]
    assert "line 3" in result.problems[0].sentence


@pytest.mark.parametrize(
    "rows", [(), (Row(1, ("PatientID", "Modality")),), (Row(1, ("PatientID",)), Row(2, (None, "x")))]
)
def test_a_file_without_rows_is_refused(rows: tuple[Row, ...]) -> None:
    with pytest.raises(BadRequest, match="rows"):
        check_query(Table(FileKind.XLSX, rows), LIMITS)


def test_wrong_headings_are_told_once_and_not_for_every_row() -> None:
    result = checked("PatientID Remarks", *[("1", "x")] * 50)
    assert len(errors(result)) == 1


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Doe, Jane", "Doe^Jane"),
        ("Doe,Jane,M", "Doe^Jane^M"),
        ("Doe", "Doe"),
        ("Doe^Jane", "Doe^Jane"),
        ("Doe,", "Doe"),
    ],
)
def test_names_become_those_of_dicom(written: str, name: str) -> None:
    assert dicom_name(written) == name


VALUES = st.one_of(
    st.none(), st.text(max_size=70), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.dates(),
    st.datetimes(), st.times(), st.sampled_from(Trouble), st.sampled_from(["CT", "03/04/2023", "1.2.3", "P1", "=x"]),
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(st.tuples(*[VALUES] * 13), min_size=1, max_size=5))
def test_any_rows_are_checked_and_no_text_is_quoted(rows: list[tuple[Value, ...]]) -> None:
    marked = [tuple(f"{SECRET}{value}" if isinstance(value, str) and value else value for value in row) for row in rows]
    headings = (
        "RowID PatientID PatientName PatientBirthDate AccessionNumber From Until StudyDate Modality StudyDescription "
        "SeriesDescription SeriesNumber Pseudonym"
    )
    for each in (rows, marked):
        try:
            result = checked(headings, *each)
        except BadRequest as error:
            assert "no rows" in error.message
            continue
        assert all(SECRET not in repr(problem) for problem in result.problems)
        wrong = {problem.row for problem in errors(result)}
        assert not wrong & {row.line for row in result.rows}
