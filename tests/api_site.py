"""The API with an installation behind it, people with tokens, and an archive whose answers are the test's."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from api.app import application
from api.context import Context
from dicom.network import choose
from models.db.engine import Database
from models.db.jobs import JobStore
from models.domain.errors import Canceled
from models.domain.jobs import Job, JobKind
from models.domain.nodes import Folder, Server
from models.domain.people import Actor, Group, NodeRight, Permission, operator
from models.domain.refs import InstanceFound, PatientFound, PatientQuery, SeriesFound, StudyFound, StudyQuery, StudyRef
from models.domain.requests import StudyWish, TransferRequest
from models.domain.tokens import Operation, TokenWish
from models.settings import Settings
from services import jobs, nodes
from services.people import actors, groups, tokens
from tests import in_process
from tests.databases import put_tables
from tests.people import a_user
from tests.samples import a_server, some_settings

SHELL = operator("shell")
MAY = frozenset(
    {
        Permission.ADD_SELECTIVE_TRANSFER,
        Permission.ADD_BATCH_TRANSFER,
        Permission.ADD_BATCH_QUERY,
        Permission.ADD_TOKEN,
    }
)
HEADER = "Basic dG9wOnNlY3JldA=="
"""The authorization header of a server: never to be seen in an answer."""


@dataclass
class PlayedArchive:
    """A finder for every server.

    ``stands_still`` lets it wait after its last study, or before the first series, until it is broken off.
    """

    studies: list[StudyFound | Exception] = field(default_factory=list)
    stands_still: bool = False
    asked: list[object] = field(default_factory=list)
    stood_still: threading.Event = field(default_factory=threading.Event)
    aborted: threading.Event = field(default_factory=threading.Event)
    closed: int = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.closed += 1

    def abort(self) -> None:
        self.aborted.set()

    def find_patients(self, query: PatientQuery) -> Iterator[PatientFound]:
        self.asked.append(query)
        yield PatientFound("P1", "Doe^John", "19700101", "M")

    def find_studies(self, query: StudyQuery) -> Iterator[StudyFound]:
        self.asked.append(query)
        for found in self.studies:
            if isinstance(found, Exception):
                raise found
            yield found
        self._stand_still()

    def find_series(self, study: StudyRef) -> Iterator[SeriesFound]:
        self.asked.append(study)
        self._stand_still()
        yield SeriesFound(study.study_uid, f"{study.study_uid}.1", "CT", "1", "Head", 3)

    def find_instances(
        self, study: StudyRef, series_uid: str, only_uids: bool = False, sop_uid: str = ""
    ) -> Iterator[InstanceFound]:
        yield InstanceFound(series_uid, f"{series_uid}.1")

    def _stand_still(self) -> None:
        if self.stands_still:
            self.stood_still.set()
            assert self.aborted.wait(240)
            raise Canceled


@dataclass
class Site:
    """One installation with an API, and who is there."""

    settings: Settings
    db: Database
    app: Any
    client: httpx.Client
    context: Context

    def token(self, name: str, *operations: Operation, nodes: frozenset[int] | None = None, **wish: Any) -> str:
        """The secret of a new token of somebody, limited to the operations where any are named."""
        actor = replace(actors.of_name(self.db, name), permissions=frozenset(Permission))
        limits = frozenset(operations) or None
        return tokens.add(self.db, actor, TokenWish(f"of {name}", operations=limits, nodes=nodes, **wish)).secret

    def ask(self, method: str, path: str, token: str = "", **options: Any) -> httpx.Response:
        """What the API answers; ``json``, ``headers``, ``params`` as in httpx."""
        headers = {"accept": "application/json", **options.pop("headers", {})}
        if token:
            headers["authorization"] = f"Bearer {token}"
        return self.client.request(method, path, headers=headers, **options)

    def actor(self, name: str) -> Actor:
        return actors.of_name(self.db, name)


@contextlib.contextmanager
def serving(directory: Path, app: Any = None, **options: Any) -> Iterator[Site]:
    """An empty installation with its API."""
    settings = some_settings(directory, **options)
    put_tables(settings.url)
    db = Database(settings.url, settings.master_key.get_secret_value())
    with opened(settings, db, app) as site:
        yield site
    db.close()


@contextlib.contextmanager
def opened(settings: Settings, db: Database, app: Any = None) -> Iterator[Site]:
    """The API of an installation; an application that is there already is given another installation."""
    app = app or application(settings, db)
    app.state.context = context = Context.of(settings, db)
    with in_process.client(app, settings.web_url) as client:
        yield Site(settings, db, app, client, context)
    context.usage.flush()


def fill(site: Site) -> None:
    """People: root (superuser), staff, ada who may transfer, eve who may nothing; nodes; ada's job of two studies.

    Ids: users in this order from 1; nodes 1 PACS, 2 Research, 3 Folder; job 1 with items 1 and 2; group 1.
    """
    a_user(site.db, "root", is_superuser=True, is_staff=True)
    a_user(site.db, "staff", is_staff=True)
    ada = a_user(site.db, "ada")
    a_user(site.db, "eve")
    web = {"dicomweb_root_url": "http://127.0.0.1:9/dicom-web", "dicomweb_authorization_header": HEADER}
    place = {"host": "127.0.0.1", "port": 9}
    source = nodes.add_server(site.db, SHELL, a_server("PACS", **place, **web))
    target = nodes.add_server(site.db, SHELL, a_server("Research", **place))
    path = site.settings.data_dir / "folder"
    path.mkdir()
    folder = nodes.add_folder(site.db, site.settings, SHELL, Folder("Folder", path, quota_gb=10))
    rights = {
        NodeRight(source.id, source=True),
        NodeRight(target.id, destination=True),
        NodeRight(folder.id, destination=True),
    }
    groups.add(site.db, SHELL, Group("Researchers", MAY, frozenset({ada.id}), frozenset(rights)))
    a_job(site, source, target)


def a_job(site: Site, source: Server, target: Server | Folder, owner: str = "ada") -> Job:
    """A job of two studies whose patients are Doe."""
    wishes = (StudyWish("1.2.3", "DOE-1", pseudonym="ANON1"), StudyWish("1.2.4", "DOE-2", pseudonym="ANON2"))
    request = TransferRequest(JobKind.SELECTIVE_TRANSFER, source.id, target.id, wishes, trial_protocol_id="TRIAL")
    job = jobs.submit(site.db, site.settings, site.actor(owner), request)
    return JobStore(site.db).get(job.id)


def play(monkeypatch: Any, *studies: StudyFound | Exception, stands_still: bool = False) -> PlayedArchive:
    """Let every server answer searches with these studies."""
    archive = PlayedArchive(list(studies), stands_still)
    monkeypatch.setattr(choose, "asker", lambda server, ae_title, page_size=0: archive)
    return archive
