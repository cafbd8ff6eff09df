"""The columns of batch files: what they are called, how people spell them, and what may stand in them."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from models.domain.batches import BatchKind


class Meaning(StrEnum):
    """How the cells of a column are read."""

    IDENTIFIER = "identifier"
    TEXT = "text"
    DATE = "date"


@dataclass(frozen=True, slots=True)
class Column:
    """One column. ``spellings`` are further names, without case, spaces and signs; ``limit`` counts characters."""

    name: str
    explanation: str
    spellings: str = ""
    meaning: Meaning = Meaning.TEXT
    limit: int = 64
    allows_wildcards: bool = False
    example: str = ""


ROW_ID = "RowID"
PATIENT_ID = "PatientID"
PATIENT_NAME = "PatientName"
BIRTH_DATE = "PatientBirthDate"
ACCESSION_NUMBER = "AccessionNumber"
FROM, UNTIL = "From", "Until"
STUDY_DATE = "StudyDate"
MODALITY = "Modality"
STUDY_DESCRIPTION = "StudyDescription"
SERIES_DESCRIPTION = "SeriesDescription"
SERIES_NUMBER = "SeriesNumber"
STUDY_UID = "StudyInstanceUID"
SERIES_UID = "SeriesInstanceUID"
PSEUDONYM = "Pseudonym"
QUERY_RESULT = "QueryResult"
PROBLEMS, VERDICT = "Problems", "Verdict"
FOUND = "found"
"""What stands in the column ``QueryResult`` of an export where something was found."""

_ID, _DATE = Meaning.IDENTIFIER, Meaning.DATE
_ALL = (
    Column(
        ROW_ID,
        "A name or number of your own for the row. It comes back in every result.",
        "queryid transferid rowno rownumber zeilenid zeilennummer",
        allows_wildcards=True,
        example="1",
    ),
    Column(
        PATIENT_ID,
        "The ID of the patient, in full.",
        "patid patientid pid mrn patientidentifier patientnumber patientno patientnr medicalrecordnumber patientsid "
        "patientenid patientennummer patientennr patnr patientid",
        _ID,
        example="0012345",
    ),
    Column(
        PATIENT_NAME,
        "The name of the patient: Last, First.",
        "name patientsname patientname fullname patientenname nachnamevorname namevorname",
        limit=324,
        example="Doe, Jane",
    ),
    Column(
        BIRTH_DATE,
        "The birth date of the patient.",
        "birthdate dateofbirth dob birthday patientsbirthdate patientbirthday geburtsdatum gebdatum geburtstag gebdat",
        _DATE,
        example="1970-12-31",
    ),
    Column(
        ACCESSION_NUMBER,
        "The accession number of the study, in full.",
        "accession accessionno accessionnr accessionnum accno accnr accnumber accessionid acc "
        "zugangsnummer anforderungsnummer auftragsnummer untersuchungsnummer",
        _ID,
        limit=32,
        example="0004711",
    ),
    Column(
        FROM,
        "The first study date that is wanted.",
        "fromdate datefrom studydatefrom startdate since begin von ab datumvon vondatum studydatestart",
        _DATE,
        example="2020-01-01",
    ),
    Column(
        UNTIL,
        "The last study date that is wanted.",
        "to todate dateto till untildate dateuntil enddate studydateuntil studydateto studydateend "
        "bis datumbis bisdatum",
        _DATE,
        example="2023-12-31",
    ),
    Column(
        STUDY_DATE,
        "The date of the study.",
        "date examdate studyday examinationdate datum studiendatum untersuchungsdatum",
        _DATE,
        example="2023-05-17",
    ),
    Column(
        MODALITY,
        "One modality or several, with commas between them.",
        "modalities modalitiesinstudy modalityinstudy modalitaet modalitaeten mod",
        limit=400,
        example="CT, MR",
    ),
    Column(
        STUDY_DESCRIPTION,
        "The description of the study; * and ? stand for any characters.",
        "studydesc studienbeschreibung untersuchungsbeschreibung",
        allows_wildcards=True,
        example="*thorax*",
    ),
    Column(
        SERIES_DESCRIPTION,
        "The description of the series; * and ? stand for any characters. Series are then listed, not studies.",
        "seriesdesc serienbeschreibung",
        allows_wildcards=True,
    ),
    Column(
        SERIES_NUMBER,
        "One number of a series or several, with commas between them. Series are then listed, not studies.",
        "seriesnumbers seriesno seriesnr seriennummer seriennr",
        limit=400,
    ),
    Column(
        STUDY_UID,
        "The UID of the study.",
        "studyuid studyiuid studyinstanceuids studienuid studieninstanzuid studyinstanceid",
        _ID,
        example="1.2.840.113619.2.1.1",
    ),
    Column(
        SERIES_UID,
        "The UID of a series, or several with commas between them. Empty means the whole study.",
        "seriesuid seriesuids seriesinstanceuids seriesiuid serienuid serieninstanzuid seriesinstanceid",
        _ID,
        limit=6500,
    ),
    Column(
        PSEUDONYM,
        "What replaces the patient's name and ID. Empty means that one is generated.",
        "pseudonyms pseudonyme pseudo pseudonymid pseudonymisedid pseudonymizedid patientpseudonym",
        _ID,
        example="P-001",
    ),
    Column(QUERY_RESULT, "Written by exports of batch queries: rows that found nothing are skipped.", limit=1000),
)
BY_NAME: Mapping[str, Column] = {column.name: column for column in _ALL}
_OF_QUERIES = (
    ROW_ID,
    PATIENT_ID,
    PATIENT_NAME,
    BIRTH_DATE,
    ACCESSION_NUMBER,
    FROM,
    UNTIL,
    STUDY_DATE,
    MODALITY,
    STUDY_DESCRIPTION,
    SERIES_DESCRIPTION,
    SERIES_NUMBER,
    PSEUDONYM,
)
_OF_TRANSFERS = (
    ROW_ID,
    PATIENT_ID,
    STUDY_UID,
    SERIES_UID,
    PSEUDONYM,
    ACCESSION_NUMBER,
    STUDY_DATE,
    MODALITY,
    QUERY_RESULT,
)
COLUMNS: Mapping[BatchKind, tuple[Column, ...]] = {
    BatchKind.QUERY: tuple(BY_NAME[name] for name in _OF_QUERIES),
    BatchKind.TRANSFER: tuple(BY_NAME[name] for name in _OF_TRANSFERS),
}
RESULTS = (
    PSEUDONYM,
    PATIENT_ID,
    PATIENT_NAME,
    "BirthDate",
    "ModalitiesInStudy",
    STUDY_DATE,
    "StudyTime",
    STUDY_DESCRIPTION,
    "NumberOfStudyRelatedInstances",
    ACCESSION_NUMBER,
    STUDY_UID,
    SERIES_UID,
    SERIES_DESCRIPTION,
    SERIES_NUMBER,
    "Source",
    ROW_ID,
    "Line",
    QUERY_RESULT,
)
"""The columns of an export of query results; a batch transfer reads those that it knows."""
OWN = (PROBLEMS, VERDICT)
"""Columns that we write into a copy of a file. They are not read, and written anew."""
