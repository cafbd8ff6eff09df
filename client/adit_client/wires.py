"""Two thin wires between the steps of `adit_client.steps` and the network: one waits, the other awaits.

They use the transports of httpx without its client, which writes every address, and so the query, into its log, and
which would follow redirects, keep cookies and take credentials from the environment.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import anyio
import httpx

from adit_client.calls import Answer, Call
from adit_client.errors import ConnectionFailed, IncompleteDownload, NoAnswerInTime
from adit_client.server import Server
from adit_client.steps import Open, Opened, Outcome, Pause, Step, Steps

T = TypeVar("T")

_ERROR_LIMIT = 1 << 20
"""How much of an answer that is an error is read."""


class Wire:
    """Takes steps, and waits for each."""

    def __init__(self, server: Server, transport: httpx.BaseTransport | None) -> None:
        self.server = server
        self._transport = transport or httpx.HTTPTransport(verify=server.tls(), proxy=server.proxy())
        self._sleep: Callable[[float], object] = time.sleep

    def run(self, steps: Steps[T]) -> T:
        """Take all steps and return what they come to."""
        outcome: Outcome = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as end:
                return end.value
            outcome = self._take(step)

    def chunks(self, opened: Opened) -> Iterator[bytes]:
        """The body of an answer as it arrives; raises IncompleteDownload when it ends early."""
        try:
            yield from opened.response.iter_bytes()
        except httpx.HTTPError as error:
            raise broken(error) from error

    def end(self, opened: Opened) -> None:
        """Let go of an answer, whether it was read to its end or not."""
        opened.response.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def _take(self, step: Step) -> Outcome:
        if isinstance(step, Pause):
            self._sleep(step.seconds)
            return None
        try:
            response = self._transport.handle_request(self.server.request(step.call, _stream(step.call)))
            if isinstance(step, Open) and response.status_code < 300:
                return Opened(response)
            try:
                return Answer(response.status_code, response.headers, self._read(response))
            finally:
                response.close()
        except httpx.HTTPError as error:
            return failed(error)

    def _read(self, response: httpx.Response) -> bytes:
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if response.status_code >= 300 and len(body) > _ERROR_LIMIT:
                break
        return bytes(body)


class AsyncWire:
    """Takes steps, and awaits each."""

    def __init__(self, server: Server, transport: httpx.AsyncBaseTransport | None) -> None:
        self.server = server
        self._transport = transport or httpx.AsyncHTTPTransport(verify=server.tls(), proxy=server.proxy())
        self._sleep = anyio.sleep

    async def run(self, steps: Steps[T]) -> T:
        """Take all steps and return what they come to."""
        outcome: Outcome = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as end:
                return end.value
            outcome = await self._take(step)

    async def chunks(self, opened: Opened) -> AsyncIterator[bytes]:
        """The body of an answer as it arrives; raises IncompleteDownload when it ends early."""
        try:
            async for chunk in opened.response.aiter_bytes():
                yield chunk
        except httpx.HTTPError as error:
            raise broken(error) from error

    async def end(self, opened: Opened) -> None:
        """Let go of an answer, whether it was read to its end or not."""
        with anyio.CancelScope(shield=True):
            await opened.response.aclose()

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    async def _take(self, step: Step) -> Outcome:
        if isinstance(step, Pause):
            await self._sleep(step.seconds)
            return None
        try:
            request = self.server.request(step.call, _async_stream(step.call))
            response = await self._transport.handle_async_request(request)
            if isinstance(step, Open) and response.status_code < 300:
                return Opened(response)
            try:
                return Answer(response.status_code, response.headers, await self._read(response))
            finally:
                with anyio.CancelScope(shield=True):
                    await response.aclose()
        except httpx.HTTPError as error:
            return failed(error)

    async def _read(self, response: httpx.Response) -> bytes:
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if response.status_code >= 300 and len(body) > _ERROR_LIMIT:
                break
        return bytes(body)


def failed(error: httpx.HTTPError) -> ConnectionFailed:
    """What it means when no answer came; the text of the network's error is kept as the cause only."""
    is_silent = isinstance(error, (httpx.ReadTimeout, httpx.WriteTimeout))
    kind = NoAnswerInTime if is_silent else ConnectionFailed
    found = kind()
    found.__cause__ = error
    return found


def broken(error: httpx.HTTPError) -> IncompleteDownload:
    """What it means when an answer breaks off."""
    if isinstance(error, httpx.TimeoutException):
        return IncompleteDownload("The server sent nothing more in time, before everything had arrived.")
    return IncompleteDownload("The connection ended before everything had arrived.")


@dataclass(frozen=True)
class _Stream(httpx.SyncByteStream):
    call: Call

    def __iter__(self) -> Iterator[bytes]:
        return iter(()) if self.call.body is None else self.call.body()


@dataclass(frozen=True)
class _AsyncStream(httpx.AsyncByteStream):
    call: Call

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in () if self.call.body is None else self.call.body():
            yield chunk


def _stream(call: Call) -> httpx.SyncByteStream:
    return _Stream(call)


def _async_stream(call: Call) -> httpx.AsyncByteStream:
    return _AsyncStream(call)
