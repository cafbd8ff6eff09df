"""The client that waits for each answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
from pydicom import Dataset

from adit_client.datasets import Image
from adit_client.downloads import Download, DownloadReader, NiftiFile, Retrieved, instance, nifti
from adit_client.gateway import Form, Trial
from adit_client.operations import Operations, only
from adit_client.server import SILENCE_S, Server, Verify, named_once
from adit_client.steps import Retries
from adit_client.wires import Wire

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")

Query = Mapping[str, object]


class AditClient:
    """Speaks to an ADIT server in the name of the owner of a token.

    Both forms mean the same: ``AditClient(base_url="https://adit.example.org", token="adit_...")`` and
    ``AditClient("https://adit.example.org", "adit_...", verify="ca.pem", trial_protocol_id="T1")``. The trial is sent
    with every retrieval and every transfer. ``timeout_s`` is how long the server may be silent; None: for ever.
    Several threads may use one client. It is a context manager too.
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
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        url = named_once("server_url", server_url, "base_url", base_url)
        secret = named_once("auth_token", auth_token, "token", token)
        self._does = Operations(Trial(trial_protocol_id or "", trial_protocol_name or ""), retries)
        self._wire = Wire(Server.of(url, secret, verify, timeout_s), transport)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._wire.server.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to the server."""
        self._wire.close()

    # -- DICOMweb: search --------------------------------------------------------------------------

    def search_for_studies(self, ae_title: str, query: Query | None = None) -> list[Dataset]:
        """Find studies on a server. The query has DICOM keywords or tags, ``limit``, ``offset``, ``includefield``."""
        return self._wire.run(self._does.search_for(ae_title, (), query))

    def search_for_series(self, ae_title: str, study_uid: str, query: Query | None = None) -> list[Dataset]:
        """Find series of a study on a server."""
        return self._wire.run(self._does.search_for(ae_title, (study_uid,), query))

    def search_for_images(
        self, ae_title: str, study_uid: str, series_uid: str, query: Query | None = None
    ) -> list[Dataset]:
        """Find images of a series on a server."""
        return self._wire.run(self._does.search_for(ae_title, (study_uid, series_uid), query))

    # -- DICOMweb: images --------------------------------------------------------------------------

    def retrieve_study(self, ae_title: str, study_uid: str, pseudonym: str | None = None) -> Retrieved[Dataset]:
        """All images of a study; without a pseudonym with the patient's identity, which needs a right."""
        return _all(self.iter_study(ae_title, study_uid, pseudonym))

    def iter_study(self, ae_title: str, study_uid: str, pseudonym: str | None = None) -> Download[Dataset]:
        """The images of a study, one after the other while they arrive."""
        return self._images(ae_title, (study_uid,), pseudonym)

    def retrieve_study_metadata(
        self, ae_title: str, study_uid: str, pseudonym: str | None = None
    ) -> list[dict[str, Any]]:
        """What stands in the images of a study, without pixels, in the DICOM JSON model."""
        return self._wire.run(self._does.metadata(ae_title, (study_uid,), pseudonym))

    def retrieve_series(
        self, ae_title: str, study_uid: str, series_uid: str, pseudonym: str | None = None
    ) -> Retrieved[Dataset]:
        """All images of a series."""
        return _all(self.iter_series(ae_title, study_uid, series_uid, pseudonym))

    def iter_series(
        self, ae_title: str, study_uid: str, series_uid: str, pseudonym: str | None = None
    ) -> Download[Dataset]:
        """The images of a series, one after the other while they arrive."""
        return self._images(ae_title, (study_uid, series_uid), pseudonym)

    def retrieve_series_metadata(
        self, ae_title: str, study_uid: str, series_uid: str, pseudonym: str | None = None
    ) -> list[dict[str, Any]]:
        """What stands in the images of a series, without pixels, in the DICOM JSON model."""
        return self._wire.run(self._does.metadata(ae_title, (study_uid, series_uid), pseudonym))

    def retrieve_image(
        self, ae_title: str, study_uid: str, series_uid: str, image_uid: str, pseudonym: str | None = None
    ) -> Dataset:
        """One image."""
        return only(_all(self._images(ae_title, (study_uid, series_uid, image_uid), pseudonym)))

    def retrieve_image_metadata(
        self, ae_title: str, study_uid: str, series_uid: str, image_uid: str, pseudonym: str | None = None
    ) -> dict[str, Any]:
        """What stands in an image, without pixels, in the DICOM JSON model."""
        return only(self._wire.run(self._does.metadata(ae_title, (study_uid, series_uid, image_uid), pseudonym)))

    def store_images(self, ae_title: str, images: Iterable[Image]) -> Dataset:
        """Store images on a server: datasets, or DICOM files in memory or by their paths, which go as they are.

        Returns what became of each (PS3.18 section 10.5.3); raises NothingStored, warns when some were not stored.
        """
        return self._wire.run(self._does.store(ae_title, images))

    # -- DICOMweb: NIfTI ---------------------------------------------------------------------------

    def retrieve_nifti_study(self, ae_title: str, study_uid: str, pseudonym: str | None = None) -> Retrieved[NiftiFile]:
        """All NIfTI files of a study with their JSON, bval and bvec files: names and contents."""
        return _all(self.iter_nifti_study(ae_title, study_uid, pseudonym))

    def iter_nifti_study(self, ae_title: str, study_uid: str, pseudonym: str | None = None) -> Download[NiftiFile]:
        """The NIfTI files of a study, one after the other while they arrive."""
        return self._nifti(ae_title, (study_uid,), pseudonym)

    def retrieve_nifti_series(
        self, ae_title: str, study_uid: str, series_uid: str, pseudonym: str | None = None
    ) -> Retrieved[NiftiFile]:
        """All NIfTI files of a series."""
        return _all(self.iter_nifti_series(ae_title, study_uid, series_uid, pseudonym))

    def iter_nifti_series(
        self, ae_title: str, study_uid: str, series_uid: str, pseudonym: str | None = None
    ) -> Download[NiftiFile]:
        """The NIfTI files of a series, one after the other while they arrive."""
        return self._nifti(ae_title, (study_uid, series_uid), pseudonym)

    def retrieve_nifti_image(
        self, ae_title: str, study_uid: str, series_uid: str, image_uid: str, pseudonym: str | None = None
    ) -> Retrieved[NiftiFile]:
        """All NIfTI files of one image."""
        return _all(self.iter_nifti_image(ae_title, study_uid, series_uid, image_uid, pseudonym))

    def iter_nifti_image(
        self, ae_title: str, study_uid: str, series_uid: str, image_uid: str, pseudonym: str | None = None
    ) -> Download[NiftiFile]:
        """The NIfTI files of one image, one after the other while they arrive."""
        return self._nifti(ae_title, (study_uid, series_uid, image_uid), pseudonym)

    def _images(self, ae_title: str, uids: tuple[str, ...], pseudonym: str | None) -> Download[Dataset]:
        opening = self._does.download(ae_title, uids, Form.FILES, pseudonym)
        return Download(self._wire, opening, DownloadReader(instance))

    def _nifti(self, ae_title: str, uids: tuple[str, ...], pseudonym: str | None) -> Download[NiftiFile]:
        opening = self._does.download(ae_title, uids, Form.NIFTI, pseudonym)
        return Download(self._wire, opening, DownloadReader(nifti))


def _all(download: Download[T]) -> Retrieved[T]:
    with download:
        found = Retrieved(download)
    found.receipt = download.receipt
    return found
