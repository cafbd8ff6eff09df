"""The API as `adit web` serves it: jobs are those of the pages, headers forbid, and nothing of a request is logged."""

import json
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from models.db.engine import open_database
from models.domain.errors import NotFound
from models.domain.people import Group, NodeRight, Permission, operator
from models.domain.tokens import Operation, TokenWish
from services import jobs, nodes
from services.people import actors, groups, tokens
from tests.samples import a_server
from tests.web import Web, web

SHELL = operator("shell")
MAY = frozenset({Permission.ADD_SELECTIVE_TRANSFER, Permission.ADD_TOKEN, Permission.ADD_LASTING_TOKEN})
PATIENT, PSEUDONYM = "DOE-4711-JOHN", "HIDDEN-0815"
WISH = {
    "source": "PACS",
    "destination": "Research",
    "studies": [{"study_uid": "1.2.826.0.4711", "patient_id": PATIENT, "pseudonym": PSEUDONYM}],
}


def a_researcher(running: Web) -> None:
    ada = running.user("ada")
    place = {"host": "127.0.0.1", "port": 9}  # where nobody listens
    source = nodes.add_server(running.db, SHELL, a_server("PACS", **place))
    target = nodes.add_server(running.db, SHELL, a_server("Research", **place))
    rights = frozenset({NodeRight(source.id, source=True), NodeRight(target.id, destination=True)})
    groups.add(running.db, SHELL, Group("Researchers", MAY, frozenset({ada.id}), rights))


def a_token(running: Web, name: str, *operations: Operation) -> str:
    actor = replace(actors.of_name(running.db, name), permissions=MAY)
    return tokens.add(running.db, actor, TokenWish("test", operations=frozenset(operations) or None)).secret


def a_client(running: Web, token: str) -> httpx.Client:
    headers = {"authorization": f"Bearer {token}"}
    return httpx.Client(base_url=f"{running.url}/api/v1", headers=headers, trust_env=False, timeout=30)


@pytest.mark.timeout(240)
def test_a_job_through_http_is_one_like_any_other_and_leaves_nothing_in_the_log(tmp_path: Path) -> None:
    with web(tmp_path) as running:
        a_researcher(running)
        token, limited = a_token(running, "ada"), a_token(running, "ada", Operation.READ)
        with a_client(running, token) as ada, a_client(running, limited) as reader:
            answer = ada.post("/jobs", json=WISH, headers={"Idempotency-Key": "once"})
            assert answer.status_code == 201, answer.text
            job_id = answer.json()["id"]
            assert ada.post("/jobs", json=WISH, headers={"Idempotency-Key": "once"}).json()["id"] == job_id
            check_headers(answer)
            check_rights(running, job_id)
            assert reader.get(f"/jobs/{job_id}/items").json()["results"][0]["pseudonym"] == PSEUDONYM
            assert reader.post("/jobs", json=WISH).status_code == 403
            provoke(running, ada, token)
            assert ada.post(f"/jobs/{job_id}/cancel").json()["state"] == "canceled"
        assert running.signed_in("ada").get(f"/job?id={job_id}").status_code == 200
    log = running.log.read_text()
    assert not [word for word in (PATIENT, PSEUDONYM, "4711", token, limited, "Doe", "once") if word in log], log
    assert "Traceback" not in log
    check_usage(running)


def check_headers(answer: httpx.Response) -> None:
    """What pages forbid, answers to programs forbid too."""
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert "set-cookie" not in answer.headers
    assert "server" not in answer.headers


def check_rights(running: Web, job_id: int) -> None:
    assert jobs.get(running.db, actors.of_name(running.db, "ada"), job_id).owner == "ada"
    with pytest.raises(NotFound):
        jobs.get(running.db, actors.of_name(running.db, "bob"), job_id)
    with a_client(running, a_token(running, "bob")) as bob:
        assert bob.get(f"/jobs/{job_id}").status_code == 404
        assert bob.get("/jobs").json() == {"results": [], "total": 0}


def provoke(running: Web, ada: httpx.Client, token: str) -> None:
    """Requests that go wrong, with patients in them."""
    wrong = {**WISH, "studies": [{"study_uid": PATIENT, "pseudonym": f"{PSEUDONYM}*"}], "trial_protocol_id": "Doe\\"}
    for answer in (
        ada.post("/jobs", json=wrong),
        ada.post("/jobs", content=json.dumps(WISH)[:-3], headers={"content-type": "application/json"}),
        ada.post("/search/studies", json={"patient_name": "Doe, John", "patient_id": PATIENT}),
        ada.get("/jobs", params={"text": "Doe", "limit": PATIENT}),
        ada.get("/jobs/4711"),
        httpx.get(f"{running.url}/api/v1/me", headers={"authorization": f"Bearer {token[:-1]}"}, trust_env=False),
        httpx.get(f"{running.url}/api/v1/me", headers={"authorization": f"Basic {token}"}, trust_env=False),
    ):
        assert 400 <= answer.status_code < 600
        assert answer.headers["content-type"] == "application/problem+json", answer.text
        assert not [word for word in (PATIENT, PSEUDONYM, "Doe", token) if word in answer.text], answer.text
    other = httpx.get(f"{running.url}/api/v1/me", headers={"host": "elsewhere.example.org"}, trust_env=False)
    assert (other.status_code, other.headers["content-type"]) == (400, "application/problem+json")


def check_usage(running: Web) -> None:
    """What was counted is written down at the latest when the process ends."""
    db = open_database(running.settings)
    used = {token.token.beginning: token.token.request_count for token in tokens.of_everybody(db, SHELL)}
    db.close()
    assert sum(used.values()) >= 12
