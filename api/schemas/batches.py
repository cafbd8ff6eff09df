"""Batch files: what is sent with one, what is wrong with it, and what became of its rows."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, ConfigDict, Field

from api.forms import FormFile
from api.schemas.places import UsageShown
from api.schemas.search import SeriesShown, StudyShown
from api.schemas.shapes import Answer, Flag, NodeWish, Request, Text
from models.domain.answers import CheckedRow, ResultRow, RowVerdict, Tally
from models.domain.batch_requests import BatchFile, BatchQueryRequest, BatchTransferRequest
from models.domain.batches import BatchKind, BatchQueryRow, BatchTransferRow, Problem, Weight
from models.domain.jobs import State
from services.batches.checks import Outcome

_MOST_SOURCES = 50
_PROJECT: dict[str, Any] = {"project_name": "Lung study", "project_description": "Nodules over time."}
_LongText = Annotated[str, Field(max_length=10_000, pattern=r"^[^\x00]*$")]


def _number_or_name(value: Any) -> Any:
    """Everything in a form is text, also the id of a node."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 10 else value


_Node = Annotated[NodeWish, BeforeValidator(_number_or_name)]
_FormFlag = Annotated[bool, Field(description="`true` or `false`.")]


class Form(StrEnum):
    """An empty file with the headings, or one with rows about people who do not exist."""

    TEMPLATE = "template"
    SAMPLE = "sample"


class Ending(StrEnum):
    """The kinds of files that are written."""

    XLSX = "xlsx"
    CSV = "csv"


class FileWished(Request):
    """A file to look at; nothing is kept of it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"file": "(the file)", "kind": "query"}]})

    file: FormFile
    kind: BatchKind
    sheet: Text = Field(default="", description="The sheet to read; empty: the first visible one.")


class _Submitted(Request):
    """What is sent with every batch file that becomes a job."""

    file: FormFile
    sheet: Text = Field(default="", description="The sheet to read; empty: the first visible one.")
    project_name: Text = Field(default="", description="Needed: what the data is for, at most 150 characters.")
    project_description: _LongText = Field(default="", description="Needed: the same in some sentences, at most 2000.")
    urgent: _FormFlag = False
    send_finished_mail: _FormFlag = False


class BatchQueryWished(_Submitted):
    """A batch query."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"file": "(the file)", "sources": ["PACS"], **_PROJECT}]})

    sources: Annotated[list[_Node], Field(fail_fast=True, max_length=_MOST_SOURCES)] = Field(
        default=[], description="The servers to ask, repeated for several; may be left out by who has only one source."
    )

    def request(self, rows: tuple[BatchQueryRow, ...], file: BatchFile, source_ids: list[int]) -> BatchQueryRequest:
        """The same as services take it."""
        return BatchQueryRequest(
            rows,
            tuple(source_ids),
            self.project_name,
            self.project_description,
            file,
            urgent=self.urgent,
            send_finished_mail=self.send_finished_mail,
        )


class BatchCheckWished(_Submitted):
    """A batch transfer, whose rows are checked first; nothing is moved by that."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "file": "(the file)",
                    "source": "PACS",
                    "destination": "RESEARCH",
                    **_PROJECT,
                    "ethics_application_id": "S-1/2026",
                }
            ]
        }
    )

    source: _Node | None = Field(default=None, description="May be left out by who has only one source.")
    destination: _Node | None = Field(default=None, description="May be left out by who has only one destination.")
    ethics_application_id: Text = Field(default="", description="Needed: the approval, at most 100 characters.")
    trial_protocol_id: Text = Field(default="", description="Jobs of one trial share their pseudonyms.")
    trial_protocol_name: Text = ""
    profile: Text = Field(default="", description="The de-identification profile; empty: that of the settings.")
    keep_identity: _FormFlag = Field(default=False, description="Move the studies as they are, with their patients.")
    convert_to_nifti: _FormFlag = Field(default=False, description="A folder gets NIfTI files instead of DICOM files.")
    generate_pseudonyms: _FormFlag = Field(default=False, description="Rows without a pseudonym get one.")

    def request(
        self, rows: tuple[BatchTransferRow, ...], file: BatchFile, source_id: int, destination_id: int
    ) -> BatchTransferRequest:
        """The same as services take it."""
        taken = self.model_dump(exclude={"file", "sheet", "source", "destination"})
        return BatchTransferRequest(rows, source_id, destination_id, file=file, **taken)


class ProblemShown(Answer):
    """What is wrong in one place of a file. ``row`` is the line of the spreadsheet, 0 for the whole file."""

    row: int
    column: str = Field(description="Empty where the whole row is meant.", examples=["PatientID"])
    sentence: str = Field(description="It never quotes what stands in the cell.")
    weight: Weight = Field(description="Errors keep a file from being accepted, warnings do not.")

    @classmethod
    def of(cls, problem: Problem) -> Self:
        """What is shown of a problem."""
        return cls.model_validate(problem)


class FileChecked(Answer):
    """What was read of a file."""

    rows: int = Field(description="How many rows have no error.")
    is_good: bool = Field(description="Whether it would be accepted.")
    sheets: list[str] = Field(description="The sheets that may be chosen, the one that was read first.")
    problems: list[ProblemShown]


class ResultShown(Answer):
    """A study or series that a server has for a row; or why there is none, then ``study`` is null."""

    item_id: int
    lines: list[int] = Field(description="The lines of the file that asked.")
    row_id: str
    source_id: int
    state: State
    message: str
    pseudonym: str
    study: StudyShown | None
    series: SeriesShown | None
    instance_count: int | None

    @classmethod
    def of(cls, row: ResultRow) -> Self:
        """What is shown of a result."""
        answer = row.answer
        return cls(
            item_id=row.item_id,
            lines=list(row.lines),
            row_id=row.row_id,
            source_id=row.source_id,
            state=row.state,
            message=row.message,
            pseudonym=row.pseudonym,
            study=answer and StudyShown.model_validate(answer.study),
            series=answer and answer.series and SeriesShown.model_validate(answer.series),
            instance_count=answer and answer.instance_count,
        )


class TallyShown(Answer):
    """How many studies have a verdict, and of the found ones about how much they are."""

    studies: int
    instances: int
    size_bytes: int
    uncounted: int = Field(description="Studies of which the source does not tell how many instances they have.")


class OutcomeShown(Answer):
    """What a check has found so far."""

    job_id: int
    state: State
    has_ended: bool = Field(description="Whether a transfer can be made of it.")
    verdicts: dict[RowVerdict, TallyShown]
    waiting: int = Field(description="Studies that nobody has looked at yet.")
    instances: int = Field(description="How many would be moved.")
    size_bytes: int = Field(description="About how much would be moved.")
    has_room: bool = Field(description="Whether the quota of a destination folder has room for about so much.")
    usage: UsageShown | None = Field(description="How full the destination folder is; null for a server.")
    transfer_id: int | None = Field(description="The job that was made of it.")

    @classmethod
    def of(cls, outcome: Outcome) -> Self:
        """What is shown of an outcome."""
        return cls(
            job_id=outcome.job.id,
            state=outcome.job.state,
            has_ended=outcome.has_ended,
            verdicts=_tallies(outcome.of),
            waiting=outcome.waiting,
            instances=outcome.instances,
            size_bytes=outcome.size_bytes,
            has_room=outcome.has_room,
            usage=outcome.usage and UsageShown.of(outcome.usage),
            transfer_id=outcome.transfer_id,
        )


class CheckedRowShown(Answer):
    """What a check says of the rows of one study; ``verdict`` is null as long as nobody has looked."""

    item_id: int
    lines: list[int]
    row_id: str
    verdict: RowVerdict | None
    sentence: str
    pseudonym: str
    study: StudyShown | None
    series: list[SeriesShown] = Field(description="Those that would be moved.")
    instance_count: int | None
    size_bytes: int

    @classmethod
    def of(cls, row: CheckedRow) -> Self:
        """What is shown of the rows of a study."""
        return cls.model_validate(row)


class CheckedTransfer(Request):
    """What of a check shall be transferred."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"leave_out": ["not_found"], "again": False}]})

    leave_out: Annotated[list[RowVerdict], Field(fail_fast=True, max_length=len(RowVerdict))] = Field(
        default=[],
        description="Verdicts whose rows shall be left out. All but `found` have to be named, if there are any.",
    )
    again: Flag = Field(default=False, description="Move also what is at the destination already.")


def _tallies(found: Mapping[RowVerdict, Tally]) -> dict[RowVerdict, TallyShown]:
    return {verdict: TallyShown.model_validate(tally) for verdict, tally in found.items()}
