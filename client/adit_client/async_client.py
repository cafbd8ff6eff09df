"""The client that awaits each answer. What it asks for is said in `adit_client.dicomweb` and `adit_client.rest`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import httpx
from pydicom import Dataset

from adit_client.batches import Batches, Project
from adit_client.client import AditClient
from adit_client.datasets import Image
from adit_client.dicomweb import DicomWeb, only
from adit_client.downloads import AsyncDownload, DownloadReader, NiftiFile, Retrieved, instance, nifti
from adit_client.gateway import Form, Trial
from adit_client.progress import report_of
from adit_client.rest import ItemOrId, JobOrId, Transfer
from adit_client.searches import AsyncSearch, LineReader
from adit_client.server import SILENCE_S, Server, Verify, named_once
from adit_client.steps import Retries
from adit_client.values import (
    BatchFile,
    BatchKind,
    BatchQueryOptions,
    BatchResult,
    BatchTransferOptions,
    CheckedRow,
    CheckOutcome,
    FileProblems,
    Found,
    Held,
    HeldCount,
    Item,
    Job,
    JobFilters,
    Jobs,
    Kind,
    Me,
    NewToken,
    Nodes,
    NodeWish,
    PatientFound,
    PatientKeys,
    Plan,
    PlanOptions,
    Profile,
    Receipt,
    SeriesFound,
    StudyFound,
    StudyKeys,
    StudyWish,
    Token,
    TransferOptions,
    Verdict,
)
from adit_client.wires import AsyncWire

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

T = TypeVar("T")

Query = Mapping[str, object]


class AsyncAditClient:
    """As `AditClient`, with methods to await, and streams for ``async for``.

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
        trial = Trial(trial_protocol_id or "", trial_protocol_name or "")
        self._web, self._rest = DicomWeb(trial, retries), Batches(trial, retries)
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

    # -- who one is --------------------------------------------------------------------------------

    async def me(self) -> Me:
        return await self._wire.run(self._rest.me())

    async def nodes(self) -> Nodes:
        return await self._wire.run(self._rest.nodes())

    async def profiles(self) -> list[Profile]:
        return await self._wire.run(self._rest.profiles())

    async def tokens(self) -> list[Token]:
        return await self._wire.run(self._rest.tokens())

    async def add_token(
        self,
        expires_at: datetime | None,
        description: str = "",
        *,
        operations: Iterable[str] | None = None,
        nodes: Iterable[int] | None = None,
    ) -> NewToken:
        return await self._wire.run(self._rest.add_token(expires_at, description, operations, nodes))

    async def revoke_token(self, token: Token | int) -> None:
        return await self._wire.run(self._rest.revoke_token(token))

    # -- search ------------------------------------------------------------------------------------

    async def search_patients(
        self, source: NodeWish | None = None, *, limit: int | None = None, **keys: Unpack[PatientKeys]
    ) -> Found[PatientFound]:
        return await self._wire.run(self._rest.search(PatientFound, source, limit, keys))

    async def search_studies(
        self, source: NodeWish | None = None, *, limit: int | None = None, **keys: Unpack[StudyKeys]
    ) -> Found[StudyFound]:
        return await self._wire.run(self._rest.search(StudyFound, source, limit, keys))

    async def search_series(
        self, study_uid: str, source: NodeWish | None = None, *, patient_id: str | None = None
    ) -> Found[SeriesFound]:
        return await self._wire.run(self._rest.search_series(study_uid, source, patient_id))

    def stream_patients(
        self, source: NodeWish | None = None, *, limit: int | None = None, **keys: Unpack[PatientKeys]
    ) -> AsyncSearch[PatientFound]:
        return AsyncSearch(
            self._wire, self._rest.searching(PatientFound, source, limit, keys), LineReader(PatientFound)
        )

    def stream_studies(
        self, source: NodeWish | None = None, *, limit: int | None = None, **keys: Unpack[StudyKeys]
    ) -> AsyncSearch[StudyFound]:
        return AsyncSearch(self._wire, self._rest.searching(StudyFound, source, limit, keys), LineReader(StudyFound))

    # -- transfers ---------------------------------------------------------------------------------

    async def plan(
        self,
        studies: Iterable[str | StudyWish],
        destination: NodeWish | None = None,
        source: NodeWish | None = None,
        **options: Unpack[PlanOptions],
    ) -> Plan:
        return await self._wire.run(self._rest.plan(Transfer(studies, source, destination), options))

    async def transfer_study(
        self,
        study_uid: str,
        destination: NodeWish | None = None,
        source: NodeWish | None = None,
        *,
        patient_id: str = "",
        series_uids: Sequence[str] = (),
        pseudonym: str = "",
        idempotency_key: str | None = None,
        **options: Unpack[TransferOptions],
    ) -> Job:
        return await self.transfer_studies(
            [StudyWish(study_uid, patient_id, series_uids, pseudonym)],
            destination,
            source,
            idempotency_key=idempotency_key,
            **options,
        )

    async def transfer_studies(
        self,
        studies: Iterable[str | StudyWish],
        destination: NodeWish | None = None,
        source: NodeWish | None = None,
        *,
        kind: Kind = "selective_transfer",
        idempotency_key: str | None = None,
        **options: Unpack[TransferOptions],
    ) -> Job:
        return await self._wire.run(
            self._rest.transfer(Transfer(studies, source, destination), kind, idempotency_key, options)
        )

    # -- jobs --------------------------------------------------------------------------------------

    async def jobs(self, *, limit: int = 50, offset: int = 0, **filters: Unpack[JobFilters]) -> Jobs:
        return await self._wire.run(self._rest.jobs(limit, offset, filters))

    async def job(self, job: JobOrId) -> Job:
        return await self._wire.run(self._rest.job(job))

    async def wait(
        self, job: JobOrId, *, progress: bool | Callable[[Job], object] = False, timeout: float | None = None
    ) -> Job:
        return await self._wire.run(self._rest.wait(job, timeout, report_of(progress)))

    async def verify(self, job: JobOrId) -> Job:
        return await self._wire.run(self._rest.change(job, "verify"))

    async def cancel(self, job: JobOrId) -> Job:
        return await self._wire.run(self._rest.change(job, "cancel"))

    async def resume(self, job: JobOrId) -> Job:
        return await self._wire.run(self._rest.change(job, "resume"))

    async def retry(self, job: JobOrId) -> Job:
        return await self._wire.run(self._rest.change(job, "retry"))

    async def restart(self, job: JobOrId) -> Job:
        return await self._wire.run(self._rest.change(job, "restart"))

    async def hurry(self, job: JobOrId, urgent: bool = True) -> Job:
        return await self._wire.run(self._rest.change(job, "hurry", {"urgent": urgent}))

    async def delete(self, job: JobOrId) -> None:
        return await self._wire.run(self._rest.delete(job))

    # -- items -------------------------------------------------------------------------------------

    async def items(self, job: JobOrId, *, state: str | None = None) -> list[Item]:
        return await self._wire.run(self._rest.items(job, state))

    async def item(self, item: ItemOrId) -> Item:
        return await self._wire.run(self._rest.item(item))

    async def receipts(self, job: JobOrId) -> list[Receipt]:
        return await self._wire.run(self._rest.receipts(job))

    async def receipt(self, item: ItemOrId) -> Receipt:
        return await self._wire.run(self._rest.receipt(item))

    async def cancel_item(self, item: ItemOrId) -> Item:
        return await self._wire.run(self._rest.cancel_item(item))

    async def reset_item(self, item: ItemOrId) -> Item:
        return await self._wire.run(self._rest.reset(item))

    async def delete_item(self, item: ItemOrId) -> None:
        return await self._wire.run(self._rest.delete_item(item))

    # -- batch files -------------------------------------------------------------------------------

    async def check_batch_file(self, file: BatchFile, kind: BatchKind, *, sheet: str = "") -> FileProblems:
        return await self._wire.run(self._rest.check_batch_file(file, kind, sheet))

    async def batch_query(
        self,
        file: BatchFile,
        sources: NodeWish | Sequence[NodeWish] | None = None,
        *,
        project_name: str,
        project_description: str,
        idempotency_key: str | None = None,
        **options: Unpack[BatchQueryOptions],
    ) -> Job:
        return await self._wire.run(
            self._rest.batch_query(file, sources, Project(project_name, project_description), idempotency_key, options)
        )

    async def batch_results(self, job: JobOrId) -> list[BatchResult]:
        return await self._wire.run(self._rest.batch_results(job))

    async def batch_results_file(self, job: JobOrId, kind: Literal["xlsx", "csv"] = "xlsx") -> bytes:
        return await self._wire.run(self._rest.batch_results_file(job, kind))

    async def batch_check(
        self,
        file: BatchFile,
        destination: NodeWish | None = None,
        source: NodeWish | None = None,
        *,
        project_name: str,
        project_description: str,
        ethics_application_id: str,
        idempotency_key: str | None = None,
        **options: Unpack[BatchTransferOptions],
    ) -> Job:
        return await self._wire.run(
            self._rest.batch_check(
                file,
                destination,
                source,
                Project(project_name, project_description, ethics_application_id),
                idempotency_key,
                options,
            )
        )

    async def check_outcome(self, check: JobOrId) -> CheckOutcome:
        return await self._wire.run(self._rest.check_outcome(check))

    async def checked_rows(self, check: JobOrId, *, verdict: Verdict | None = None) -> list[CheckedRow]:
        return await self._wire.run(self._rest.checked_rows(check, verdict))

    async def transfer_checked(self, check: JobOrId, leave_out: Collection[Verdict] = (), again: bool = False) -> Job:
        return await self._wire.run(self._rest.transfer_checked(check, leave_out, again))

    async def batch_transfer(
        self,
        file: BatchFile,
        destination: NodeWish | None = None,
        source: NodeWish | None = None,
        *,
        project_name: str,
        project_description: str,
        ethics_application_id: str,
        leave_out: Collection[Verdict] = (),
        again: bool = False,
        progress: bool | Callable[[Job], object] = False,
        timeout: float | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[BatchTransferOptions],
    ) -> Job:
        return await self._wire.run(
            self._rest.transfer_found(
                self._rest.batch_check(
                    file,
                    destination,
                    source,
                    Project(project_name, project_description, ethics_application_id),
                    idempotency_key,
                    options,
                ),
                leave_out,
                again,
                timeout,
                report_of(progress),
            )
        )

    async def verdict_file(self, job: JobOrId) -> bytes:
        return await self._wire.run(self._rest.verdict_file(job))

    # -- reviews -----------------------------------------------------------------------------------

    async def jobs_with_held(self) -> list[HeldCount]:
        return await self._wire.run(self._rest.jobs_with_held())

    async def held(self, job: JobOrId) -> list[Held]:
        return await self._wire.run(self._rest.held(job))

    async def release(self, item: ItemOrId, reason: str, sop_uids: Iterable[str] | None = None) -> Item:
        return await self._wire.run(self._rest.review("release", item, reason, sop_uids))

    async def reject(self, item: ItemOrId, reason: str, sop_uids: Iterable[str] | None = None) -> Item:
        return await self._wire.run(self._rest.review("reject", item, reason, sop_uids))

    # -- everything else ---------------------------------------------------------------------------

    async def request(
        self, method: str, path: str, *, query: Query | None = None, content: object | None = None
    ) -> Any:
        return await self._wire.run(self._rest.request(method, path, query, content))

    # -- DICOMweb: search --------------------------------------------------------------------------

    async def search_for_studies(self, ae_title: str, query: Query | None = None) -> Found[Dataset]:
        return await self._wire.run(self._web.search_for(ae_title, (), query))

    async def search_for_series(self, ae_title: str, study_uid: str, query: Query | None = None) -> Found[Dataset]:
        return await self._wire.run(self._web.search_for(ae_title, (study_uid,), query))

    async def search_for_images(
        self, ae_title: str, study_uid: str, series_uid: str, query: Query | None = None
    ) -> Found[Dataset]:
        return await self._wire.run(self._web.search_for(ae_title, (study_uid, series_uid), query))

    # -- DICOMweb: images --------------------------------------------------------------------------

    async def retrieve_study(self, ae_title: str, study_uid: str, pseudonym: str | None = None) -> Retrieved[Dataset]:
        return await _all(self.iter_study(ae_title, study_uid, pseudonym))

    def iter_study(self, ae_title: str, study_uid: str, pseudonym: str | None = None) -> AsyncDownload[Dataset]:
        return self._images(ae_title, (study_uid,), pseudonym)

    async def retrieve_study_metadata(
        self, ae_title: str, study_uid: str, pseudonym: str | None = None
    ) -> Retrieved[dict[str, Any]]:
        return await self._wire.run(self._web.metadata(ae_title, (study_uid,), pseudonym))

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
    ) -> Retrieved[dict[str, Any]]:
        return await self._wire.run(self._web.metadata(ae_title, (study_uid, series_uid), pseudonym))

    async def retrieve_image(
        self, ae_title: str, study_uid: str, series_uid: str, image_uid: str, pseudonym: str | None = None
    ) -> Dataset:
        return only(await _all(self._images(ae_title, (study_uid, series_uid, image_uid), pseudonym)))

    async def retrieve_image_metadata(
        self, ae_title: str, study_uid: str, series_uid: str, image_uid: str, pseudonym: str | None = None
    ) -> dict[str, Any]:
        return only(await self._wire.run(self._web.metadata(ae_title, (study_uid, series_uid, image_uid), pseudonym)))

    async def store_images(self, ae_title: str, images: Iterable[Image]) -> Dataset:
        return await self._wire.run(self._web.store(ae_title, images))

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
        opening = self._web.download(ae_title, uids, Form.FILES, pseudonym)
        return AsyncDownload(self._wire, opening, DownloadReader(instance))

    def _nifti(self, ae_title: str, uids: tuple[str, ...], pseudonym: str | None) -> AsyncDownload[NiftiFile]:
        opening = self._web.download(ae_title, uids, Form.NIFTI, pseudonym)
        return AsyncDownload(self._wire, opening, DownloadReader(nifti))


async def _all(download: AsyncDownload[T]) -> Retrieved[T]:
    async with download:
        found = Retrieved([one async for one in download])
    found.receipt = download.receipt
    return found


for _name, _member in vars(AditClient).items():
    if not _name.startswith("_") and _name in vars(AsyncAditClient):
        vars(AsyncAditClient)[_name].__doc__ = _member.__doc__
