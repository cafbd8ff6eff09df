"""A request that comes through Prefect: what becomes of it, and what it is told."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from flows import items, questions
from flows.requests import RequestedTransfer, accepted
from models.db.engine import Database
from models.domain.errors import AditError, BadRequest, NotFound, NotPermitted
from models.domain.jobs import Job, JobKind, State
from models.domain.people import Group, NodeRight, Permission, operator
from models.settings import Settings
from services import jobs, nodes
from services.people import accounts, groups
from tests.databases import MASTER_KEY, new_url, put_tables
from tests.people import a_user
from tests.samples import a_folder, a_server, some_settings

TESTER = operator("tester")
RIGHTS = frozenset({Permission.ADD_SELECTIVE_TRANSFER})


@pytest.fixture
def a_database(tmp_path: Path) -> Iterator[Database]:
    with new_url("sqlite", tmp_path) as url:
        put_tables(url)
        db = Database(url, MASTER_KEY)
        source = nodes.add_server(db, TESTER, a_server("PACS"))
        target = nodes.add_folder(db, some_settings(tmp_path), TESTER, a_folder("out"))
        access = frozenset({NodeRight(source.id, source=True), NodeRight(target.id, destination=True)})
        groups.add(db, TESTER, Group("researchers", RIGHTS, frozenset({a_user(db, "carla").id}), access))
        yield db
        db.close()


@pytest.fixture
def the_settings(tmp_path: Path) -> Settings:
    return some_settings(tmp_path)


def a_request(**changes: Any) -> RequestedTransfer:
    return RequestedTransfer(**{"owner": "carla", "study_uids": ["1.2.3"], "destination": "out", **changes})


def accept(db: Database, settings: Settings, run_id: str = "run-1", **changes: Any) -> Job:
    return accepted(db, settings, JobKind.SELECTIVE_TRANSFER, a_request(**changes), run_id)


def test_a_run_that_is_begun_again_gets_the_job_it_had(a_database: Database, the_settings: Settings) -> None:
    job = accept(a_database, the_settings, trial_protocol_id="T1")
    assert (job.owner, job.trial_protocol_id) == ("carla", "T1")
    assert jobs.get(a_database, TESTER, job.id).flow_run_id == "run-1"
    assert accept(a_database, the_settings, trial_protocol_id="T1").id == job.id
    assert jobs.count(a_database, TESTER, everybody=True) == 1


def test_another_run_gets_a_job_of_its_own(a_database: Database, the_settings: Settings) -> None:
    first = accept(a_database, the_settings)
    assert accept(a_database, the_settings, "run-2").id != first.id


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"owner": "nobody"}, NotFound, "account"),
        ({"source": "elsewhere"}, BadRequest, "source: "),
        ({"destination": "elsewhere"}, BadRequest, "destination: "),
        ({"trial_protocol_id": "a\\b"}, BadRequest, "trial_protocol_id: "),
        ({"profile": "no-such-profile"}, BadRequest, "profile: "),
        ({"study_uids": ["1.2.3", "1.2.3"]}, BadRequest, "study_uid: "),
        ({"urgent": True}, NotPermitted, "urgent"),
    ],
)
def test_what_cannot_be_as_it_is_is_named_and_no_job_is_made(
    changes: dict[str, Any], kind: type[AditError], words: str, a_database: Database, the_settings: Settings
) -> None:
    with pytest.raises(kind, match=words):
        accept(a_database, the_settings, **changes)
    assert jobs.count(a_database, TESTER, everybody=True) == 0


def test_the_owner_must_have_the_right_and_be_active(a_database: Database, the_settings: Settings) -> None:
    with pytest.raises(NotPermitted, match="batch transfer"):
        accepted(a_database, the_settings, JobKind.BATCH_TRANSFER, a_request(), "run-1")
    carla = next(user for user in accounts.list(a_database, TESTER) if user.username == "carla")
    accounts.deactivate(a_database, TESTER, carla.id)
    with pytest.raises(NotPermitted, match="not active"):
        accept(a_database, the_settings)


def test_a_trial_of_others_is_refused_whoever_starts_the_run(a_database: Database, the_settings: Settings) -> None:
    accept(a_database, the_settings, trial_protocol_id="T1")
    (group,) = groups.list(a_database, TESTER)
    dora = a_user(a_database, "dora").id
    groups.add(a_database, TESTER, Group("others", RIGHTS, frozenset({dora}), group.nodes))
    with pytest.raises(NotPermitted, match="the trial T1 is used by others"):
        accept(a_database, the_settings, "run-2", owner="dora", trial_protocol_id="T1")
    assert jobs.count(a_database, TESTER, everybody=True) == 1
    groups.update(a_database, TESTER, replace(group, members=group.members | {dora}))
    assert accept(a_database, the_settings, "run-3", owner="dora", trial_protocol_id="T1").owner == "dora"


@pytest.mark.parametrize("changes", [{"patient_id": "4711"}, {"pseudonym": "P1"}, {"study_uids": []}, {"owner": ""}])
def test_patients_pseudonyms_and_nothing_at_all_have_no_place_in_prefect(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        a_request(**changes)
    assert "4711" not in str(refused.value)


@pytest.mark.parametrize(("job_id", "request_"), [(None, None), (1, a_request())])
def test_a_run_needs_either_a_job_or_a_request(
    job_id: int | None,
    request_: RequestedTransfer | None,
    a_database: Database,
    the_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(items, "settings", lambda: the_settings)
    monkeypatch.setattr(items, "open_database", lambda _: a_database)
    state = items.run_transfer(JobKind.SELECTIVE_TRANSFER, job_id, request_)
    assert state.is_failed() and "Give either the number of a job, or a request." in str(state.message)


def test_a_run_works_on_no_job_of_another_kind(
    a_database: Database, the_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (items, questions):
        monkeypatch.setattr(module, "settings", lambda: the_settings)
        monkeypatch.setattr(module, "open_database", lambda _: a_database)
    job = accept(a_database, the_settings)
    for state in (
        items.run_transfer(JobKind.BATCH_TRANSFER, job.id, None),
        questions.run_questions(JobKind.BATCH_QUERY, job.id),
    ):
        assert state.is_failed() and "another deployment" in str(state.message)
    assert items.run_transfer(JobKind.SELECTIVE_TRANSFER, 4711, None).is_failed()
    assert jobs.get(a_database, TESTER, job.id).state is State.PENDING
