"""Asks the source what the item consists of and freezes the answer as its plan."""

from collections.abc import Mapping

from dicom.deid.engine import Deidentifier
from dicom.deid.policy import Policy
from dicom.files import target
from dicom.network import choose
from dicom.network.ports import Finder
from models.domain.errors import NotFound
from models.domain.nodes import Folder
from models.domain.plans import Plan
from models.domain.receipts import NOT_CONVERTED, NOT_LISTED, REJECTED
from models.domain.refs import StudyFound, StudyRef
from models.domain.reviews import Decision
from services import folder_holds, planning, pseudonyms, work
from services.converting import WITHOUT_VOLUMES
from services.planning import Detail
from tasks.attempt import Attempt
from tasks.destination import destination_of
from tasks.step import step


@step
def query(attempt: Attempt) -> None:
    """Make the plan: one study, its series without the excluded ones, and every instance by its UID.

    Raises NotFound, Ambiguous, IdentityConflict (the study belongs to another patient than requested). The source is
    not even asked when the folder to go to can take nothing, or no more than an earlier attempt has filled in vain:
    raises FolderFull or FolderGone.
    """
    if isinstance(attempt.destination, Folder):
        needed_bytes = folder_holds.needed_bytes(attempt.db, attempt.item)
        target.check(attempt.destination.path, attempt.destination.name, needed_bytes)
        folder_holds.can_be_written(attempt.db, attempt.item)
    with (
        attempt.associations({attempt.source: 1}),
        attempt.connection(choose.finder(attempt.source, attempt.local)) as finder,
    ):
        plan = plan_of(attempt, finder)
    decisions = work.decisions(attempt.db, attempt.item_id)
    if attempt.policy is not None:
        attempt.pseudonymize_with(_deidentifier(attempt, attempt.policy, plan.study, decisions))
    attempt.plan = plan
    _begin_receipt(attempt, plan, decisions)
    attempt.handed_on = _still_present(attempt)
    attempt.save_receipt()


def _deidentifier(
    attempt: Attempt, policy: Policy, study: StudyFound, decisions: Mapping[str, Decision]
) -> Deidentifier:
    """The de-identification of the item, once it is known under which pseudonym its patient goes.

    Patient and pseudonym are tied together before anything moves, so that data of two people is never merged. Raises
    IdentityConflict when either already belongs to somebody else.
    """
    job = attempt.job
    attempt.item = pseudonyms.bind_item(attempt.db, attempt.settings, attempt.lease, job, attempt.item, study)
    return Deidentifier(
        policy,
        pseudonyms.linkage_key(attempt.db, job.scope_id),
        attempt.item.pseudonym,
        job.trial_protocol_id,
        job.trial_protocol_name,
        released=[uid for uid, decision in decisions.items() if decision is Decision.RELEASED],
        study=study,
    )


def _begin_receipt(attempt: Attempt, plan: Plan, decisions: Mapping[str, Decision]) -> None:
    """Begin with what an earlier attempt has proven or decided; the plan may be another than it had."""
    with attempt.record:
        receipt = attempt.receipt
        receipt.held = {uid: why for uid, why in receipt.held.items() if uid not in decisions and _may_come(plan, uid)}
        receipt.left_out = {
            uid: why
            for uid, why in receipt.left_out.items()
            if not why.startswith((NOT_LISTED, NOT_CONVERTED)) and _may_come(plan, uid)
        }
        receipt.left_out |= {
            uid: REJECTED
            for uid, decision in decisions.items()
            if decision is Decision.REJECTED and _may_come(plan, uid)
        }
        attempt.receipt.expected = None if plan.expected is None else set(plan.expected)
        attempt.receipt.announced_count = plan.announced_count
        attempt.receipt.left_out_series = {left.series.series_uid: left.reason for left in plan.left_out}
        attempt.receipt.refused.clear()
        attempt.receipt.confirmed.clear()


def _may_come(plan: Plan, sop_uid: str) -> bool:
    return plan.expected is None or sop_uid in plan.expected


def _still_present(attempt: Attempt) -> set[str]:
    """What need not be fetched: it is at the destination since an earlier attempt, is held or left out.

    The same rules would hold it or leave it out again. What was stored and is gone is forgotten and moved again.
    """
    receipt = attempt.receipt
    present = destination_of(attempt).present(receipt)
    with attempt.record:
        receipt.stored &= present
        receipt.size_bytes = receipt.size_bytes if receipt.stored else 0
        receipt.digests = {uid: digest for uid, digest in receipt.digests.items() if uid in present}
        receipt.stored_with_warning = {uid: s for uid, s in receipt.stored_with_warning.items() if uid in present}
        if not present:
            receipt.files = {}
        receipt.received = present | receipt.held.keys() | receipt.left_out.keys()
        return set(receipt.received)


def plan_of(attempt: Attempt, finder: Finder) -> Plan:
    """The plan of one item as the source lists it now; costs a C-FIND for the study and one for each series.

    It is empty when the study has only series of which no volume can be made; raises NotFound when nothing is left
    for other reasons.
    """
    item = attempt.item
    excluded = () if attempt.keeps_identity else attempt.settings.exclude_modalities
    without_volumes = WITHOUT_VOLUMES if attempt.job.convert_to_nifti else ()
    found = planning.outline(
        attempt.source,
        finder,
        StudyRef(item.study_uid, item.patient_id),
        item.series_uids,
        excluded,
        without_volumes,
    )
    if not found.taken and not found.has_no_volumes:
        raise NotFound(planning.NOTHING_LEFT)
    return Plan(
        study=found.study,
        series=tuple(planning.planned(finder, found.ref, series, _detail(attempt)) for series in found.taken),
        left_out=found.left_out,
        every_series=not item.series_uids,
    )


def _detail(attempt: Attempt) -> Detail:
    """All, when an earlier attempt has not brought everything, since a guess may be the reason."""
    if not choose.negotiates_classes(attempt.source):
        return Detail.NOTHING
    return Detail.SAMPLES if attempt.item.attempts <= 1 else Detail.ALL
