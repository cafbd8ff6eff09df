"""Searches that are streamed: one line of JSON for each result while the archive still answers, and one for the end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar, cast

import httpx

from adit_client.calls import JSON, Answer, parsed, problem
from adit_client.errors import AnswerError, BadAnswer, IncompleteDownload
from adit_client.reading import of
from adit_client.steps import Opened, Steps
from adit_client.streams import AsyncStream, Stream
from adit_client.wires import AsyncWire, Wire

T = TypeVar("T")

NDJSON = "application/x-ndjson"


class Search(Stream[T]):
    """Gives one result after the other while they arrive; see `Stream`."""

    def __init__(self, wire: Wire, opening: Steps[Opened], reader: LineReader[T]) -> None:
        super().__init__(wire, opening, reader)
        self._reader = reader

    @property
    def has_more(self) -> bool:
        """Whether the archive has more than that, as far as it tells at the end."""
        return self._reader.has_more


class AsyncSearch(AsyncStream[T]):
    """Gives one result after the other while they arrive; see `AsyncStream`."""

    def __init__(self, wire: AsyncWire, opening: Steps[Opened], reader: LineReader[T]) -> None:
        super().__init__(wire, opening, reader)
        self._reader = reader

    @property
    def has_more(self) -> bool:
        """Whether the archive has more than that, as far as it tells at the end."""
        return self._reader.has_more


class LineReader(Generic[T]):
    """Makes values out of a streamed search, one from each line; takes its end, which is the last."""

    def __init__(self, kind: type[T]) -> None:
        self._kind = kind
        self._rest = b""
        self._has_ended = False
        self.has_more = False
        """Whether the archive has more than that, as far as it tells at the end."""

    def begin(self, headers: httpx.Headers) -> None:
        """Check that the answer comes in lines."""
        if not headers.get("content-type", "").startswith(NDJSON):
            raise BadAnswer("The server's answer is no streamed search. Check the address of the server.")

    def feed(self, data: bytes) -> Iterator[T]:
        """Take the next piece, and yield what is complete now."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.strip():
                yield from self._take(parsed(line))

    def end(self) -> None:
        """Raise IncompleteDownload unless the search has said that it is at its end."""
        if not self._has_ended:
            raise IncompleteDownload("The search ended before its end was told.")

    def _take(self, told: Any) -> Iterator[T]:
        fields: Mapping[str, Any] = cast("dict[str, Any]", told) if isinstance(told, dict) else {}
        end, error = fields.get("end"), fields.get("error")
        if isinstance(error, dict):
            raise _broken_off(cast("dict[str, Any]", error))
        if isinstance(end, dict):
            self._has_ended = True
            self.has_more = cast("dict[str, Any]", end).get("has_more") is True
        else:
            yield of(self._kind, cast("object", told))


def _broken_off(told: Mapping[str, Any]) -> AnswerError:
    """The error with which a search ended that had begun well."""
    status = told.get("status")
    headers = httpx.Headers({"content-type": JSON})
    return problem(Answer(status if isinstance(status, int) else 502, headers, json.dumps(told).encode()))
