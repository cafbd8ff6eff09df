"""What a download from the gateway is made of: instances or NIfTI files, and at its end the receipt."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any, Generic, TypeVar

import httpx
from pydicom import Dataset

from adit_client.calls import JSON, Answer, parsed, warnings_of
from adit_client.datasets import dataset_of, json_list
from adit_client.errors import BadAnswer, IncompleteDownload, InstancesLeftOut
from adit_client.parts import Part, PartReader, boundary_of
from adit_client.reading import of
from adit_client.steps import Opened, Steps
from adit_client.streams import AsyncStream, Stream
from adit_client.values import DownloadReceipt
from adit_client.wires import AsyncWire, Wire

T = TypeVar("T")

NiftiFile = tuple[str, BytesIO]
"""The name of a file, and what is in it."""

_FILE_NAME = re.compile(r'filename\s*=\s*(?:"((?:\\.|[^"\\])*)"|([^\s;]+))', re.IGNORECASE)


class Download(Stream[T]):
    """Gives one instance or file after the other while they arrive; see `Stream`."""

    def __init__(self, wire: Wire, opening: Steps[Opened], reader: DownloadReader[T]) -> None:
        super().__init__(wire, opening, reader)
        self._reader = reader

    @property
    def receipt(self) -> DownloadReceipt | None:
        """What the server says about the whole, at its end; None before that."""
        return self._reader.receipt


class AsyncDownload(AsyncStream[T]):
    """Gives one instance or file after the other while they arrive; see `AsyncStream`."""

    def __init__(self, wire: AsyncWire, opening: Steps[Opened], reader: DownloadReader[T]) -> None:
        super().__init__(wire, opening, reader)
        self._reader = reader

    @property
    def receipt(self) -> DownloadReceipt | None:
        """What the server says about the whole, at its end; None before that."""
        return self._reader.receipt


class Retrieved(list[T]):
    """All of a download."""

    receipt: DownloadReceipt | None = None
    """What the server says about the whole; None where it says nothing, as it is with NIfTI files."""


class DownloadReader(Generic[T]):
    """Makes instances, or what else ``shape`` gives, out of the parts of a download; takes the receipt at its end."""

    def __init__(self, shape: Callable[[Part], T]) -> None:
        self._shape = shape
        self._count = 0
        self._parts: PartReader | None = None
        self.receipt: DownloadReceipt | None = None
        """What the server says about the whole, once it has said so."""

    def begin(self, headers: httpx.Headers) -> None:
        """Look for the boundary, and warn of what is left out; an answer without content has no parts."""
        warn_of_what_is_left_out(headers)
        content_type = headers.get("content-type", "")
        if content_type.lower().startswith("multipart/related"):
            self._parts = PartReader(boundary_of(content_type))
        elif content_type:
            raise BadAnswer("The server's answer is no download. Check the address of the server.")

    def feed(self, data: bytes) -> Iterator[T]:
        """Take the next piece, and yield what is complete now."""
        if self._parts is None:
            raise BadAnswer("The server's answer does not say what it is.")
        for part in self._parts.feed(data):
            if part.media_type == JSON:
                self.receipt = of(DownloadReceipt, parsed(part.body))
            else:
                self._count += 1
                yield self._shape(part)

    def end(self) -> None:
        """Check that all has arrived, and warn of what the server has left out."""
        if self._parts is not None:
            self._parts.end()
        if self.receipt is not None:
            _check(self.receipt, self._count)


def warn_of_what_is_left_out(headers: httpx.Headers) -> None:
    """Warn of what the headers of a download say is not in it."""
    for text in warnings_of(headers):
        warnings.warn(text, InstancesLeftOut, stacklevel=2)


def metadata(answer: Answer) -> Retrieved[dict[str, Any]]:
    """What stands in the instances; the last object may be the receipt, which is taken off and checked."""
    warn_of_what_is_left_out(answer.headers)
    found = Retrieved(json_list(answer))
    # the keys of an instance are tags
    if found and "sent" in found[-1]:
        found.receipt = of(DownloadReceipt, found.pop())
        _check(found.receipt, len(found))
    return found


def _check(receipt: DownloadReceipt, count: int) -> None:
    """Raise IncompleteDownload when not so many were sent as have arrived; warn of what was left out."""
    if receipt.sent != count:
        error = IncompleteDownload("What has arrived is not what the server says it has sent.")
        error.receipt = receipt
        raise error
    if left_out := len(receipt.left_out):
        words = "1 instance was" if left_out == 1 else f"{left_out} instances were"
        warnings.warn(f"{words} left out; the receipt tells why.", InstancesLeftOut, stacklevel=2)


def instance(part: Part) -> Dataset:
    """The instance in a part."""
    return dataset_of(part.body)


def nifti(part: Part) -> NiftiFile:
    """The file in a part; of its name only what stands behind the last slash."""
    found = _FILE_NAME.search(part.headers.get("content-disposition", ""))
    name = re.sub(r"\\(.)", r"\1", found[1] or found[2] or "") if found else ""
    return re.split(r"[/\\]", name)[-1], BytesIO(part.body)
