"""What holds for the whole API: tokens, how often they may be used, what is counted, what is never told, streams."""

import json
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from api import liveness, streams
from api.app import application
from api.rates import RateLimit
from api.threads import SEARCHES_OF_ONE
from api.usage import Usage
from models.db.folder_holds import FolderHoldStore
from models.db.jobs import JobStore
from models.db.nodes import NodeStore
from models.db.scopes import ScopeStore
from models.db.slots import SlotStore
from models.db.tokens import TokenStore
from models.domain.errors import FolderFull, PeerBusy, Unreachable
from models.domain.nodes import Folder
from models.domain.refs import PatientQuery, StudyFound, StudyQuery
from models.domain.tokens import Operation, Use
from services import audit
from services.people import accounts, tokens
from services.searching import visits
from tests import in_process
from tests.api_site import HEADER, SHELL, Site, play
from tests.unit.api.test_routes import CASES
from ui.gate import Gate

WISH = {"source": "PACS", "destination": "Research", "studies": [{"study_uid": "1.2.9", "pseudonym": "ANON9"}]}
DOE = StudyFound("1.2.3", "DOE-1", "Doe^John", "19700101", modalities=("CT",), instance_count=4)


# -- tokens


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "Token", "TOKEN"])
def test_a_token_is_shown_in_one_of_two_ways(site: Site, scheme: str) -> None:
    answer = site.ask("GET", "/v1/me", headers={"authorization": f"{scheme} {site.token('ada')}"})
    assert answer.json()["username"] == "ada"


def test_a_token_dies_when_it_expires_is_revoked_or_its_owner_is_deactivated(site: Site) -> None:
    expiring = site.token("ada", expires_at=site.db.clock() + timedelta(hours=1))
    revoked, orphaned = site.token("ada"), site.token("eve")
    assert {site.ask("GET", "/v1/me", token).status_code for token in (expiring, revoked, orphaned)} == {200}
    tokens.revoke(site.db, site.actor("ada"), 2)
    accounts.deactivate(site.db, SHELL, site.actor("eve").user_id or 0)
    now = site.db.clock()
    site.db.clock = lambda: now + timedelta(hours=2)
    assert {site.ask("GET", "/v1/me", token).status_code for token in (expiring, revoked, orphaned)} == {401}


def test_a_cookie_is_no_token(site: Site) -> None:
    assert site.ask("GET", "/v1/me", headers={"cookie": f"adit={site.token('ada')}"}).status_code == 401


def test_a_token_for_some_nodes_knows_no_others(site: Site) -> None:
    token = site.token("ada", nodes=frozenset({1, 3}))
    known = site.ask("GET", "/v1/nodes", token).json()
    assert [node["name"] for node in known["sources"] + known["destinations"]] == ["PACS", "Folder"]
    assert site.ask("GET", "/v1/jobs/1", token).status_code == 404  # it names Research
    assert site.ask("GET", "/v1/jobs", token).json() == {"results": [], "total": 0}
    assert site.ask("POST", "/v1/jobs", token, json=WISH).json()["errors"].keys() == {"destination"}


def test_a_secret_is_shown_once(site: Site) -> None:
    token = site.token("ada")
    made = site.ask("POST", "/v1/tokens", token, json={"expires_at": "2026-12-24T18:00:00+01:00"}).json()
    assert site.ask("GET", "/v1/me", made["secret"]).json()["token"] == made["token"] | {
        "request_count": 0,
        "last_used_at": None,
    }
    assert made["secret"] not in site.ask("GET", "/v1/tokens", token).text


# -- how often, and how much


def test_as_many_requests_as_the_limit_allows_and_then_one_after_the_other() -> None:
    now = [0.0]
    limit = RateLimit(60, clock=lambda: now[0])
    assert [limit.take(1) for _ in range(61)] == [0] * 60 + [1]
    assert limit.take(2) == 0
    now[0] = 1.0
    assert (limit.take(1), limit.take(1)) == (0, 1)
    now[0] = 1e6
    assert [limit.take(1) for _ in range(61)][-1] == 1


def test_who_asks_too_often_is_told_when_to_come_back(site: Site) -> None:
    site.app.state.context = replace(site.context, limiter=RateLimit(2, lambda: 0.0))
    token, other = site.token("ada"), site.token("ada")
    answers = [site.ask("GET", "/v1/me", each) for each in (token, other, token)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert (answers[2].headers["retry-after"], answers[2].json()["code"]) == ("30", "TooManyTries")
    assert site.ask("GET", "/v1/me", site.token("ada")).status_code == 429
    assert site.ask("GET", "/v1/me", site.token("eve")).status_code == 200


def test_requests_and_bytes_of_a_token_are_written_down(site: Site) -> None:
    token = site.token("ada")
    answers = [site.ask("GET", path, token) for path in ("/v1/me", "/v1/nodes", "/v1/jobs/4711")]
    site.context.usage.flush()
    (kept,) = tokens.list(site.db, site.actor("ada"))
    assert kept.request_count == 3
    assert kept.answered_bytes == sum(len(answer.content) for answer in answers)
    assert kept.last_used_at is not None


def test_uses_are_written_down_together_and_soon(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    written, seen = threading.Event(), list[dict[int, Use]]()

    def note_use(_db: object, uses: dict[int, Use]) -> None:
        seen.append(uses)
        written.set()

    monkeypatch.setattr(tokens, "note_use", note_use)
    usage = Usage(site.db, every_s=0.05)
    for _ in range(50):
        usage.note(7, 10)
    assert written.wait(10)
    usage.flush()
    assert sum(uses[7].requests for uses in seen) == 50
    assert len(seen) < 50


def test_what_the_database_does_not_take_is_kept(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.token("ada")
    usage = Usage(site.db, every_s=3600)
    with monkeypatch.context() as broken:
        broken.setattr(TokenStore, "note_use", lambda *_: (_ for _ in ()).throw(PeerBusy()))
        usage.note(1, 10)
        usage.flush()
    usage.note(1, 5)
    usage.flush()
    assert tokens.list(site.db, site.actor("ada"))[0].answered_bytes == 15


# -- what is never told


def test_no_answer_tells_a_secret(site: Site) -> None:
    token, other = site.token("root"), site.token("root")
    with site.db.reading() as session:
        hashes = [row[0] for row in session.connection().exec_driver_sql("SELECT password_hash FROM users")]
        digests = [row[0] for row in session.connection().exec_driver_sql("SELECT digest FROM api_tokens")]
    secrets = [HEADER, HEADER.split()[1], token, other, *filter(None, hashes), *digests]
    shown = [site.ask(case.method, case.path, token) for case in CASES if case.method == "GET"]
    shown.append(site.ask("PUT", "/v1/admin/groups/1", token, json={"name": "New", "version": 1}))
    shown.append(site.ask("DELETE", "/v1/admin/nodes/1/authorization", token))
    assert [each for each in secrets for answer in shown if each in answer.text] == []
    assert '"has_authorization":true' in site.ask("GET", "/v1/admin/nodes", token).text.replace("false", "true")


def test_a_folder_tells_why_items_wait_for_it(site: Site) -> None:
    token = site.token("root")
    added = site.ask("POST", "/v1/admin/folders", token, json={"name": "Full", "path": "/srv/full"}).json()
    assert added["hold"] is None
    folder = NodeStore(site.db).get(added["id"])
    assert isinstance(folder, Folder)
    FolderHoldStore(site.db).hold(folder.id, 1, FolderFull("The disk of the folder Full has no room left."), "adit1", 7)
    path = f"/v1/admin/nodes/{folder.id}"
    hold = site.ask("GET", path, token).json()["folder"]["hold"]
    assert (hold["code"], hold["machine"]) == ("FolderFull", "adit1")
    assert hold["again_at"] > hold["since"]
    tried = site.ask("POST", f"/v1/admin/folders/{folder.id}/go-on", token).json()["hold"]
    assert hold["since"] <= tried["again_at"] < hold["again_at"]
    assert site.ask("POST", "/v1/admin/folders/4711/go-on", token).status_code == 404


def test_a_server_tells_its_windows_its_budgets_and_how_it_stands(site: Site) -> None:
    token = site.token("root")
    words = {"windows": ["Mon 20:00-06:00"], "budget_rules": ["Mon 20:00-06:00 = 12"]}
    server = {"name": "New", "ae_title": "NEW", "host": "127.0.0.1", "port": 9, "study_root_find_support": True}
    added = site.ask("POST", "/v1/admin/servers", token, json={**server, **words}).json()
    assert {name: added[name] for name in words} == words
    assert added["state"]["openness"] in {"open", "closed"} and added["state"]["until"] and added["stop"] is None
    path = f"/v1/admin/servers/{added['id']}"
    stopped = site.ask("POST", f"{path}/stop", token, json={"reason": "It swaps its disks."}).json()
    assert (stopped["stop"]["by"], stopped["stop"]["reason"]) == ("root", "It swaps its disks.")
    assert stopped["state"]["openness"] == "stopped"
    changed = site.ask("PUT", path, token, json={**server, "version": 1})
    assert changed.json()["stop"] == stopped["stop"], "no setting, so that nobody lets it go on by chance"
    assert site.ask("POST", f"{path}/go-on", token).json()["state"] == {"openness": "open", "until": None, "budget": 8}
    assert site.ask("PUT", path, token, json={**server, "version": 2, "budget_rules": ["always"]}).status_code == 422
    assert site.ask("POST", "/v1/admin/servers/4711/stop", token, json={}).status_code == 404


def test_a_header_that_is_sent_does_not_come_back(site: Site) -> None:
    server = {
        "name": "New",
        "ae_title": "NEW",
        "host": "127.0.0.1",
        "port": 9,
        "study_root_find_support": True,
        "dicomweb_authorization_header": "Bearer very-secret",
    }
    answer = site.ask("POST", "/v1/admin/servers", site.token("root"), json=server)
    assert (answer.status_code, answer.json()["has_authorization"]) == (201, True)
    wrong = site.ask("POST", "/v1/admin/servers", site.token("root"), json={**server, "port": "very-secret"})
    assert "secret" not in answer.text + wrong.text


def test_patients_are_not_shown_to_staff_beside_pseudonyms(site: Site) -> None:
    assert "DOE-1" in site.ask("GET", "/v1/jobs/1/items", site.token("ada")).text
    assert "DOE" not in site.ask("GET", "/v1/jobs/1/items", site.token("staff")).text


# -- jobs


def test_a_job_is_accepted_once_under_its_key(site: Site) -> None:
    token, headers = site.token("ada"), {"Idempotency-Key": "my key 1"}
    first = site.ask("POST", "/v1/jobs", token, json=WISH, headers=headers)
    again = site.ask("POST", "/v1/jobs", token, json=WISH, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["id"] == again.json()["id"]
    other = site.ask("POST", "/v1/jobs", token, json={**WISH, "trial_protocol_id": "OTHER"}, headers=headers)
    assert (other.status_code, list(other.json()["errors"])) == (422, ["Idempotency-Key"])
    assert len(JobStore(site.db).list()) == 2


def test_a_trial_of_others_is_refused_at_its_field(site: Site) -> None:
    ScopeStore(site.db).for_trial("T1", "eve")
    answer = site.ask("POST", "/v1/jobs", site.token("ada"), json={**WISH, "trial_protocol_id": "T1"})
    assert (answer.status_code, answer.json()["code"]) == (403, "NotPermitted")
    assert "the trial T1 is used by others" in answer.json()["errors"]["trial_protocol_id"]


def test_a_job_tells_all_that_pages_tell(site: Site) -> None:
    job = site.ask("GET", "/v1/jobs/1", site.token("ada")).json()
    assert job["nodes"] == [{"source_id": 1, "source": "PACS", "destination_id": 2, "destination": "Research"}]
    assert (job["owner"], job["state"], job["counts"]) == ("ada", "pending", {"pending": 2})
    assert job["actions"] == ["cancel", "delete"]


def test_where_prefect_is_stays_with_staff(site: Site) -> None:
    JobStore(site.db).set_flow_run(1, "run-1")
    told = [site.ask("GET", "/v1/jobs/1", site.token(name)).json()["flow_run_url"] for name in ("ada", "staff")]
    assert told == ["", f"{site.settings.prefect_ui_url}/runs/flow-run/run-1"]


def test_lists_are_given_in_parts_with_the_whole_number(site: Site) -> None:
    token = site.token("ada")
    for number in range(3):
        site.ask("POST", "/v1/jobs", token, json={**WISH, "trial_protocol_id": f"T{number}"})
    parts = [site.ask("GET", "/v1/jobs", token, params={"limit": 3, "offset": at}).json() for at in (0, 3, 6)]
    assert [[job["id"] for job in part["results"]] for part in parts] == [[4, 3, 2], [1], []]
    assert {part["total"] for part in parts} == {4}
    one = site.ask("GET", "/v1/jobs", token, params={"trial": "T1", "state": ["pending", "failure"]}).json()
    assert (one["total"], one["results"][0]["trial_protocol_id"]) == (1, "T1")
    items = site.ask("GET", "/v1/jobs/1/items", token, params={"limit": 1, "offset": 1}).json()
    assert (items["total"], [item["position"] for item in items["results"]]) == (2, [2])


def test_an_outdated_change_is_refused(site: Site) -> None:
    token, changed = site.token("root"), {"name": "New", "version": 1}
    assert site.ask("PUT", "/v1/admin/groups/1", token, json=changed).json()["version"] == 2
    answer = site.ask("PUT", "/v1/admin/groups/1", token, json=changed)
    assert (answer.status_code, answer.json()["code"]) == (409, "Outdated")


# -- searches


def test_a_search_is_asked_written_down_and_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = play(monkeypatch, DOE)
    token = site.token("ada", Operation.SEARCH)
    answer = site.ask("POST", "/v1/search/studies", token, json={"patient_name": "Doe, J", "modalities": ["CT"]})
    assert archive.asked == [StudyQuery(patient_name="Doe*^J*", modalities=("CT",))]
    assert answer.json()["results"][0] | {"instance_count": 4} == answer.json()["results"][0]
    assert (answer.json()["count"], answer.json()["has_more"]) == (1, False)
    (entry,) = [entry for entry in audit.entries(site.db, SHELL) if entry.action.value == "search"]
    assert (entry.actor, "Doe" in entry.subject) == ("ada", False)
    site.ask("POST", "/v1/search/patients", token, json={"patient_id": "DOE-1"})
    assert archive.asked[-1] == PatientQuery(patient_id="DOE-1")


def test_what_is_found_comes_as_lines_to_who_wants_them(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, DOE, StudyFound("1.2.4"))
    answer = site.ask("POST", "/v1/search/studies", site.token("ada"), json={}, headers=LINES)
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert [line.get("study_uid") for line in lines] == ["1.2.3", "1.2.4", None]
    assert lines[-1] == {"end": {"count": 2, "has_more": False}}


def test_a_server_that_fails_half_way_is_told_in_the_last_line(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, DOE, Unreachable())
    answer = site.ask("POST", "/v1/search/studies", site.token("ada"), json={}, headers=LINES)
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert (len(lines), lines[-1]["error"]["code"]) == (2, "Unreachable")
    play(monkeypatch, Unreachable())
    answer = site.ask("POST", "/v1/search/studies", site.token("ada"), json={}, headers=LINES)
    assert (answer.status_code, answer.json()["code"]) == (502, "Unreachable")


LINES = {"accept": "application/x-ndjson, application/json;q=0.5"}


class Wire:
    """A connection to the API, message by message, which can be cut."""

    def __init__(
        self,
        site: Site,
        path: str,
        token: str,
        body: dict[str, Any],
        accept: str = "application/x-ndjson",
        takes_nothing: bool = False,
    ) -> None:
        self.scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "scheme": "http",
            "root_path": "",
            "client": ("192.0.2.1", 5),
            "server": ("localhost", 80),
            "headers": [
                *[(b"content-type", b"application/json"), (b"accept", accept.encode())],
                (b"authorization", f"Bearer {token}".encode()),
            ],
        }
        self.app, self.body, self.sent = site.app, json.dumps(body).encode(), list[dict[str, Any]]()
        self.has_begun, self.is_cut = threading.Event(), threading.Event()
        self._is_read, self._takes_nothing = False, takes_nothing

    async def serve(self) -> None:
        import anyio

        async def receive() -> dict[str, Any]:
            if not self._is_read:
                self._is_read = True
                return {"type": "http.request", "body": self.body, "more_body": False}
            while not self.is_cut.is_set():
                await anyio.sleep(0.01)
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            if self._takes_nothing and "body" in message:
                await anyio.sleep_forever()
            self.sent.append(message)
            if message.get("body"):
                self.has_begun.set()

        await self.app(self.scope, receive, send)


def test_a_search_stops_when_the_caller_hangs_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    from anyio.from_thread import start_blocking_portal

    archive = play(monkeypatch, DOE, stands_still=True)
    wire = Wire(site, "/v1/search/studies", site.token("ada"), {"patient_name": "Doe"})
    with start_blocking_portal() as portal:
        served = portal.start_task_soon(wire.serve)
        assert wire.has_begun.wait(20)
        assert not archive.aborted.is_set()
        wire.is_cut.set()
        served.result(20)
    assert archive.aborted.is_set()
    assert [entry.action.value for entry in audit.entries(site.db, SHELL)][:1] == ["search"]


@pytest.mark.parametrize("accept", ["application/x-ndjson", "application/json"])
def test_a_search_stops_when_its_token_is_revoked(site: Site, monkeypatch: pytest.MonkeyPatch, accept: str) -> None:
    from anyio.from_thread import start_blocking_portal

    monkeypatch.setattr(liveness, "LOOK_EVERY_S", 0.01)
    archive = play(monkeypatch, DOE, stands_still=True)
    wire = Wire(site, "/v1/search/studies", site.token("ada"), {}, accept)
    monkeypatch.setattr(tokens, "is_alive", lambda *_: not archive.stood_still.is_set())
    with start_blocking_portal() as portal:
        portal.start_task_soon(wire.serve).result(20)
    assert archive.aborted.is_set()
    bodies = [message for message in wire.sent if message["type"] == "http.response.body"]
    if accept == "application/json":
        assert (wire.sent[0]["status"], json.loads(bodies[0]["body"])["code"]) == (403, "NotPermitted")
    else:
        assert all(message["more_body"] for message in bodies)  # the end is missing, and the connection is cut


def test_a_caller_who_takes_nothing_ends_the_search(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    from anyio.from_thread import start_blocking_portal

    monkeypatch.setattr(streams, "LONGEST_REST_S", 0.05)
    archive = play(monkeypatch, DOE, stands_still=True)
    places = visits._places._value
    wire = Wire(site, "/v1/search/studies", site.token("ada"), {}, takes_nothing=True)
    with start_blocking_portal() as portal:
        portal.start_task_soon(wire.serve).result(20)
    assert [message["type"] for message in wire.sent] == ["http.response.start"]
    assert archive.closed == 1 and not archive.stood_still.is_set()
    assert (visits._places._value, SlotStore(site.db).taken(1)) == (places, 0)
    assert audit.entries(site.db, SHELL)[0].action.value == "search"


@pytest.mark.parametrize(
    ("path", "body", "accept"),
    [
        ("/v1/search/patients", {}, "application/json"),
        ("/v1/search/studies", {}, "application/json"),
        ("/v1/search/studies", {}, "application/x-ndjson"),
        ("/v1/search/series", {"study_uid": "1.2.3"}, "application/json"),
        ("/v1/jobs/plan", {"destination": 2, "studies": [{"study_uid": "1.2.3"}]}, "application/json"),
    ],
)
def test_nobody_has_all_searches_for_themselves_and_each_gives_its_place_back(
    site: Site, monkeypatch: pytest.MonkeyPatch, path: str, body: dict[str, Any], accept: str
) -> None:
    play(monkeypatch, DOE)
    token = site.token("ada")

    def status() -> int:
        return site.ask("POST", path, token, json=body, headers={"accept": accept}).status_code

    with ExitStack() as others:
        for _ in range(SEARCHES_OF_ONE):
            others.enter_context(site.context.searches.taken(site.actor("eve").user_id))
        assert [status() for _ in range(SEARCHES_OF_ONE + 1)] == [200] * (SEARCHES_OF_ONE + 1)
    with ExitStack() as own:
        for _ in range(SEARCHES_OF_ONE):
            own.enter_context(site.context.searches.taken(site.actor("ada").user_id))
        refused = site.ask("POST", path, token, json=body, headers={"accept": accept})
        assert (refused.status_code, refused.json()["code"]) == (503, "PeerBusy")
        assert int(refused.headers["retry-after"]) > 0
    assert status() == 200


# -- the application


def test_pages_find_a_thread_while_the_api_waits_for_archives(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches that stand still take none of the threads of quick questions."""
    from anyio.from_thread import start_blocking_portal

    archive = play(monkeypatch, DOE, stands_still=True)
    token = site.token("ada")
    wires = [Wire(site, "/v1/search/studies", token, {}) for _ in range(6)]
    with start_blocking_portal() as portal:
        served = [portal.start_task_soon(wire.serve) for wire in wires]
        assert wires[0].has_begun.wait(20)
        begin = time.monotonic()
        assert site.ask("GET", "/v1/me", token).status_code == 200
        assert time.monotonic() - begin < 20
        archive.aborted.set()
        for wire in wires:
            wire.is_cut.set()
        for one in served:
            one.result(60)


def test_under_maintenance_nobody_gets_in(site: Site) -> None:
    """The gate of the web process says so, to staff too, since their scripts do not sit before it."""
    token = site.token("root")
    with in_process.client(Gate(Below("/api", site.app), site.settings, site.db), site.settings.web_url) as client:
        headers = {"authorization": f"Bearer {token}"}
        assert client.get("/api/v1/me", headers=headers).status_code == 200
        changed = {"announcement": "", "maintenance": True, "version": 1}
        assert client.put("/api/v1/admin/settings", headers=headers, json=changed).status_code == 200
        answer = client.get("/api/v1/me", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (503, "UnderMaintenance")
    assert (answer.headers["content-type"], answer.headers["retry-after"]) == ("application/problem+json", "60")


class Below:
    """An application that is served below a path."""

    def __init__(self, path: str, app: Any) -> None:
        self.path, self.app = path, app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app({**scope, "root_path": self.path}, receive, send)


def test_the_description_is_open_and_names_problems_for_every_operation(site: Site) -> None:
    document = site.ask("GET", "/v1/openapi.json").json()
    operations = [each for path in document["paths"].values() for each in path.values()]
    assert all("default" in each["responses"] and "422" not in each["responses"] for each in operations)
    assert document["security"] == [{"token": []}]
    assert "ValidationError" not in document["components"]["schemas"]
    page = site.ask("GET", "/v1/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "<script" not in page.text
    assert "/v1/search/studies" in page.text


def test_every_body_has_an_example_that_fits(site: Site) -> None:
    document = site.app.openapi()
    bodies = {
        content["schema"]["$ref"].split("/")[-1]
        for path in document["paths"].values()
        for operation in path.values()
        if (content := operation.get("requestBody", {}).get("content", {}).get("application/json"))
        if "$ref" in content["schema"]
    }
    schemas = document["components"]["schemas"]
    lacking = {name for name in bodies if not (schemas[name].get("examples") or has_field_examples(schemas[name]))}
    assert lacking <= {"AppChanged"}


def has_field_examples(schema: dict[str, Any]) -> bool:
    return any("examples" in field for field in schema["properties"].values())


def test_the_process_writes_down_at_its_end_what_was_counted(site: Site) -> None:
    import anyio

    token = site.token("ada")
    app = application(site.settings, site.db)

    async def live() -> None:
        async with app.router.lifespan_context(app):
            app.state.context.usage.note(1, 100)

    anyio.run(live)
    assert token
    assert tokens.list(site.db, site.actor("ada"))[0].answered_bytes == 100
