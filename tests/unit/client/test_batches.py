"""Batch files: what is sent with one, and what is made of the answers."""

import pickle
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path
from typing import Any

import httpx
import pytest

from adit_client import errors
from adit_client.values import CheckOutcome, FileProblem, Job, Tally
from tests.unit.client.conftest import Handler, Maker
from tests.unit.client.test_rest import JOB, STUDY, Server, serving

FILE = b"PatientID,Modality\r\n12345,CT\r\n"
PROJECT = {"project_name": "Lung study", "project_description": "Nodules: Ä."}
TRANSFER = {**PROJECT, "ethics_application_id": "S-1"}
PROBLEM = {"row": 3, "column": "Modality", "sentence": "Give one.", "weight": "error"}
QUERY_JOB = {**JOB, "kind": "batch_query", "nodes": [{"source_id": 1, "source": "PACS", "destination_id": None}]}
CHECK_JOB = {**JOB, "kind": "batch_check", "state": "success"}


def parts(request: httpx.Request) -> dict[str, Any]:
    """The fields of a form, a list where one comes several times; the file is its name and content."""
    head = b"Content-Type: " + request.headers["content-type"].encode() + b"\r\n\r\n"
    message = BytesParser(policy=HTTP).parsebytes(head + request.content)
    found: dict[str, Any] = {}
    for part in message.iter_parts():
        name = str(part.get_param("name", header="content-disposition"))
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        if part.get_filename() is not None:
            found[name] = (part.get_filename(), content)
        else:
            found.setdefault(name, []).append(content.decode())
    assert int(request.headers["content-length"]) == len(request.content)
    return found


def test_a_query_carries_its_file_and_fields_in_the_body(make: Maker, tmp_path: Path) -> None:
    path = tmp_path / "patients.csv"
    path.write_bytes(FILE)
    server = serving({"POST /batch-queries": QUERY_JOB})
    job = make(server).batch_query(path, ["PACS", 3], urgent=True, sheet="Tab 2", **PROJECT)
    assert (job.id, job.nodes[0].destination_id) == (7, None)
    (request,) = server.asked
    assert parts(request) == {
        "sources": ["PACS", "3"],
        "project_name": ["Lung study"],
        "project_description": ["Nodules: Ä."],
        "urgent": ["true"],
        "sheet": ["Tab 2"],
        "file": ("patients.csv", FILE),
    }
    assert request.headers["idempotency-key"]
    assert not request.url.query


@pytest.mark.parametrize(
    ("given", "name"), [(FILE, "batch"), (('a".csv', FILE), "a%22.csv"), (("a\r\nX: 1.csv", FILE), "a%0D%0AX: 1.csv")]
)
def test_a_file_may_be_bytes_with_or_without_a_name(make: Maker, given: Any, name: str) -> None:
    server = serving({"POST /batch-queries": QUERY_JOB})
    make(server).batch_query(given, "PACS", **PROJECT)
    told = parts(server.asked[0])
    assert told["file"] == (name, FILE)
    assert told["sources"] == ["PACS"]


def test_a_file_that_is_not_there_is_told_before_anything_is_sent(make: Maker, tmp_path: Path) -> None:
    server = serving({})
    with pytest.raises(FileNotFoundError):
        make(server).batch_query(tmp_path / "none.csv", **PROJECT)
    with pytest.raises(TypeError, match="urgnet"):
        make(server).batch_query(FILE, urgnet=True, **PROJECT)
    with pytest.raises(errors.BadArgument, match="leave_out"):
        make(server).transfer_checked(7, "not_found")
    with pytest.raises(errors.BadArgument, match="xlsx"):
        make(server).batch_results_file(7, "pdf")
    assert server.asked == []


def test_a_query_that_broke_off_is_sent_again_under_the_same_key(make: Maker) -> None:
    keys: list[str] = []

    def broken_once(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["idempotency-key"])
        assert parts(request)["file"] == ("batch", FILE)
        if len(keys) == 1:
            raise httpx.ReadError("gone", request=request)
        return httpx.Response(201, json=QUERY_JOB)

    assert make(broken_once).batch_query(FILE, **PROJECT).id == 7
    assert len(keys) == 2
    assert len(set(keys)) == 1


def test_all_problems_of_a_file_are_in_the_error(make: Maker) -> None:
    told = {
        "code": "BadRequest",
        "detail": "The file has 7 errors.",
        "errors": {"file": "The file has 7 errors."},
        "problems": [{**PROBLEM, "row": row} for row in range(3, 10)],
    }
    kind = {"content-type": "application/problem+json"}
    server = serving({"POST /batch-checks": httpx.Response(422, json=told, headers=kind)})
    with pytest.raises(errors.BadBatchFile) as caught:
        make(server).batch_check(FILE, **TRANSFER)
    assert [problem.row for problem in caught.value.problems] == [*range(3, 10)]
    assert "Line 3, Modality: Give one." in str(caught.value)
    assert "and 2 more" in str(caught.value)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.problems, str(again)) == (caught.value.problems, str(caught.value))
    assert isinstance(again, errors.InvalidRequest)


def test_problems_that_do_not_fit_are_left_out_of_the_error(make: Maker) -> None:
    told = {"code": "BadRequest", "detail": "No.", "errors": {}, "problems": [{"row": "x"}]}
    server = serving({"POST /batch-checks": httpx.Response(422, json=told)})
    with pytest.raises(errors.InvalidRequest, match=r"No\."):
        make(server).batch_check(FILE, **TRANSFER)


def test_the_check_of_a_file_gives_its_problems(make: Maker) -> None:
    told = {"rows": 4, "is_good": False, "sheets": ["A"], "problems": [PROBLEM, {**PROBLEM, "row": 0, "column": ""}]}
    server = serving({"POST /batch-files/check": told})
    found = make(server).check_batch_file(("x.csv", FILE), "query")
    assert found == [FileProblem(3, "Modality", "Give one."), FileProblem(0, "", "Give one.")]
    assert [str(problem) for problem in found] == ["Line 3, Modality: Give one.", "File: Give one."]
    assert (found.is_good, found.rows, found.sheets) == (False, 4, ("A",))
    assert parts(server.asked[0]) == {"kind": ["query"], "file": ("x.csv", FILE)}


def test_results_come_as_values_and_as_a_file(make: Maker) -> None:
    rows = [
        {"item_id": 1, "lines": [2], "study": STUDY, "series": None, "instance_count": 12, "state": "success"},
        {"item_id": 2, "lines": [3], "study": None, "series": None, "instance_count": None, "message": "Nothing."},
    ]
    server = serving(
        {
            "GET /batch-queries/7/results": [{"results": rows[:1], "total": 2}, {"results": rows[1:], "total": 2}],
            "GET /batch-queries/7/results.csv": httpx.Response(200, content=FILE),
            "GET /jobs/7/file": httpx.Response(200, content=FILE + b"x"),
        }
    )
    client = make(server)
    first, second = client.batch_results(Job(7, "success"))
    assert first.study.study_uid == "1.2.3"
    assert (second.study, second.message) == (None, "Nothing.")
    assert "12345" not in repr(server.asked[1].url)
    assert client.batch_results_file(7, "csv") == FILE
    assert client.verdict_file(7) == FILE + b"x"


def outcome(**verdicts: int) -> dict[str, Any]:
    told = {name: {"studies": count, "instances": 3 * count} for name, count in verdicts.items()}
    return {"job_id": 7, "state": "success", "has_ended": True, "verdicts": told, "instances": 3, "usage": None}


def checked(**verdicts: int) -> Server:
    return serving(
        {
            "POST /batch-checks": {**CHECK_JOB, "state": "pending"},
            "GET /jobs/7": [{**CHECK_JOB, "state": "in_progress"}, CHECK_JOB],
            "GET /batch-checks/7": outcome(**verdicts),
            "POST /batch-checks/7/transfer": {**JOB, "id": 8, "kind": "batch_transfer"},
        }
    )


def test_a_batch_transfer_checks_waits_and_transfers(make: Maker, pauses: list[float]) -> None:
    server = checked(found=2, not_found=1, already_there=1)
    seen: list[str] = []
    client = make(server, trial_protocol_id="T1")
    wanted = {"leave_out": ["not_found"], "again": True, "generate_pseudonyms": True}
    job = client.batch_transfer(
        FILE, "RESEARCH", "PACS", progress=lambda job: seen.append(job.state), **wanted, **TRANSFER
    )
    assert job.id == 8
    assert seen == ["in_progress", "success"]
    assert pauses
    form = parts(server.asked[0])
    assert (form["trial_protocol_id"], form["generate_pseudonyms"]) == (["T1"], ["true"])
    assert (form["source"], form["destination"], form["ethics_application_id"]) == (["PACS"], ["RESEARCH"], ["S-1"])
    assert server.content == {"leave_out": ["not_found"], "again": True}


def test_open_rows_are_an_error_with_the_check_and_nothing_is_transferred(make: Maker) -> None:
    server = checked(found=2, not_found=1, already_there=1, mismatch=0)
    with pytest.raises(errors.NotAllFound, match="1 not_found, 1 already_there") as caught:
        make(server).batch_transfer(FILE, **TRANSFER)
    assert not any(request.url.path.endswith("/transfer") for request in server.asked)
    error = caught.value
    assert (error.check.id, error.open_verdicts) == (7, ("not_found", "already_there"))
    assert error.outcome.verdicts["found"] == Tally(2, 6)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert make(server).transfer_checked(error.check, ["not_found", "already_there"]).id == 8


def test_a_check_that_takes_too_long_tells_its_job(make: Maker) -> None:
    server = checked(found=1)
    server.answers["given"]["GET /jobs/7"] = {**CHECK_JOB, "state": "in_progress"}
    with pytest.raises(errors.WaitTimedOut) as caught:
        make(server).batch_transfer(FILE, timeout=0, **TRANSFER)
    assert caught.value.job.id == 7


def test_what_a_check_has_found_is_told(make: Maker) -> None:
    row = {"item_id": 3, "lines": [3, 4], "verdict": "not_found", "sentence": "No.", "study": None, "series": []}
    server = checked(found=1)
    server.answers["given"]["GET /batch-checks/7/rows"] = {"results": [row], "total": 1}
    client = make(server)
    found = client.check_outcome(7)
    assert isinstance(found, CheckOutcome)
    assert (found.has_ended, found.transfer_id) == (True, None)
    assert client.checked_rows(7, verdict="not_found")[0].lines == (3, 4)
    assert dict(server.asked[-1].url.params)["verdict"] == "not_found"


def test_nothing_of_a_file_is_in_a_text(make: Maker) -> None:
    handler: Handler = lambda request: httpx.Response(500)  # noqa: E731
    with pytest.raises(errors.ServerFailed) as caught:
        make(handler).batch_query(("Doe.csv", FILE), **PROJECT)
    assert "12345" not in str(caught.value)
    assert "Doe" not in str(caught.value)
