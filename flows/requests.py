"""What may be asked for when a transfer is started in Prefect itself: ids only, since Prefect keeps its parameters.

Patients and pseudonyms have no place here: patients keep the pseudonyms that they have in the trial, or get generated
ones. Whoever can start a flow run has Prefect's password, and acts in the name of an account with its rights.
"""

from typing import Annotated

from prefect.runtime import flow_run
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from models.db.engine import Database
from models.domain.jobs import Job, JobKind
from models.domain.refs import UID_PATTERN
from models.domain.requests import StudyWish, TransferRequest
from models.settings import Settings
from services import jobs, nodes
from services.people import actors

StudyUid = Annotated[str, StringConstraints(pattern=rf"^{UID_PATTERN.pattern}$", max_length=64)]


class RequestedTransfer(BaseModel):
    """A transfer of studies, in the name of a user."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, str_strip_whitespace=True)

    owner: str = Field(min_length=1, max_length=150, description="The username in whose name and with whose rights.")
    study_uids: list[StudyUid] = Field(min_length=1, description="The Study Instance UIDs.")
    destination: str = Field(min_length=1, description="The server or folder to send to: its name or AE title.")
    source: str = Field(
        default="", description="The server to take from: its name or AE title. Empty: the only one the owner may use."
    )
    trial_protocol_id: str = Field(default="", max_length=64, description="Jobs of one trial share their pseudonyms.")
    trial_protocol_name: str = Field(default="", max_length=64)
    profile: str = Field(default="", description="The de-identification profile. Empty: that of the settings.")
    urgent: bool = False
    convert_to_nifti: bool = Field(default=False, description="A folder gets NIfTI files instead of DICOM files.")
    send_finished_mail: bool = Field(default=False, description="Whether the owner gets a mail at the end.")


def accepted(db: Database, settings: Settings, kind: JobKind, request: RequestedTransfer, run_id: str) -> Job:
    """The job of a flow run's request, on which this run works; the same one when the run is begun again.

    Raises NotFound or NotPermitted for an owner who cannot sign in, and whatever ``jobs.submit`` refuses; then there is
    no job.
    """
    actor = actors.of_name(db, request.owner, address="Prefect")
    transfer = TransferRequest(
        kind=kind,
        source_id=nodes.chosen_source(db, actor, request.source or None).id,
        destination_id=nodes.chosen_destination(db, actor, request.destination).id,
        studies=tuple(StudyWish(study_uid) for study_uid in request.study_uids),
        trial_protocol_id=request.trial_protocol_id,
        trial_protocol_name=request.trial_protocol_name,
        urgent=request.urgent,
        profile=request.profile,
        send_finished_mail=request.send_finished_mail,
        convert_to_nifti=request.convert_to_nifti,
    )
    return jobs.submit(db, settings, actor, transfer, idempotency_key=f"flow run {run_id}", flow_run_id=run_id)


def run_name() -> str:
    """What a run of a transfer is called in Prefect: after its job, where that is known beforehand."""
    job_id = flow_run.get_parameters().get("job_id")
    return f"{flow_run.get_flow_name()}-job-{job_id}" if job_id else f"{flow_run.get_flow_name()}-requested"
