"""The API with its DICOMweb gateway over real HTTP, served by the test's own process, and people who have tokens."""

import contextlib
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
import uvicorn
from dicomweb_client import DICOMwebClient
from starlette.applications import Starlette
from starlette.routing import Mount

from api.app import application
from models.domain.nodes import Node
from models.domain.people import Group, NodeRight, Permission, User
from models.domain.tokens import TokenWish
from services.people import actors, groups, tokens
from tests.installation import TESTER, Installation
from tests.people import a_user
from tests.waiting import wait_until

DAY = timedelta(days=1)
EVERY_WEB_RIGHT = frozenset({Permission.WEB_QUERY, Permission.WEB_RETRIEVE, Permission.WEB_STORE})


@dataclass
class ServedApi:
    """A running API. ``url`` ends in ``/api``."""

    installation: Installation
    url: str
    clients: list[httpx.Client] = field(default_factory=list)

    def person(
        self,
        name: str = "ada",
        may: Collection[Permission] = EVERY_WEB_RIGHT,
        sources: Collection[Node] = (),
        destinations: Collection[Node] = (),
    ) -> User:
        """An account in a group of its own with these rights."""
        user = a_user(self.installation.db, name)
        nodes = {node.id: node for node in (*sources, *destinations)}.values()
        rights = frozenset(NodeRight(node.id, node in sources, node in destinations) for node in nodes)
        permissions = frozenset({*may, Permission.ADD_TOKEN})
        group = Group(f"Group of {name}", permissions, frozenset({user.id}), rights)
        groups.add(self.installation.db, TESTER, group)
        return user

    def token(self, user: User, wish: TokenWish | None = None) -> str:
        """A new token of the user."""
        db = self.installation.db
        wish = wish or TokenWish(expires_at=db.clock() + DAY)
        return tokens.add(db, actors.of_name(db, user.username), wish).secret

    def client(self, token: str = "", **headers: str) -> httpx.Client:
        """Raw HTTP with a token; paths are below ``/api/dicom-web/``."""
        shown = {"Authorization": f"Token {token}"} if token else {}
        client = httpx.Client(base_url=f"{self.url}/dicom-web/", headers={**shown, **headers}, timeout=240)
        self.clients.append(client)
        return client

    def dicomweb(self, token: str, ae_title: str, **options: Any) -> DICOMwebClient:
        """dicomweb-client for one server."""
        return DICOMwebClient(
            f"{self.url}/dicom-web/{ae_title}",
            qido_url_prefix="qidors",
            wado_url_prefix="wadors",
            stow_url_prefix="stowrs",
            headers={"Authorization": f"Token {token}"},
            **options,
        )


@contextlib.contextmanager
def served_api(installation: Installation, port: int) -> Iterator[ServedApi]:
    """Serve the API of an installation, whose ``web_url`` has this port."""
    app = Starlette(routes=[Mount("/api", application(installation.settings, installation.db))])
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", lifespan="off", access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    running = ServedApi(installation, f"http://127.0.0.1:{port}/api")
    try:
        wait_until(lambda: server.started or not thread.is_alive(), "the start of the server")
        assert server.started
        yield running
    finally:
        for client in running.clients:
            client.close()
        server.should_exit = True
        thread.join(20)
