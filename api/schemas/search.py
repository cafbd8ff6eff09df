"""Searches: keys of patients stand in bodies, never in addresses."""

from typing import Annotated

from pydantic import ConfigDict, Field

from api.schemas.shapes import Answer, NodeWish, Request, Text, Uid
from models.domain.refs import PatientQuery, StudyQuery

MOST_FOUND = 10_000

_Limit = Annotated[int, Field(strict=True, ge=1, le=MOST_FOUND, description="How many to find at most.")]
_Date = Annotated[
    Text, Field(description="YYYYMMDD, or a range like 20240101-20240131.", examples=["20240101-20240131"])
]
_Source = Annotated[NodeWish | None, Field(description="May be left out by who has only one source.")]


class PatientKeys(Request):
    """Which patients are looked for; what is empty matches all. ``*`` and ``?`` are wildcards."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"source": "PACS", "patient_name": "Doe, John"}]})

    source: _Source = None
    patient_id: Text = ""
    patient_name: Text = Field(default="", examples=["Doe, John"])
    birth_date: _Date = ""
    limit: _Limit = 200

    def query(self) -> PatientQuery:
        """The keys as services take them."""
        return PatientQuery(self.patient_id, self.patient_name, self.birth_date)


class StudyKeys(Request):
    """Which studies are looked for; what is empty matches all. ``*`` and ``?`` are wildcards."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"source": "PACS", "patient_id": "1001", "modalities": ["CT"], "limit": 50}]}
    )

    source: _Source = None
    study_uid: Text = ""
    patient_id: Text = ""
    patient_name: Text = Field(default="", examples=["Doe, John"])
    birth_date: _Date = ""
    accession_number: Text = ""
    study_date: _Date = ""
    study_time: Text = Field(default="", description="HHMM, or a range like 0800-1200.")
    study_description: Text = ""
    modalities: Annotated[list[Text], Field(fail_fast=True, max_length=20)] = Field(default=[])
    limit: _Limit = 200

    def query(self) -> StudyQuery:
        """The keys as services take them."""
        keys = self.model_dump(exclude={"source", "limit", "modalities"})
        return StudyQuery(**keys, modalities=tuple(self.modalities))


class SeriesKeys(Request):
    """The study of which the series are listed."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"source": "PACS", "study_uid": "1.2.840.113619.2.55.3"}]}
    )

    source: _Source = None
    study_uid: Uid
    patient_id: Text = Field(default="", description="Needed by servers that know no study without its patient.")


class PatientShown(Answer):
    """A patient as the server lists them."""

    patient_id: str
    patient_name: str
    birth_date: str
    sex: str


class StudyShown(Answer):
    """A study as the server lists it; counts are null where it tells none."""

    study_uid: str
    patient_id: str
    patient_name: str
    birth_date: str
    accession_number: str
    study_date: str
    study_time: str
    study_description: str
    modalities: list[str]
    series_count: int | None
    instance_count: int | None


class SeriesShown(Answer):
    """A series as the server lists it."""

    study_uid: str
    series_uid: str
    modality: str
    number: str
    description: str
    instance_count: int | None


class PatientsFound(Answer):
    """What was found. ``has_more``: the server has more than that, as far as it tells."""

    results: list[PatientShown]
    count: int
    has_more: bool


class StudiesFound(Answer):
    """What was found. ``has_more``: the server has more than that, as far as it tells."""

    results: list[StudyShown]
    count: int
    has_more: bool


class SeriesFoundThere(Answer):
    """The series of a study."""

    results: list[SeriesShown]
    count: int
    has_more: bool = False


class SearchEnd(Answer):
    """How a streamed search has ended."""

    count: int
    has_more: bool
