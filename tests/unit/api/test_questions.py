"""A list costs as many questions to the database with many lines as with few."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from models.db.jobs import JobStore
from models.db.receipts import ReceiptStore
from models.domain.jobs import JobKind
from models.domain.nodes import Folder
from models.domain.people import Group, NodeRight, Permission
from models.domain.receipts import Receipt
from models.domain.requests import StudyWish, TransferRequest
from services import jobs, nodes
from services.people import groups
from services.post import broadcasts
from tests.api_site import MAY, SHELL, Site
from tests.people import a_user
from tests.samples import a_server

MANY = 12
WEBHOOK = {"url": "https://board.example.org/t0ken", "events": ["job.accepted"]}
OTHERS = frozenset({"/v1/admin/chores", "/v1/batch-checks/{job_id}/rows", "/v1/batch-queries/{job_id}/results"})
"""What Prefect is asked for, and lists of jobs of another kind."""


@contextmanager
def asked(site: Site) -> Generator[list[str]]:
    """The statements that are sent to the database meanwhile."""
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def lists(site: Site) -> list[str]:
    """The addresses of all lists of the API, of the first of whatever they belong to."""
    return sorted(
        path.format(job_id=1, webhook_id=1, broadcast_id=1)
        for path, operations in site.app.openapi()["paths"].items()
        if path not in OTHERS and "get" in operations and is_a_list(operations["get"])
    )


def is_a_list(operation: dict[str, Any]) -> bool:
    content = operation["responses"]["200"].get("content", {})
    shape = content.get("application/json", {}).get("schema", {}).get("$ref", "").rpartition("/")[2]
    return shape.startswith(("Page_", "Listed_")) or shape in {"Places", "Nodes"}


def fill(site: Site, count: int) -> None:
    """So many more of everything that is listed; of job 1 only what belongs to a job grows."""
    rights = frozenset({NodeRight(1, source=True), NodeRight(2, destination=True), NodeRight(3, destination=True)})
    staff = site.token("staff")
    for _ in range(count):
        number = len(nodes.list(site.db))
        user = a_user(site.db, f"user{number}")
        groups.add(site.db, SHELL, Group(f"Group {number}", MAY, frozenset({user.id}), rights))
        nodes.add_server(site.db, SHELL, a_server(f"Server{number}"))
        path = site.settings.data_dir / f"folder{number}"
        path.mkdir()
        nodes.add_folder(site.db, site.settings, SHELL, Folder(f"Folder {number}", path, quota_gb=10))
        site.token("ada", nodes=frozenset({1, 2}))
        assert site.ask("POST", "/v1/admin/webhooks", staff, json=WEBHOOK).status_code == 201
        assert site.ask("POST", "/v1/admin/webhooks/1/test", staff).status_code == 202
        broadcasts.send(site.db, site.actor("staff"), "Subject", "Message", None)
        a_job_with_held_instances(site, 1)


def a_job_with_held_instances(site: Site, items: int) -> int:
    """The id of a job of ada's, each of whose items has a receipt with held instances."""
    wishes = tuple(StudyWish(f"1.2.{number}", "DOE-1", pseudonym="ANON1") for number in range(1, items + 1))
    request = TransferRequest(JobKind.BATCH_TRANSFER, 1, 2, wishes, trial_protocol_id="TRIAL")
    job = jobs.submit(site.db, site.settings, site.actor("ada"), request)
    for item in JobStore(site.db).items(job.id):
        ReceiptStore(site.db).amend(item.id, Receipt(expected={"1.9"}, received={"1.9"}, held={"1.9": "why"}))
    return job.id


@pytest.fixture
def token(site: Site) -> str:
    """Of a superuser who has every right."""
    groups.add(site.db, SHELL, Group("Everything", frozenset(Permission), frozenset({1})))
    return site.token("root")


def test_no_list_asks_more_for_more_lines(site: Site, token: str) -> None:
    fill(site, 2)
    few = {path: cost(site, path, token) for path in lists(site)}
    assert len(few) >= 20
    fill(site, MANY)
    many = {path: cost(site, path, token) for path in few}
    assert {path: (few[path], many[path]) for path in few if many[path] > few[path]} == {}


@pytest.mark.parametrize("path", ["/v1/jobs/{}/items?limit=100", "/v1/jobs/{}/receipts?limit=100", "/v1/reviews/{}"])
def test_what_belongs_to_a_job_is_not_asked_for_item_by_item(site: Site, path: str) -> None:
    token = site.token("ada")
    few, many = (cost(site, path.format(a_job_with_held_instances(site, items)), token) for items in (2, 100))
    assert many == few < 20


def cost(site: Site, path: str, token: str) -> int:
    """How many questions a list costs."""
    with asked(site) as statements:
        answer = site.ask("GET", path, token)
    assert answer.status_code == 200, (path, answer.text)
    return sum(statement.startswith("SELECT") for statement in statements)
