"""What arrives piece by piece: iterators that open an answer when they are first asked, and hand on what is complete.

What the pieces mean is told by a reader, which sends nothing and waits for nothing. The two iterators do no more than
feed it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import httpx

from adit_client.steps import Opened, Steps
from adit_client.wires import AsyncWire, Wire

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Reader(Protocol[T_co]):
    """Makes something out of an answer that arrives piece by piece."""

    def begin(self, headers: httpx.Headers) -> None:
        """Look at the headers of the answer; raises BadAnswer when it is none of those that are expected."""
        ...

    def feed(self, data: bytes) -> Iterator[T_co]:
        """Take the next piece, and yield what is complete now."""
        ...

    def end(self) -> None:
        """Take note that there are no more pieces; raises IncompleteDownload when there should be."""
        ...


class Stream(Iterator[T], Generic[T]):
    """Gives one thing after the other while they arrive, once; nothing is asked before the first is wanted.

    What has not been used to its end should be closed, or used in a ``with`` statement.
    """

    def __init__(self, wire: Wire, opening: Steps[Opened], reader: Reader[T]) -> None:
        self._items = _items(wire, opening, reader)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        return next(self._items)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Break off what has not arrived yet."""
        self._items.close()


class AsyncStream(AsyncIterator[T], Generic[T]):
    """Gives one thing after the other while they arrive, once; nothing is asked before the first is wanted.

    What has not been used to its end should be closed by ``aclose``, or used in an ``async with`` statement.
    """

    def __init__(self, wire: AsyncWire, opening: Steps[Opened], reader: Reader[T]) -> None:
        self._items = _async_items(wire, opening, reader)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        return await self._items.__anext__()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Break off what has not arrived yet."""
        await self._items.aclose()


def _items(wire: Wire, opening: Steps[Opened], reader: Reader[T]) -> Generator[T, None, None]:
    opened = wire.run(opening)
    try:
        reader.begin(opened.response.headers)
        for chunk in wire.chunks(opened):
            yield from reader.feed(chunk)
        reader.end()
    finally:
        wire.end(opened)


async def _async_items(wire: AsyncWire, opening: Steps[Opened], reader: Reader[T]) -> AsyncGenerator[T, None]:
    opened = await wire.run(opening)
    try:
        reader.begin(opened.response.headers)
        async for chunk in wire.chunks(opened):
            for item in reader.feed(chunk):
                yield item
        reader.end()
    finally:
        await wire.end(opened)
