"""Rights at the gateway that are lost while a search or an upload is under way."""

import threading
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace

import pytest

from api import liveness
from api.gateway import uploads
from api.threads import SEARCHES_OF_ONE
from models.domain.errors import Canceled
from models.domain.people import Permission
from services.gateway.searching import WebFound, WebSearch
from services.gateway.storing import Storage, Stored
from services.people import groups
from tests.api_site import SHELL, Site

TYPE = 'multipart/related; type="application/dicom"; boundary=B'


def let(site: Site, *permissions: Permission, has_nodes: bool = True) -> None:
    """Give the group of ada no more than these rights at the gateway."""
    (group,) = groups.list(site.db, SHELL)
    nodes = group.nodes if has_nodes else frozenset()
    given = frozenset({Permission.ADD_TOKEN, *permissions})
    groups.update(site.db, SHELL, replace(group, permissions=given, nodes=nodes))


@pytest.mark.parametrize("keeps_right", [True, False])
def test_a_search_ends_when_its_right_or_its_server_is_lost(
    site: Site, monkeypatch: pytest.MonkeyPatch, keeps_right: bool
) -> None:
    let(site, Permission.WEB_QUERY)
    monkeypatch.setattr(liveness, "LOOK_EVERY_S", 0.01)
    begun, stopped = threading.Event(), threading.Event()

    def run(_search: WebSearch) -> WebFound:
        begun.set()
        let(site, *([Permission.WEB_QUERY] if keeps_right else []), has_nodes=not keeps_right)
        assert stopped.wait(30)
        raise Canceled

    monkeypatch.setattr(WebSearch, "run", run)
    monkeypatch.setattr(WebSearch, "stop", lambda _: stopped.set())
    answer = site.ask("GET", "/dicom-web/PACS/qidors/studies", site.token("ada"))
    assert begun.is_set()
    assert (answer.status_code, answer.json()["code"]) == (403, "NotPermitted")


def test_searches_of_the_gateway_and_of_rest_share_the_places_of_a_person(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    let(site, Permission.WEB_QUERY)
    monkeypatch.setattr(WebSearch, "run", lambda _: WebFound((), ()))
    token = site.token("ada")
    with ExitStack() as own:
        for _ in range(SEARCHES_OF_ONE):
            own.enter_context(site.context.searches.taken(site.actor("ada").user_id))
        refused = site.ask("GET", "/dicom-web/PACS/qidors/studies", token)
        assert (refused.status_code, refused.json()["code"]) == (503, "PeerBusy")
    found = [site.ask("GET", "/dicom-web/PACS/qidors/studies", token) for _ in range(SEARCHES_OF_ONE + 1)]
    assert {answer.status_code for answer in found} == {200}


@pytest.mark.parametrize("keeps_right", [True, False])
def test_an_upload_ends_when_its_right_or_its_server_is_lost(
    site: Site, monkeypatch: pytest.MonkeyPatch, keeps_right: bool
) -> None:
    let(site, Permission.WEB_STORE)
    monkeypatch.setattr(uploads, "_LOOK_EVERY_S", -1.0)
    taken: list[bytes] = []

    def run(_storage: Storage, chunks: Iterable[bytes]) -> Stored:
        for chunk in chunks:
            taken.append(chunk)
            let(site, *([Permission.WEB_STORE] if keeps_right else []), has_nodes=not keeps_right)
        return Stored()

    monkeypatch.setattr(Storage, "run", run)
    headers = {"content-type": TYPE}
    answer = site.ask("POST", "/dicom-web/RESEARCH/stowrs/studies", site.token("ada"), content=b"one", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "NotPermitted")
    assert taken == [b"one"]
