"""Where an item goes, seen the same way by the steps whether it is an archive or a folder."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Protocol

from pydicom import Dataset

from dicom.files import layout, nifti
from dicom.files.folder import FolderSender, StagedStudy
from dicom.network import choose
from dicom.network.ports import Sender
from models.domain.instances import EncodedInstance
from models.domain.nodes import Folder, Server
from models.domain.plans import Plan, PlannedSeries
from models.domain.receipts import Receipt
from models.domain.refs import StudyRef
from services import staging
from tasks.attempt import Attempt


class Destination(Protocol):
    """What the steps need of the place data goes to. UIDs are those of the source."""

    @property
    def senders(self) -> int:
        """How many connections may send at the same time."""
        ...

    @property
    def is_confirmable(self) -> bool:
        """Whether the destination can be asked what it has."""
        ...

    @property
    def budget(self) -> Mapping[Server, int]:
        """The associations that ``senders`` senders need."""
        ...

    def sender(self) -> Sender: ...

    def check(self, instance: EncodedInstance) -> None:
        """Raise ResidueFound when the place that a treated instance will get would tell who the patient is."""
        ...

    def present(self, receipt: Receipt) -> set[str]:
        """Those of ``receipt.stored`` that the destination still has."""
        ...

    def confirm(self, receipt: Receipt) -> set[str]:
        """Make the item visible when it is complete, and return what the destination proves to have."""
        ...

    def discard(self) -> None:
        """Remove what is there but not visible yet."""
        ...

    def withdraw(self) -> None:
        """Do the same for an item that will come again."""
        ...


def destination_of(attempt: Attempt) -> Destination:
    """The destination of an attempt whose plan is made."""
    if isinstance(attempt.destination, Server):
        return ArchiveDestination(attempt, attempt.destination)
    if attempt.job.convert_to_nifti:
        return NiftiDestination(attempt, _staged(attempt, attempt.destination, str))
    return FolderDestination(attempt, _staged(attempt, attempt.destination))


@dataclass(frozen=True, slots=True)
class ArchiveDestination:
    """A server: instances are visible as soon as they are stored, and it is asked for their UIDs afterwards."""

    attempt: Attempt
    server: Server

    @property
    def senders(self) -> int:
        """One on a repeated attempt: some archives refuse instances that come in parallel.

        Never more than the places that the attempt has got, once it has.
        """
        most = self.attempt.places.get(self.server.id, self.server.store_associations)
        return most if self.attempt.item.attempts <= 1 else 1

    @property
    def is_confirmable(self) -> bool:
        return choose.can_find(self.server)

    @property
    def budget(self) -> Mapping[Server, int]:
        return {self.server: self.senders}

    def sender(self) -> Sender:
        return choose.sender(self.server, self.attempt.local)

    def check(self, instance: EncodedInstance) -> None:
        """Nothing: what an archive calls its files is its own."""

    def present(self, receipt: Receipt) -> set[str]:
        return self.confirm(receipt) if receipt.stored and self.is_confirmable else set(receipt.stored)

    def confirm(self, receipt: Receipt) -> set[str]:
        """Ask for every instance of the study: one C-FIND for the series and one for each series."""
        if not self.is_confirmable:
            return set()
        patient_id = self.attempt.item.pseudonym or self.attempt.plan.study.patient_id
        study = StudyRef(self.attempt.target_uid(self.attempt.plan.study.study_uid), patient_id)
        with (
            self.attempt.associations({self.server: 1}),
            self.attempt.connection(choose.finder(self.server, self.attempt.local)) as finder,
        ):
            listed = {
                instance.sop_uid
                for series in finder.find_series(study)
                for instance in finder.find_instances(study, series.series_uid, only_uids=True)
            }
        return {uid for uid in receipt.stored if self.attempt.target_uid(uid) in listed}

    def discard(self) -> None:
        """Nothing: what an archive has stored is its own."""

    def withdraw(self) -> None:
        """Nothing, for the same reason."""


@dataclass(frozen=True, slots=True)
class FolderDestination:
    """A folder: the study is staged out of sight, within the folder's quota, and appears at once when complete."""

    attempt: Attempt
    staged: StagedStudy

    @property
    def senders(self) -> int:
        return 1

    @property
    def is_confirmable(self) -> bool:
        return True

    @property
    def budget(self) -> Mapping[Server, int]:
        return {}

    def sender(self) -> Sender:
        return FolderSender(self.staged.write)

    def check(self, instance: EncodedInstance) -> None:
        """The folder of the series is checked when its name is made, see ``_staged``."""
        for name in (layout.instance_file(instance.sop_uid), self.staged.patient_folder, self.staged.study_folder):
            self.attempt.check_name(name)

    def present(self, receipt: Receipt) -> set[str]:
        """Also begin to count the room: an earlier attempt may have died before or after publishing."""
        room = self.attempt.room
        is_unsettled = room.begin(self.attempt.check) > 0
        room.hold(self._bytes_on_disk(is_unsettled))
        present = self.staged.present(self._digests(receipt))
        room.hold(self._bytes_on_disk(is_unsettled))
        return self._sources(receipt, present)

    def confirm(self, receipt: Receipt) -> set[str]:
        """Publish the study when nothing is missing, then read every file back and compare its SHA-256."""
        if not self.may_be_published(receipt):
            return set()
        self._check_folders()  # by now, all of the patient's identifiers are known
        self.attempt.save_receipt()  # raises LeaseLost when another worker has taken over
        self.staged.publish()
        self._settle()
        return self._sources(receipt, self.staged.confirm(self._digests(receipt)))

    def discard(self) -> None:
        self.withdraw()
        self._settle()

    def withdraw(self) -> None:
        self.staged.discard()

    def _settle(self) -> None:
        self.attempt.room.settle(self.staged.published_bytes)

    def _bytes_on_disk(self, is_unsettled: bool) -> int:
        """What no walk and no settlement may have counted; what is published was settled, unless a worker died."""
        return self.staged.staged_bytes + (self.staged.published_bytes if is_unsettled else 0)

    def _check_folders(self) -> None:
        """All but the job's own folder, whose name is made of its kind, number, day and owner."""
        for name in (self.staged.patient_folder, self.staged.study_folder):
            self.attempt.check_name(name)
        for planned in self.attempt.plan.series:
            self.staged.series_folder(self.attempt.target_uid(planned.series.series_uid))

    def may_be_published(self, receipt: Receipt) -> bool:
        """Whether all that should be in the study is staged; a source that lists nothing is judged by its count."""
        if receipt.refused or not receipt.wanted <= receipt.stored:
            return False
        if receipt.expected is not None:
            return True
        return not self.attempt.is_cut_short and len(receipt.received) >= (receipt.announced_count or 1)

    def _digests(self, receipt: Receipt) -> dict[str, str]:
        return {self.attempt.target_uid(uid): receipt.digests[uid] for uid in receipt.stored if uid in receipt.digests}

    def _sources(self, receipt: Receipt, target_uids: Iterable[str]) -> set[str]:
        found = set(target_uids)
        return {uid for uid in receipt.stored if self.attempt.target_uid(uid) in found}


@dataclass(frozen=True)
class NiftiDestination(FolderDestination):
    """A folder that gets NIfTI files. Instances wait in the spool, and what is made of them is staged in the folder.

    So each attempt begins anew, unless all has been delivered: half a series cannot be converted, and what an earlier
    worker had in its spool is gone.
    """

    def sender(self) -> Sender:
        return FolderSender(self.attempt.series.add)

    def check(self, instance: EncodedInstance) -> None:
        """Names of files are checked when they are made."""
        for name in (self.staged.patient_folder, self.staged.study_folder):
            self.attempt.check_name(name)

    def present(self, receipt: Receipt) -> set[str]:
        """All or nothing: what is there of half a study is not even read, since all of it is made anew."""
        is_all = receipt.expected is not None and receipt.wanted <= receipt.stored
        return super().present(receipt if is_all else replace(receipt, files={}))

    def take_in(self, series_uid: str, files: Mapping[Path, str]) -> Mapping[str, str]:
        """Stage what a series was converted to, searched for the patient; returns the digests by the files' names.

        ``files`` says of each how its name ends.

        Raises ResidueFound, Unreadable, OverQuota, TargetError kinds.
        """
        beginning = self._beginnings.get(series_uid) or layout.volume_file("", "", "", series_uid)
        digests: dict[str, str] = {}
        for path, ending in files.items():
            name = f"{beginning}{ending}"
            self.attempt.check_name(name)
            self.attempt.check_values(list(nifti.texts_of(path)))
            digests[name] = self.staged.take_in(path, name)
        return digests

    @cached_property
    def _beginnings(self) -> Mapping[str, str]:
        """How names of files begin, by the series' UID at the destination. No two begin alike, also in capitals."""
        found: dict[str, str] = {}
        taken: set[str] = set()
        for planned in sorted(self.attempt.plan.series, key=lambda planned: planned.series.series_uid):
            uid = self.attempt.target_uid(planned.series.series_uid)
            plain = _name(self.attempt, planned, layout.volume_file)
            numbered = (plain if number == 1 else f"{plain}-{number}" for number in count(1))
            found[uid] = next(name for name in numbered if name.casefold() not in taken)
            taken.add(found[uid].casefold())
        return found

    def _digests(self, receipt: Receipt) -> dict[str, str]:
        return dict(receipt.files)

    def _sources(self, receipt: Receipt, target_uids: Iterable[str]) -> set[str]:
        """All or none: which instance is in which file is not known, but that each of them is in one."""
        return set(receipt.stored) if receipt.files.keys() <= set(target_uids) and receipt.files else set()


def _staged(attempt: Attempt, folder: Folder, file_name: Callable[[str], str] = layout.instance_file) -> StagedStudy:
    """Names of the study at its destination, made from the plan as de-identification leaves it."""
    header = _output_header(attempt, attempt.plan)
    series_names = _series_names(attempt)
    return StagedStudy(
        destination=folder.path,
        folder_name=folder.name,
        job_folder=layout.job_folder(attempt.job.kind.value, attempt.job.id, attempt.job.created_at, attempt.job.owner),
        patient_folder=layout.patient_folder(str(header.PatientID)),
        study_folder=layout.study_folder(
            str(header.get("StudyDate") or ""),
            str(header.get("StudyTime") or ""),
            tuple(sorted({_modality(attempt, planned) for planned in attempt.plan.series})),
            str(header.StudyInstanceUID),
        ),
        staging_key=staging.staging_key(attempt.job, attempt.item),
        series_folder=lambda series_uid: _checked(
            attempt, series_names.get(series_uid) or layout.series_folder("", "", "", series_uid)
        ),
        make_room=attempt.room.make,
        attempt_key=staging.attempt_key(attempt.lease),
        check_ours=attempt.check_now,
        file_name=file_name,
    )


def _checked(attempt: Attempt, name: str) -> str:
    attempt.check_name(name)
    return name


def _output_header(attempt: Attempt, plan: Plan) -> Dataset:
    header = Dataset()
    header.PatientID = plan.study.patient_id
    header.StudyInstanceUID = plan.study.study_uid
    header.StudyDate = plan.study.study_date
    header.StudyTime = plan.study.study_time
    return attempt.treated_dataset(header)


def _modality(attempt: Attempt, planned: PlannedSeries) -> str:
    header = Dataset()
    header.Modality = planned.series.modality
    return str(attempt.treated_dataset(header).get("Modality") or "")


def _series_names(attempt: Attempt) -> dict[str, str]:
    """Series folder by the series' UID at the destination; a description is free text and stays out when treated."""
    return {
        attempt.target_uid(planned.series.series_uid): _name(attempt, planned, layout.series_folder)
        for planned in attempt.plan.series
    }


def _name(attempt: Attempt, planned: PlannedSeries, made: Callable[[str, str, str, str], str]) -> str:
    return made(
        planned.series.number,
        _modality(attempt, planned),
        planned.series.description if attempt.keeps_identity else "",
        attempt.target_uid(planned.series.series_uid),
    )
