"""Asks the source what the item consists of and freezes the answer as its plan."""

from dicom.network import choose
from dicom.network.ports import Finder
from models.domain.errors import Ambiguous, IdentityConflict, NotFound, Unsupported
from models.domain.jobs import Item
from models.domain.nodes import Server
from models.domain.plans import LeftOutSeries, Plan, PlannedSeries
from models.domain.refs import SeriesFound, StudyFound, StudyQuery, StudyRef
from services import work
from tasks.attempt import Attempt
from tasks.destination import destination_of
from tasks.step import step


@step
def query(attempt: Attempt) -> None:
    """Make the plan: one study, its series without the excluded ones, and every instance by its UID.

    Raises NotFound, Ambiguous, IdentityConflict (the study belongs to another patient than requested).
    """
    with (
        attempt.associations({attempt.source: 1}),
        attempt.connection(choose.finder(attempt.source, attempt.local)) as finder,
    ):
        plan = plan_of(attempt, finder)
    _bind_pseudonym(attempt, plan.study.patient_id)
    attempt.plan = plan
    _begin_receipt(attempt, plan)
    attempt.handed_on = _still_present(attempt)
    attempt.save_receipt()


def _bind_pseudonym(attempt: Attempt, patient_id: str) -> None:
    """Tie the patient to the pseudonym within the linkage scope, so that data of two people is never merged.

    Raises IdentityConflict when either already belongs to somebody else.
    """
    if attempt.deidentifier is None:
        return
    digest = attempt.deidentifier.key.patient_digest(patient_id)
    work.bind_pseudonym(attempt.db, attempt.job.linkage_scope_id, digest, attempt.item.pseudonym)


def _begin_receipt(attempt: Attempt, plan: Plan) -> None:
    with attempt.record:
        attempt.receipt.expected = None if plan.expected is None else set(plan.expected)
        attempt.receipt.announced_count = plan.announced_count
        attempt.receipt.left_out_series = {left.series.series_uid: left.reason for left in plan.left_out}
        attempt.receipt.refused.clear()
        attempt.receipt.confirmed.clear()
        attempt.receipt.left_out.clear()  # the plan may be another than last time, so each is judged anew


def _still_present(attempt: Attempt) -> set[str]:
    """What earlier attempts stored and the destination still has; the rest is forgotten and moved again."""
    receipt = attempt.receipt
    present = destination_of(attempt).present(receipt)
    with attempt.record:
        receipt.stored &= present
        receipt.digests = {uid: digest for uid, digest in receipt.digests.items() if uid in present}
        receipt.stored_with_warning = {uid: s for uid, s in receipt.stored_with_warning.items() if uid in present}
        receipt.received = set(present)
    return present


def plan_of(attempt: Attempt, finder: Finder) -> Plan:
    """The plan of one item as the source lists it now; costs a C-FIND for the study and one for each series."""
    study = _the_study(attempt.source, attempt.item, finder)
    ref = StudyRef(study.study_uid, study.patient_id)
    wanted = _wanted_series(attempt.item, list(finder.find_series(ref)))
    excluded = set(attempt.settings.exclude_modalities) if attempt.item.pseudonym else set[str]()
    kept = [series for series in wanted if series.modality not in excluded]
    left_out = tuple(
        LeftOutSeries(series, f"Modality {series.modality} is excluded.")
        for series in wanted
        if series.modality in excluded
    )
    if not kept:
        raise NotFound("Nothing is left to transfer: the study has no series, or all its modalities are excluded.")
    return Plan(
        study=study,
        series=tuple(_planned(finder, ref, series) for series in kept),
        left_out=left_out,
        whole_study=not attempt.item.series_uids and not left_out,
    )


def _the_study(source: Server, item: Item, finder: Finder) -> StudyFound:
    """The study by its UID alone where the source allows it, so that a wrong patient in the request is noticed."""
    needs_patient = source.patient_root_find_support and not source.study_root_find_support
    query = StudyQuery(study_uid=item.study_uid, patient_id=item.patient_id if needs_patient else "")
    found = {(study.study_uid, study.patient_id): study for study in finder.find_studies(query)}
    if not found:
        raise NotFound("The source has no study with this Study Instance UID.")
    if len(found) > 1:
        raise Ambiguous("The source lists this study for more than one patient.")
    (study,) = found.values()
    if item.patient_id and study.patient_id and study.patient_id != item.patient_id:
        raise IdentityConflict("The study belongs to another patient than the request says.")
    return study


def _wanted_series(item: Item, found: list[SeriesFound]) -> list[SeriesFound]:
    if not item.series_uids:
        return found
    known = {series.series_uid: series for series in found}
    missing = [uid for uid in item.series_uids if uid not in known]
    if missing:
        raise NotFound(f"The source does not have {len(missing)} of the {len(item.series_uids)} requested series.")
    return [known[uid] for uid in item.series_uids]


def _planned(finder: Finder, study: StudyRef, series: SeriesFound) -> PlannedSeries:
    try:
        instances = tuple(finder.find_instances(study, series.series_uid))
    except Unsupported:
        return PlannedSeries(series, None)
    return PlannedSeries(series, instances or None)
