"""Jobs, their items and receipts."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field

from api.schemas.search import SeriesShown, StudyShown
from api.schemas.shapes import Answer, Flag, Id, NodeWish, Request, Text, Uid
from models.domain.jobs import Item, ItemAction, Job, JobAction, JobKind, State
from models.domain.previews import Preview, PreviewedStudy
from models.domain.receipts import Completeness, Receipt
from models.domain.requests import StudyWish, TransferRequest

MOST_STUDIES = 20_000

_EXAMPLE: dict[str, Any] = {
    "kind": "selective_transfer",
    "source": "PACS",
    "destination": "RESEARCH",
    "studies": [{"study_uid": "1.2.840.113619.2.55.3", "pseudonym": "TRIAL-007"}],
    "trial_protocol_id": "TRIAL",
}


class StudyWished(Request):
    """One study to move, or some series of it."""

    study_uid: Uid
    patient_id: Text = Field(default="", description="If given, the study must belong to this patient.")
    series_uids: Annotated[list[Uid], Field(fail_fast=True, max_length=1000)] = Field(
        default=[], description="Empty: all series."
    )
    pseudonym: Text = Field(default="", description="Empty: that of the patient in the trial, else a generated one.")

    def wish(self) -> StudyWish:
        """The same as services take it."""
        return StudyWish(self.study_uid, self.patient_id, tuple(self.series_uids), self.pseudonym)


class Wished(Request):
    """What both a job and its plan need."""

    source: NodeWish | None = Field(default=None, description="May be left out by who has only one source.")
    destination: NodeWish | None = Field(default=None, description="May be left out by who has only one destination.")
    profile: Text = Field(default="", description="The de-identification profile; empty: that of the settings.")
    keep_identity: Flag = Field(default=False, description="Move the studies as they are, with their patients.")
    convert_to_nifti: Flag = Field(default=False, description="A folder gets NIfTI files instead of DICOM files.")


class JobWished(Wished):
    """A transfer to accept as a job."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    kind: Literal["selective_transfer", "batch_transfer"] = "selective_transfer"
    studies: Annotated[list[StudyWished], Field(fail_fast=True, min_length=1, max_length=MOST_STUDIES)]
    trial_protocol_id: Text = Field(default="", description="Jobs of one trial share their pseudonyms.")
    trial_protocol_name: Text = ""
    urgent: Flag = False
    send_finished_mail: Flag = False

    def request(self, source_id: int, destination_id: int) -> TransferRequest:
        """The same as services take it."""
        return TransferRequest(
            kind=JobKind(self.kind),
            source_id=source_id,
            destination_id=destination_id,
            studies=tuple(study.wish() for study in self.studies),
            trial_protocol_id=self.trial_protocol_id,
            trial_protocol_name=self.trial_protocol_name,
            urgent=self.urgent,
            profile=self.profile,
            keep_identity=self.keep_identity,
            send_finished_mail=self.send_finished_mail,
            convert_to_nifti=self.convert_to_nifti,
        )


class PlanWished(Wished):
    """Studies of which the plan is asked, without a job."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"source": "PACS", "destination": "RESEARCH", "studies": [{"study_uid": "1.2.840.113619.2.55.3"}]}
            ]
        }
    )

    studies: Annotated[list[StudyWished], Field(fail_fast=True, min_length=1, max_length=200)]


class PlannedSeries(Answer):
    """A series that would be moved; ``size_bytes`` is a rough estimate."""

    series: SeriesShown
    instance_count: int | None
    size_bytes: int
    note: str


class LeftOut(Answer):
    """A series that would not be moved, and why."""

    series: SeriesShown
    reason: str


class PlannedStudy(Answer):
    """What would become of one study; ``problem`` says why nothing of it could be moved."""

    study_uid: str
    study: StudyShown | None
    series: list[PlannedSeries]
    left_out: list[LeftOut]
    problem: str
    instance_count: int | None
    size_bytes: int

    @classmethod
    def of(cls, planned: PreviewedStudy) -> Self:
        """What is shown of the plan of one study."""
        return cls(
            study_uid=planned.wish.study_uid,
            study=planned.study and StudyShown.model_validate(planned.study),
            series=[PlannedSeries.model_validate(series) for series in planned.series],
            left_out=[LeftOut.model_validate(series) for series in planned.left_out],
            problem=planned.problem,
            instance_count=planned.instance_count,
            size_bytes=planned.size_bytes,
        )


class Plan(Answer):
    """What would become of every study, in the order of the request."""

    studies: list[PlannedStudy]
    problems: list[str]
    instance_count: int | None
    size_bytes: int
    has_room: bool = Field(description="Whether the quota of a destination folder has room for about so much.")

    @classmethod
    def of(cls, preview: Preview) -> Self:
        """What is shown of a plan."""
        return cls(
            studies=[PlannedStudy.of(study) for study in preview.studies],
            problems=list(preview.problems),
            instance_count=preview.instance_count,
            size_bytes=preview.size_bytes,
            has_room=preview.has_room,
        )


class JobShown(Answer):
    """A job, with how many of its items are in which state."""

    id: int
    kind: JobKind
    state: State
    owner: str
    urgent: bool
    message: str
    trial_protocol_id: str
    trial_protocol_name: str
    profile: str = Field(description="Empty where the identity is kept.")
    keep_identity: bool
    convert_to_nifti: bool
    send_finished_mail: bool
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    counts: dict[State, int] = Field(examples=[{"success": 3, "failure": 1}])

    @classmethod
    def of(cls, job: Job, counts: Mapping[State, int]) -> Self:
        """What is shown of a job."""
        return cls(**fields_of(job, counts))


class Route(Answer):
    """From where to where a job moves; without a destination it only looks."""

    source_id: int
    source: str
    destination_id: int | None
    destination: str


class JobDetails(JobShown):
    """A job with all that one page of it tells."""

    nodes: list[Route]
    actions: list[JobAction] = Field(description="What the caller may do to it as it is now.")
    flow_run_url: str = Field(description="Its page in Prefect, for staff; empty before it has one.")


def fields_of(job: Job, counts: Mapping[State, int]) -> dict[str, Any]:
    """The fields of a shown job."""
    shown = {name: getattr(job, name) for name in JobShown.model_fields if name != "counts"}
    return {**shown, "counts": {state: count for state, count in counts.items() if count}}


class ItemShown(Answer):
    """One study of a job. ``patient_id`` is empty for all but the owner, UIDs for who sees the job through a group."""

    id: int
    job_id: int
    position: int
    state: State
    source_id: int
    destination_id: int | None = Field(description="null where nothing is moved.")
    patient_id: str
    study_uid: str
    series_uids: list[str]
    pseudonym: str
    attempts: int
    message: str
    error_code: str = Field(description="Empty, or the kind of the last error.", examples=["Unreachable"])
    not_before_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None


class ItemDetails(ItemShown):
    """One item, with what the caller may do to it as it is now."""

    actions: list[ItemAction]

    @classmethod
    def of_item(cls, item: Item, actions: frozenset[ItemAction]) -> Self:
        """What is shown of an item."""
        shown = ItemShown.model_validate(item).model_dump()
        return cls(**shown, actions=sorted(actions))


class ReceiptShown(Answer):
    """The proof of one item: SOP Instance UIDs of the source. ``expected`` is null where the source lists none."""

    job_id: int
    item_id: int
    position: int
    state: State
    study_uid: str
    verdict: Completeness
    announced_count: int | None
    size_bytes: int
    destination_confirms: bool
    expected: list[str] | None
    received: list[str]
    stored: list[str]
    confirmed: list[str]
    missing: list[str]
    surplus: list[str]
    left_out: dict[str, str] = Field(description="The reason for each instance that was not sent on.")
    left_out_series: dict[str, str]
    held: dict[str, str] = Field(description="Why each instance waits for a review.")
    refused: dict[str, str] = Field(description="The status for each that the destination did not take.")
    stored_with_warning: dict[str, str]
    sha256: dict[str, str]
    files: dict[str, str] = Field(description="The SHA-256 of NIfTI files by their names within the study.")

    @classmethod
    def of(cls, item: Item, receipt: Receipt) -> Self:
        """What is shown of a receipt."""
        return cls(
            job_id=item.job_id,
            item_id=item.id,
            position=item.position,
            state=item.state,
            study_uid=item.study_uid,
            verdict=receipt.verdict,
            announced_count=receipt.announced_count,
            size_bytes=receipt.size_bytes,
            destination_confirms=receipt.is_confirmable,
            expected=None if receipt.expected is None else sorted(receipt.expected),
            received=sorted(receipt.received),
            stored=sorted(receipt.stored),
            confirmed=sorted(receipt.confirmed),
            missing=sorted(receipt.missing),
            surplus=sorted(receipt.surplus),
            left_out=receipt.left_out,
            left_out_series=receipt.left_out_series,
            held=receipt.held,
            refused=receipt.refused,
            stored_with_warning=receipt.stored_with_warning,
            sha256=receipt.digests,
            files=receipt.files,
        )


class Hurry(Request):
    """Whether a job goes before others."""

    urgent: Flag = True


class HeldShown(Answer):
    """An instance that waits for a review. It stands in the source; what is released goes to the destination."""

    job_id: int
    item_id: int
    position: int
    study_uid: str
    sop_uid: str
    reason: str
    source_id: int
    destination_id: int


class HeldCount(Answer):
    """How many instances of a job are held."""

    job_id: int
    count: int


class Review(Request):
    """A decision about held instances of one item."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"item_id": 7, "sop_uids": None, "reason": "No burned-in text visible."}]}
    )

    item_id: Id
    sop_uids: Annotated[list[Uid], Field(fail_fast=True, min_length=1, max_length=10_000)] | None = Field(
        default=None, description="null: all that are held."
    )
    reason: Text = Field(description="Why, in 10 to 500 characters; it stands in the audit trail.")
