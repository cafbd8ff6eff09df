"""Both clients behind one face, so that every test is run with the one that waits and with the one that awaits."""

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import anyio
import httpx
import pytest

from adit_client import AditClient, AsyncAditClient, Retries
from adit_client.streams import AsyncStream

URL = "https://adit.example.org"
TOKEN = "adit_" + "s3cret" * 7

Handler = Callable[[httpx.Request], httpx.Response]
Maker = Callable[..., Any]


class AwaitedStream:
    """An asynchronous stream that is iterated as if it were none."""

    def __init__(self, stream: AsyncStream[Any]) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[Any]:
        return iter(anyio.run(self._all))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def _all(self) -> list[Any]:
        return [item async for item in self._stream]


class Awaited:
    """An asynchronous client whose methods are called as if they were none."""

    def __init__(self, client: AsyncAditClient) -> None:
        self.client = client

    def __getattr__(self, name: str) -> Any:
        member = getattr(self.client, name)
        if inspect.iscoroutinefunction(member):
            return lambda *given, **named: anyio.run(partial(member, *given, **named))
        return lambda *given, **named: AwaitedStream(member(*given, **named))


@pytest.fixture
def pauses() -> list[float]:
    """How long was waited, instead of waiting."""
    return []


@pytest.fixture(params=["sync", "async"])
def make(request: pytest.FixtureRequest, pauses: list[float]) -> Maker:
    """Makes a client that speaks to a handler."""

    def made(handler: Handler, **options: Any) -> Any:
        options = {"base_url": URL, "token": TOKEN, "retries": Retries(chance=lambda: 1.0), **options}
        transport = httpx.MockTransport(handler)
        if request.param == "sync":
            client = AditClient(transport=transport, **options)
            client._wire._sleep = pauses.append
            return client
        awaiting = AsyncAditClient(transport=transport, **options)

        async def pause(seconds: float) -> None:
            pauses.append(seconds)

        awaiting._wire._sleep = pause
        return Awaited(awaiting)

    return made
