"""Every kind of error has its status, and what is told of it has one shape and nothing of the request."""

import itertools
import json
import logging
from datetime import UTC, datetime, timedelta

import pytest
from starlette.responses import JSONResponse

from api import problems
from api.problems import STATUS, field_problems, of
from models.domain import errors
from models.domain.errors import AditError, BadRequest, Bug, OutsideWindow, ServerStopped
from services.people import accounts
from tests.api_site import Site


def kinds(root: type[AditError] = AditError) -> list[type[AditError]]:
    below = [kind for child in root.__subclasses__() if child.__module__ == errors.__name__ for kind in kinds(child)]
    return [root, *below]


def told(answer: JSONResponse) -> dict[str, object]:
    found: dict[str, object] = json.loads(bytes(answer.body))
    return found


def test_every_kind_of_error_has_a_status_of_its_own() -> None:
    assert set(STATUS) == set(kinds())


@pytest.mark.parametrize("kind", [kind for kind in kinds() if STATUS[kind] != 500], ids=lambda kind: kind.__name__)
def test_an_error_is_told_in_its_own_words(kind: type[AditError]) -> None:
    answer = problems.of(kind())
    assert answer.status_code == STATUS[kind]
    assert told(answer) | {"title": ""} == {
        "type": f"urn:adit:error:{kind.__name__}",
        "title": "",
        "status": STATUS[kind],
        "detail": kind().message,
        "code": kind.__name__,
        "errors": {},
    }
    assert ("retry-after" in answer.headers) is (STATUS[kind] in {429, 503})


def test_fields_are_named() -> None:
    answer = told(problems.of(BadRequest.of({"source": "there is no such node."})))
    assert answer["errors"] == {"source": "there is no such node."}


@pytest.mark.parametrize("error", [Bug("the id of Doe^John"), ValueError("Doe^John"), KeyError("Doe^John")])
def test_what_nobody_expected_is_told_by_a_reference_only(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        answer = told(problems.of(error))
    assert (answer["status"], answer["code"]) == (500, "Bug")
    assert "Doe" not in json.dumps(answer)
    assert str(answer["reference"]) in caplog.text
    assert "Doe" not in caplog.text or isinstance(error, Bug)  # our own texts name no patients


def test_what_a_route_did_not_expect_is_a_problem_too(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("Doe^John")

    monkeypatch.setattr(accounts, "me", broken)
    answer = site.ask("GET", "/v1/me", site.token("ada"))
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert answer.json()["reference"] in caplog.text
    assert "Doe" not in answer.text + caplog.text


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "NotFound"),
        ("GET", "/", 404, "NotFound"),
        ("GET", "/docs", 404, "NotFound"),
        ("GET", "/redoc", 404, "NotFound"),
        ("PATCH", "/v1/me", 405, "MethodNotAllowed"),
        ("GET", "/v1/me/", 404, "NotFound"),
        ("GET", "/dicom-web/PACS/qidors/studies/", 404, "NotFound"),
    ],
)
def test_what_is_not_there_is_a_problem_too(site: Site, method: str, path: str, status: int, code: str) -> None:
    answer = site.ask(method, path, site.token("ada"))
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_nobody_is_sent_on_to_an_address_that_repeats_whom_they_asked_for(site: Site) -> None:
    answer = site.ask("GET", "/dicom-web/PACS/qidors/studies/?PatientName=Doe")
    assert (answer.status_code, "location" in answer.headers) == (404, False)
    assert "Doe" not in answer.text


def test_a_body_that_cannot_be_read_is_named(site: Site) -> None:
    token, headers = site.token("ada"), {"content-type": "application/json"}
    for content, status, sentence in (
        (b'{"source": "\xff"}', 400, "it cannot be read."),
        (b" " * (6 * 2**20), 413, "it is too large."),
    ):
        answer = site.ask("POST", "/v1/jobs", token, content=content, headers=headers)
        assert (answer.status_code, answer.json()["errors"]) == (status, {"body": sentence})


def test_a_field_is_named_by_its_path_unless_the_name_may_be_anything() -> None:
    found = field_problems(
        [
            {"loc": ("body", "studies", 1, "study_uid"), "type": "missing", "msg": "Field required"},
            {"loc": ("body", "PAT4711"), "type": "extra_forbidden", "msg": "Extra inputs are not permitted"},
            {"loc": ("body", "studies", 1, "Doe"), "type": "extra_forbidden", "msg": "Extra inputs are not permitted"},
            {"loc": ("query", "Doe"), "type": "extra_forbidden", "msg": "Extra inputs are not permitted"},
            {"loc": ("query", "limit"), "type": "int_parsing", "msg": "Input should be a valid integer"},
        ]
    )
    assert found == {
        "studies.1.study_uid": "it is needed.",
        "body": "it has a field that is not known.",
        "studies.1": "it has a field that is not known.",
        "query": "it has a field that is not known.",
        "limit": "input should be a valid integer.",
    }


def test_no_more_than_twenty_fields_are_named() -> None:
    many = ({"loc": ("body", number), "type": "missing", "msg": ""} for number in itertools.count())
    assert list(field_problems(many)) == [str(number) for number in range(20)]


@pytest.mark.parametrize(("in_hours", "least", "most"), [(2, 7_000, 7_200), (-2, 1, 1)])
def test_who_meets_a_server_outside_its_windows_is_told_when_to_come_again(
    in_hours: int, least: int, most: int
) -> None:
    opens_at = datetime.now(UTC) + timedelta(hours=in_hours)
    answer = of(OutsideWindow.because("It is closed.", opens_at))
    assert answer.status_code == 503
    assert least <= int(answer.headers["retry-after"]) <= most


def test_who_meets_a_stopped_server_is_told_to_come_again() -> None:
    answer = of(ServerStopped("Somebody has stopped it."))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "300")
