"""Searches, transfers and jobs: what is sent to the REST interface, and what is made of its answers."""

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from adit_client import AditClient, errors
from adit_client.progress import Progress, sentence
from adit_client.reading import of
from adit_client.values import Job, Receipt, StudyFound, StudyWish
from tests.unit.client.conftest import TOKEN, URL, Maker

JOB = {
    "id": 7,
    "kind": "selective_transfer",
    "state": "pending",
    "owner": "ada",
    "created_at": "2026-11-26T05:00:00.123456Z",
    "started_at": None,
    "counts": {"pending": 2},
    "nodes": [{"source_id": 1, "source": "PACS", "destination_id": 2, "destination": "RESEARCH"}],
    "actions": ["cancel", "delete"],
    "something_new": {"a": 1},
}
STUDY = {"study_uid": "1.2.3", "patient_id": "12345", "modalities": ["CT"], "series_count": None, "instance_count": 12}


class Server:
    """Answers by method and path, and remembers what it was asked."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        key = f"{request.method} {request.url.path.removeprefix('/api/v1')}"
        answer = self.answers["given"].get(key)
        assert answer is not None, key
        if isinstance(answer, list):
            answer = answer.pop(0)
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)

    @property
    def content(self) -> Any:
        return json.loads(self.asked[-1].content)


def serving(given: dict[str, Any]) -> Server:
    return Server(given=given)


# -- searches --------------------------------------------------------------------------------------


def test_studies_are_found_as_the_guide_has_it(make: Maker) -> None:
    server = serving({"POST /search/studies": {"results": [STUDY], "count": 1, "has_more": True}})
    found = make(server).search_studies(patient_id="12345")
    assert found == [StudyFound("1.2.3", "12345", modalities=("CT",), instance_count=12)]
    assert found.has_more
    assert server.content == {"patient_id": "12345"}
    assert "12345" not in str(server.asked[0].url)


def test_keys_are_sent_in_the_body(make: Maker) -> None:
    server = serving({"POST /search/studies": {"results": [], "count": 0, "has_more": False}})
    make(server).search_studies("PACS", limit=5, modalities=["CT", "MR"], patient_name="Doe, J*", study_uid=None)
    assert server.content == {"source": "PACS", "limit": 5, "modalities": ["CT", "MR"], "patient_name": "Doe, J*"}
    make(server).search_studies(3, modalities="CT, MR")
    assert server.content == {"source": 3, "modalities": ["CT", "MR"]}


def test_a_key_that_there_is_not_is_refused_at_once(make: Maker) -> None:
    server = serving({})
    for method in ("search_studies", "search_patients", "stream_studies"):
        with pytest.raises(TypeError, match="pateint_id"):
            getattr(make(server), method)(pateint_id="12345")
    with pytest.raises(TypeError, match="urgnet"):
        make(server).transfer_study("1.2.3", "RESEARCH", urgnet=True)
    with pytest.raises(TypeError, match="urgent"):
        make(server).plan(["1.2.3"], "RESEARCH", urgent=True)
    assert server.asked == []


def test_patients_and_series_are_found(make: Maker) -> None:
    server = serving(
        {
            "POST /search/patients": {"results": [{"patient_id": "1", "sex": "F"}], "has_more": False},
            "POST /search/series": {"results": [{"study_uid": "1.2", "series_uid": "1.3", "number": "4"}]},
        }
    )
    client = make(server)
    assert client.search_patients(birth_date="19700101")[0].sex == "F"
    assert client.search_series("1.2", "PACS", patient_id="1")[0].number == "4"
    assert server.content == {"study_uid": "1.2", "source": "PACS", "patient_id": "1"}


def test_several_sources_are_named_by_the_error(make: Maker) -> None:
    told = {"code": "BadRequest", "detail": "source: choose one of PACS, OTHER.", "errors": {"source": "choose one."}}
    server = serving({"POST /search/studies": httpx.Response(422, json=told)})
    with pytest.raises(errors.InvalidRequest, match="choose one of PACS, OTHER") as caught:
        make(server).search_studies(patient_id="12345")
    assert caught.value.errors == {"source": "choose one."}


def lines(*told: object, whole: bool = True) -> httpx.Response:
    text = "\n".join(json.dumps(one) for one in told) + ("\n" if whole else "")
    return httpx.Response(200, text=text, headers={"content-type": "application/x-ndjson"})


def test_a_search_is_streamed_line_by_line(make: Maker) -> None:
    server = serving({"POST /search/studies": lines(STUDY, STUDY, {"end": {"count": 2, "has_more": True}})})
    found = make(server).stream_studies(patient_id="12345")
    assert [study.study_uid for study in found] == ["1.2.3", "1.2.3"]
    assert found.has_more
    assert server.asked[0].headers["accept"] == "application/x-ndjson"


def test_a_streamed_search_without_its_end_is_not_whole(make: Maker) -> None:
    for answer in (lines(STUDY), lines(STUDY, {"end": {"count": 1, "has_more": False}}, whole=False)):
        with pytest.raises(errors.IncompleteDownload):
            list(make(serving({"POST /search/studies": answer})).stream_studies())


def test_a_streamed_search_that_fails_half_way_says_why(make: Maker) -> None:
    told = {"error": {"status": 502, "code": "Unreachable", "detail": "The server could not be reached."}}
    with pytest.raises(errors.PeerFailed, match="could not be reached") as caught:
        list(make(serving({"POST /search/studies": lines(STUDY, told)})).stream_studies())
    assert caught.value.code == "Unreachable"


@pytest.mark.parametrize("answer", [httpx.Response(200, json=[]), lines("Doe^Jane"), lines({"study_uid": 7})])
def test_an_answer_that_is_no_search_is_refused_and_not_quoted(make: Maker, answer: httpx.Response) -> None:
    with pytest.raises(errors.BadAnswer) as caught:
        list(make(serving({"POST /search/studies": answer})).stream_studies())
    assert "Jane" not in str(caught.value)


# -- transfers -------------------------------------------------------------------------------------


def test_a_study_is_transferred_as_the_guide_has_it(make: Maker) -> None:
    server = serving({"POST /jobs": httpx.Response(201, json=JOB)})
    job = make(server).transfer_study(study_uid="1.2.3", destination="TARGET_AE")
    assert (job.id, job.state, job.counts, job.has_ended) == (7, "pending", {"pending": 2}, False)
    assert job.created_at == datetime(2026, 11, 26, 5, 0, 0, 123456, UTC)
    assert job.nodes[0].destination == "RESEARCH" and job.actions == ("cancel", "delete")
    expected = {"kind": "selective_transfer", "destination": "TARGET_AE", "studies": [{"study_uid": "1.2.3"}]}
    assert server.content == expected


def test_what_a_transfer_can_say_is_said(make: Maker) -> None:
    server = serving({"POST /jobs": JOB})
    make(server, trial_protocol_id="T1", trial_protocol_name="Trial").transfer_studies(
        ["1.2.3", StudyWish("1.2.4", "4711", ("1.2.4.1",), "P-1")],
        2,
        "PACS",
        kind="batch_transfer",
        profile="research",
        urgent=True,
        send_finished_mail=True,
    )
    wish = {"study_uid": "1.2.4", "patient_id": "4711", "series_uids": ["1.2.4.1"], "pseudonym": "P-1"}
    assert server.content == {
        "kind": "batch_transfer",
        "source": "PACS",
        "destination": 2,
        "studies": [{"study_uid": "1.2.3"}, wish],
        "trial_protocol_id": "T1",
        "trial_protocol_name": "Trial",
        "profile": "research",
        "urgent": True,
        "send_finished_mail": True,
    }


def test_a_trial_of_the_transfer_stands_in_place_of_that_of_the_client(make: Maker) -> None:
    server = serving({"POST /jobs": JOB})
    make(server, trial_protocol_id="T1", trial_protocol_name="One").transfer_study("1.2.3", trial_protocol_id="T2")
    assert server.content["trial_protocol_id"] == "T2" and "trial_protocol_name" not in server.content


def test_a_transfer_is_sent_again_under_the_same_key(make: Maker) -> None:
    answers = [httpx.Response(503), httpx.Response(201, json=JOB)]
    server = serving({"POST /jobs": answers})
    make(server).transfer_study("1.2.3", "RESEARCH")
    keys = [request.headers["idempotency-key"] for request in server.asked]
    assert len(keys) == 2 and len(set(keys)) == 1 and len(keys[0]) == 36
    make(serving({"POST /jobs": JOB})).transfer_study("1.2.3", idempotency_key="mine")


def test_two_transfers_have_two_keys_and_one_may_be_chosen(make: Maker) -> None:
    server = serving({"POST /jobs": JOB})
    client = make(server)
    client.transfer_study("1.2.3")
    client.transfer_study("1.2.3")
    client.transfer_study("1.2.3", idempotency_key="mine")
    first, second, third = (request.headers["idempotency-key"] for request in server.asked)
    assert first != second and third == "mine"


def test_a_lost_connection_repeats_a_transfer_but_no_change(make: Maker) -> None:
    asked: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        if len(asked) == 1:
            raise httpx.ReadError("x")
        return httpx.Response(200, json=JOB)

    assert make(handler).transfer_study("1.2.3").id == 7
    for method, arguments in (("cancel", (7,)), ("add_token", (None,)), ("delete", (7,))):
        asked.clear()
        with pytest.raises(errors.ConnectionFailed):
            getattr(make(handler), method)(*arguments)


@pytest.mark.parametrize("studies", ["1.2.3", ["Doe^Jane"], [StudyWish("1.2.3", series_uids=["x"])]])
def test_what_is_no_list_of_uids_is_refused_and_not_quoted(make: Maker, studies: object) -> None:
    with pytest.raises(errors.BadArgument) as caught:
        make(serving({})).transfer_studies(studies, "RESEARCH")
    assert "Jane" not in str(caught.value)


def test_a_plan_tells_what_would_be_moved(make: Maker) -> None:
    series = {"study_uid": "1.2.3", "series_uid": "1.2.3.1", "modality": "CT"}
    planned = {
        "study_uid": "1.2.3",
        "study": STUDY,
        "series": [{"series": series, "instance_count": 12, "size_bytes": 100, "note": ""}],
        "left_out": [{"series": series, "reason": "Excluded."}],
        "problem": "",
        "instance_count": 12,
        "size_bytes": 100,
    }
    told = {"studies": [planned], "problems": [], "instance_count": 12, "size_bytes": 100, "has_room": False}
    server = serving({"POST /jobs/plan": told})
    plan = make(server, trial_protocol_id="T1").plan(["1.2.3"], "RESEARCH", profile="research")
    assert plan.studies[0].series[0].series.modality == "CT" and plan.studies[0].left_out[0].reason == "Excluded."
    assert (plan.instance_count, plan.has_room) == (12, False)
    assert server.content == {"studies": [{"study_uid": "1.2.3"}], "destination": "RESEARCH", "profile": "research"}


# -- jobs ------------------------------------------------------------------------------------------


def test_jobs_are_listed_in_parts(make: Maker) -> None:
    server = serving({"GET /jobs": {"results": [JOB], "total": 99}})
    found = make(server).jobs(limit=1, offset=3, state=["pending", "failure"], trial="T1", everybody=True)
    assert (found[0].id, found.total) == (7, 99)
    expected = [("state", "pending"), ("state", "failure"), ("trial", "T1"), ("everybody", "true")]
    assert server.asked[0].url.params.multi_items() == [*expected, ("limit", "1"), ("offset", "3")]


@pytest.mark.parametrize("action", ["verify", "cancel", "resume", "retry", "restart", "hurry"])
@pytest.mark.parametrize("job", [7, of(Job, JOB)])
def test_jobs_are_steered(make: Maker, action: str, job: Job | int) -> None:
    server = serving({f"POST /jobs/7/{action}": {**JOB, "state": "canceling"}})
    assert getattr(make(server), action)(job).state == "canceling"


def test_a_job_is_hurried_or_not(make: Maker) -> None:
    server = serving({"POST /jobs/7/hurry": JOB})
    make(server).hurry(7, urgent=False)
    assert server.content == {"urgent": False}


def test_jobs_and_items_are_deleted_and_items_canceled_and_reset(make: Maker) -> None:
    gone = httpx.Response(204)
    item = {"id": 8, "state": "pending", "job_id": 7}
    server = serving(
        {
            "DELETE /jobs/7": gone,
            "DELETE /items/8": gone,
            "POST /items/8/cancel": {**item, "state": "canceled"},
            "POST /items/8/reset": item,
            "GET /items/8": item,
        }
    )
    client = make(server)
    assert client.delete(7) is None and client.delete_item(8) is None
    assert client.cancel_item(8).state == "canceled"
    assert client.reset_item(client.item(8)).state == "pending"


@pytest.mark.parametrize("number", [0, -1, True])
def test_what_is_no_number_is_refused(make: Maker, number: int) -> None:
    with pytest.raises(errors.BadArgument):
        make(serving({})).job(number)


def test_all_items_and_receipts_of_a_job_are_fetched_in_parts(make: Maker) -> None:
    def page(request: httpx.Request) -> httpx.Response:
        offset, limit = (int(request.url.params[name]) for name in ("offset", "limit"))
        one = {"state": "success", "job_id": 7, "verdict": "complete"}
        numbers = range(offset, min(offset + min(limit, 100), 250))
        return httpx.Response(
            200, json={"results": [{**one, "id": n + 1, "item_id": n + 1} for n in numbers], "total": 250}
        )

    client = make(page)
    assert [item.id for item in client.items(7, state="success")] == list(range(1, 251))
    assert [receipt.item_id for receipt in client.receipts(7)] == list(range(1, 251))


def test_a_receipt_tells_whether_it_is_complete(make: Maker) -> None:
    told = {
        "item_id": 8,
        "job_id": 7,
        "verdict": "short",
        "expected": ["1.2", "1.3"],
        "missing": ["1.3"],
        "refused": {},
    }
    receipt = make(serving({"GET /items/8/receipt": told})).receipt(8)
    assert isinstance(receipt, Receipt)
    assert (receipt.is_complete, receipt.missing, receipt.expected) == (False, ("1.3",), ("1.2", "1.3"))
    unknown = make(serving({"GET /items/8/receipt": {**told, "expected": None}})).receipt(8)
    assert unknown.expected is None


def states(*names: str) -> dict[str, Any]:
    done = {"pending": 0, "in_progress": 1}
    return {"GET /jobs/7": [{**JOB, "state": name, "counts": {"success": done.get(name, 2)}} for name in names]}


def test_waiting_ends_with_the_job_and_looks_less_and_less(make: Maker, pauses: list[float]) -> None:
    names = ["pending"] * 10 + ["in_progress"] * 10 + ["warning"]
    job = make(serving(states(*names))).wait(7)
    assert (job.state, job.has_ended) == ("warning", True)
    assert pauses[0] == 0.5 and pauses[-1] == 10.0 and pauses == sorted(pauses)


def test_waiting_may_end_before_the_job(make: Maker, pauses: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    client = make(serving({"GET /jobs/7": JOB}))
    inner = getattr(client, "client", client)
    object.__setattr__(inner._rest, "now", lambda: sum(pauses))
    with pytest.raises(TimeoutError) as caught:
        client.wait(7, timeout=5)
    assert isinstance(caught.value, errors.WaitTimedOut)
    assert sum(pauses) == 5


def test_waiting_outlives_a_server_that_is_away_for_minutes(make: Maker, pauses: list[float]) -> None:
    away = [httpx.Response(503, headers={"retry-after": "300"})] * 9
    server = serving({"GET /jobs/7": [*away, {**JOB, "state": "success"}]})
    assert make(server).wait(7).state == "success"
    assert len(pauses) == 9 and min(pauses) >= 300


def test_progress_is_told(make: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    make(serving(states("pending", "pending", "in_progress", "success"))).wait(7, progress=True)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        "Job 7: pending, 0 of 0 items have ended",
        "Job 7: in progress, 1 of 1 items have ended",
        "Job 7: success, 2 of 2 items have ended",
    ]


def test_progress_can_be_told_to_a_function(make: Maker) -> None:
    seen: list[str] = []
    make(serving(states("pending", "success"))).wait(7, progress=lambda job: seen.append(job.state))
    assert seen == ["pending", "success"]


def test_on_a_terminal_progress_takes_one_line(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    tell = Progress(sys.stderr)
    tell(Job(7, "in_progress", counts={"pending": 10}))
    tell(Job(7, "failure", counts={"failure": 1}))
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and told.count("\r") == 2 and told.endswith("\n")


def test_a_sentence_names_failures() -> None:
    job = Job(7, "in_progress", counts={"success": 2, "failure": 1, "pending": 3})
    assert sentence(job) == "Job 7: in progress, 3 of 6 items have ended, 1 failed"


# -- who one is, reviews, everything else ----------------------------------------------------------


def test_who_one_is_and_what_one_may_use(make: Maker) -> None:
    token = {"id": 3, "beginning": "adit_4fGh", "operations": ["read"], "nodes": None, "request_count": 5}
    node = {"id": 1, "name": "PACS", "ae_title": "PACS1", "is_server": True}
    server = serving(
        {
            "GET /me": {"username": "ada", "token": token, "permissions": ["a", "b"]},
            "GET /nodes": {"sources": [node], "destinations": []},
            "GET /profiles": {"results": [{"name": "research", "title": "R", "summary": "s", "discloses": ["age"]}]},
            "GET /tokens": {"results": [token]},
            "POST /tokens": httpx.Response(201, json={"token": token, "secret": "adit_new"}),
            "DELETE /tokens/3": httpx.Response(204),
        }
    )
    client = make(server)
    assert (client.me().username, client.me().token.operations) == ("ada", ("read",))
    assert client.nodes().sources[0].ae_title == "PACS1"
    assert client.profiles()[0].discloses == ("age",)
    assert client.tokens()[0].request_count == 5
    made = client.add_token(datetime(2027, 1, 31, tzinfo=UTC), "export", operations=["read"])
    assert made.secret == "adit_new" and "adit_new" not in repr(made)
    said = server.content
    assert datetime.fromisoformat(said.pop("expires_at")) == datetime(2027, 1, 31, tzinfo=UTC)
    assert said == {"description": "export", "operations": ["read"], "nodes": None}
    assert client.revoke_token(made.token) is None


def test_held_instances_are_reviewed(make: Maker) -> None:
    server = serving(
        {
            "GET /reviews": {"results": [{"job_id": 7, "count": 2}]},
            "GET /reviews/7": {"results": [{"job_id": 7, "item_id": 8, "sop_uid": "1.2", "reason": "Pixels."}]},
            "POST /reviews/release": {"id": 8, "state": "pending"},
            "POST /reviews/reject": {"id": 8, "state": "warning"},
        }
    )
    client = make(server)
    assert client.jobs_with_held()[0].count == 2
    assert client.held(7)[0].sop_uid == "1.2"
    assert client.release(8, "No text in the pixels.").state == "pending"
    assert server.content == {"item_id": 8, "sop_uids": None, "reason": "No text in the pixels."}
    assert client.reject(8, "A name is seen.", ["1.2"]).state == "warning"
    assert server.content["sop_uids"] == ["1.2"]


def test_everything_else_can_be_requested(make: Maker) -> None:
    server = serving(
        {"GET /admin/jobs": {"total": 1}, "POST /admin/settings": {"a": 1}, "DELETE /admin/x": httpx.Response(204)}
    )
    client = make(server)
    assert client.request("GET", "/v1/admin/jobs", query={"limit": 5, "deep": True}) == {"total": 1}
    assert server.asked[0].url.query == b"limit=5&deep=true"
    assert client.request("post", "/v1/admin/settings", content={"b": 2}) == {"a": 1}
    assert client.request("DELETE", "/v1/admin/x") is None
    for path in ("/dicom-web/x", "https://evil.example/", "/v1/../x", "/v1/a?b", "v1/me"):
        with pytest.raises(errors.BadArgument):
            client.request("GET", path)


# -- answers that do not fit -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "field"),
    [
        ({"state": "pending"}, "Job.id"),
        ({**JOB, "id": "Doe"}, "Job.id"),
        ({**JOB, "id": True}, "Job.id"),
        ({**JOB, "urgent": 1}, "Job.urgent"),
        ({**JOB, "created_at": "Doe"}, "Job.created_at"),
        ({**JOB, "counts": [1]}, "Job.counts"),
        ({**JOB, "nodes": [{"source": "Doe"}]}, "Job.nodes.source_id"),
        ("Doe", "Job"),
    ],
)
def test_what_does_not_fit_is_named_by_its_field_and_not_quoted(make: Maker, told: object, field: str) -> None:
    with pytest.raises(errors.BadAnswer, match=field) as caught:
        make(serving({"GET /jobs/7": told})).job(7)
    assert "Doe" not in str(caught.value)


def test_what_is_no_list_of_results_is_refused(make: Maker) -> None:
    calls: list[Callable[[Any], object]] = [lambda c: c.jobs(), lambda c: c.items(7), lambda c: c.tokens()]
    for call in calls:
        with pytest.raises(errors.BadAnswer):
            call(make(lambda request: httpx.Response(200, json={"results": None})))


def test_a_client_is_closed_by_its_context() -> None:
    with AditClient(URL, TOKEN, transport=httpx.MockTransport(serving({"GET /me": {}}))) as client:
        assert repr(client) == f"AditClient('{URL}')"
