"""What a machine lacks for a job fails none of its items as long as another machine may have it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dicom.files import nifti
from dicom.network.inbox import Inbox
from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.nodes import NodeStore
from models.db.refusals import RefusalStore
from models.db.scopes import ScopeStore
from models.domain.jobs import Job
from models.domain.nodes import Server, Tls
from models.settings import Settings
from services import profiles, reach, sharing
from tests.databases import Clock, sqlite_database
from tests.samples import a_folder, a_request, a_server, some_settings


@pytest.fixture
def a_database(tmp_path: Path) -> Database:
    return sqlite_database(tmp_path, Clock())


@pytest.fixture
def the_settings(tmp_path: Path) -> Settings:
    return some_settings(tmp_path, spool_reserve_mb=1)


@pytest.fixture
def a_share(tmp_path: Path) -> Path:
    share = tmp_path / "share"
    share.mkdir()
    return share


@pytest.fixture
def submit(a_database: Database, the_settings: Settings, a_share: Path) -> Callable[..., Job]:
    def submitted(source: Server | None = None, digest: str | None = None, convert_to_nifti: bool = False) -> Job:
        nodes = NodeStore(a_database)
        ids = nodes.add(source or a_server()).id, nodes.add(a_folder("share", str(a_share))).id
        digest = digest or profiles.policy_now(the_settings, "research").digest
        return JobStore(a_database).add(
            "ada",
            a_request(*ids, profile="research", convert_to_nifti=convert_to_nifti),
            ScopeStore(a_database).new(),
            digest,
        )

    return submitted


def lacking(database: Database, settings: Settings, job: Job) -> str:
    return " ".join(reach.lacking(database, settings, job))


def test_a_machine_that_has_everything_lacks_nothing(
    a_database: Database, the_settings: Settings, submit: Callable[..., Job]
) -> None:
    assert lacking(a_database, the_settings, submit()) == ""


def test_a_share_that_is_not_mounted_is_named_and_missed_no_more_when_it_is(
    a_database: Database, the_settings: Settings, submit: Callable[..., Job], a_share: Path
) -> None:
    job = submit()
    a_share.rmdir()
    assert (
        lacking(a_database, the_settings, job)
        == f"The folder {a_share} is not there, or cannot be written. Mount it, or correct its path."
    )
    a_share.mkdir()
    assert lacking(a_database, the_settings, job) == ""


def test_a_machine_without_the_converter_leaves_volumes_to_others(
    a_database: Database, the_settings: Settings, submit: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nifti, "PROGRAM", "no-such-converter")
    assert lacking(a_database, the_settings, submit(convert_to_nifti=True)) == nifti.MISSING


def test_a_source_with_c_move_only_needs_a_receiver_here(
    a_database: Database, the_settings: Settings, submit: Callable[..., Job]
) -> None:
    moves = replace(a_server("MOVER"), study_root_get_support=False, study_root_move_support=True)
    job = submit(moves)
    assert "No receiver runs here" in lacking(a_database, the_settings, job)
    with Inbox(the_settings.spool_dir / "inbox").served():
        assert lacking(a_database, the_settings, job) == ""


def test_a_full_spool_another_profile_and_missing_certificates_are_named(
    a_database: Database, the_settings: Settings, submit: Callable[..., Job], tmp_path: Path
) -> None:
    secure = replace(a_server("SECURE"), tls=Tls(ca_file=str(tmp_path / "ca.pem")))
    job = submit(secure, digest="0" * 16)
    full = the_settings.model_copy(update={"spool_reserve_mb": 10**9})
    assert "no space left" in lacking(a_database, full, job)
    said = lacking(a_database, the_settings, job)
    assert f"{tmp_path / 'ca.pem'}, which SECURE needs for TLS, is not there." in said
    assert "The profile research is not what it was" in said


def test_folders_here_are_those_that_are_mounted(
    a_database: Database, submit: Callable[..., Job], a_share: Path
) -> None:
    job = submit()
    assert reach.folders_here(a_database, job.id) == {a_share}
    a_share.rmdir()
    assert reach.folders_here(a_database, job.id) == set()


def test_a_job_is_left_to_others_until_all_of_them_have_refused_it(
    a_database: Database,
    the_settings: Settings,
    submit: Callable[..., Job],
    a_share: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machines = {"a", "b"}
    monkeypatch.setattr(sharing, "machines", lambda settings: machines)
    job = submit()
    a_share.rmdir()

    def leaves(machine: str) -> str:
        return reach.leaves_to_others(a_database, the_settings, job.id, machine)

    assert "is not there" in leaves("b")
    assert leaves("a") == "", "nobody else can do it, so its items say what is wrong"
    machines.add("c")
    assert leaves("a") and leaves("b"), "a machine has come that has not refused"
    machines -= {"b", "c"}
    assert leaves("a") == "", "the only machine takes everything"
    a_share.mkdir()
    machines.add("b")
    assert leaves("b") == ""
    assert "b" not in RefusalStore(a_database).of_job(job.id, reach.REFUSED_FOR)
