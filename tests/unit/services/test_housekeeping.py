"""What dead workers left staged in folders goes, old keys and tokens too; what lives, or belongs to others, stays."""

from datetime import timedelta
from pathlib import Path

import pytest

from dicom.files.staging import STAGING
from models.db.engine import Database
from models.db.idempotency import IdempotencyStore
from models.db.jobs import JobStore
from models.db.tokens import TokenStore
from models.domain.errors import WriteFailed
from models.domain.jobs import JobKind
from models.domain.nodes import Folder, Server
from models.domain.people import operator
from models.domain.requests import StudyWish, TransferRequest
from models.domain.tokens import TokenWish
from services import housekeeping, jobs, nodes, quotas, staging
from tests.databases import Clock
from tests.people import a_user
from tests.samples import add_job, some_settings

TESTER = operator("tester")


@pytest.fixture
def a_folder(tmp_path: Path) -> Path:
    path = tmp_path / "research"
    (path / STAGING).mkdir(parents=True)
    return path


def test_only_staged_studies_of_ended_items_are_removed(database: Database, a_folder: Path, tmp_path: Path) -> None:
    server = Server("pacs", "PACS", "127.0.0.1", 104, study_root_find_support=True, study_root_get_support=True)
    source = nodes.add_server(database, TESTER, server)
    target = nodes.add_folder(database, some_settings(tmp_path), TESTER, Folder("research", a_folder))
    made = []
    for uid in ("1.2.1", "1.2.2"):
        request = TransferRequest(JobKind.SELECTIVE_TRANSFER, source.id, target.id, (StudyWish(uid, pseudonym="P"),))
        made.append(jobs.submit(database, some_settings(tmp_path), TESTER, request))
    ended, waiting = made
    keys = []
    for job in (ended, waiting):
        (item,) = JobStore(database).items(job.id)
        keys.append(staging.staging_key(job, item))
    jobs.cancel(database, TESTER, ended.id)
    of_another_installation = f"{keys[0]}0"
    for key in (*keys, of_another_installation, "something-else"):
        (a_folder / STAGING / key).mkdir()
    assert not housekeeping.tend_folder(database, measured(database, target), is_due=False)
    left = {path.name for path in (a_folder / STAGING).iterdir()}
    assert left == {keys[1], of_another_installation, "something-else"}


def measured(database: Database, folder: Folder) -> Folder:
    quotas.measure(database, folder.id)
    return next(found for found in housekeeping.folders(database) if found.id == folder.id)


def test_a_folder_is_measured_when_that_is_due_or_nobody_ever_has(database: Database, a_folder: Path) -> None:
    added = nodes.add_folder(database, some_settings(a_folder.parent), TESTER, Folder("research", a_folder))
    assert housekeeping.tend_folder(database, added, is_due=False)
    (known,) = housekeeping.folders(database)
    assert known.measured_bytes == 0
    assert not housekeeping.tend_folder(database, known, is_due=False)
    assert housekeeping.tend_folder(database, known, is_due=True)


def test_a_folder_that_is_not_there_is_never_taken_for_an_empty_one(database: Database, tmp_path: Path) -> None:
    gone = nodes.add_folder(database, some_settings(tmp_path), TESTER, Folder("gone", tmp_path / "gone"))
    with pytest.raises(WriteFailed):
        housekeeping.tend_folder(database, gone, is_due=True)
    assert housekeeping.folders(database)[0].measured_at is None


def test_old_keys_and_tokens_are_forgotten_and_others_stay(database: Database, clock: Clock) -> None:
    store, keys, user, job = TokenStore(database), IdempotencyStore(database), a_user(database), add_job(database)
    ends = clock.now + timedelta(days=1)
    store.add(user.id, "short", "adit_abcd", TokenWish(expires_at=ends))
    lasting = store.add(user.id, "lasting", "adit_abcd", TokenWish())
    keys.keep("ada", "key", "digest", job.id)
    for days, tokens_left, has_key in ((7, 2, True), (0.1, 2, False), (23.9, 2, False), (0.1, 1, False)):
        clock.pass_by(days * 24 * 3600)
        housekeeping.sweep(database)
        assert (store.count(None), keys.find("ada", "key") is not None) == (tokens_left, has_key)
    assert store.of_user(user.id) == (lasting,)
