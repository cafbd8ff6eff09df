"""Nodes and requests for tests; all of it invented."""

from pathlib import Path

from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.nodes import NodeStore
from models.db.scopes import ScopeStore
from models.domain.jobs import Job, JobKind
from models.domain.nodes import Folder, Server
from models.domain.requests import StudyWish, TransferRequest
from models.settings import Settings
from tests.databases import MASTER_KEY


def a_server(name: str = "PACS", **fields: object) -> Server:
    values: dict[str, object] = {
        "name": name,
        "ae_title": name.upper()[:16],
        "host": "pacs.example.org",
        "port": 104,
        "study_root_find_support": True,
        "study_root_get_support": True,
        "store_scp_support": True,
    }
    return Server(**(values | fields))  # type: ignore[arg-type]


def a_folder(name: str = "research", path: str = "/srv/research") -> Folder:
    return Folder(name=name, path=Path(path))


def wishes(count: int) -> tuple[StudyWish, ...]:
    return tuple(StudyWish(f"1.2.3.{n}", patient_id=f"P{n}", pseudonym=f"ANON{n}") for n in range(1, count + 1))


def a_request(source: int, destination: int, studies: int = 1, **fields: object) -> TransferRequest:
    kind = fields.pop("kind", JobKind.BATCH_TRANSFER)
    return TransferRequest(kind, source, destination, wishes(studies), **fields)  # type: ignore[arg-type]


def add_nodes(db: Database) -> tuple[int, int]:
    """The ids of a source server and a destination folder, made when missing."""
    store = NodeStore(db)
    known = {node.name: node.id for node in store.list()}
    source = known.get("PACS") or store.add(a_server()).id
    return source, known.get("research") or store.add(a_folder()).id


def add_job(db: Database, studies: int = 1, owner: str = "ada", urgent: bool = False, **fields: object) -> Job:
    """A pending job with its nodes and a linkage scope of its own."""
    request = a_request(*add_nodes(db), studies, urgent=urgent, **fields)
    return JobStore(db).add(owner, request, ScopeStore(db).new())


def some_settings(directory: Path, **fields: object) -> Settings:
    """Settings that no variable and no file changes."""
    return Settings(_env_file=None, data_dir=directory, master_key=MASTER_KEY, **fields)  # type: ignore[call-arg, arg-type]
