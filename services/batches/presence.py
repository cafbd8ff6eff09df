"""Tells whether a study is at a destination already, under the UIDs that a job would give it there."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from dicom.deid.table import Option
from dicom.network.ports import Finder
from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.nodes import NodeStore
from models.db.questions import QuestionStore
from models.db.receipts import ReceiptStore
from models.domain.answers import CheckedStudy, RowVerdict
from models.domain.jobs import Job
from models.domain.nodes import Node, Server
from models.settings import Settings
from services import profiles, pseudonyms, trials
from services.batches import asking

_THERE = "All of it is at the destination already."
_UNSEEN = "Whether it is at the destination already is not known, since that could not be asked."


@dataclass(frozen=True, slots=True)
class Presence:
    """How to look for studies at the destination of a check; ``target_uid`` gives the UIDs that they have there.

    It is None where nobody can know them: a job without a trial gets a key of its own, so nothing of it can be there.
    ``scope_id`` is that of the trial; jobs that keep the identity have scopes of their own. What was delivered as DICOM
    is not there ``as_nifti``, and the other way round.
    """

    destination: Node
    keep_identity: bool
    scope_id: int | None
    target_uid: Callable[[str], str] | None
    as_nifti: bool = False

    @property
    def server(self) -> Server | None:
        """The server that has to be asked, if any; what others have is told by receipts.

        One that has to be told a patient cannot be asked for a study by its UID alone.
        """
        node = self.destination
        if not isinstance(node, Server) or self.target_uid is None or node.needs_patient:
            return None
        return node if node.can_be_queried else None


def destination_of(db: Database, job_id: int) -> Node | None:
    """Where the studies of a check would go, None when it has no items any more."""
    ids = {destination for _, destination in JobStore(db).nodes(job_id) if destination is not None}
    return NodeStore(db).get(ids.pop()) if len(ids) == 1 else None


def of_job(db: Database, settings: Settings, job: Job) -> Presence | None:
    """How to look for what a check finds at its destination, None when it has no items any more.

    Raises ProfileInvalid; WrongState for a trial that was forgotten, NotPermitted for one that has become that of
    others: what is bound in it is not for the job's owner to know.
    """
    destination = destination_of(db, job.id)
    if destination is None:
        return None
    scope_id = None if job.keep_identity else trials.scope_for_owner(db, job.owner, job.trial_protocol_id)
    if job.keep_identity or profiles.policy_now(settings, job.profile).has(Option.RETAIN_UIDS):
        return Presence(destination, job.keep_identity, scope_id, str, job.convert_to_nifti)
    target_uid = None if scope_id is None else pseudonyms.linkage_key(db, scope_id).uid
    return Presence(destination, False, scope_id, target_uid, job.convert_to_nifti)


def look(
    db: Database, known: Presence, found: CheckedStudy, wanted: tuple[str, ...], finder: Finder | None
) -> CheckedStudy:
    """The same with the verdict that it is there already, if it is; ``wanted`` are the series that the file names.

    A server is asked by ``finder``; raises PeerError kinds.
    """
    if found.verdict is not RowVerdict.FOUND or found.study is None or known.target_uid is None:
        return found
    if finder is not None:
        series = [replace(one, series_uid=known.target_uid(one.series_uid)) for one in found.series]
        is_there = asking.is_there(finder, known.target_uid(found.study.study_uid), series)
    else:
        is_there = _was_delivered(db, known, found, wanted)
    return replace(found, verdict=RowVerdict.ALREADY_THERE, sentence=_THERE) if is_there else found


def unseen(found: CheckedStudy) -> CheckedStudy:
    """The same where the destination could not be asked: what the source has can be moved all the same."""
    return replace(found, sentence=f"{found.sentence} {_UNSEEN}") if found.verdict is RowVerdict.FOUND else found


def _was_delivered(db: Database, known: Presence, found: CheckedStudy, wanted: tuple[str, ...]) -> bool:
    """Whether an earlier item has brought at least these series, and as many instances, completely."""
    if found.study is None or (known.scope_id is None and not known.keep_identity):
        return False
    earlier = QuestionStore(db).delivered_before(
        known.destination.id, known.scope_id, found.study.study_uid, known.as_nifti
    )
    if earlier is None:
        return False
    has_series = not earlier.series_uids or (bool(wanted) and set(wanted) <= set(earlier.series_uids))
    receipt = ReceiptStore(db).summaries([earlier.id]).get(earlier.id)
    count = None if receipt is None else receipt.expected
    return has_series and count is not None and found.instance_count is not None and count >= found.instance_count
