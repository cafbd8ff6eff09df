"""The client that awaits each answer. What it asks for and how is said in `adit_client.operations`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
from pydicom import Dataset

from adit_client.client import AditClient
from adit_client.datasets import Image
from adit_client.downloads import AsyncDownload, DownloadReader, NiftiFile, Retrieved, instance, nifti
from adit_client.gateway import Form, Trial
from adit_client.operations import Operations, only
from adit_client.server import SILENCE_S, Server, Verify, named_once
from adit_client.steps import Retries
from adit_client.wires import AsyncWire

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")

Query = Mapping[str, object]


class AsyncAditClient:
    """As `AditClient`, with methods to await and streams for ``async for``; it runs on asyncio and on trio.

    It is an asynchronous context manager, or else closed by ``aclose``.
    """

    def __init__(
        self,
        server_url: str = "",
        auth_token: str = "",
        verify: Verify = True,
        trial_protocol_id: str | None = None,
        trial_protocol_name: str | None = None,
        *,
        base_url: str = "",
        token: str = "",
        timeout_s: float | None = SILENCE_S,
        retries: Retries = Retries(),  # noqa: B008 (frozen)
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        url = named_once("server_url", server_url, "base_url", base_url)
        secret = named_once("auth_token", auth_token, "token", token)
        self._does = Operations(Trial(trial_protocol_id or "", trial_protocol_name or ""), retries)
        self._wire = AsyncWire(Server.of(url, secret, verify, timeout_s), transport)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._wire.server.url!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections to the server."""
        await self._wire.close()

    # -- DICOMweb: search --------------------------------------------------------------------------

    async def search_for_studies(self, ae_title: str, query: Query | None = None) -> list[Dataset]:
        return await self._wire.run(self._does.search_for(ae_title, (), query))

    async def search_for_series(self, ae_title: str, study_uid: str, query: Query | None = None) -> list[Dataset]:
        return await self._wire.run(self._does.search_for(ae_title, (study_uid,), query))

    async def search_for_images(
        self, ae_title: str, study_uid: str, series_uid: str, query: Query | None = None
    ) -> list[Dataset]:
        return await self._wire.run(self._does.search_for(ae_title, (study_uid, series_uid), query))

    # -- DICOMweb: images --------------------------------------------------------------------------

    async def retrieve_study(self, ae_title: str, study_uid: str, pseudonym: str | None = None) -> Retrieved[Dataset]:
        return await _all(self.iter_study(ae_title, study_uid, pseudonym))

    def iter_study(self, ae_title: str, study_uid: str, pseudonym: str | None = None) -> AsyncDownload[Dataset]:
        return self._images(ae_title, (study_uid,), pseudonym)

    async def retrieve_study_metadata(
        self, ae_title: str, study_uid: str, pseudonym: str | None = None
    ) -> list[dict[str, Any]]:
        return await self._wire.run(self._does.metadata(ae_title, (study_uid,), pseudonym))

    async def retrieve_series(
        self, ae_title: str, study_uid: str, series_uid: str, pseudonym: str | None = None
    ) -> Retrieved[Dataset]:
        return await _all(self.iter_series(ae_title, study_uid, series_uid, pseudonym))

    def iter_series(
        self, ae_title: str, study_uid: str, series_uid: str, pseudonym: str | None = None
    ) -> AsyncDownload[Dataset]:
        return self._images(ae_title, (study_uid, series_uid), pseudonym)

    async def retrieve_series_metadata(
        self, ae_title: str, study_uid: str, series_uid: str, pseudonym: str | None = None
    ) -> list[dict[str, Any]]:
        return await self._wire.run(self._does.metadata(ae_title, (study_uid, series_uid), pseudonym))

    async def retrieve_image(
        self, ae_title: str, study_uid: str, series_uid: str, image_uid: str, pseudonym: str | None = None
    ) -> Dataset:
        return only(await _all(self._images(ae_title, (study_uid, series_uid, image_uid), pseudonym)))

    async def retrieve_image_metadata(
        self, ae_title: str, study_uid: str, series_uid: str, image_uid: str, pseudonym: str | None = None
    ) -> dict[str, Any]:
        return only(await self._wire.run(self._does.metadata(ae_title, (study_uid, series_uid, image_uid), pseudonym)))

    async def store_images(self, ae_title: str, images: Iterable[Image]) -> Dataset:
        return await self._wire.run(self._does.store(ae_title, images))

    # -- DICOMweb: NIfTI ---------------------------------------------------------------------------

    async def retrieve_nifti_study(
        self, ae_title: str, study_uid: str, pseudonym: str | None = None
    ) -> Retrieved[NiftiFile]:
        return await _all(self.iter_nifti_study(ae_title, study_uid, pseudonym))

    def iter_nifti_study(self, ae_title: str, study_uid: str, pseudonym: str | None = None) -> AsyncDownload[NiftiFile]:
        return self._nifti(ae_title, (study_uid,), pseudonym)

    async def retrieve_nifti_series(
        self, ae_title: str, study_uid: str, series_uid: str, pseudonym: str | None = None
    ) -> Retrieved[NiftiFile]:
        return await _all(self.iter_nifti_series(ae_title, study_uid, series_uid, pseudonym))

    def iter_nifti_series(
        self, ae_title: str, study_uid: str, series_uid: str, pseudonym: str | None = None
    ) -> AsyncDownload[NiftiFile]:
        return self._nifti(ae_title, (study_uid, series_uid), pseudonym)

    async def retrieve_nifti_image(
        self, ae_title: str, study_uid: str, series_uid: str, image_uid: str, pseudonym: str | None = None
    ) -> Retrieved[NiftiFile]:
        return await _all(self.iter_nifti_image(ae_title, study_uid, series_uid, image_uid, pseudonym))

    def iter_nifti_image(
        self, ae_title: str, study_uid: str, series_uid: str, image_uid: str, pseudonym: str | None = None
    ) -> AsyncDownload[NiftiFile]:
        return self._nifti(ae_title, (study_uid, series_uid, image_uid), pseudonym)

    def _images(self, ae_title: str, uids: tuple[str, ...], pseudonym: str | None) -> AsyncDownload[Dataset]:
        opening = self._does.download(ae_title, uids, Form.FILES, pseudonym)
        return AsyncDownload(self._wire, opening, DownloadReader(instance))

    def _nifti(self, ae_title: str, uids: tuple[str, ...], pseudonym: str | None) -> AsyncDownload[NiftiFile]:
        opening = self._does.download(ae_title, uids, Form.NIFTI, pseudonym)
        return AsyncDownload(self._wire, opening, DownloadReader(nifti))


async def _all(download: AsyncDownload[T]) -> Retrieved[T]:
    async with download:
        found = Retrieved([one async for one in download])
    found.receipt = download.receipt
    return found


for _name, _member in vars(AditClient).items():
    if not _name.startswith("_") and _name in vars(AsyncAditClient):
        vars(AsyncAditClient)[_name].__doc__ = _member.__doc__
