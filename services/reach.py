"""Whether this machine has what a job needs. One that lacks something leaves the job to others, if there are any.

A folder may be mounted on some machines only, a receiver may run on some only, files may differ: that must fail no item
that another machine could move.
"""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from dicom.files import nifti
from dicom.files.spool import Spool
from dicom.files.target import is_there
from dicom.network import choose
from dicom.network.inbox import Inbox
from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.nodes import NodeStore
from models.db.refusals import RefusalStore
from models.domain.errors import AditError
from models.domain.jobs import Job
from models.domain.nodes import Folder, Node, Server
from models.settings import Settings
from services import profiles, sharing

REFUSED_FOR = timedelta(minutes=1)
"""A refusal counts for so long; it is said again as long as the job waits."""


def leaves_to_others(db: Database, settings: Settings, job_id: int, machine: str) -> str:
    """Why this machine leaves the job to others, as a sentence; empty when it should take it.

    It takes what it can work on, and what no living machine can: then the items say what is wrong. Asks the folder's
    disk, which may hang on a share that is gone.
    """
    reason = next(lacking(db, settings, JobStore(db).get(job_id)), "")
    refusals = RefusalStore(db)
    if not reason:
        refusals.withdraw(job_id, machine)
        return ""
    refusals.refuse(job_id, machine, reason)
    others = {*sharing.machines(settings)} - {machine}
    return reason if others - refusals.of_job(job_id, REFUSED_FOR).keys() else ""


def lacking(db: Database, settings: Settings, job: Job) -> Iterator[str]:
    """Yield what this machine lacks for a job, a sentence each that says what to do."""
    nodes = NodeStore(db)
    ids = {node_id for pair in JobStore(db).nodes(job.id) for node_id in pair if node_id is not None}
    for node_id in sorted(ids):
        yield from _of_node(settings, nodes.get(node_id))
    if job.kind.only_asks:
        return
    if job.convert_to_nifti and not nifti.is_installed():
        yield nifti.MISSING
    try:
        Spool(settings.spool_dir).check_room(0, settings.spool_reserve_mb * 1_000_000)
        if not job.keep_identity:
            profiles.check_is_unchanged(settings, job)
    except AditError as error:
        yield error.message


def folders_here(db: Database, job_id: int) -> frozenset[Path]:
    """The destination folders of a job that this machine can write to."""
    nodes = NodeStore(db)
    ids = {destination for _, destination in JobStore(db).nodes(job_id) if destination is not None}
    found = (nodes.get(node_id) for node_id in ids)
    return frozenset(node.path for node in found if isinstance(node, Folder) and is_there(node.path))


def _of_node(settings: Settings, node: Node) -> Iterator[str]:
    if isinstance(node, Folder) and not is_there(node.path):
        yield f"The folder {node.path} is not there, or cannot be written. Mount it, or correct its path."
    if isinstance(node, Server):
        yield from _of_server(settings, node)


def _of_server(settings: Settings, server: Server) -> Iterator[str]:
    if choose.needs_receiver(server) and not Inbox(Spool(settings.spool_dir).inbox).is_served:
        yield f"No receiver runs here to take in what {server.name} sends. Start adit receiver."
    files = () if server.tls is None else (server.tls.ca_file, server.tls.certificate_file, server.tls.key_file)
    for file in files:
        if file and not Path(file).is_file():
            yield f"{file}, which {server.name} needs for TLS, is not there."
