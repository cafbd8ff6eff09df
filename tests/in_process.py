"""An ASGI application in this process, spoken to like a web server; sockets too, message by message."""

import contextlib
from collections.abc import Iterator
from typing import Any

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal


class InProcess(httpx.BaseTransport):
    """Hands requests of an ordinary client to the application."""

    def __init__(self, portal: BlockingPortal, app: Any, address: str) -> None:
        self._portal = portal
        self._inner = httpx.ASGITransport(app=app, raise_app_exceptions=False, client=(address, 50000))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        async def answer() -> httpx.Response:
            response = await self._inner.handle_async_request(request)
            await response.aread()
            return response

        found = self._portal.call(answer)
        return httpx.Response(found.status_code, headers=found.headers, content=found.content)


@contextlib.contextmanager
def client(app: Any, url: str, address: str = "192.0.2.1", **headers: str) -> Iterator[httpx.Client]:
    """A browser that speaks to the application: it keeps cookies, and follows no redirects."""
    with (
        start_blocking_portal() as portal,
        httpx.Client(
            transport=InProcess(portal, app, address), base_url=url, headers={"accept": "text/html", **headers}
        ) as opened,
    ):
        yield opened
