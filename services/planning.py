"""What of a study is taken: the same rules for the plan of an item, the preview before it, and the gateway."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from dicom.deid.identity import plain_id
from dicom.network.ports import Finder
from models.domain.errors import Ambiguous, IdentityConflict, NotFound, Unsupported
from models.domain.nodes import Server
from models.domain.plans import LeftOutSeries, PlannedSeries
from models.domain.refs import SeriesFound, StudyFound, StudyQuery, StudyRef

NO_VOLUMES = "Nothing of it can be converted to NIfTI: none of its series has images."
NOTHING_LEFT = "Nothing is left to transfer: the study has no series, or all its modalities are excluded."


@dataclass(frozen=True, slots=True)
class Outline:
    """A study at its source, with the series that are taken and those that are left out on purpose."""

    study: StudyFound
    taken: tuple[SeriesFound, ...]
    left_out: tuple[LeftOutSeries, ...]
    has_no_volumes: bool = False
    """Whether nothing is taken since nothing of it can be converted."""

    @property
    def nothing_left(self) -> str:
        """Why nothing is taken; empty when something is."""
        if self.taken:
            return ""
        return NO_VOLUMES if self.has_no_volumes else NOTHING_LEFT

    @property
    def ref(self) -> StudyRef:
        return StudyRef(self.study.study_uid, self.study.patient_id)


def outline(
    source: Server,
    finder: Finder,
    study: StudyRef,
    series_uids: Sequence[str] = (),
    excluded_modalities: Collection[str] = (),
    without_volumes: Collection[str] = (),
) -> Outline:
    """What a transfer of the study, or of the named series of it, takes.

    ``without_volumes`` are modalities that are left out since nothing of them can be converted.

    Costs a C-FIND for the study and one for its series. ``study.patient_id`` may be empty: then it is whoever it
    belongs to. Raises NotFound, Ambiguous, IdentityConflict (the study belongs to another patient), PeerError kinds.
    """
    found = _the_study(source, finder, study)
    series = _wanted(series_uids, tuple(finder.find_series(StudyRef(found.study_uid, found.patient_id))))
    reasons = {modality: f"Modality {modality} cannot be converted to NIfTI." for modality in without_volumes}
    reasons |= {modality: f"Modality {modality} is excluded." for modality in excluded_modalities}
    taken = tuple(one for one in series if one.modality not in reasons)
    return Outline(
        study=found,
        taken=taken,
        left_out=tuple(LeftOutSeries(one, reasons[one.modality]) for one in series if one.modality in reasons),
        has_no_volumes=not taken and any(one.modality in without_volumes for one in series),
    )


class Detail(Enum):
    """What has to be known of instances besides their UIDs, which costs some archives a file each."""

    NOTHING = auto()
    SAMPLES = auto()
    """SOP class and transfer syntax of one instance of each series: hardly ever does a series have more."""
    ALL = auto()


def planned(finder: Finder, study: StudyRef, series: SeriesFound, detail: Detail) -> PlannedSeries:
    """The series with its instances as the source lists them, or with None where it cannot; costs a C-FIND or two."""
    try:
        found = finder.find_instances(study, series.series_uid, only_uids=detail is not Detail.ALL)
        instances = {instance.sop_uid: instance for instance in found}
        if detail is Detail.SAMPLES and instances:
            first = next(iter(instances))
            for sample in finder.find_instances(study, series.series_uid, sop_uid=first):
                instances[sample.sop_uid] = sample
    except Unsupported:
        return PlannedSeries(series, None)
    return PlannedSeries(series, tuple(instances.values()) or None)


def _the_study(source: Server, finder: Finder, wanted: StudyRef) -> StudyFound:
    """The study by its UID alone where the source allows it, so that a wrong patient in the request is noticed."""
    query = StudyQuery(study_uid=wanted.study_uid, patient_id=wanted.patient_id if source.needs_patient else "")
    found = {(study.study_uid, study.patient_id): study for study in finder.find_studies(query)}
    if not found:
        raise NotFound("The source has no study with this Study Instance UID.")
    if len(found) > 1:
        raise Ambiguous("The source lists this study for more than one patient.")
    (study,) = found.values()
    if wanted.patient_id and study.patient_id and plain_id(study.patient_id) != plain_id(wanted.patient_id):
        raise IdentityConflict("The study belongs to another patient than the request says.")
    return study


def _wanted(series_uids: Sequence[str], found: tuple[SeriesFound, ...]) -> tuple[SeriesFound, ...]:
    if not series_uids:
        return found
    known = {series.series_uid: series for series in found}
    missing = [uid for uid in series_uids if uid not in known]
    if missing:
        raise NotFound(f"The source does not have {len(missing)} of the {len(series_uids)} requested series.")
    return tuple(known[uid] for uid in series_uids)
