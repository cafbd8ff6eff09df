"""Who does not know the password can do nothing with Prefect's API; who does, cannot choose what a run executes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.fernet import Fernet

from deployments import prefect_server
from deployments.prefect_setup import set_up
from models.db.engine import Database
from models.domain.errors import NotPermitted
from models.settings import Settings
from services import prefect_status
from services.deployment_plan import planned
from services.dispatch import dispatch_once
from services.orchestration import Orchestration
from tests.prefect_api import AUTH, client_of
from tests.prefect_api import prefect_server as running_server

FOREIGN = "http://evil.example"
USER, _, PASSWORD = AUTH.partition(":")


@pytest.fixture(scope="module")
def some_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    directory = tmp_path_factory.mktemp("server")
    key = Fernet.generate_key().decode()
    with running_server(directory) as port:
        yield Settings(data_dir=directory, master_key=key, prefect_port=port, prefect_auth=AUTH)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def a_deployment(some_settings: Settings) -> str:
    with client_of(some_settings.prefect_api_url) as client:
        set_up(client, planned(some_settings))
        return str(client.read_deployment_by_name("selective-transfer/selective-transfer").id)


def post(settings: Settings, path: str, body: dict[str, Any], auth: tuple[str, str] | None = None) -> httpx.Response:
    url = f"{settings.prefect_api_url}{path}"
    return httpx.post(url, json=body, auth=auth, headers={"Origin": FOREIGN}, trust_env=False, timeout=120)


@pytest.mark.parametrize("auth", [None, (USER, "guessed"), ("", "")])
def test_without_the_password_nothing_is_started_and_nothing_is_read(
    some_settings: Settings, a_deployment: str, auth: tuple[str, str] | None
) -> None:
    attempts = {
        f"/deployments/{a_deployment}/create_flow_run": {"job_variables": {"command": "id"}},
        "/flow_runs/": {"flow_id": a_deployment},
        "/deployments/": {"name": "own", "flow_id": a_deployment},
        "/flow_runs/filter": {},
        "/work_pools/filter": {},
    }
    answers = {path: post(some_settings, path, body, auth) for path, body in attempts.items()}
    assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(attempts, 401)
    assert httpx.get(f"{some_settings.prefect_api_url}/admin/settings", trust_env=False).status_code == 401


def test_pages_of_other_origins_may_not_read_answers(some_settings: Settings) -> None:
    url = f"{some_settings.prefect_api_url}/flow_runs/filter"
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    answers = {
        origin: httpx.options(url, headers={"Origin": origin, **asked}, trust_env=False).headers
        for origin in (FOREIGN, "null", prefect_server.ui_url(some_settings))
    }
    assert [origin for origin, headers in answers.items() if "access-control-allow-origin" in headers] == [
        prefect_server.ui_url(some_settings)
    ]
    answer = post(some_settings, "/flow_runs/filter", {}, (USER, PASSWORD))
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("variable", ["command", "env", "env.PYTHONPATH", "working_dir"])
def test_a_run_that_names_its_own_command_or_surroundings_is_refused(
    some_settings: Settings, a_deployment: str, variable: str
) -> None:
    value: object = {"PYTHONPATH": "/tmp"} if variable == "env" else "/tmp"
    body = {"parameters": {"job_id": 1}, "job_variables": {variable: value}}
    refused = post(some_settings, f"/deployments/{a_deployment}/create_flow_run", body, (USER, PASSWORD))
    assert refused.status_code in {409, 422}, refused.text


def test_set_up_leaves_no_variables_of_older_versions(some_settings: Settings, a_deployment: str) -> None:
    with client_of(some_settings.prefect_api_url) as client:
        assert client.read_deployment(a_deployment).job_variables == {}
        assert client.read_work_pool(prefect_status.POOL).base_job_template["variables"]["properties"] == {}


def test_our_own_calls_say_what_is_wrong_with_their_password(some_settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(NotPermitted, match="ADIT_PREFECT_AUTH"):
        Orchestration(some_settings.prefect_api_url, "adit:wrong").status("00000000-0000-0000-0000-000000000000")
    db = Database(f"sqlite:///{tmp_path / 'adit.db'}", some_settings.master_key.get_secret_value())
    db.migrate()
    dispatch_once(db, some_settings)
