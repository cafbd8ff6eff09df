"""What is sent again and when, what is never followed, and what no error, warning or log ever shows."""

import logging
import pickle
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from adit_client import AditClient, AditClientError, Retries, errors
from adit_client.steps import Retries as Waits
from tests.unit.client.conftest import TOKEN, URL, Handler, Maker

NAME = "Doe^Jane"
QUERY = {"PatientName": NAME, "PatientID": "4711"}


def answers(*given: httpx.Response | Exception) -> tuple[Handler, list[httpx.Request]]:
    """A server that gives one answer after the other, and what it was asked."""
    asked: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        answer = given[min(len(asked), len(given)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return handler, asked


def problem(status: int, **fields: Any) -> httpx.Response:
    told = {"type": "about:blank", "title": "Bad", "status": status, "detail": "It is so.", "code": "BadRequest"}
    return httpx.Response(status, json={**told, **fields}, headers={"content-type": "application/problem+json"})


EMPTY = httpx.Response(200, json=[])


# -- again -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again_when_it_says(make: Maker, pauses: list[float], status: int) -> None:
    handler, asked = answers(httpx.Response(status, headers={"retry-after": "7"}), EMPTY)
    assert make(handler).search_for_studies("PACS") == []
    assert len(asked) == 2
    assert 7 <= pauses[0] <= 8


def test_without_retry_after_the_waits_grow(make: Maker, pauses: list[float]) -> None:
    handler, asked = answers(httpx.Response(503))
    with pytest.raises(errors.Unavailable):
        make(handler).search_for_studies("PACS")
    assert pauses == [0.5, 1.0, 2.0, 4.0]
    assert len(asked) == 5


def test_waits_are_scattered() -> None:
    shortest, longest = Waits(chance=lambda: 0.0), Waits(chance=lambda: 1.0)
    assert (shortest.wait_s(3), longest.wait_s(3)) == (1.0, 2.0)
    assert shortest.wait_s(1, 7.0) == 7.0


def test_a_server_that_wants_to_be_left_alone_for_long_is(make: Maker, pauses: list[float]) -> None:
    handler, asked = answers(httpx.Response(503, headers={"retry-after": "3600"}))
    with pytest.raises(errors.Unavailable) as caught:
        make(handler).search_for_studies("PACS")
    assert caught.value.retry_after_s == 3600
    assert (len(asked), pauses) == (1, [])


def test_retry_after_may_be_a_date() -> None:
    from adit_client.calls import retry_after_s

    assert retry_after_s({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    assert retry_after_s({"retry-after": "soon"}) is None
    assert retry_after_s({}) is None


@pytest.mark.parametrize(
    "error", [httpx.ConnectError("x"), httpx.ConnectTimeout("x"), httpx.ReadError("x"), httpx.RemoteProtocolError("x")]
)
def test_a_broken_connection_is_tried_again_for_what_only_reads(make: Maker, error: Exception) -> None:
    handler, asked = answers(error, EMPTY)
    assert make(handler).search_for_studies("PACS") == []
    assert len(asked) == 2


def test_a_broken_connection_is_not_tried_again_for_what_changes_something(make: Maker) -> None:
    handler, asked = answers(httpx.ReadError("x"))
    with pytest.raises(errors.ConnectionFailed):
        make(handler).store_images("PACS", [b"DICM"])
    assert len(asked) == 1


def test_a_busy_server_is_sent_the_same_images_again(make: Maker) -> None:
    stored = httpx.Response(200, json={}, headers={"content-type": "application/dicom+json"})
    handler, asked = answers(httpx.Response(503), stored)
    make(handler).store_images("PACS", [b"first", b"second"])
    assert asked[0].content == asked[1].content and b"second" in asked[0].content


def test_images_of_an_iterator_are_sent_once(make: Maker) -> None:
    handler, asked = answers(httpx.Response(503))
    with pytest.raises(errors.Unavailable):
        make(handler).store_images("PACS", (image for image in (b"first",)))
    assert len(asked) == 1


def test_other_errors_are_not_tried_again(make: Maker) -> None:
    for status in (400, 404, 409, 423, 500, 502, 504):
        handler, asked = answers(problem(status))
        with pytest.raises(errors.AnswerError):
            make(handler).search_for_studies("PACS")
        assert len(asked) == 1


def test_a_server_that_is_silent_is_not_given_the_same_work_again(make: Maker) -> None:
    handler, asked = answers(httpx.ReadTimeout("x"))
    with pytest.raises(errors.NoAnswerInTime):
        make(handler).search_for_studies("PACS")
    assert len(asked) == 1


# -- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.InvalidRequest),
        (401, errors.NotSignedIn),
        (403, errors.Forbidden),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (415, errors.InvalidRequest),
        (422, errors.InvalidRequest),
        (423, errors.Locked),
        (500, errors.ServerFailed),
        (502, errors.PeerFailed),
        (504, errors.PeerFailed),
        (507, errors.ServerFailed),
    ],
)
def test_each_status_has_its_error(make: Maker, status: int, kind: type[errors.AnswerError]) -> None:
    handler, _ = answers(problem(status, code="SomeCode", detail="It is so.", reference="r-1"))
    with pytest.raises(kind) as caught:
        make(handler).search_for_studies("PACS")
    error = caught.value
    assert (error.status, error.code, error.detail, error.reference) == (status, "SomeCode", "It is so.", "r-1")
    assert "It is so." in str(error) and "SomeCode" in str(error) and "r-1" in str(error)


def test_fields_are_named(make: Maker) -> None:
    handler, _ = answers(problem(422, errors={"destination": "there is no such node."}))
    with pytest.raises(errors.InvalidRequest) as caught:
        make(handler).search_for_studies("PACS")
    assert caught.value.errors == {"destination": "there is no such node."}
    assert "destination: there is no such node." in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500, text=f"<html>{NAME}</html>"),
        httpx.Response(500, content=b"\xff\xfe{", headers={"content-type": "application/json"}),
        httpx.Response(500, json=[NAME]),
        httpx.Response(500, json={"detail": [NAME], "errors": NAME}),
    ],
)
def test_what_is_no_problem_document_is_not_quoted(make: Maker, answer: httpx.Response) -> None:
    handler, _ = answers(answer)
    with pytest.raises(errors.ServerFailed) as caught:
        make(handler).search_for_studies("PACS")
    assert NAME not in str(caught.value)


@pytest.mark.parametrize("body", [b"<html>", b"{}", b"[1]", b'[{"00100020": {"vr": "LO", "Value": 7}}]'])
def test_an_answer_that_is_no_list_of_datasets_is_refused(make: Maker, body: bytes) -> None:
    handler, _ = answers(httpx.Response(200, content=body))
    with pytest.raises(errors.BadAnswer):
        make(handler).search_for_studies("PACS")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_never_followed(make: Maker, status: int) -> None:
    handler, asked = answers(httpx.Response(status, headers={"location": "https://evil.example/"}))
    with pytest.raises(errors.Redirected):
        make(handler).search_for_studies("PACS")
    with pytest.raises(errors.Redirected):
        list(make(handler).iter_study("PACS", "1.2"))
    assert {request.url.host for request in asked} == {"adit.example.org"}


def test_errors_can_be_pickled() -> None:
    error = errors.NotFound(404, "NotFound", "There is no such job.", {"a": "b"}, "r", 3.0)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.errors, again.retry_after_s) == (str(error), error.errors, 3.0)


# -- secrets ---------------------------------------------------------------------------------------


def test_neither_token_nor_patient_is_in_any_text(make: Maker, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    texts: list[str] = []
    for given in (problem(422), httpx.Response(302), httpx.ConnectError("refused"), httpx.Response(200, text="x")):
        handler, _ = answers(given)
        client = make(handler, retries=Retries(tries=1))
        texts.append(repr(getattr(client, "client", client)))
        with pytest.raises(AditClientError) as caught:
            client.search_for_studies("PACS", QUERY)
        texts += traceback.format_exception(caught.value)
    shown = "".join(texts) + caplog.text
    assert TOKEN not in shown and NAME not in shown and "4711" not in shown and "Jane" not in shown


def test_the_token_is_sent_as_a_header_with_the_name_of_the_client(make: Maker) -> None:
    handler, asked = answers(EMPTY)
    make(handler).search_for_studies("PACS")
    assert asked[0].headers["authorization"] == f"Token {TOKEN}"
    assert asked[0].headers["user-agent"].startswith("python-adit_client/")
    assert TOKEN not in str(asked[0].url)


# -- construction ----------------------------------------------------------------------------------


def of_guide() -> AditClient:
    return AditClient(base_url=URL, token=TOKEN)


def of_reference() -> AditClient:
    return AditClient(URL, TOKEN, True, "T1", "A trial")


def by_name() -> AditClient:
    return AditClient(server_url=URL, auth_token=TOKEN, verify=False, trial_protocol_id="T1")


@pytest.mark.parametrize("construct", [of_guide, of_reference, by_name])
def test_both_forms_make_the_same_client(construct: Callable[[], AditClient]) -> None:
    with construct() as client:
        assert (client._wire.server.url, client._wire.server.token) == (URL, TOKEN)


@pytest.mark.parametrize(
    "given", [{}, {"base_url": URL}, {"token": TOKEN}, {"base_url": URL, "server_url": URL, "token": TOKEN}]
)
def test_what_is_named_twice_or_never_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(TypeError):
        AditClient(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "address", ["adit.example.org", "ftp://adit.example.org", "https://", "https://u:p@adit.example.org", f"{URL}?a=b"]
)
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(errors.BadArgument):
        AditClient(address, TOKEN)


@pytest.mark.parametrize("token", ["a b", "a\nb", "ä"])
def test_a_token_that_is_none_is_refused_without_showing_it(token: str) -> None:
    with pytest.raises(errors.BadArgument) as caught:
        AditClient(URL, token)
    assert token not in str(caught.value)


def test_an_address_may_have_a_path(make: Maker) -> None:
    handler, asked = answers(EMPTY)
    make(handler, base_url=f"{URL}/adit/").search_for_studies("PACS")
    assert asked[0].url.path == "/adit/api/dicom-web/PACS/qidors/studies"


def test_an_unencrypted_connection_to_another_machine_is_warned_of() -> None:
    with pytest.warns(errors.InsecureConnection) as caught:
        AditClient(base_url="http://adit.example.org", token=TOKEN).close()
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for host in ("localhost", "127.0.0.1", "[::1]", "adit.localhost"):
            AditClient(base_url=f"http://{host}:8080", token=TOKEN).close()


def test_a_file_of_certificates_that_is_not_there_is_named_by_its_argument() -> None:
    with pytest.raises(errors.BadArgument, match="verify"):
        AditClient(URL, TOKEN, verify="/no/such/ca.pem")


def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "proxy.example.org:3128")
    monkeypatch.setenv("no_proxy", "other.example.org")
    with of_guide() as client:
        assert client._wire.server.proxy() == "http://proxy.example.org:3128"
    monkeypatch.setenv("no_proxy", "adit.example.org")
    assert client._wire.server.proxy() is None
