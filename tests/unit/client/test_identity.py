"""Pseudonym and trial are sent by every method that has to do with patients' data, also by those to come (W-01)."""

import contextlib
import inspect
import itertools
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from adit_client import AditClient, AditClientError, AsyncAditClient
from adit_client.values import StudyWish
from tests.unit.client.conftest import Maker

PSEUDONYM = "P-0815 ä/&"
TRIAL = {"trial_protocol_id": "T 1/2", "trial_protocol_name": "Trial & Sons"}
ARGUMENTS: dict[str, Any] = {
    "ae_title": "MY PACS",
    "study_uid": "1.2.3",
    "series_uid": "1.2.3.4",
    "image_uid": "1.2.3.4.5",
    "pseudonym": PSEUDONYM,
    "query": {"PatientID": "4711"},
    "images": [b"DICM"],
    "file": ("list.csv", b"Row ID"),
    "kind": "query",
    "check": 10,
    "project_name": "Lungs",
    "project_description": "All lungs of 2020.",
    "ethics_application_id": "E-1",
    "studies": [StudyWish("1.2.3", pseudonym=PSEUDONYM)],
    "job": 7,
    "item": 8,
    "token": 9,
    "expires_at": None,
    "reason": "No text in the pixels.",
    "method": "GET",
    "path": "/v1/admin/overview",
}
"""A value for every argument of a method; one without a value here lets the tests fail."""
WITHOUT_PATIENTS = frozenset(
    [
        "add_token",
        "batch_query",
        "batch_results",
        "batch_results_file",
        "cancel",
        "cancel_item",
        "check_batch_file",
        "check_outcome",
        "checked_rows",
        "delete",
        "delete_item",
        "held",
        "hurry",
        "item",
        "items",
        "job",
        "jobs",
        "jobs_with_held",
        "me",
        "nodes",
        "profiles",
        "receipt",
        "receipts",
        "reject",
        "release",
        "request",
        "reset_item",
        "restart",
        "resume",
        "retry",
        "revoke_token",
        "search_for_images",
        "search_for_series",
        "search_for_studies",
        "search_patients",
        "search_series",
        "search_studies",
        "store_images",
        "stream_patients",
        "stream_studies",
        "tokens",
        "transfer_checked",
        "verdict_file",
        "verify",
        "wait",
    ]
)
"""Methods by which nothing leaves an archive, or only what an earlier call has settled.

Of any other the test wants that it sends pseudonym and trial.
"""


def methods(of: type = AditClient) -> dict[str, Callable[..., Any]]:
    """Every public method."""
    members = inspect.getmembers(of, inspect.isfunction)
    return {name: member for name, member in members if not name.startswith("_") and name not in ("close", "aclose")}


def arguments(name: str) -> dict[str, Any]:
    """A value for each argument of a method that is needed, or that is about the identity of patients."""
    every = list(inspect.signature(methods()[name]).parameters.values())[1:]
    parameters = [each for each in every if each.kind is not each.VAR_KEYWORD]
    wanted = [each.name for each in parameters if each.default is each.empty or each.name in ("pseudonym", "query")]
    return {argument: ARGUMENTS[argument] for argument in wanted}


def requests_of(make: Maker, name: str, **options: str) -> list[httpx.Request]:
    """What a method sends when it is called with every argument."""
    sent: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(404)

    with contextlib.suppress(AditClientError):
        list(getattr(make(handler, **options), name)(**arguments(name)))
    assert sent, name
    return sent


@pytest.mark.parametrize("name", methods())
def test_pseudonym_and_trial_are_sent_by_every_method(make: Maker, name: str) -> None:
    for request in requests_of(make, name, **TRIAL):
        path, query = request.url.path, dict(httpx.QueryParams(request.url.query))
        if "/wadors/" in path:
            assert query == {"pseudonym": PSEUDONYM, **TRIAL}
        elif (request.method, path) == ("POST", "/api/v1/jobs"):
            content = json.loads(request.content)
            assert content["studies"] == [{"study_uid": "1.2.3", "pseudonym": PSEUDONYM}]
            assert content.items() >= TRIAL.items()
        elif path == "/api/v1/batch-checks":  # the pseudonyms stand in the file
            for field, text in TRIAL.items():
                assert f'name="{field}"\r\n\r\n{text}\r\n'.encode() in request.content
        elif path == "/api/v1/jobs/plan":
            assert json.loads(request.content)["studies"] == [{"study_uid": "1.2.3", "pseudonym": PSEUDONYM}]
        else:
            assert name in WITHOUT_PATIENTS, "does it send pseudonym and trial?"


@pytest.mark.parametrize("name", methods())
def test_what_was_not_given_is_not_sent(make: Maker, name: str) -> None:
    for request in requests_of(make, name):
        assert "trial" not in str(request.url) and b"trial" not in request.content


@pytest.mark.parametrize("name", [name for name in methods() if name.startswith(("retrieve_", "iter_"))])
def test_an_empty_pseudonym_never_means_none(make: Maker, name: str) -> None:
    sent: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(404)

    with contextlib.suppress(AditClientError):
        list(getattr(make(handler), name)(**{**arguments(name), "pseudonym": " "}))
    assert sent == []


def test_both_clients_have_the_same_methods_with_the_same_arguments_and_words() -> None:
    waiting, awaiting = methods(AditClient), methods(AsyncAditClient)
    assert waiting.keys() == awaiting.keys()
    for name, member in waiting.items():
        assert inspect.signature(member).parameters.items() == inspect.signature(awaiting[name]).parameters.items()
        assert member.__doc__ and member.__doc__ == awaiting[name].__doc__
    assert inspect.signature(AditClient).parameters.keys() == inspect.signature(AsyncAditClient).parameters.keys()


@pytest.mark.parametrize("name", [name for name in methods() if name.startswith("retrieve_")])
def test_every_retrieval_can_be_pseudonymized(name: str) -> None:
    assert "pseudonym" in arguments(name)


@pytest.mark.parametrize("name", [name for name in methods() if any("_uid" in each for each in arguments(name))])
def test_what_is_no_uid_is_not_sent_and_not_shown(make: Maker, name: str) -> None:
    sent: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(404)

    client = make(handler)
    uids = [argument for argument in arguments(name) if argument.endswith("_uid")]
    for argument, text in itertools.product(uids, ("", "..", "1.2/../3", "1.2?x=y", "1" * 65, "1.2\n", "1.2 ")):
        with pytest.raises(AditClientError) as caught:
            list(getattr(client, name)(**{**arguments(name), argument: text}))
        assert not text or text not in str(caught.value)
    assert sent == []


@pytest.mark.parametrize("ae_title", ["", " ", "A\\B", "x" * 17, "A\nB"])
def test_what_is_no_ae_title_is_not_sent(make: Maker, ae_title: str) -> None:
    with pytest.raises(AditClientError):
        make(lambda request: httpx.Response(200)).search_for_studies(ae_title)


def test_an_ae_title_stays_one_piece_of_the_path(make: Maker) -> None:
    sent = requests_of(make, "search_for_series")
    assert sent[0].url.raw_path.startswith(b"/api/dicom-web/MY%20PACS/qidors/studies/1.2.3/series?")


@pytest.mark.parametrize(
    ("query", "sent"),
    [
        ({"PatientName": "Doe, J&n*"}, [("PatientName", "Doe, J&n*")]),
        ({"ModalitiesInStudy": ["CT", "MR"]}, [("ModalitiesInStudy", "CT,MR")]),
        ({"includefield": ["all", "00081030"], "limit": 5, "offset": 10}, None),
        ({"fuzzymatching": True, "StudyDate": None}, [("fuzzymatching", "true")]),
    ],
)
def test_a_query_is_sent_as_the_standard_has_it(
    make: Maker, query: dict[str, Any], sent: list[tuple[str, str]] | None
) -> None:
    asked: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(204)

    assert make(handler).search_for_studies("PACS", query) == []
    expected = sent or [("includefield", "all"), ("includefield", "00081030"), ("limit", "5"), ("offset", "10")]
    assert httpx.QueryParams(asked[0].url.query).multi_items() == expected
