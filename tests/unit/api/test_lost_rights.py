"""Searches, plans and the file of the audit trail end when their caller loses what they need, not only the token."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from api import liveness
from models.domain.people import Group, Permission
from models.domain.refs import StudyFound
from services import audit
from services.people import accounts, groups
from tests.api_site import SHELL, Site, play

DOE = StudyFound("1.2.3", "DOE-1", "Doe^John", "19700101", modalities=("CT",), instance_count=4)
CUT = "^$"
"""What httpx says of an application that has ended without the end of its answer: it asserts that there was one."""
PLAN = {"source": "PACS", "destination": "Research", "studies": [{"study_uid": "1.2.3"}]}
ASKED = [
    pytest.param("/v1/search/studies", {}, id="studies"),
    pytest.param("/v1/search/series", {"study_uid": "1.2.3"}, id="series"),
    pytest.param("/v1/jobs/plan", PLAN, id="plan"),
]


def lose_right(site: Site) -> None:
    (group,) = groups.list(site.db, SHELL)
    groups.update(site.db, SHELL, replace(group, permissions=frozenset({Permission.ADD_TOKEN})))


def lose_server(site: Site) -> None:
    (group,) = groups.list(site.db, SHELL)
    groups.update(site.db, SHELL, replace(group, nodes=frozenset(node for node in group.nodes if not node.source)))


def lose_group(site: Site) -> None:
    (group,) = groups.list(site.db, SHELL)
    groups.delete(site.db, SHELL, group.id)


def lose_account(site: Site) -> None:
    user_id = site.actor("ada").user_id
    assert user_id is not None
    accounts.deactivate(site.db, SHELL, user_id)


LOSSES = [lose_right, lose_server, lose_group, lose_account]


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "LOOK_EVERY_S", 0.01)


@pytest.mark.parametrize("lose", LOSSES)
@pytest.mark.parametrize(("path", "body"), ASKED)
def test_what_is_asked_of_a_server_ends_when_it_may_not_go_on(
    site: Site, monkeypatch: pytest.MonkeyPatch, path: str, body: dict[str, Any], lose: Any
) -> None:
    archive = play(monkeypatch, DOE, stands_still=True)
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(site.ask, "POST", path, site.token("ada"), json={"source": "PACS", **body})
        assert archive.stood_still.wait(120)
        lose(site)
        answer = asking.result(120)
    assert (answer.status_code, answer.json()["code"]) == (403, "NotPermitted")
    assert archive.aborted.is_set() and archive.closed == 1


def test_a_plan_ends_when_its_destination_is_lost(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = play(monkeypatch, DOE, stands_still=True)
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(site.ask, "POST", "/v1/jobs/plan", site.token("ada"), json=PLAN)
        assert archive.stood_still.wait(120)
        (group,) = groups.list(site.db, SHELL)
        groups.update(site.db, SHELL, replace(group, nodes=frozenset(node for node in group.nodes if node.source)))
        assert asking.result(120).status_code == 403
    assert archive.aborted.is_set()


def test_a_search_in_lines_is_cut_when_its_right_is_lost(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = play(monkeypatch, DOE, stands_still=True)
    lines = {"accept": "application/x-ndjson"}
    with ThreadPoolExecutor(1) as pool:
        token = site.token("ada")
        asking = pool.submit(site.ask, "POST", "/v1/search/studies", token, json={"source": "PACS"}, headers=lines)
        assert archive.stood_still.wait(120)
        lose_right(site)
        with pytest.raises(AssertionError, match=CUT):
            asking.result(120)
    assert archive.aborted.is_set()


def test_the_file_of_the_audit_trail_is_cut_when_the_right_to_read_it_is_lost(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    staff = site.actor("staff")
    readers = Group("Readers", frozenset({Permission.READ_AUDIT}), frozenset({staff.user_id or 0}))
    added = groups.add(site.db, SHELL, readers)
    ended: list[bool] = []

    def endless(*_: object) -> Iterator[str]:
        yield "first\n"
        groups.delete(site.db, SHELL, added.id)
        end = time.monotonic() + 120
        while time.monotonic() < end:
            yield "next\n"
        ended.append(True)

    monkeypatch.setattr(audit, "export", endless)
    with pytest.raises(AssertionError, match=CUT):
        site.ask("GET", "/v1/admin/audit.csv", site.token("staff"))
    assert not ended
