"""The check of a batch transfer finds conflicts of pseudonyms at once, and holds up nobody who binds some meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.nodes import NodeStore
from models.db.scopes import ScopeStore
from models.domain.errors import BadRequest, WrongState
from models.domain.people import operator
from models.domain.requests import StudyWish
from models.settings import Settings
from services import pseudonyms
from services.batches import checks
from tests.batches import a_transfer, transfer_rows
from tests.samples import a_folder, a_server, some_settings

ROOT = operator("root")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return some_settings(tmp_path)


@contextmanager
def _refusing(*_: object) -> Iterator[None]:
    raise AssertionError("a rehearsal opens no transaction")
    yield


@pytest.mark.parametrize("trial", ["", "LUNG", "NEW"])
def test_a_rehearsal_writes_nothing(
    db: Database, settings: Settings, trial: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scope = ScopeStore(db).for_trial("LUNG", "root")
    bound = [StudyWish("1.2.1", "P1", (), "ANON1")]
    pseudonyms.bind_request(db, settings, scope, pseudonyms.prepare(db, settings, "LUNG", bound))
    wishes = [StudyWish("1.2.1", "P1", (), "ANON1"), StudyWish("1.2.2", "P2", (), "")]
    monkeypatch.setattr(Database, "transaction", _refusing)
    pseudonyms.rehearse_request(db, settings, trial, wishes)


def test_a_check_binds_nobody(db: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ScopeStore, "ledger", _refusing)
    source, folder = NodeStore(db).add(a_server("ONE")).id, NodeStore(db).add(a_folder()).id
    checks.submit(db, settings, ROOT, a_transfer(source, folder, *transfer_rows(2), trial_protocol_id="LUNG"))


def test_conflicts_with_earlier_jobs_are_found_all_at_once(db: Database, settings: Settings) -> None:
    scope = ScopeStore(db).for_trial("LUNG", "root")
    bound = [StudyWish(f"1.2.{number}", f"P{number}", (), f"OTHER{number}") for number in (1, 2)]
    pseudonyms.bind_request(db, settings, scope, pseudonyms.prepare(db, settings, "LUNG", bound))
    source, folder = NodeStore(db).add(a_server("ONE")).id, NodeStore(db).add(a_folder()).id
    request = a_transfer(source, folder, *transfer_rows(3), trial_protocol_id="LUNG")
    with pytest.raises(BadRequest) as raised:
        checks.submit(db, settings, ROOT, request)
    told = raised.value.message
    assert "Line 2: pseudonym:" in told and "Line 3: pseudonym:" in told and "Line 4" not in told
    assert JobStore(db).count() == 0
    checks.submit(db, settings, ROOT, replace(request, trial_protocol_id="NEW"))


def test_a_forgotten_trial_is_refused(db: Database, settings: Settings) -> None:
    scopes = ScopeStore(db)
    scopes.forget(scopes.for_trial("LUNG", "root"))
    with pytest.raises(WrongState):
        pseudonyms.rehearse_request(db, settings, "LUNG", [StudyWish("1.2.1", "P1", (), "ANON1")])
