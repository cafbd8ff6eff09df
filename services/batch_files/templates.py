"""Empty files to fill in, and samples that show how rows may look."""

from collections.abc import Sequence

from models.domain.batches import BatchKind
from services.batch_files.columns import COLUMNS, QUERY_RESULT
from services.batch_files.tables import FileKind
from services.batch_files.writing import Download, write

_SAMPLES: dict[BatchKind, tuple[dict[str, str], ...]] = {
    BatchKind.QUERY: (
        {"RowID": "1", "PatientID": "0012345", "From": "2020-01-01", "Until": "2023-12-31", "Modality": "CT, MR"},
        {"RowID": "2", "PatientName": "Doe, Jane", "PatientBirthDate": "1970-12-31", "Modality": "CT"},
        {"RowID": "3", "PatientID": "0067890", "AccessionNumber": "0004711", "Pseudonym": "P-002"},
        {"RowID": "4", "PatientID": "0067890", "Modality": "MR", "StudyDescription": "*head*", "Pseudonym": "P-002"},
        {"RowID": "5", "PatientID": "0012345", "Modality": "CT", "SeriesDescription": "*lung*", "SeriesNumber": "2, 3"},
    ),
    BatchKind.TRANSFER: (
        {"RowID": "1", "PatientID": "0012345", "StudyInstanceUID": "1.2.840.99999.1", "Pseudonym": "P-001"},
        {
            "RowID": "2",
            "PatientID": "0067890",
            "StudyInstanceUID": "1.2.840.99999.2",
            "SeriesInstanceUID": "1.2.840.99999.2.1",
            "Pseudonym": "P-002",
        },
        {"RowID": "3", "PatientID": "0067890", "AccessionNumber": "0004711", "Pseudonym": "P-002"},
        {"RowID": "4", "PatientID": "0012345", "StudyDate": "2023-05-17", "Modality": "CT", "Pseudonym": "P-001"},
    ),
}


def template(kind: BatchKind, file_kind: FileKind) -> Download:
    """A file with nothing but headings."""
    return write(f"batch_{kind.value}_template", file_kind, names(kind), [])


def sample(kind: BatchKind, file_kind: FileKind) -> Download:
    """A file that would be accepted, about people who do not exist."""
    headings = names(kind)
    rows = [[row.get(heading, "") for heading in headings] for row in _SAMPLES[kind]]
    return write(f"batch_{kind.value}_sample", file_kind, headings, rows)


def names(kind: BatchKind) -> Sequence[str]:
    """The columns that people may fill in, in the order of the documentation."""
    return [column.name for column in COLUMNS[kind] if column.name != QUERY_RESULT]
