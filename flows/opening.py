"""Puts together what an attempt needs: nodes, key, pseudonym, streams and what earlier attempts have proven."""

from dicom.deid.engine import Deidentifier
from dicom.deid.keys import LinkageKey
from dicom.files.spool import Spool
from dicom.network.choose import Local
from dicom.network.inbox import Inbox
from models.db.engine import Database
from models.domain.errors import Unsupported
from models.domain.jobs import Item, Job, Lease
from models.domain.nodes import Server
from models.settings import Settings
from services import work
from tasks.attempt import Attempt
from tasks.stream import Stream

PATIENCE_S = 20.0
"""How long a retrieval may wait for room before it breaks off: Orthanc ends an association after 30 s of silence."""


def open_attempt(db: Database, settings: Settings, item: Item, lease: Lease) -> Attempt:
    """The attempt of a claimed item; raises NoSpace when the spool's disk is nearly full."""
    job = work.job(db, item.job_id)
    source = work.node(db, item.source_id)
    if not isinstance(source, Server):
        raise Unsupported("The source is a folder; only servers can be a source.")
    spool = Spool(settings.spool_dir)
    spool.check_room(0, settings.spool_reserve_mb * 1_000_000)
    half_of_stream = settings.stream_mb * 1_000_000 // 2
    return Attempt(
        db=db,
        settings=settings,
        job=job,
        item=item,
        lease=lease,
        source=source,
        destination=work.node(db, item.destination_id),
        local=local_side(settings),
        receipt=work.load_receipt(db, item.id),
        retrieved=Stream(half_of_stream, PATIENCE_S),
        pseudonymized=Stream(half_of_stream),
        deidentifier=_deidentifier(db, job, item),
    )


def local_side(settings: Settings) -> Local:
    """Our own names and places, as the network code needs them."""
    spool = Spool(settings.spool_dir)
    return Local(settings.calling_ae_title, settings.receiver_ae_title, Inbox(spool.inbox), spool.scratch)


def _deidentifier(db: Database, job: Job, item: Item) -> Deidentifier | None:
    """The de-identification of one item, or None for a job that was allowed to transfer unpseudonymized."""
    if not item.pseudonym:
        return None
    key = LinkageKey(work.scope_key(db, job.linkage_scope_id))
    return Deidentifier(key, item.pseudonym, job.trial_protocol_id, job.trial_protocol_name)
