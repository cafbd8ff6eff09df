"""Who submits thousands of rows computes and encrypts before the transaction: SQLite has one writer at a time."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from dicom.deid.keys import LinkageKey
from models.db.idempotency import IdempotencyStore
from models.db.jobs import JobStore
from models.db.nodes import NodeStore
from models.db.scopes import ScopeStore
from models.db.vault import Vault
from models.domain.batch_requests import BatchFile
from models.domain.jobs import Job, JobKind
from models.domain.people import operator
from models.domain.requests import StudyWish, TransferRequest
from models.settings import Settings
from services import jobs, pseudonyms
from services.batches import checks, queries
from tests.batches import a_query, a_transfer, query_rows, transfer_rows
from tests.databases import Clock, sqlite_database
from tests.samples import a_folder, a_server, some_settings

ROOT = operator("root")
COMPUTING = [
    (Vault, "encrypt"),
    (LinkageKey, "patient_digest"),
    (LinkageKey, "pseudonym"),
    (IdempotencyStore, "digest_of"),
]


class Site:
    """A database with two nodes, and what a person submits: transfers, queries and checks of so many rows."""

    def __init__(self, directory: Path) -> None:
        self.db = sqlite_database(directory, Clock())
        self.file = directory / "adit.db"
        self.settings: Settings = some_settings(directory, escrow=True)
        self.source, self.folder = NodeStore(self.db).add(a_server("ONE")).id, NodeStore(self.db).add(a_folder()).id

    def transfer(self, count: int, trial: str = "LUNG") -> Job:
        wishes = tuple(
            StudyWish(f"1.2.{count}.{n}", f"P{count}.{n}", (), "" if n % 2 else f"S-{count}-{n}") for n in range(count)
        )
        request = TransferRequest(JobKind.BATCH_TRANSFER, self.source, self.folder, wishes, trial)
        return jobs.submit(self.db, self.settings, ROOT, request, f"transfer {trial} {count}")

    def query(self, count: int) -> Job:
        request = a_query([self.source], *query_rows(count), file=BatchFile("Doe.csv", b"PatientID\n"))
        return queries.submit(self.db, self.settings, ROOT, request, f"query {count}")

    def check(self, count: int) -> Job:
        rows, file = transfer_rows(count), BatchFile("Doe.csv", b"PatientID\n")
        request = a_transfer(self.source, self.folder, *rows, trial_protocol_id="LUNG", file=file)
        return checks.submit(self.db, self.settings, ROOT, request, f"check {count}")

    def is_locked(self) -> bool:
        """Whether somebody holds the lock that a writer needs."""
        with closing(sqlite3.connect(self.file, timeout=0, isolation_level=None)) as other:
            try:
                other.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return True
            return False


@pytest.fixture
def a_site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.db.close()


@pytest.fixture
def computed(a_site: Site, monkeypatch: pytest.MonkeyPatch) -> Counter[bool]:
    """How often something was computed, by whether the lock was held meanwhile."""
    found = Counter[bool]()

    def watched(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            found[a_site.is_locked()] += 1
            return real(*args, **named)

        return call

    for place, name in COMPUTING:
        monkeypatch.setattr(place, name, watched(getattr(place, name)))
    return found


@pytest.mark.parametrize("what", [Site.transfer, Site.query, Site.check])
def test_nothing_is_computed_under_the_lock_for_each_row(
    a_site: Site, what: Callable[[Site, int], Job], computed: Counter[bool]
) -> None:
    what(a_site, 1)  # makes the trial
    told = []
    for count in (2, 20):
        computed.clear()
        what(a_site, count)
        told.append((computed[True], computed[False]))
    (few, _), (many, outside) = told
    assert few == many, "only what does not depend on the rows"
    assert outside >= 20


def test_a_trial_that_somebody_else_begins_meanwhile_keeps_its_key(
    a_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = pseudonyms.prepare

    def overtaken(*args: Any) -> pseudonyms.Prepared:
        prepared = prepare(*args)
        ScopeStore(a_site.db).for_trial("LUNG", "root")
        return prepared

    monkeypatch.setattr(pseudonyms, "prepare", overtaken)
    first, second = a_site.transfer(3), a_site.transfer(3, trial="OTHER")
    monkeypatch.undo()
    key = pseudonyms.linkage_key(a_site.db, ScopeStore(a_site.db).of_trial("LUNG"))
    generated = [
        item for item in JobStore(a_site.db).items(first.id) if item.pseudonym and not item.pseudonym.startswith("S-")
    ]
    assert generated and all(item.pseudonym == key.pseudonym(item.patient_id) for item in generated)
    assert second.linkage_scope_id != first.linkage_scope_id
