"""One request is one job, however often it is sent under its key."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from models.db.engine import Database
from models.db.jobs import JobStore
from models.domain.errors import AppLocked, BadRequest, NotFound, NotPermitted
from models.domain.jobs import Job, JobKind
from models.domain.people import EVERY_NODE, Actor, Permission, operator
from models.domain.project import App, AppState
from models.domain.requests import TransferRequest
from services import jobs, project
from tests.samples import a_request, add_nodes, some_settings

ADA = Actor("ada", permissions=frozenset({Permission.ADD_BATCH_TRANSFER}), access=EVERY_NODE)
EVE = replace(ADA, name="eve")


def submit(database: Database, request: TransferRequest, key: str, actor: Actor = ADA, **more: str) -> Job:
    return jobs.submit(database, some_settings(Path("unused")), actor, request, idempotency_key=key, **more)


@pytest.fixture
def request_(database: Database) -> TransferRequest:
    return a_request(*add_nodes(database), studies=2)


def count(database: Database) -> int:
    return len(JobStore(database).list())


def test_the_same_request_under_the_same_key_is_the_same_job(database: Database, request_: TransferRequest) -> None:
    first = submit(database, request_, "k 1")
    assert submit(database, request_, "k 1").id == first.id
    assert count(database) == 1


def test_another_key_another_owner_and_no_key_are_other_jobs(database: Database, request_: TransferRequest) -> None:
    submitted = [
        submit(database, request_, "k1"),
        submit(database, request_, "k2"),
        submit(database, request_, "k1", EVE),
        submit(database, request_, ""),
        submit(database, request_, ""),
    ]
    assert len({job.id for job in submitted}) == 5


@pytest.mark.parametrize("change", [{"urgent": True}, {"trial_protocol_id": "T"}, {"studies": ()}])
def test_another_request_under_the_same_key_is_refused(
    database: Database, request_: TransferRequest, change: dict[str, object]
) -> None:
    submit(database, request_, "k1")
    wished = {"studies": request_.studies[:1]} if "studies" in change else change
    with pytest.raises(BadRequest) as refused:
        submit(database, replace(request_, **wished), "k1")  # type: ignore[arg-type]
    assert set(refused.value.problems) == {"Idempotency-Key"}
    assert count(database) == 1


def test_a_refused_request_leaves_its_key_free(database: Database, request_: TransferRequest) -> None:
    with pytest.raises(NotPermitted):
        submit(database, replace(request_, kind=JobKind.SELECTIVE_TRANSFER), "k1")
    assert submit(database, request_, "k1").id


def test_what_was_accepted_is_told_again_even_when_it_would_be_refused_now(
    database: Database, request_: TransferRequest
) -> None:
    first = submit(database, request_, "k1")
    project.set_app(database, operator("root"), AppState(App.BATCH_TRANSFER, locked=True))
    assert submit(database, request_, "k1").id == first.id
    with pytest.raises(AppLocked):
        submit(database, request_, "k2")


def test_a_job_that_is_hidden_from_a_token_is_not_told_again(database: Database, request_: TransferRequest) -> None:
    submit(database, request_, "k1")
    with pytest.raises(NotFound):
        submit(database, request_, "k1", replace(ADA, nodes_limit=frozenset({request_.source_id})))


def test_when_the_same_request_comes_many_times_at_once_there_is_one_job(
    database: Database, request_: TransferRequest
) -> None:
    together, answers = threading.Barrier(6), list[Job | Exception]()

    def send() -> None:
        together.wait()
        try:
            answers.append(submit(database, request_, "k1"))
        except Exception as error:
            answers.append(error)

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [getattr(answer, "id", answer) for answer in answers] == [JobStore(database).list()[0].id] * 6
    assert count(database) == 1


def test_neither_key_nor_request_is_kept_in_words(
    database: Database, request_: TransferRequest, tmp_path: Path
) -> None:
    submit(database, request_, "key-of-doe")
    files = b"".join(file.read_bytes() for file in tmp_path.glob("adit*.db*"))
    assert b"key-of-doe" not in files


def test_a_flow_run_that_works_already_is_known_from_the_beginning(
    database: Database, request_: TransferRequest
) -> None:
    job = submit(database, request_, "k1", flow_run_id="run-1")
    assert JobStore(database).get(job.id).flow_run_id == "run-1"
