"""Puts together what an attempt needs: nodes, rules, streams and what earlier attempts have proven."""

from collections.abc import Generator
from contextlib import contextmanager

from dicom.deid.policy import Policy
from dicom.files import nifti
from dicom.files.spool import Spool
from models.db.engine import Database
from models.domain.errors import Unsupported
from models.domain.jobs import Item, Job, Lease
from models.domain.nodes import Server
from models.settings import Settings
from services import profiles, pseudonyms, work
from services.converting import StagedSeries
from services.local_side import local_side
from services.streams import Stream
from tasks.attempt import Attempt

PATIENCE_S = 20.0
"""How long a retrieval may wait for room before it breaks off: Orthanc ends an association after 30 s of silence."""


def open_attempt(db: Database, settings: Settings, item: Item, lease: Lease, stream_bytes: int) -> Attempt:
    """The attempt of a claimed item, which may hold so many bytes in memory between source and destination.

    Raises NoSpace when the spool's disk is nearly full, ProfileInvalid when the job's profile is not what it was,
    WrongState when its trial was forgotten.
    """
    job = work.job(db, item.job_id)
    source = work.node(db, item.source_id)
    if not isinstance(source, Server):
        raise Unsupported("The source is a folder; only servers can be a source.")
    spool = Spool(settings.spool_dir)
    spool.check_room(0, settings.spool_reserve_mb * 1_000_000)
    return Attempt(
        db=db,
        settings=settings,
        job=job,
        item=item,
        lease=lease,
        source=source,
        destination=work.node(db, item.target_id),
        local=local_side(settings),
        receipt=work.load_receipt(db, item.id),
        retrieved=Stream(stream_bytes // 2, PATIENCE_S),
        pseudonymized=Stream(stream_bytes // 2),
        policy=_policy(db, settings, job),
    )


@contextmanager
def staging_for_conversion(attempt: Attempt) -> Generator[None]:
    """Give the attempt a place in the spool for what is to be converted, if its job converts; it is removed again.

    To be left when no step is at work any more. Raises Unsupported on a machine that cannot convert.
    """
    if not attempt.job.convert_to_nifti:
        yield
        return
    if not nifti.is_installed():
        raise Unsupported(nifti.MISSING)
    spool = Spool(attempt.settings.spool_dir)
    with spool.workspace() as workspace:
        attempt.stage_in(StagedSeries(spool, workspace, attempt.settings))
        yield


def _policy(db: Database, settings: Settings, job: Job) -> Policy | None:
    """The rules of the job, or None for one that was allowed to keep the identity."""
    if job.keep_identity:
        return None
    pseudonyms.linkage_key(db, job.scope_id)
    return profiles.policy_of(settings, job)
