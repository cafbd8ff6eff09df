"""Whatever the description of the API allows, and much that it does not: no error of ours, and answers as described."""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.openapi import from_dict
from schemathesis.specs.openapi import checks
from schemathesis.transport.requests import REQUESTS_TRANSPORT

from api.app import application
from models.db.engine import Database
from models.domain.refs import StudyFound
from models.domain.tokens import Operation
from tests.api_site import Site, fill, opened, play, serving
from tests.samples import some_settings

FOUND = StudyFound("1.2.3", "DOE-1", "Doe^John", "19700101", modalities=("CT",), instance_count=4)
CHECKS: list[Any] = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
REFUSED: list[Any] = [*CHECKS, checks.negative_data_rejection]
POSITIVE, NEGATIVE = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
CALLERS: dict[str, tuple[str, tuple[Operation, ...], dict[GenerationMode, int]]] = {
    "superuser": ("root", (), {POSITIVE: 4, NEGATIVE: 4}),
    "plain": ("ada", (), {POSITIVE: 2, NEGATIVE: 1}),
    "limited": ("root", (Operation.READ, Operation.SEARCH), {POSITIVE: 1}),
}
"""Whose token, what it is limited to, and how many right and wrong cases are tried of each operation."""


@REQUESTS_TRANSPORT.serializer("multipart/related")
def as_one_part(_context: Any, value: Any) -> dict[str, Any]:
    """The body of a storage: one part of whatever was made up."""
    content = value if isinstance(value, bytes) else str(value).encode()
    head = b"--b\r\ncontent-type: application/dicom\r\n\r\n"
    kind = 'multipart/related; type="application/dicom"; boundary=b'
    return {"data": head + content + b"\r\n--b--\r\n", "headers": {"content-type": kind}}


@pytest.fixture(scope="module")
def a_filled_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("filled")
    with serving(directory) as site:
        fill(site)
        site.db.empty_log()
    return directory


@pytest.fixture(scope="module")
def an_app(a_filled_directory: Path) -> Any:
    chosen = some_settings(a_filled_directory, api_requests_per_minute=1_000_000)
    return application(chosen, Database(chosen.url, chosen.master_key.get_secret_value()))


@pytest.fixture
def sites(
    a_filled_directory: Path, an_app: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], Any]]:
    """Makes a filled installation that nobody has used yet."""
    play(monkeypatch, FOUND)
    count = 0

    def fresh() -> Any:
        nonlocal count
        count += 1
        directory = tmp_path / str(count)
        directory.mkdir()
        shutil.copy(a_filled_directory / "adit.db", directory / "adit.db")
        chosen = some_settings(directory, api_requests_per_minute=1_000_000)
        return opened(chosen, Database(chosen.url, chosen.master_key.get_secret_value()), an_app)

    yield fresh


def operations(app: Any, below: str) -> Iterator[Any]:
    """Every operation below a path, those of administrators apart; the token is the matter of the test."""
    document = {**app.openapi()}
    del document["security"]
    schema = from_dict(document)
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path.startswith(below) and ("/admin/" in operation.path) is ("/admin/" in below):
            yield operation


def call(site: Site, case: Case, token: str) -> Any:
    """The answer to a case, with the token; the request is encoded as a browser would."""
    kwargs = case.as_transport_kwargs(base_url=site.settings.web_url)
    kwargs["headers"] = {**dict(kwargs.get("headers") or {}), "Authorization": f"Bearer {token}"}
    kwargs.pop("timeout", None)
    sent = requests.Request(**{name: value for name, value in kwargs.items() if name in REQUEST_FIELDS}).prepare()
    body = sent.body.encode() if isinstance(sent.body, str) else sent.body
    answer = site.client.request(sent.method or "", str(sent.url), headers=dict(sent.headers), content=body)
    answer.elapsed = timedelta(0)
    return answer


REQUEST_FIELDS = {"method", "url", "headers", "files", "data", "params", "cookies", "json"}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("below", ["/v1/admin/", "/v1/", "/dicom-web/"])
def test_the_api_answers_as_it_describes_itself(sites: Callable[[], Any], an_app: Any, below: str) -> None:
    load_all_checks()
    failures: dict[str, str] = {}
    for operation in operations(an_app, below):
        for mode, wanted in ((POSITIVE, CHECKS), (NEGATIVE, REFUSED)):
            strategy = operation.as_strategy(generation_mode=mode)
            for who, (name, limits, cases) in CALLERS.items():
                if not cases.get(mode):
                    continue
                with sites() as site:
                    try:
                        run(strategy, cases[mode], Caller(site, name, limits, wanted))
                    except (AssertionError, BaseExceptionGroup) as error:
                        failures[f"{operation.label}, {mode.value}, {who}"] = str(error)
    assert failures == {}, "\n\n".join(f"{where}: {error}" for where, error in failures.items())


@dataclass
class Caller:
    """Sends cases with a token, which is made anew when a case has revoked it, and looks at the answers."""

    site: Site
    name: str
    limits: tuple[Operation, ...]
    wanted: list[Any]

    def __post_init__(self) -> None:
        self.token = self.site.token(self.name, *self.limits)

    def check(self, case: Case) -> None:
        answer = call(self.site, case, self.token)
        if answer.status_code == 401:
            self.token = self.site.token(self.name, *self.limits)
        case.validate_response(answer, checks=self.wanted)


def run(strategy: Any, cases: int, caller: Caller) -> None:
    """Try so many cases of an operation, the same in every run; one that takes nothing has no wrong ones."""
    every = list(HealthCheck)

    @settings(max_examples=cases, derandomize=True, deadline=None, database=None, suppress_health_check=every)
    @given(strategy)
    def tried(case: Case) -> None:
        caller.check(case)

    with contextlib.suppress(Unsatisfiable):
        tried()
