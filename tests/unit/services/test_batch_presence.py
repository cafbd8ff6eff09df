"""Looking at the destination of a check is a hint: whatever is wrong with it, what the source has can be moved."""

from pathlib import Path

import pytest

from flows.questions import ask_through
from models.db.engine import Database
from models.db.nodes import NodeStore
from models.db.scopes import ScopeStore
from models.domain.answers import CheckedRow, RowVerdict
from models.domain.errors import PeerLied, Unreachable
from models.domain.people import operator
from models.settings import Settings
from services.batches import checks
from tasks.ask import ask_bundle
from tests.batches import a_transfer, transfer_rows
from tests.memory_archive import MemoryArchive, played
from tests.samples import a_server, some_settings

ROOT = operator("root")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return some_settings(tmp_path)


def checked(db: Database, settings: Settings, there: MemoryArchive, **server: object) -> tuple[CheckedRow, ...]:
    """The check of three rows, with ``there`` as the destination, which is asked by one thread."""
    here = MemoryArchive()
    for number in range(1, 4):
        here.add(f"P{number}", f"1.2.{number}")
    source = NodeStore(db).add(a_server("ONE", association_budget=1))
    destination = NodeStore(db).add(a_server("TWO", **server))
    ScopeStore(db).for_trial("LUNG", "root")
    request = a_transfer(source.id, destination.id, *transfer_rows(3), trial_protocol_id="LUNG")
    job = checks.submit(db, settings, ROOT, request)
    with played(ONE=here, TWO=there):
        ask_through(db, settings, job.id, ask_bundle)
    return checks.rows(db, ROOT, job.id)


def test_a_destination_that_only_knows_patients_is_not_asked_for_studies(db: Database, settings: Settings) -> None:
    there = MemoryArchive()
    rows = checked(db, settings, there, patient_root_find_support=True, study_root_find_support=False)
    assert [row.verdict for row in rows] == [RowVerdict.FOUND] * 3
    assert there.asked == []


def test_a_destination_out_of_reach_is_tried_once_and_fails_nothing(db: Database, settings: Settings) -> None:
    there = MemoryArchive(faults=[Unreachable()])
    rows = checked(db, settings, there)
    assert [row.verdict for row in rows] == [RowVerdict.FOUND] * 3
    assert all(row.sentence.startswith("3 instances in 1 series. Whether it is at the destination") for row in rows)
    assert len(there.asked) == 1


def test_an_odd_answer_of_the_destination_concerns_one_study(db: Database, settings: Settings) -> None:
    rows = checked(db, settings, MemoryArchive(faults=[PeerLied("Nobody can read that.")]))
    assert [row.verdict for row in rows] == [RowVerdict.FOUND] * 3
    assert ["destination" in row.sentence for row in rows] == [True, False, False]
