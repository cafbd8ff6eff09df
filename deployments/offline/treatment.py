"""Treats the instances of one study; runs in worker processes, each of which reads the linkage key for itself."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pydicom import Dataset

from deployments import installation
from deployments.offline.outcomes import Fate, Outcome, of_error
from deployments.offline.survey import Found, Study, instance_in
from dicom.deid.engine import Deidentifier
from dicom.deid.identity import Heading, check_identity
from dicom.deid.keys import LinkageKey
from dicom.deid.policy import Policy
from dicom.files import layout
from dicom.files.folder import StagedStudy
from dicom.quiet import silence_libraries
from models.db.engine import open_database
from models.domain.errors import FOLDER_HELD, AditError, TargetError
from models.domain.instances import EncodedInstance
from models.domain.refs import StudyRef
from services import profiles, pseudonyms

_STUDIES_AT_ONCE = 2
STAGING_PREFIX = "offline-"
"""Of the keys under which studies of this tool are staged."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is the same for all files: where they are and go, and by which rules; holds no secret."""

    source: Path
    destination: Path
    profile: str
    scope_id: int
    trial_protocol_id: str
    trial_protocol_name: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a study goes: names made of what is left after treatment; ``series`` by the new Series Instance UID."""

    patient_folder: str
    study_folder: str
    staging_key: str
    series: Mapping[str, str]
    files: Mapping[str, str]
    """Names of files, by the paths of the instances."""

    def staged(self, destination: Path) -> StagedStudy:
        """The study on its way into the output folder."""
        return StagedStudy(
            destination=destination,
            folder_name=str(destination),
            job_folder="",
            patient_folder=self.patient_folder,
            study_folder=self.study_folder,
            staging_key=self.staging_key,
            series_folder=self.series.__getitem__,
        )

    @property
    def names(self) -> tuple[str, ...]:
        return self.patient_folder, self.study_folder, *self.series.values()


@dataclass(frozen=True, slots=True)
class Batch:
    """Some instances of one study, and the pseudonym of its patient."""

    pseudonym: str
    place: Place
    instances: tuple[Found, ...]


class Treatment:
    """The engine with all it needs; one for each process."""

    def __init__(self, task: Task, policy: Policy, key: LinkageKey) -> None:
        self._task = task
        self._policy = policy
        self._key = key
        self._of_patient = lru_cache(maxsize=_STUDIES_AT_ONCE)(self._deidentifier)

    def place_of(self, study: Study, pseudonym: str) -> Place:
        """Where a study goes. One study of one scope always goes to the same place, so that runs can be repeated.

        Every name is made of treated values; number and modality of a series are those of its first instance.
        """
        deidentifier = self._of_patient(pseudonym)
        headers: dict[str, Dataset] = {}
        numbers: dict[str, str] = {}
        for found in study.instances:
            uid = deidentifier.uid(found.heading.series_uid)
            if uid not in headers:
                headers[uid] = deidentifier.dataset(_header(found.heading))
                numbers[uid] = found.heading.series_number
        first = next(iter(headers.values()))
        study_uid = deidentifier.uid(study.heading.study_uid)
        return Place(
            patient_folder=layout.patient_folder(pseudonym),
            study_folder=layout.study_folder(_text(first, "StudyDate"), _text(first, "StudyTime"), (), study_uid),
            staging_key=f"{STAGING_PREFIX}{hashlib.sha256(f'{pseudonym} {study_uid}'.encode()).hexdigest()}",
            files={found.path: layout.instance_file(deidentifier.uid(found.sop_uid)) for found in study.instances},
            series={
                uid: layout.series_folder(numbers[uid], _text(header, "Modality"), "", uid)
                for uid, header in headers.items()
            },
        )

    def treat(self, batch: Batch) -> list[Outcome]:
        """Stage the instances of a batch and return what has become of each.

        Raises TargetError, FolderFull or FolderGone for the output.
        """
        staged = batch.place.staged(self._task.destination)
        return [self._treat(found, batch, staged) for found in batch.instances]

    def _treat(self, found: Found, batch: Batch, staged: StagedStudy) -> Outcome:
        try:
            instance = instance_in(self._task.source / found.path)
            check_identity(instance, StudyRef(found.heading.study_uid, found.heading.patient_id))
            treated = self._of_patient(batch.pseudonym).instance(instance)
            self._check_names(batch, treated)
            staged.write(treated)
        except (TargetError, *FOLDER_HELD):
            raise
        except AditError as error:
            return of_error(found.path, error)
        series = batch.place.series[self._of_patient(batch.pseudonym).uid(found.heading.series_uid)]
        output = staged.path.relative_to(self._task.destination) / series / layout.instance_file(treated.sop_uid)
        return Outcome(found.path, Fate.DONE, output=str(output))

    def _check_names(self, batch: Batch, treated: EncodedInstance) -> None:
        for name in (*batch.place.names, layout.instance_file(treated.sop_uid)):
            self._of_patient(batch.pseudonym).check_name(name)

    def _deidentifier(self, pseudonym: str) -> Deidentifier:
        return Deidentifier(
            self._policy, self._key, pseudonym, self._task.trial_protocol_id, self._task.trial_protocol_name
        )


def _header(heading: Heading) -> Dataset:
    """What of an instance its place is named after."""
    header = Dataset()
    header.PatientID, header.StudyInstanceUID = heading.patient_id, heading.study_uid
    header.StudyDate, header.StudyTime = heading.study_date, heading.study_time
    header.Modality = heading.modality
    return header


def _text(header: Dataset, keyword: str) -> str:
    return str(header.get(keyword) or "")


def opened(data_dir: Path | None, task: Task) -> Treatment:
    """The treatment with the scope's key from the installation's database; raises like ``open_database``."""
    silence_libraries()
    settings = installation.open_settings(data_dir)
    policy = profiles.policy_now(settings, task.profile)
    return Treatment(task, policy, pseudonyms.linkage_key(open_database(settings), task.scope_id))


_in_this_process: list[Treatment] = []


def begin(data_dir: Path, task: Task) -> None:
    """Prepare this worker process."""
    _in_this_process[:] = [opened(data_dir, task)]


def treat(batch: Batch) -> list[Outcome]:
    """Treat a batch in a process that has begun."""
    return _in_this_process[0].treat(batch)


def batches(study: Study, pseudonym: str, place: Place, size: int) -> Sequence[Batch]:
    """The instances of a study in parts of at most ``size``."""
    parts = (study.instances[start : start + size] for start in range(0, len(study.instances), size))
    return [Batch(pseudonym, place, part) for part in parts]
