"""Says what a transfer would take before it is asked for: series, instances, about how many bytes, what is wrong."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from dicom.deid import profile as profiles
from dicom.deid.pixels.rules import Kind, Treatment
from dicom.deid.profile import Profile
from dicom.network import choose
from dicom.network.ports import Finder
from models.db.engine import Database
from models.domain.errors import BadRequest, DataError, PeerLied, ProfileInvalid, Unsupported
from models.domain.nodes import Folder, Server
from models.domain.people import Actor
from models.domain.previews import Preview, PreviewedSeries, PreviewedStudy
from models.domain.refs import SeriesFound, StudyRef, is_uid
from models.domain.requests import StudyWish
from models.settings import Settings
from services import planning, quotas
from services.converting import WITHOUT_VOLUMES
from services.searching import search_access, sizes
from services.searching.visits import Stop, Visit

MOST_WISHES = 200
"""How many studies one preview looks up; each costs the source some questions."""
_OF_ONE_STUDY = (DataError, BadRequest, PeerLied)
"""Errors that tell of one study, and nothing of the next."""
_KINDS: Mapping[str, Kind] = {
    "AU": Kind.AUDIO,
    "DOC": Kind.DOCUMENTS,
    "M3D": Kind.DOCUMENTS,
    "US": Kind.ULTRASOUND,
    "IVUS": Kind.ULTRASOUND,
    "ES": Kind.PHOTOGRAPHS,
    "GM": Kind.PHOTOGRAPHS,
    "OP": Kind.PHOTOGRAPHS,
    "SM": Kind.PHOTOGRAPHS,
    "XC": Kind.PHOTOGRAPHS,
    "HC": Kind.FILM,
}
"""What instances of a modality are to a profile, as far as the modality alone tells."""
_NOTES: Mapping[Treatment, str] = {
    Treatment.REJECT: "The profile leaves out documents and the like.",
    Treatment.HOLD: "Instances may be held until somebody has looked at them.",
    Treatment.BLANK: "Parts of the picture may be blanked; instances where that is not possible are held.",
}


def preview(
    db: Database,
    settings: Settings,
    actor: Actor,
    source_id: int,
    destination_id: int,
    wishes: Sequence[StudyWish],
    profile: str = "",
    keep_identity: bool = False,
    stop: Stop | None = None,
    convert_to_nifti: bool = False,
) -> Preview:
    """What would become of every wish; the same rules as at the transfer itself say which series are left out.

    Takes one place in the source's association budget. Costs a C-FIND for each study and one for its series, and one
    for each series that the source does not count. What is wrong with one study stands there; what is wrong with the
    source is raised as PeerError kinds. Raises NotPermitted, UnderMaintenance, AppLocked or BadRequest, Canceled after
    ``stop``.
    """
    server = search_access.source(db, actor, source_id)
    target = search_access.destination(db, actor, destination_id)
    _check(wishes)
    rules = None if keep_identity else _profile(settings, profile or settings.profile)
    excluded = () if keep_identity else settings.exclude_modalities
    left_out = (excluded, WITHOUT_VOLUMES if convert_to_nifti else ())
    details = {"study_uids": " ".join(wish.study_uid for wish in wishes)}
    studies_word = "study" if len(wishes) == 1 else "studies"
    with search_access.recorded(db, actor, server, lambda: f"preview of {len(wishes)} {studies_word}", details):
        studies = _looked_up(db, settings, server, wishes, rules, left_out, stop or Stop())
    usage = quotas.usage(db, actor, target.id) if isinstance(target, Folder) else None
    return Preview(studies, usage)


def counted(finder: Finder, study: StudyRef, series: SeriesFound) -> SeriesFound:
    """The series with how many instances it has, listed where the server does not count; None where it does neither."""
    if series.instance_count is not None:
        return series
    try:
        listed = sum(1 for _ in finder.find_instances(study, series.series_uid, only_uids=True))
    except (Unsupported, DataError):
        return series
    return replace(series, instance_count=listed or None)


def _looked_up(
    db: Database,
    settings: Settings,
    server: Server,
    wishes: Sequence[StudyWish],
    rules: Profile | None,
    left_out: tuple[Collection[str], Collection[str]],
    stop: Stop,
) -> tuple[PreviewedStudy, ...]:
    finder = choose.asker(server, settings.calling_ae_title)
    with stop.of(Visit(db, server)) as visit, visit.using(finder):
        return tuple(_study(server, finder, wish, rules, left_out) for wish in wishes)


def _study(
    server: Server,
    finder: Finder,
    wish: StudyWish,
    rules: Profile | None,
    left_out: tuple[Collection[str], Collection[str]],
) -> PreviewedStudy:
    ref = StudyRef(wish.study_uid, wish.patient_id)
    try:
        found = planning.outline(server, finder, ref, wish.series_uids, *left_out)
        taken = tuple(_series(finder, found.ref, series, rules) for series in found.taken)
    except _OF_ONE_STUDY as error:
        return PreviewedStudy(wish, problem=error.message)
    return PreviewedStudy(wish, found.study, taken, found.left_out, found.nothing_left)


def _series(finder: Finder, study: StudyRef, series: SeriesFound, rules: Profile | None) -> PreviewedSeries:
    count = counted(finder, study, series).instance_count
    return PreviewedSeries(series, count, sizes.estimated_bytes(series, count), _note(series.modality, rules))


def _note(modality: str, rules: Profile | None) -> str:
    kind = _KINDS.get(modality)
    return _NOTES.get(rules.pixels.treatments[kind], "") if rules and kind else ""


def _profile(settings: Settings, name: str) -> Profile:
    try:
        return profiles.load(name, settings.profiles_dir)
    except ProfileInvalid as error:
        raise BadRequest.of({"profile": error.message}) from error


def _check(wishes: Sequence[StudyWish]) -> None:
    problems: dict[str, str] = {}
    if not 1 <= len(wishes) <= MOST_WISHES:
        problems["studies"] = f"between 1 and {MOST_WISHES} at a time."
    for row, wish in enumerate(wishes, start=1):
        if not all(is_uid(uid) for uid in (wish.study_uid, *wish.series_uids)):
            problems[f"Study {row}"] = "not all of its UIDs are DICOM UIDs."
    if problems:
        raise BadRequest.of(problems)
