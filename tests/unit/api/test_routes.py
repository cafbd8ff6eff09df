"""Every route of REST: its door, and for whom it opens. The table below has each of them."""

import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from fastapi.routing import APIRoute, iter_route_contexts

from api.app import application
from api.routing import doors_of
from models.domain.tokens import Operation
from tests.api_site import Site

OPERATIONS = frozenset(Operation)


@dataclass(frozen=True)
class Case:
    """A call of a route, by whom it may be made, and what each gets: eve, ada, staff, root."""

    call: str
    operation: Operation
    statuses: tuple[int, int, int, int]
    body: Any = None
    query: dict[str, str] = field(default_factory=dict)
    file: bytes = b""
    """Is sent with the body as a form, where there is one."""

    @property
    def sent(self) -> dict[str, Any]:
        """The body as it is given to ``Site.ask``."""
        return {"data": self.body, "files": {"file": ("Doe.csv", self.file)}} if self.file else {"json": self.body}

    @property
    def method(self) -> str:
        return self.call.split()[0]

    @property
    def template(self) -> str:
        return self.call.split()[1]

    @property
    def path(self) -> str:
        path = self.template.replace("{app}", "upload").replace("{folder_id}", "3")
        path = path.replace("{kind}", "query").replace("{form}", "sample").replace("{ending}", "xlsx")
        if self.template.startswith("/v1/admin/folders/"):
            path = path.replace("{node_id}", "3")
        if "/users/" in path:
            path = path.replace("{user_id}", "4")
        return re.sub(r"\{[^}]*\}", "1", path)


R, S, T, A = Operation.READ, Operation.SEARCH, Operation.TRANSFER, Operation.ADMINISTER
WISH = {"source": "PACS", "destination": "Research", "studies": [{"study_uid": "1.2.9"}]}
REVIEW = {"item_id": 1, "reason": "nothing to be seen in it"}
PROFILE = {"email": "new@example.org", "first_name": "New", "last_name": "Person"}
USER = {**PROFILE, "groups": [], "is_active": True, "is_staff": False, "is_superuser": False, "version": 4}
SERVER = {"name": "New", "ae_title": "NEW", "host": "127.0.0.1", "port": 9, "study_root_find_support": True}
PROJECT = {"project_name": "Lung study", "project_description": "Nodules over time."}
CHECK = {**PROJECT, "source": "PACS", "destination": "Folder", "ethics_application_id": "S-1/2026"}
QUERY_FILE = b"PatientID,Modality\nDOE-1,CT\n"
TRANSFER_FILE = b"PatientID,StudyInstanceUID,Pseudonym\nDOE-1,1.2.9,ANON9\n"
WEBHOOK = {"url": "https://board.example.org/adit", "version": 1}
WEB = {"dicomweb_root_url": "http://127.0.0.1:9/dicom-web"}

CASES = [
    Case("GET /v1/me", R, (200, 200, 200, 200)),
    Case("GET /v1/me/mails", R, (200, 200, 200, 200)),
    Case("PUT /v1/me/mails", T, (200, 200, 200, 200), {"jobs": "trouble"}),
    Case("GET /v1/nodes", R, (200, 200, 200, 200)),
    Case("GET /v1/profiles", R, (200, 200, 200, 200)),
    Case("GET /v1/tokens", R, (200, 200, 200, 200)),
    Case("POST /v1/tokens", R, (403, 201, 403, 201), {"expires_at": "2026-12-24T18:00:00Z"}),
    Case("DELETE /v1/tokens/{token_id}", R, (404, 404, 204, 204)),
    Case("POST /v1/search/patients", S, (422, 200, 422, 422), {"source": 1}),
    Case("POST /v1/search/studies", S, (422, 200, 422, 422), {"source": "PACS"}),
    Case("POST /v1/search/series", S, (422, 200, 422, 422), {"source": 1, "study_uid": "1.2.3"}),
    Case("POST /v1/jobs/plan", S, (422, 200, 422, 422), WISH),
    Case("POST /v1/jobs", T, (422, 201, 422, 422), WISH),
    Case("GET /v1/jobs", R, (200, 200, 200, 200)),
    Case("GET /v1/jobs/{job_id}", R, (404, 200, 200, 200)),
    Case("GET /v1/jobs/{job_id}/items", R, (404, 200, 200, 200)),
    Case("GET /v1/jobs/{job_id}/receipts", R, (404, 200, 200, 200)),
    Case("POST /v1/jobs/{job_id}/verify", T, (404, 403, 409, 409)),
    Case("POST /v1/jobs/{job_id}/cancel", T, (404, 200, 200, 200)),
    Case("POST /v1/jobs/{job_id}/resume", T, (404, 409, 409, 409)),
    Case("POST /v1/jobs/{job_id}/retry", T, (404, 409, 409, 409)),
    Case("POST /v1/jobs/{job_id}/restart", T, (404, 403, 409, 409)),
    Case("POST /v1/jobs/{job_id}/hurry", T, (404, 403, 403, 200)),
    Case("DELETE /v1/jobs/{job_id}", T, (404, 204, 204, 204)),
    Case("GET /v1/items/{item_id}", R, (404, 200, 200, 200)),
    Case("GET /v1/items/{item_id}/receipt", R, (404, 200, 200, 200)),
    Case("POST /v1/items/{item_id}/cancel", T, (404, 200, 200, 200)),
    Case("POST /v1/items/{item_id}/reset", T, (404, 409, 409, 409)),
    Case("DELETE /v1/items/{item_id}", T, (404, 204, 204, 204)),
    Case("GET /v1/jobs/{job_id}/file", R, (404, 404, 403, 403)),
    Case("POST /v1/batch-files/check", R, (200, 200, 200, 200), {"kind": "query"}, file=QUERY_FILE),
    Case("GET /v1/batch-files/{kind}/{form}.{ending}", R, (200, 200, 200, 200)),
    Case("POST /v1/batch-queries", S, (422, 201, 422, 422), {**PROJECT, "sources": ["PACS"]}, file=QUERY_FILE),
    Case("GET /v1/batch-queries/{job_id}/results", S, (404, 404, 404, 404)),
    Case("GET /v1/batch-queries/{job_id}/results.{ending}", S, (404, 404, 404, 404)),
    Case("POST /v1/batch-checks", T, (422, 201, 422, 422), CHECK, file=TRANSFER_FILE),
    Case("GET /v1/batch-checks/{job_id}", T, (404, 404, 404, 404)),
    Case("GET /v1/batch-checks/{job_id}/rows", T, (404, 404, 404, 404)),
    Case("POST /v1/batch-checks/{job_id}/transfer", T, (404, 404, 404, 404), {}),
    Case("GET /v1/reviews", R, (403, 403, 403, 200)),
    Case("GET /v1/reviews/{job_id}", R, (404, 200, 200, 200)),
    Case("POST /v1/reviews/release", T, (403, 403, 403, 409), REVIEW),
    Case("POST /v1/reviews/reject", T, (403, 403, 403, 409), REVIEW),
    Case("GET /v1/admin/users", A, (403, 403, 200, 200)),
    Case("POST /v1/admin/users", A, (403, 403, 403, 201), {"username": "new", **PROFILE}),
    Case("GET /v1/admin/users/{user_id}", A, (200, 403, 200, 200)),
    Case("PUT /v1/admin/users/{user_id}", A, (403, 403, 403, 200), USER),
    Case("POST /v1/admin/users/{user_id}/approve", A, (403, 403, 403, 409)),
    Case("POST /v1/admin/users/{user_id}/deactivate", A, (403, 403, 403, 200)),
    Case("POST /v1/admin/users/{user_id}/activate", A, (403, 403, 403, 200)),
    Case("POST /v1/admin/users/{user_id}/reset", A, (403, 403, 403, 204)),
    Case("GET /v1/admin/groups", A, (403, 403, 200, 200)),
    Case("POST /v1/admin/groups", A, (403, 403, 201, 201), {"name": "New"}),
    Case("GET /v1/admin/groups/{group_id}", A, (403, 403, 200, 200)),
    Case("PUT /v1/admin/groups/{group_id}", A, (403, 403, 200, 200), {"name": "New", "version": 1}),
    Case("DELETE /v1/admin/groups/{group_id}", A, (403, 403, 204, 204)),
    Case("GET /v1/admin/tokens", A, (403, 403, 200, 200)),
    Case("DELETE /v1/admin/tokens/{token_id}", A, (404, 404, 204, 204)),
    Case("GET /v1/admin/nodes", A, (403, 403, 200, 200)),
    Case("GET /v1/admin/nodes/{node_id}", A, (403, 403, 200, 200)),
    Case("DELETE /v1/admin/nodes/{node_id}", A, (403, 403, 409, 409)),
    Case("DELETE /v1/admin/nodes/{node_id}/authorization", A, (403, 403, 200, 200)),
    Case("POST /v1/admin/nodes/{node_id}/test", A, (403, 403, 200, 200)),
    Case("POST /v1/admin/servers", A, (403, 403, 201, 201), SERVER),
    Case("POST /v1/admin/servers/{node_id}/stop", A, (403, 403, 200, 200), {"reason": "It swaps its disks."}),
    Case("POST /v1/admin/servers/{node_id}/go-on", A, (403, 403, 200, 200)),
    Case("POST /v1/admin/folders/{node_id}/go-on", A, (403, 403, 200, 200)),
    Case("PUT /v1/admin/servers/{node_id}", A, (403, 403, 200, 200), {**SERVER, **WEB, "version": 1}),
    Case("POST /v1/admin/folders", A, (403, 403, 201, 201), {"name": "New", "path": "/srv/new"}),
    Case("PUT /v1/admin/folders/{node_id}", A, (403, 403, 200, 200), {"name": "New", "path": "/srv/new", "version": 1}),
    Case("GET /v1/admin/quotas", A, (200, 200, 200, 200)),
    Case("GET /v1/admin/quotas/{folder_id}", A, (404, 200, 200, 200)),
    Case("POST /v1/admin/quotas/{folder_id}/measure", A, (403, 403, 200, 200)),
    Case("GET /v1/admin/settings", A, (403, 403, 200, 200)),
    Case("PUT /v1/admin/settings", A, (403, 403, 200, 200), {"announcement": "", "maintenance": False, "version": 1}),
    Case("GET /v1/admin/apps", A, (403, 403, 200, 200)),
    Case("PUT /v1/admin/apps/{app}", A, (403, 403, 403, 200), {"locked": True}),
    Case("GET /v1/admin/alarms", A, (403, 403, 200, 200)),
    Case("GET /v1/admin/overview", A, (403, 403, 200, 200)),
    Case("GET /v1/admin/audit", A, (403, 403, 403, 200)),
    Case("GET /v1/admin/audit.csv", A, (403, 403, 403, 200)),
    Case("GET /v1/admin/audit/{entry_id}", A, (403, 403, 403, 200)),
    Case("POST /v1/admin/audit/{entry_id}/details", A, (403, 403, 403, 200), {"reason": "to see what is in it"}),
    Case("GET /v1/admin/chores", A, (403, 403, 200, 200)),
    Case("POST /v1/admin/chores/{name}/run", A, (403, 403, 404, 404)),
    Case("GET /v1/admin/broadcasts", A, (403, 403, 200, 200)),
    Case("POST /v1/admin/broadcasts", A, (403, 403, 201, 201), {"subject": "Hello", "message": "World"}),
    Case("GET /v1/admin/broadcasts/{broadcast_id}", A, (403, 403, 404, 404)),
    Case("GET /v1/admin/broadcasts/{broadcast_id}/deliveries", A, (403, 403, 404, 404)),
    Case("GET /v1/admin/webhooks", A, (403, 403, 200, 200)),
    Case("POST /v1/admin/webhooks", A, (403, 403, 201, 201), {"url": "https://board.example.org/adit"}),
    Case("GET /v1/admin/webhooks/{webhook_id}", A, (403, 403, 404, 404)),
    Case("PUT /v1/admin/webhooks/{webhook_id}", A, (403, 403, 404, 404), WEBHOOK),
    Case("DELETE /v1/admin/webhooks/{webhook_id}", A, (403, 403, 404, 404)),
    Case("POST /v1/admin/webhooks/{webhook_id}/secret", A, (403, 403, 404, 404)),
    Case("POST /v1/admin/webhooks/{webhook_id}/test", A, (403, 403, 404, 404)),
    Case("GET /v1/admin/webhooks/{webhook_id}/notices", A, (403, 403, 404, 404)),
    Case("POST /v1/admin/webhooks/{webhook_id}/notices/{notice_id}/send-again", A, (403, 403, 404, 404)),
]
PEOPLE = ("eve", "ada", "staff", "root")


def routes(app: Any) -> dict[str, APIRoute]:
    """Every route by its method and path, the gateway's too."""
    return {
        f"{method} {found.path}": found.original_route
        for found in iter_route_contexts(app.routes)
        if isinstance(found.original_route, APIRoute)
        for method in found.original_route.methods
    }


def test_the_table_has_every_route_of_rest(site: Site) -> None:
    known = {case.call for case in CASES}
    assert len(known) == len(CASES)
    assert known == {call for call in routes(site.app) if " /v1/" in call}


def test_every_route_has_one_door(site: Site) -> None:
    """Also those of the gateway: none is open, and none asks for two operations."""
    assert {call: len(doors_of(route)) for call, route in routes(site.app).items() if len(doors_of(route)) != 1} == {}


def ids(case: Case) -> str:
    return case.call


def test_the_door_of_each_route_is_that_of_the_table(site: Site) -> None:
    known = routes(site.app)
    doors = {case.call: doors_of(known[case.call])[0].operation for case in CASES}
    assert doors == {case.call: case.operation for case in CASES}


def test_nobody_comes_in_anywhere_without_a_token(site: Site) -> None:
    wrong = [{}, {"authorization": "Bearer adit_"}, {"authorization": f"Basic {site.token('root')}"}]
    for case in CASES:
        for headers in wrong:
            answer = site.ask(case.method, case.path, headers=headers, **case.sent)
            assert (answer.status_code, answer.json()["code"]) == (401, "Unauthenticated"), case.call
            assert answer.headers["www-authenticate"]


def test_a_token_that_lacks_the_operation_is_refused_at_every_route(site: Site) -> None:
    """Also with everything else allowed, and before the body is looked at."""
    tokens = {operation: site.token("root", *(OPERATIONS - {operation})) for operation in OPERATIONS}
    for case in CASES:
        answer = site.ask(case.method, case.path, tokens[case.operation], json={"no": "such field"})
        assert (answer.status_code, answer.json()["code"]) == (403, "NotPermitted"), case.call


def check(site: Site, case: Case, name: str) -> None:
    """That somebody gets what the table says, with a token that allows no more than it takes."""
    wanted = case.statuses[PEOPLE.index(name)]
    needed = {case.operation, *([A] if name in {"staff", "root"} else [])}
    token = site.token(name) if "/tokens" in case.call else site.token(name, *needed)
    answer = site.ask(case.method, case.path, token, **case.sent)
    assert answer.status_code == wanted, f"{case.call}: {answer.text}"
    if wanted >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert set(answer.json()) == {"type", "title", "status", "detail", "code", "errors"}
        assert answer.json()["status"] == wanted


@pytest.mark.parametrize("name", PEOPLE)
def test_everybody_sees_what_their_rights_allow(site: Site, name: str) -> None:
    for case in CASES:
        if case.method == "GET":
            check(site, case, name)


@pytest.mark.parametrize("name", PEOPLE)
@pytest.mark.parametrize("case", [case for case in CASES if case.method != "GET"], ids=ids)
def test_everybody_changes_what_their_rights_allow(site: Site, case: Case, name: str) -> None:
    site.token("eve" if name != "eve" else "ada")  # the token with the id 1 belongs to somebody else
    check(site, case, name)


def test_who_may_not_administer_does_not_learn_what_there_is(site: Site) -> None:
    """Whatever an address names, who is refused gets the same answer as for what does not exist."""
    site.token("root")  # the token with the id 1 belongs to somebody else
    token = site.token("ada")
    for case in CASES:
        if case.template.startswith("/v1/admin/") and "_id}" in case.template:
            elsewhere = re.sub(r"/\d+", "/4711", case.path)
            known, unknown = (site.ask(case.method, path, token, **case.sent) for path in (case.path, elsewhere))
            is_refused = known.status_code in {403, 404}
            assert is_refused is (case.statuses[PEOPLE.index("ada")] != 200), case.call
            assert not is_refused or (known.status_code, known.text) == (unknown.status_code, unknown.text), case.call


def test_staff_without_administer_is_nobody_special(site: Site) -> None:
    token = site.token("root", Operation.READ, Operation.TRANSFER)
    assert site.ask("GET", "/v1/jobs/1", token).status_code == 404
    assert site.ask("GET", "/v1/jobs", token, params={"everybody": "true"}).status_code == 403
    assert site.ask("GET", "/v1/me", token).json()["is_staff"] is False


def test_an_application_of_another_installation_is_its_own(site: Site) -> None:
    """The tests exchange the installation behind an application; a new one has its own from the beginning."""
    app = application(site.settings, site.db)
    assert app.state.context.db is site.db
