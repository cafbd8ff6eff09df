"""The client that waits for each answer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import httpx
from pydicom import Dataset

from adit_client.batches import Batches, Project
from adit_client.datasets import Image
from adit_client.dicomweb import DicomWeb, only
from adit_client.downloads import Download, DownloadReader, NiftiFile, Retrieved, instance, nifti
from adit_client.gateway import Form, Trial
from adit_client.progress import report_of
from adit_client.rest import ItemOrId, JobOrId, Transfer
from adit_client.searches import LineReader, Search
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
from adit_client.wires import Wire

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

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
        trial = Trial(trial_protocol_id or "", trial_protocol_name or "")
        self._web, self._rest = DicomWeb(trial, retries), Batches(trial, retries)
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

    # -- who one is --------------------------------------------------------------------------------

    def me(self) -> Me:
        """The owner of the token, and what it may do."""
        return self._wire.run(self._rest.me())

    def nodes(self) -> Nodes:
        """From where to where you may transfer."""
        return self._wire.run(self._rest.nodes())

    def profiles(self) -> list[Profile]:
        """The de-identification profiles that transfers can name; the first is that of those that name none."""
        return self._wire.run(self._rest.profiles())

    def tokens(self) -> list[Token]:
        """Your tokens, without their secrets."""
        return self._wire.run(self._rest.tokens())

    def add_token(
        self,
        expires_at: datetime | None,
        description: str = "",
        *,
        operations: Iterable[str] | None = None,
        nodes: Iterable[int] | None = None,
    ) -> NewToken:
        """Make a token, whose secret is told this once. None: it never expires, which needs a right.

        It may be limited to operations, and to nodes by their ids.
        """
        return self._wire.run(self._rest.add_token(expires_at, description, operations, nodes))

    def revoke_token(self, token: Token | int) -> None:
        """End a token at once."""
        return self._wire.run(self._rest.revoke_token(token))

    # -- search ------------------------------------------------------------------------------------

    def search_patients(
        self, source: NodeWish | None = None, *, limit: int | None = None, **keys: Unpack[PatientKeys]
    ) -> Found[PatientFound]:
        """Find patients at a server; which one may be left out by who has only one source."""
        return self._wire.run(self._rest.search(PatientFound, source, limit, keys))

    def search_studies(
        self, source: NodeWish | None = None, *, limit: int | None = None, **keys: Unpack[StudyKeys]
    ) -> Found[StudyFound]:
        """Find studies at a server, as in ``search_studies(patient_id="12345")``."""
        return self._wire.run(self._rest.search(StudyFound, source, limit, keys))

    def search_series(
        self, study_uid: str, source: NodeWish | None = None, *, patient_id: str | None = None
    ) -> Found[SeriesFound]:
        """Find the series of a study; some servers want to know its patient too."""
        return self._wire.run(self._rest.search_series(study_uid, source, patient_id))

    def stream_patients(
        self, source: NodeWish | None = None, *, limit: int | None = None, **keys: Unpack[PatientKeys]
    ) -> Search[PatientFound]:
        """Find patients, and give one after the other while the server still answers."""
        return Search(self._wire, self._rest.searching(PatientFound, source, limit, keys), LineReader(PatientFound))

    def stream_studies(
        self, source: NodeWish | None = None, *, limit: int | None = None, **keys: Unpack[StudyKeys]
    ) -> Search[StudyFound]:
        """Find studies, and give one after the other while the server still answers."""
        return Search(self._wire, self._rest.searching(StudyFound, source, limit, keys), LineReader(StudyFound))

    # -- transfers ---------------------------------------------------------------------------------

    def plan(
        self,
        studies: Iterable[str | StudyWish],
        destination: NodeWish | None = None,
        source: NodeWish | None = None,
        **options: Unpack[PlanOptions],
    ) -> Plan:
        """What a transfer would move, and what it would leave out and why; nothing is begun."""
        return self._wire.run(self._rest.plan(Transfer(studies, source, destination), options))

    def transfer_study(
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
        """Transfer a study, or some series of it, and return the job; `wait` waits for its end.

        Source and destination are named by id, name or AE title; who has only one may leave it out. Without a pseudonym
        the server gives one, that of the patient in the trial where they have one.
        """
        return self.transfer_studies(
            [StudyWish(study_uid, patient_id, series_uids, pseudonym)],
            destination,
            source,
            idempotency_key=idempotency_key,
            **options,
        )

    def transfer_studies(
        self,
        studies: Iterable[str | StudyWish],
        destination: NodeWish | None = None,
        source: NodeWish | None = None,
        *,
        kind: Kind = "selective_transfer",
        idempotency_key: str | None = None,
        **options: Unpack[TransferOptions],
    ) -> Job:
        """Transfer several studies in one job. A selective transfer takes 10 at most unless staff asks for it."""
        return self._wire.run(
            self._rest.transfer(Transfer(studies, source, destination), kind, idempotency_key, options)
        )

    # -- jobs --------------------------------------------------------------------------------------

    def jobs(self, *, limit: int = 50, offset: int = 0, **filters: Unpack[JobFilters]) -> Jobs:
        """Your jobs, newest first, a part of them; ``total`` of the list says how many there are."""
        return self._wire.run(self._rest.jobs(limit, offset, filters))

    def job(self, job: JobOrId) -> Job:
        """A job as it is now."""
        return self._wire.run(self._rest.job(job))

    def wait(
        self, job: JobOrId, *, progress: bool | Callable[[Job], object] = False, timeout: float | None = None
    ) -> Job:
        """Wait until a job has ended, and return it, whatever came of it.

        With ``progress`` a line on standard error tells how far it is, or a function of yours is called with the job.
        Raises WaitTimedOut after ``timeout`` seconds; the job goes on. One that waits for staff to verify it does not
        end by itself.
        """
        return self._wire.run(self._rest.wait(job, timeout, report_of(progress)))

    def verify(self, job: JobOrId) -> Job:
        """Let an unverified job begin; for staff."""
        return self._wire.run(self._rest.change(job, "verify"))

    def cancel(self, job: JobOrId) -> Job:
        """Stop a job that waits or runs."""
        return self._wire.run(self._rest.change(job, "cancel"))

    def resume(self, job: JobOrId) -> Job:
        """Let the canceled items of a job go on."""
        return self._wire.run(self._rest.change(job, "resume"))

    def retry(self, job: JobOrId) -> Job:
        """Try the failed items of a job again; only what is missing is sent."""
        return self._wire.run(self._rest.change(job, "retry"))

    def restart(self, job: JobOrId) -> Job:
        """Do a job that has ended again from the start; for staff."""
        return self._wire.run(self._rest.change(job, "restart"))

    def hurry(self, job: JobOrId, urgent: bool = True) -> Job:
        """Make a job urgent, or not urgent any more."""
        return self._wire.run(self._rest.change(job, "hurry", {"urgent": urgent}))

    def delete(self, job: JobOrId) -> None:
        """Remove a job of which nothing has begun."""
        return self._wire.run(self._rest.delete(job))

    # -- items -------------------------------------------------------------------------------------

    def items(self, job: JobOrId, *, state: str | None = None) -> list[Item]:
        """All items of a job in the order of the request, or those in one state."""
        return self._wire.run(self._rest.items(job, state))

    def item(self, item: ItemOrId) -> Item:
        """An item as it is now."""
        return self._wire.run(self._rest.item(item))

    def receipts(self, job: JobOrId) -> list[Receipt]:
        """The receipts of all items of a job."""
        return self._wire.run(self._rest.receipts(job))

    def receipt(self, item: ItemOrId) -> Receipt:
        """The receipt of an item: which instances were expected, received, stored and confirmed."""
        return self._wire.run(self._rest.receipt(item))

    def cancel_item(self, item: ItemOrId) -> Item:
        """Cancel an item that waits; the others of its job go on."""
        return self._wire.run(self._rest.cancel_item(item))

    def reset_item(self, item: ItemOrId) -> Item:
        """Do an item that has ended again from the start."""
        return self._wire.run(self._rest.reset(item))

    def delete_item(self, item: ItemOrId) -> None:
        """Remove an item that waits from its job."""
        return self._wire.run(self._rest.delete_item(item))

    # -- batch files -------------------------------------------------------------------------------

    def check_batch_file(self, file: BatchFile, kind: BatchKind, *, sheet: str = "") -> FileProblems:
        """All that is wrong with a batch file, by line and column; nothing is kept of it, and no server is asked.

        A file is given by its path, as bytes, or as a name with bytes.
        """
        return self._wire.run(self._rest.check_batch_file(file, kind, sheet))

    def batch_query(
        self,
        file: BatchFile,
        sources: NodeWish | Sequence[NodeWish] | None = None,
        *,
        project_name: str,
        project_description: str,
        idempotency_key: str | None = None,
        **options: Unpack[BatchQueryOptions],
    ) -> Job:
        """Ask one or several servers for each row of a file, and return the job; `wait` waits for its end.

        Raises BadBatchFile with all that is wrong with the file; then nothing was accepted.
        """
        project = Project(project_name, project_description)
        return self._wire.run(self._rest.batch_query(file, sources, project, idempotency_key, options))

    def batch_results(self, job: JobOrId) -> list[BatchResult]:
        """What a batch query has found so far, in the order of the file, with the rows that found nothing."""
        return self._wire.run(self._rest.batch_results(job))

    def batch_results_file(self, job: JobOrId, kind: Literal["xlsx", "csv"] = "xlsx") -> bytes:
        """The results of a batch query that has ended, as a file that a batch transfer takes as it is."""
        return self._wire.run(self._rest.batch_results_file(job, kind))

    def batch_check(
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
        """Have the rows of a batch transfer looked up, and return the job of that; nothing is moved.

        Raises BadBatchFile with all that is wrong with the file; then nothing was accepted.
        """
        project = Project(project_name, project_description, ethics_application_id)
        return self._wire.run(self._rest.batch_check(file, destination, source, project, idempotency_key, options))

    def check_outcome(self, check: JobOrId) -> CheckOutcome:
        """What a check has found so far: how many studies have which verdict, and how much would be moved."""
        return self._wire.run(self._rest.check_outcome(check))

    def checked_rows(self, check: JobOrId, *, verdict: Verdict | None = None) -> list[CheckedRow]:
        """What a check says of the rows of each study; of those with one verdict, or of all."""
        return self._wire.run(self._rest.checked_rows(check, verdict))

    def transfer_checked(self, check: JobOrId, leave_out: Collection[Verdict] = (), again: bool = False) -> Job:
        """Move what a check has found, and return the job; asked again for the same check it is the same job.

        What was not found has to be left out in so many words, by its verdicts. ``again`` moves also what is at the
        destination already.
        """
        return self._wire.run(self._rest.transfer_checked(check, leave_out, again))

    def batch_transfer(
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
        """Check a file, wait for the check, and return the job that moves what was found.

        Raises NotAllFound when rows were neither found nor left out; the check stays, and `transfer_checked` goes on
        from there. ``timeout`` and ``progress`` are those of the check, as for `wait`.
        """
        project = Project(project_name, project_description, ethics_application_id)
        checking = self._rest.batch_check(file, destination, source, project, idempotency_key, options)
        found = self._rest.transfer_found(checking, leave_out, again, timeout, report_of(progress))
        return self._wire.run(found)

    def verdict_file(self, job: JobOrId) -> bytes:
        """The file that a batch query, a check or its transfer was made of, with a verdict behind each row."""
        return self._wire.run(self._rest.verdict_file(job))

    # -- reviews -----------------------------------------------------------------------------------

    def jobs_with_held(self) -> list[HeldCount]:
        """The jobs with instances that wait for a review; for reviewers."""
        return self._wire.run(self._rest.jobs_with_held())

    def held(self, job: JobOrId) -> list[Held]:
        """The instances of a job that wait for a review."""
        return self._wire.run(self._rest.held(job))

    def release(self, item: ItemOrId, reason: str, sop_uids: Iterable[str] | None = None) -> Item:
        """Let held instances of an item pass, all where none are named; the next attempt fetches them again."""
        return self._wire.run(self._rest.review("release", item, reason, sop_uids))

    def reject(self, item: ItemOrId, reason: str, sop_uids: Iterable[str] | None = None) -> Item:
        """Leave held instances of an item out for good."""
        return self._wire.run(self._rest.review("reject", item, reason, sop_uids))

    # -- everything else ---------------------------------------------------------------------------

    def request(self, method: str, path: str, *, query: Query | None = None, content: object | None = None) -> Any:
        """Whatever else the API has, as JSON: ``request("GET", "/v1/admin/overview")``."""
        return self._wire.run(self._rest.request(method, path, query, content))

    # -- DICOMweb: search --------------------------------------------------------------------------

    def search_for_studies(self, ae_title: str, query: Query | None = None) -> Found[Dataset]:
        """Find studies on a server. The query has DICOM keywords or tags, ``limit``, ``offset``, ``includefield``."""
        return self._wire.run(self._web.search_for(ae_title, (), query))

    def search_for_series(self, ae_title: str, study_uid: str, query: Query | None = None) -> Found[Dataset]:
        """Find series of a study on a server."""
        return self._wire.run(self._web.search_for(ae_title, (study_uid,), query))

    def search_for_images(
        self, ae_title: str, study_uid: str, series_uid: str, query: Query | None = None
    ) -> Found[Dataset]:
        """Find images of a series on a server."""
        return self._wire.run(self._web.search_for(ae_title, (study_uid, series_uid), query))

    # -- DICOMweb: images --------------------------------------------------------------------------

    def retrieve_study(self, ae_title: str, study_uid: str, pseudonym: str | None = None) -> Retrieved[Dataset]:
        """All images of a study; without a pseudonym with the patient's identity, which needs a right."""
        return _all(self.iter_study(ae_title, study_uid, pseudonym))

    def iter_study(self, ae_title: str, study_uid: str, pseudonym: str | None = None) -> Download[Dataset]:
        """The images of a study, one after the other while they arrive."""
        return self._images(ae_title, (study_uid,), pseudonym)

    def retrieve_study_metadata(
        self, ae_title: str, study_uid: str, pseudonym: str | None = None
    ) -> Retrieved[dict[str, Any]]:
        """What stands in the images of a study, without pixels, in the DICOM JSON model."""
        return self._wire.run(self._web.metadata(ae_title, (study_uid,), pseudonym))

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
    ) -> Retrieved[dict[str, Any]]:
        """What stands in the images of a series, without pixels, in the DICOM JSON model."""
        return self._wire.run(self._web.metadata(ae_title, (study_uid, series_uid), pseudonym))

    def retrieve_image(
        self, ae_title: str, study_uid: str, series_uid: str, image_uid: str, pseudonym: str | None = None
    ) -> Dataset:
        """One image."""
        return only(_all(self._images(ae_title, (study_uid, series_uid, image_uid), pseudonym)))

    def retrieve_image_metadata(
        self, ae_title: str, study_uid: str, series_uid: str, image_uid: str, pseudonym: str | None = None
    ) -> dict[str, Any]:
        """What stands in an image, without pixels, in the DICOM JSON model."""
        return only(self._wire.run(self._web.metadata(ae_title, (study_uid, series_uid, image_uid), pseudonym)))

    def store_images(self, ae_title: str, images: Iterable[Image]) -> Dataset:
        """Store images on a server: datasets, or DICOM files in memory or by their paths, which go as they are.

        Returns what became of each (PS3.18 section 10.5.3); raises NothingStored, warns when some were not stored.
        """
        return self._wire.run(self._web.store(ae_title, images))

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
        opening = self._web.download(ae_title, uids, Form.FILES, pseudonym)
        return Download(self._wire, opening, DownloadReader(instance))

    def _nifti(self, ae_title: str, uids: tuple[str, ...], pseudonym: str | None) -> Download[NiftiFile]:
        opening = self._web.download(ae_title, uids, Form.NIFTI, pseudonym)
        return Download(self._wire, opening, DownloadReader(nifti))


def _all(download: Download[T]) -> Retrieved[T]:
    with download:
        found = Retrieved(download)
    found.receipt = download.receipt
    return found
