"""Headings are found however people spell them; what is unknown is told, and never quoted."""

import pytest

from models.domain.batches import BatchKind
from services.batch_files.columns import BY_NAME, COLUMNS, RESULTS
from services.batch_files.headings import matched, spelled
from services.batch_files.tables import FileKind, Row, Table, Trouble, Value


def table(*headings: Value) -> Table:
    return Table(FileKind.CSV, (Row(1, headings),))


def places(kind: BatchKind, *headings: Value) -> dict[str, int]:
    return dict(matched(table(*headings), kind).places)


@pytest.mark.parametrize(
    ("heading", "name"),
    [
        ("PatientID", "PatientID"),
        ("patient id", "PatientID"),
        ("PATIENT_ID", "PatientID"),
        ("Patient-ID:", "PatientID"),
        ("Patienten-Nr.", "PatientID"),
        (" Patient\nID ", "PatientID"),
        ("Geburtsdatum", "PatientBirthDate"),
        ("Birth date (yyyy-mm-dd)", "PatientBirthDate"),
        ("BirthDate", "PatientBirthDate"),
        ("Accession No.", "AccessionNumber"),
        ("Accession #", "AccessionNumber"),
        ("Modalität", "Modality"),
        ("Modalita\u0308t", "Modality"),
        ("MODALITAET", "Modality"),
        ("Modalities in Study", "Modality"),
        ("von", "From"),
        ("Bis", "Until"),
        ("QUERY_ID", "RowID"),
    ],
)
def test_spelling_does_not_matter(heading: str, name: str) -> None:
    assert places(BatchKind.QUERY, heading) == {name: 0}


def test_no_spelling_means_two_columns_of_one_kind() -> None:
    for columns in COLUMNS.values():
        spellings = [word for column in columns for word in {spelled(column.name), *column.spellings.split()}]
        assert len(spellings) == len(set(spellings))
    for column in BY_NAME.values():
        assert [spelled(word) for word in column.spellings.split()] == column.spellings.split()


def test_a_heading_that_is_nearly_known_is_suggested_and_not_read() -> None:
    found = matched(table("PatientID", "Modallity", "Remarks"), BatchKind.QUERY)
    assert "Modality" not in found.places
    (suggestion, *_) = found.problems
    assert (suggestion.column, suggestion.is_error) == ("column B", False)
    assert "Did you mean Modality?" in suggestion.sentence
    assert not any("Modallity" in problem.sentence for problem in found.problems)


def test_two_columns_of_one_name_are_refused() -> None:
    found = matched(table("PatientID", "Patient ID", "Modality"), BatchKind.QUERY)
    assert [(problem.column, problem.is_error) for problem in found.problems] == [("PatientID", True)]
    assert "A, B" in found.problems[0].sentence


@pytest.mark.parametrize(
    ("kind", "headings", "missing"),
    [
        (BatchKind.QUERY, ("PatientID", "Modality"), []),
        (BatchKind.QUERY, ("PatientName", "Geburtsdatum", "Accession"), []),
        (BatchKind.QUERY, ("PatientName", "Modality"), ["PatientBirthDate"]),
        (BatchKind.QUERY, ("PatientID",), ["AccessionNumber, or Modality"]),
        (BatchKind.QUERY, ("Pseudonym",), ["PatientID, or", "AccessionNumber, or"]),
        (BatchKind.TRANSFER, ("PatientID", "StudyInstanceUID"), []),
        (BatchKind.TRANSFER, ("AccessionNumber",), []),
        (BatchKind.TRANSFER, ("PatientID", "StudyDate", "Modality"), []),
        (BatchKind.TRANSFER, ("StudyInstanceUID",), ["StudyInstanceUID and PatientID"]),
    ],
)
def test_missing_columns_are_named(kind: BatchKind, headings: tuple[str, ...], missing: list[str]) -> None:
    found = matched(table(*headings), kind).problems
    assert len(found) == len(missing)
    for problem, words in zip(found, missing, strict=True):
        assert problem.is_error
        assert words in problem.sentence


def test_a_file_without_headings_is_told_without_quoting_its_first_patient() -> None:
    (problem,) = matched(table("0012345", "Doe, Jane", "CT"), BatchKind.QUERY).problems
    assert "first row must hold the headings" in problem.sentence
    assert "Doe" not in problem.sentence


def test_an_export_of_results_raises_no_suggestions_in_a_transfer() -> None:
    assert matched(table(*RESULTS), BatchKind.TRANSFER).problems == ()


def test_our_own_columns_and_empty_ones_are_no_unknown_columns() -> None:
    headings = ("PatientID", None, "Problems", "Verdict", "Modality", Trouble.MERGED)
    problems = matched(table(*headings), BatchKind.QUERY).problems
    assert [problem.column for problem in problems] == ["column F"]
