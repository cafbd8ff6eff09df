"""The audit trail as a file: for those who may read it, as the page's filter says, and each time written down."""

import asyncio
import csv
import io
from collections.abc import Callable

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from models.db.audit import AuditStore
from models.domain.audit import AuditAction, AuditFilter
from models.domain.people import Group, Permission, User
from services import audit
from services.people import groups, sessions
from tests.app_pages import Site
from tests.people import a_session, a_user
from ui import audit_file, identity
from ui.files import Files

Fetch = Callable[[User, str], tuple[int, str]]


@pytest.fixture
def fetch(site: Site) -> Fetch:
    """Fetches a file as somebody whom the gate has let in; returns status and text."""

    def fetched(user: User, address: str) -> tuple[int, str]:
        app = FastAPI()
        app.include_router(Files(site.db).router())
        answer = asyncio.run(_get(_let_in(app, site, user), address))
        return answer.status_code, answer.text

    return fetched


async def _get(app: ASGIApp, address: str) -> httpx.Response:
    transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.get(address)


def _let_in(app: ASGIApp, site: Site, user: User) -> ASGIApp:
    async def gate(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            found = sessions.find(site.db, site.settings, a_session(site.db, site.settings, user), "192.0.2.7")
            assert found is not None
            identity.let_in(scope, found, "192.0.2.7")
        await app(scope, receive, send)

    return gate


def a_reader(site: Site) -> User:
    group = groups.add(site.db, site.shell, Group("Data protection", frozenset({Permission.READ_AUDIT})))
    return a_user(site.db, "rita", groups=frozenset({group.id}))


def test_the_file_holds_what_the_filter_wants(site: Site, fetch: Fetch) -> None:
    audit.record(site.db, "ada", AuditAction.SEARCH, "node PACS", details={"patient_id": "4711"})
    audit.record(site.db, "bert", AuditAction.SEARCH, "node Nord")
    status, text = fetch(a_reader(site), audit_file.address(AuditFilter(who="ada")))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert status == 200
    assert [row["subject"] for row in rows] == ["node PACS"]
    assert "4711" not in text
    newest = AuditStore(site.db).entries()[0]
    assert (newest.action, newest.actor, newest.address) == (AuditAction.EXPORT_AUDIT, "rita", "192.0.2.7")


def test_others_get_no_file(site: Site, fetch: Fetch) -> None:
    status, text = fetch(a_user(site.db, "bert", is_staff=True), audit_file.PATH)
    assert status == 404
    assert "bert" not in text


def test_strange_addresses_get_no_file(site: Site, fetch: Fetch) -> None:
    assert fetch(a_reader(site), f"{audit_file.PATH}?action=fly")[0] == 404
