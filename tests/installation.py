"""A whole installation in one directory for tests: settings, database, nodes, jobs; runs jobs without Prefect."""

import contextlib
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from deployments.demo.studies import StudyFiles
from dicom.files.spool import Spool
from dicom.network.inbox import Inbox
from dicom.network.receiver import Receiver
from flows.items import work_through
from flows.questions import ask_through
from flows.steps import as_function
from models.db.engine import Database, open_database
from models.domain.jobs import Item, Job, JobKind
from models.domain.nodes import Folder, Node, Server, Timeouts
from models.domain.people import operator
from models.domain.receipts import Receipt
from models.domain.requests import StudyWish, TransferRequest
from models.settings import Settings
from services import jobs, nodes, work
from tasks.ask import ask_bundle
from tests.databases import MASTER_KEY, put_tables
from tests.peers import Peer, free_port

TESTER = operator("tester")
PATIENT = Timeouts(*[timedelta(hours=1)] * 4)
"""Of a server that stands still in a test: no time-out ends what something else is to end."""

DIMSE_GET = {"study_root_find_support": True, "study_root_get_support": True, "store_scp_support": True}
DIMSE_MOVE = {"study_root_find_support": True, "study_root_move_support": True, "store_scp_support": True}
DICOMWEB = {"dicomweb_qido_support": True, "dicomweb_wado_support": True, "dicomweb_stow_support": True}


class Installation:
    """What an administrator sets up, in a directory of its own."""

    def __init__(self, directory: Path, **options: object) -> None:
        self.settings = Settings(
            data_dir=directory,
            receiver_host="127.0.0.1",
            receiver_port=free_port(),
            **{"master_key": MASTER_KEY, "spool_reserve_mb": 1, "retry_wait_s": 0, **options},
        )
        if self.settings.url.startswith("sqlite"):
            put_tables(self.settings.url)
        self.db: Database = open_database(self.settings)
        self.db.migrate()
        self.spool = Spool(self.settings.spool_dir)

    def server(self, peer: Peer, name: str = "", **fields: object) -> Server:
        """Add a server; ``fields`` are capabilities and overrides."""
        web = {"dicomweb_root_url": f"{peer.url}/dicom-web"} if fields.get("dicomweb_qido_support") else {}
        node = Server(
            **{  # type: ignore[arg-type]
                "name": name or peer.ae_title,
                "ae_title": peer.ae_title,
                "host": "127.0.0.1",
                "port": peer.port,
                **web,
                **fields,
            }
        )
        added = nodes.add_server(self.db, TESTER, node)
        assert isinstance(added, Server)
        return added

    def folder(self, path: Path, name: str = "research") -> Folder:
        with contextlib.suppress(NotADirectoryError):
            path.mkdir(parents=True, exist_ok=True)
        added = nodes.add_folder(self.db, self.settings, TESTER, Folder(name=name, path=path))
        assert isinstance(added, Folder)
        return added

    def submit(
        self, source: Node, destination: Node, studies: Sequence[StudyWish], trial: str = "", **fields: object
    ) -> Job:
        """``fields`` are those of the request, such as its profile."""
        kind = JobKind.SELECTIVE_TRANSFER if len(studies) == 1 else JobKind.BATCH_TRANSFER
        request = TransferRequest(kind, source.id, destination.id, tuple(studies), trial, **fields)  # type: ignore[arg-type]
        return jobs.submit(self.db, self.settings, TESTER, request)

    def run(self, job: Job) -> None:
        """Work on the job in this process until nothing is due."""
        if job.kind.only_asks:
            ask_through(self.db, self.settings, job.id, ask_bundle)
            return
        work_through(self.db, self.settings, job.id, as_function)

    def transfer(
        self, source: Node, destination: Node, *studies: StudyWish, trial: str = "", **fields: object
    ) -> list[Item]:
        job = self.submit(source, destination, studies, trial, **fields)
        self.run(job)
        return self.items(job)

    def items(self, job: Job) -> list[Item]:
        return jobs.items(self.db, TESTER, job.id)

    def receipt(self, item: Item) -> Receipt:
        return work.load_receipt(self.db, item.id)

    def receiver(self, *callers: str) -> Receiver:
        """The C-STORE receiver of this installation; start and stop it yourself."""
        inbox = Inbox(self.spool.inbox)
        settings = self.settings
        return Receiver(settings.receiver_host, settings.receiver_port, inbox, lambda: callers)

    def leftovers(self) -> list[Path]:
        """Files in the spool that nobody has removed."""
        return [path for path in self.spool.root.rglob("*") if path.is_file()]


def wishes(corpus: list[StudyFiles]) -> list[StudyWish]:
    """The request for studies, each under a pseudonym of its patient."""
    return [StudyWish(study.study_uid, study.patient_id, pseudonym=f"SUBJ-{study.patient_id[-2:]}") for study in corpus]
