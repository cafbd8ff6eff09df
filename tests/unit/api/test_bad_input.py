"""Wrong requests at every route: refused by the field's name, nothing of them comes back, and nothing is changed."""

import copy
import sqlite3
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import ValidationError
from starlette.requests import Request as Asked

from api.schemas.shapes import Request
from tests.api_site import Site
from tests.unit.api.test_routes import CASES, Case, ids

PATIENT = "Doe^John"
WRONG: dict[str, list[Any]] = {
    "string": [{"Doe^John": 1}, "Doe^John\x00", 7],
    "integer": [PATIENT, -1, 10**30, 1.5, True],
    "number": [PATIENT, -1, None],
    "boolean": [PATIENT, 1],
    "array": [PATIENT, [{"Doe^John": [None]}]],
    "object": [PATIENT],
}


def tables(site: Site) -> list[str]:
    """Everything that the database holds, but for when tokens were used, which is written down a second later."""
    with sqlite3.connect(site.settings.data_dir / "adit.db") as connection:
        found = list(connection.iterdump())
    connection.close()
    return [line for line in found if not line.startswith('INSERT INTO "api_tokens"')]


def schema_of(document: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    reference = found.get("$ref", "")
    return document["components"]["schemas"][reference.split("/")[-1]] if reference else found


def wrong_values(schema: dict[str, Any]) -> Iterator[Any]:
    """Values that a schema does not allow."""
    if "enum" in schema or "$ref" in schema or "const" in schema:
        yield from (PATIENT, 7)
    elif "anyOf" in schema:
        yield {"Doe^John": [1]}
    elif schema.get("type") == "string" and "format" in schema:
        yield from (PATIENT, "2026-02-30T00:00:00Z")
    else:
        yield from WRONG[schema["type"]]


def bad_bodies(document: dict[str, Any], case: Case) -> Iterator[tuple[str, Any]]:
    """The name of a field, and a body in which it is wrong."""
    operation = document["paths"][case.template][case.method.lower()]
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if content is None:
        return
    found = next((one for one in content.get("anyOf", [content]) if "$ref" in one), content)
    schema = schema_of(document, found)
    right: dict[str, Any] = case.body or {}
    for name, field in schema["properties"].items():
        for value in wrong_values(field):
            yield name, {**right, name: value}
    for name in schema.get("required", ()):
        yield name, {key: value for key, value in right.items() if key != name}
    yield "body", {**right, "patient_nmae": PATIENT}
    yield "body", {**right, "Doe": PATIENT}
    yield "body", [PATIENT]


@pytest.mark.parametrize("case", [case for case in CASES if case.method in {"POST", "PUT"}], ids=ids)
def test_a_wrong_body_is_refused_by_the_name_of_the_field(site: Site, case: Case) -> None:
    token = site.token("root" if case.path.startswith(("/v1/admin", "/v1/rev")) else "ada")
    before = tables(site)
    for name, body in bad_bodies(site.app.openapi(), case):
        answer = site.ask(case.method, case.path, token, json=copy.deepcopy(body))
        assert answer.status_code == 422, (name, body, answer.text)
        errors = answer.json()["errors"]
        assert any(field == name or field.startswith(f"{name}.") for field in errors), (name, errors)
        assert all(sentence.endswith(".") for sentence in errors.values())
        assert "Doe" not in answer.text
    assert tables(site) == before


def bad_forms(document: dict[str, Any], case: Case) -> Iterator[tuple[str, dict[str, Any], bytes | None]]:
    """The name of a field, and a form in which it is wrong: its fields and its file."""
    content = document["paths"][case.template]["post"]["requestBody"]["content"]["multipart/form-data"]
    schema = schema_of(document, content["schema"])
    for name, field in schema["properties"].items():
        if name == "file":
            continue
        if field.get("type") == "array":
            yield name, {**case.body, name: ["Doe" * 40]}, case.file
            yield name, {**case.body, name: ["PACS"] * 51}, case.file
        elif "anyOf" in field:
            yield name, {**case.body, name: "Doe" * 40}, case.file
            yield name, {**case.body, name: "Doe\0John"}, case.file
        elif field.get("type") == "boolean" or "$ref" in field:
            yield name, {**case.body, name: PATIENT}, case.file
        else:
            yield name, {**case.body, name: "Doe\0John"}, case.file
            yield name, {**case.body, name: "Doe" * 4000}, case.file
    yield "file", {**case.body, "file": PATIENT}, None
    yield "file", case.body, None
    yield "body", {**case.body, "Doe": PATIENT}, case.file


@pytest.mark.parametrize("case", [case for case in CASES if case.file], ids=ids)
def test_a_wrong_form_is_refused_by_the_name_of_the_field(site: Site, case: Case) -> None:
    token = site.token("ada")
    before = tables(site)
    for name, data, file in bad_forms(site.app.openapi(), case):
        # without a file the fields are parts of a form as well
        parts = {"file": ("Doe.csv", file)} if file else {"file": (None, b"Doe")}
        given = {key: value for key, value in data.items() if key != "file"}
        answer = site.ask("POST", case.path, token, data=given, files=parts)
        assert answer.status_code == 422, (name, data, answer.text)
        errors = answer.json()["errors"]
        assert any(field.partition(".")[0] == name for field in errors), (name, errors)
        assert "Doe" not in answer.text
    for content in (b"", b"--x\r\n", b"no form at all"):
        headers = {"content-type": "multipart/form-data; boundary=x"}
        answer = site.ask("POST", case.path, token, content=content, headers=headers)
        assert answer.status_code in {400, 422}, answer.text
    assert tables(site) == before


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_wrong_parameters_are_refused_by_their_names(site: Site, case: Case) -> None:
    token = site.token("root")
    before = tables(site)
    operation = site.app.openapi()["paths"][case.template][case.method.lower()]
    for parameter in operation.get("parameters", ()):
        name, schema = parameter["name"], parameter["schema"]
        kinds = {each.get("type", "enum") for each in schema.get("anyOf", [schema])}
        values = ["Doe\x00John"] if kinds == {"string"} and "format" not in str(schema) else [PATIENT]
        if "integer" in kinds:
            values += ["0x1", "-1", str(2**63), "9" * 5000]
        for value in values:
            path, query, headers = case.path, {}, {}
            if parameter["in"] == "path":
                quoted = quote(value)
                path = case.template.replace("{" + name + "}", quoted)
            elif parameter["in"] == "query":
                query = {name: value}
            else:
                headers = {name: "Doe\tJohn"}
            answer = site.ask(case.method, path, token, params=query, headers=headers, **case.sent)
            assert answer.status_code == 422, (name, value, answer.text)
            assert any(field.partition(".")[0] == name for field in answer.json()["errors"]), answer.text
            assert "Doe" not in answer.text
    assert tables(site) == before


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_a_parameter_that_is_not_known_is_refused_and_not_named(site: Site, case: Case) -> None:
    """A filter that is misspelt would let a list have everything."""
    token = site.token("root")
    before = tables(site)
    answer = site.ask(case.method, case.path, token, params={**case.query, "Doe": "failure"}, **case.sent)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"] == {"query": "it has a field that is not known."}
    assert "Doe" not in answer.text
    assert tables(site) == before


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b"{Doe", "body"),
        (b"", "body"),
        (b"\xff\xfe", None),
        (b"[" * 100_000, None),
        (b'{"source": 1e999}', None),
        (b'"' + b"9" * 20 + b'"', "body"),
    ],
)
def test_what_is_no_json_is_refused(site: Site, content: bytes, field: str | None) -> None:
    token = site.token("ada")
    headers = {"content-type": "application/json"}
    answer = site.ask("POST", "/v1/jobs", token, content=content, headers=headers)
    assert answer.status_code in {400, 422}, answer.text
    assert "Doe" not in answer.text
    assert field is None or field in answer.json()["errors"]


@pytest.mark.parametrize("media_type", ["", "application/x-www-form-urlencoded", "text/plain", "multipart/form-data"])
def test_a_body_that_does_not_say_that_it_is_json_is_refused(site: Site, media_type: str) -> None:
    headers = {"content-type": media_type} if media_type else {}
    content = b'{"source": "PACS"}'
    answer = site.ask("POST", "/v1/search/studies", site.token("ada"), content=content, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "UnsupportedMediaType")
    assert answer.json()["errors"] == {"Content-Type": "the body has to be application/json."}


def test_json_may_be_of_a_kind_and_of_a_character_set(site: Site) -> None:
    for media_type in ("application/json; charset=utf-8", "Application/JSON", "application/vnd.adit+json"):
        headers = {"content-type": media_type}
        answer = site.ask("POST", "/v1/search/studies", site.token("ada"), content=b"[]", headers=headers)
        assert answer.json()["errors"] == {"body": "it has to be an object."}


def test_a_form_is_no_other_body(site: Site) -> None:
    answer = site.ask("POST", "/v1/batch-files/check", site.token("ada"), data={"kind": "query"})
    assert (answer.status_code, set(answer.json()["errors"])) == (415, {"Content-Type"})


def test_a_file_that_cannot_be_read_is_named(site: Site) -> None:
    files = {"file": ("Doe.csv", b"\xff\xfeD")}
    answer = site.ask("POST", "/v1/batch-files/check", site.token("ada"), data={"kind": "query"}, files=files)
    assert (answer.status_code, set(answer.json()["errors"])) == (422, {"file"})
    assert "Doe" not in answer.text


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"study_uid": "1.2.x"}, {"study_uid": "this is no DICOM UID."}),
        ({"study_uid": "1.2", "patient_id": "\0"}, {"patient_id": "it has the character NUL."}),
    ],
)
def test_what_does_not_fit_a_pattern_is_told_in_words(site: Site, keys: dict[str, str], told: dict[str, str]) -> None:
    answer = site.ask("POST", "/v1/search/series", site.token("ada"), json=keys)
    assert (answer.status_code, answer.json()["errors"]) == (422, told)


def test_a_body_that_is_too_large_is_refused_before_it_has_come(site: Site) -> None:
    token = site.token("ada")
    headers = {"content-type": "application/json"}
    answer = site.ask("POST", "/v1/jobs", token, content=b" " * (6 * 2**20), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "TooLarge")


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"studies": [{"study_uid": "Doe"}] * 20_000}, {"studies.0.study_uid"}),
        ({"studies": [{"study_uid": "1.2.9"}, {"study_uid": "1.2.9", **dict.fromkeys(map(str, range(90_000)))}]}, None),
        ({"studies": [{"study_uid": "1.2.9", "series_uids": ["Doe"] * 90_000}]}, {"studies.0.series_uids.0"}),
        (dict.fromkeys(map(str, range(90_000))), {"body"}),
    ],
)
def test_of_very_much_that_is_wrong_little_is_told(site: Site, change: dict[str, Any], fields: set[str] | None) -> None:
    answer = site.ask("POST", "/v1/jobs", site.token("ada"), json={"studies": [{"study_uid": "1.2.9"}], **change})
    assert answer.status_code == 422, answer.text
    assert set(answer.json()["errors"]) == (fields or {"studies.1"})
    assert len(answer.content) < 1000


@pytest.mark.parametrize("content", [b"[" + b"{}," * 300_000 + b"1]", b"{" + b'"":[[],' * 100_000])
def test_a_body_of_more_values_than_any_request_has_is_refused_before_it_is_read(
    site: Site, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Asked, "json", lambda _: pytest.fail("it was read"))
    headers = {"content-type": "application/json"}
    answer = site.ask("POST", "/v1/jobs", site.token("ada"), content=content, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "TooLarge")


def requests(root: type[Request] = Request) -> Iterator[type[Request]]:
    for each in root.__subclasses__():
        yield each
        yield from requests(each)


@pytest.mark.parametrize("schema", [*requests()], ids=lambda schema: schema.__name__)
def test_the_first_wrong_value_of_a_list_is_the_only_one_that_is_told(schema: type[Request]) -> None:
    lists = [name for name, field in schema.model_fields.items() if "list[" in str(field.annotation)]
    for name in lists:
        with pytest.raises(ValidationError) as raised:
            schema.model_validate({name: [{"Doe": 1}] * 2})
        told = {str(error["loc"]) for error in raised.value.errors() if error["loc"][0] == name and 1 in error["loc"]}
        assert not told


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"source": "ELSEWHERE"}, "source"),
        ({"source": "Research"}, "source"),
        ({"destination": "PACS"}, "destination"),
        ({"destination": None}, "destination"),
        ({"studies": [{"study_uid": "1.2.9"}, {"study_uid": "1.2.9"}]}, "study_uid"),
        ({"studies": [{"study_uid": "1.2.9", "pseudonym": "Doe*"}]}, "Study 1: pseudonym"),
        ({"trial_protocol_id": "Doe\\"}, "trial_protocol_id"),
        ({"profile": "Doe"}, "profile"),
        ({"studies": [{"study_uid": f"1.2.9.{n}"} for n in range(11)]}, "studies"),
    ],
)
def test_a_job_that_cannot_be_is_refused_by_the_name_of_the_field(
    site: Site, change: dict[str, Any], field: str
) -> None:
    token = site.token("ada")
    wish = {"source": "PACS", "destination": "Research", "studies": [{"study_uid": "1.2.9"}]}
    before = tables(site)
    answer = site.ask("POST", "/v1/jobs", token, json={**wish, **change})
    assert answer.status_code == 422, answer.text
    assert set(answer.json()["errors"]) == {field}
    assert tables(site) == before


def test_a_node_that_one_may_not_use_is_told_like_one_that_is_not_there(site: Site) -> None:
    token = site.token("ada")
    answers = [
        site.ask("POST", "/v1/search/studies", token, json={"source": source}).json()["errors"]
        for source in ("Research", "RESEARCH", 2, "ELSEWHERE", 4711)
    ]
    assert answers == [{"source": "there is no such node, or you may not use it. Possible: PACS."}] * 5
