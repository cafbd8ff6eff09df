"""The client against `adit web` and real archives: the guide as written, and every method over every protocol."""

import csv
import gzip
import inspect
import json
import logging
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import anyio
import pytest
from openpyxl import load_workbook
from pydicom import Dataset, dcmread, dcmwrite

from adit_client import AditClient, AsyncAditClient, errors
from adit_client.downloads import Download, DownloadReader
from adit_client.gateway import Form
from deployments.demo import studies
from deployments.demo.studies import StudyFiles
from dicom.part10 import split_part10
from models.db.jobs import JobStore
from models.domain.jobs import FINISHED, JobFilter, State
from models.domain.people import Permission
from models.domain.tokens import TokenWish
from services import project
from tests.installation import DICOMWEB, DIMSE_GET, DIMSE_MOVE, TESTER, Installation
from tests.peers import Peer, free_port, orthanc
from tests.served_api import EVERY_WEB_RIGHT, ServedApi
from tests.web import Web, web

README = Path(__file__).parents[2] / "client" / "README.md"
STUDY, PATIENT = "1.2.3.4.5", "12345"
SERIES, OTHER_SERIES, IMAGE = f"{STUDY}.1", f"{STUDY}.2", f"{STUDY}.1.1"
PSEUDONYM = "SUBJ-77"
UNTOUCHED = "SUBJ-03"
"""Jobs with this pseudonym are never worked on: the README stops one that waits."""
RIGHTS = {
    *EVERY_WEB_RIGHT,
    Permission.ADD_SELECTIVE_TRANSFER,
    Permission.ADD_BATCH_TRANSFER,
    Permission.ADD_BATCH_QUERY,
    Permission.SELECTIVE_URGENT,
    Permission.SELECTIVE_UNPSEUDONYMIZED,
    Permission.BATCH_UNPSEUDONYMIZED,
    Permission.REVIEW_HELD,
}


@dataclass
class Site:
    """`adit web` with an archive that is reached in three ways, and a target."""

    web: Web
    installation: Installation
    archive: Peer
    target: Peer
    study: StudyFiles
    tokens: dict[str, str]

    def client(self, name: str, **options: Any) -> AditClient:
        return AditClient(base_url=self.web.url, token=self.tokens[name], **options)

    def originals(self) -> dict[str, bytes]:
        """The data sets of the study as they are in the archive, by SOP Instance UID."""
        return {encoded.sop_uid: b"".join(encoded.parts) for encoded in map(split_part10, map(read, self.study.files))}


def read(path: Path) -> bytes:
    return path.read_bytes()


def write_study(directory: Path) -> StudyFiles:
    """A CT study of two series under the UIDs and the patient of the guide."""
    written = studies.write_ct(directory, patient=1, study=1, instances=(4, 3), rows=32, columns=32)
    numbers: dict[str, int] = {}
    for path in written.files:
        dataset = dcmread(path)
        number = int(dataset.SeriesNumber)
        numbers[str(number)] = numbers.get(str(number), 0) + 1
        dataset.PatientID, dataset.StudyInstanceUID = PATIENT, STUDY
        dataset.SeriesInstanceUID = f"{STUDY}.{number}"
        dataset.SOPInstanceUID = f"{STUDY}.{number}.{numbers[str(number)]}"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dcmwrite(path, dataset)
    return written


@pytest.fixture(scope="module")
def a_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root, port = tmp_path_factory.mktemp("client"), free_port()
    options = {"web_port": port, "web_url": f"http://localhost:{port}"}
    installation = Installation(root / "adit", **options)
    settings = installation.settings
    study = write_study(root / "ct")
    shared = {
        **options,
        "master_key": settings.master_key.get_secret_value(),
        "receiver_host": settings.receiver_host,
        "receiver_port": settings.receiver_port,
        "spool_reserve_mb": 1,
    }
    receivers = {settings.receiver_ae_title: settings.receiver_port}
    unchecked = {"DicomCheckCalledAet": False}
    with (
        orthanc(root / "a", "PACS", receivers, unchecked) as archive,
        orthanc(root / "b", "TARGET_AE", settings=unchecked) as target,
        web(root / "adit", **shared) as running,
    ):
        archive.upload(study.files)
        servers = {
            "PACS": installation.server(archive, "PACS", **DIMSE_GET),
            "PACS_WEB": installation.server(archive, "by DICOMweb", ae_title="PACS_WEB", **DICOMWEB),
            "PACS_MOVE": installation.server(archive, "by C-MOVE", ae_title="PACS_MOVE", **DIMSE_MOVE),
            "TARGET_AE": installation.server(target, "research archive", **DIMSE_GET),
        }
        people = ServedApi(installation, f"{running.url}/api")
        sources = [server for name, server in servers.items() if name != "TARGET_AE"]
        users = (
            people.person("ada", RIGHTS, sources[:1], [servers["TARGET_AE"]]),
            people.person("ben", RIGHTS, sources, [servers["TARGET_AE"]]),
            people.person("eve", {Permission.WEB_RETRIEVE}, sources),
        )
        receiver = installation.receiver("PACS")
        receiver.start()
        try:
            wish = TokenWish(expires_at=running.db.clock() + timedelta(days=30))
            secrets = {user.username: people.token(user, wish) for user in users}
            yield Site(running, installation, archive, target, study, secrets)
        finally:
            receiver.stop()


@pytest.fixture
def a_worker(a_site: Site) -> Iterator[None]:
    """Works on every job in this process, as Prefect would let workers do."""
    is_over = threading.Event()
    failures: list[BaseException] = []

    def work() -> None:
        while not is_over.wait(0.2):
            try:
                run_waiting(a_site.installation)
            except BaseException as error:
                failures.append(error)
                return

    thread = threading.Thread(target=work)
    thread.start()
    yield
    is_over.set()
    thread.join(60)
    assert not failures and not thread.is_alive()


def run_waiting(installation: Installation) -> None:
    for job in JobStore(installation.db).list(JobFilter(states={State.PENDING}), 100, 0):
        if not any(item.pseudonym == UNTOUCHED for item in installation.items(job)):
            installation.run(job)


# -- the guide and the README, as written ----------------------------------------------------------


def blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def test_the_readme_has_the_example_of_the_guide() -> None:
    guide = [
        "from adit_client import AditClient",
        "# Initialize client",
        'client = AditClient(base_url="https://your-adit-server.com", token="your-api-token")',
        "# Search for studies",
        'studies = client.search_studies(patient_id="12345")',
        "# Transfer studies",
        'client.transfer_study(study_uid="1.2.3.4.5", destination="TARGET_AE")',
    ]
    assert [line for line in blocks(README.read_text())[0].splitlines() if line] == guide


def test_every_method_has_an_example_in_the_readme() -> None:
    page = README.read_text()
    assert [name for name in public() if f"{name}(" not in page] == []


def test_the_examples_run_as_written_host_and_token_aside(
    a_site: Site,
    a_worker: None,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "patients.csv").write_text(f"PatientID,Modality\n{PATIENT},CT\n")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    token = a_site.tokens["ada"]
    for block in blocks(README.read_text()):
        code = block.replace("https://your-adit-server.com", a_site.web.url).replace("your-api-token", token)
        exec(compile(code, str(README), "exec"), names)
        if "studies" in names:
            assert [study.patient_id for study in names.pop("studies")] == [PATIENT]
    assert "items have ended" in capsys.readouterr().err
    jobs = names["client"].jobs(limit=100)
    assert jobs.total == 9, [job.kind for job in jobs]
    assert {job.state for job in jobs} <= {"success", "canceled", "pending", "in_progress"}
    names["client"].close()
    names["trial_client"].close()


def test_with_several_sources_the_error_names_them(a_site: Site) -> None:
    with a_site.client("ben") as client, pytest.raises(errors.InvalidRequest) as caught:
        client.search_studies(patient_id=PATIENT)
    assert "source" in caught.value.errors
    assert all(name in str(caught.value) for name in ("PACS", "by DICOMweb", "by C-MOVE"))


def test_a_transfer_is_proven_by_its_receipt(a_site: Site, a_worker: None) -> None:
    with a_site.client("ben", trial_protocol_id="PROOF") as client:
        told: list[str] = []
        job = client.transfer_study(STUDY, "TARGET_AE", "PACS", pseudonym="PROVEN")
        ended = client.wait(job, progress=lambda each: told.append(each.state), timeout=120)
        assert (ended.state, ended.trial_protocol_id, told[-1]) == ("success", "PROOF", "success"), ended.message
        (item,) = client.items(job)
        receipt = client.receipt(item)
    assert (item.patient_id, item.pseudonym) == ("", "PROVEN") or item.pseudonym == "PROVEN"
    assert receipt.is_complete and len(receipt.confirmed) == len(a_site.study.files)


def test_the_same_key_is_one_job(a_site: Site) -> None:
    with a_site.client("ben") as client:
        first, second = (
            client.transfer_study(STUDY, "TARGET_AE", "PACS", pseudonym=UNTOUCHED, idempotency_key="k-1")
            for _ in range(2)
        )
        assert first.id == second.id
        with pytest.raises(errors.InvalidRequest, match="key"):
            client.transfer_study(STUDY, "TARGET_AE", "PACS_WEB", pseudonym=UNTOUCHED, idempotency_key="k-1")
        client.delete(first)
        with pytest.raises(errors.NotFound):
            client.job(first)


# -- the gateway, over every protocol --------------------------------------------------------------

AE_TITLES = ("PACS", "PACS_WEB", "PACS_MOVE")
ARGUMENTS: dict[str, Any] = {"study_uid": STUDY, "series_uid": SERIES, "image_uid": IMAGE, "pseudonym": PSEUDONYM}


def public(of: type = AditClient) -> dict[str, Callable[..., Any]]:
    members = inspect.getmembers(of, inspect.isfunction)
    return {name: member for name, member in members if not name.startswith("_") and name not in ("close", "aclose")}


RETRIEVALS = [name for name in public() if name.startswith(("retrieve_", "iter_"))]


def arguments(name: str) -> dict[str, Any]:
    return {each: ARGUMENTS[each] for each in inspect.signature(public()[name]).parameters if each in ARGUMENTS}


def as_bytes(result: Any) -> bytes:
    """Everything in what a retrieval gave: datasets, JSON, or files with their names."""
    if isinstance(result, Dataset):
        target = BytesIO()
        dcmwrite(target, result)
        return target.getvalue()
    if isinstance(result, tuple):
        name, content = result
        data = content.getvalue()
        return name.encode() + (gzip.decompress(data) if name.endswith(".gz") else data)
    if isinstance(result, dict):
        return json.dumps(result, ensure_ascii=False).encode()
    return b"".join(map(as_bytes, result))


def leaks(data: bytes, study: StudyFiles) -> set[str]:
    """What tells who the patient is; what names the scanner is left in by the profile.

    New UIDs are random numbers, which have any five digits now and then.
    """
    identifying = {*study.planted, PATIENT, study.patient_name, STUDY} - study.devices
    told = re.sub(rb"2\.25\.[0-9]+", b"", data)
    return {value for value in identifying if value.encode() in told}


@pytest.mark.parametrize("ae_title", AE_TITLES)
@pytest.mark.parametrize("name", RETRIEVALS)
def test_no_identifier_is_left_by_any_retrieval(a_site: Site, name: str, ae_title: str) -> None:
    with a_site.client("eve", trial_protocol_id="T1", trial_protocol_name="First trial") as client:
        given = {**arguments(name), "pseudonym": f"{PSEUDONYM}-{ae_title}"}
        client_of_no_trial = a_site.client("eve")
        for each in (client, client_of_no_trial):
            if each is client:
                given.pop("pseudonym")
            else:
                given["pseudonym"] = f"{PSEUDONYM}-{ae_title}"
            found = getattr(each, name)(ae_title, **given)
            data = as_bytes(found if isinstance(found, (Dataset, dict)) else list(found))
            assert data and not leaks(data, a_site.study)
            if "nifti" not in name:
                assert (b"First trial" in data) == (each is client)
        client_of_no_trial.close()


@pytest.mark.parametrize("ae_title", AE_TITLES)
def test_instances_arrive_as_they_are_in_the_archive(a_site: Site, ae_title: str) -> None:
    with a_site.client("ben") as client:
        opening = client._web.download(ae_title, (STUDY,), Form.FILES, None)
        files = Download(client._wire, opening, DownloadReader(lambda part: part.body))
        arrived = {encoded.sop_uid: b"".join(encoded.parts) for encoded in map(split_part10, files)}
        assert arrived == a_site.originals()
        assert files.receipt is not None
        assert (files.receipt.expected, files.receipt.sent, files.receipt.left_out) == (7, 7, {})
        found = client.retrieve_series(ae_title, STUDY, OTHER_SERIES)
        assert {image.SOPInstanceUID for image in found} == {uid for uid in arrived if uid.startswith(OTHER_SERIES)}
        assert client.retrieve_image(ae_title, STUDY, SERIES, IMAGE).PatientID == PATIENT


@pytest.mark.parametrize("ae_title", AE_TITLES)
def test_searches_find_datasets(a_site: Site, ae_title: str) -> None:
    with a_site.client("ben") as client:
        (study,) = client.search_for_studies(ae_title, {"PatientID": PATIENT, "includefield": ["StudyDescription"]})
        assert (study.StudyInstanceUID, study.NumberOfStudyRelatedInstances) == (STUDY, 7)
        series = client.search_for_series(ae_title, STUDY)
        assert {one.SeriesInstanceUID for one in series} == {SERIES, OTHER_SERIES}
        assert len(client.search_for_images(ae_title, STUDY, SERIES)) == 4
        assert client.search_for_images(ae_title, STUDY, SERIES, {"limit": 1}).has_more
        (found,) = client.search_studies(ae_title, patient_id=PATIENT)
        assert (found.study_uid, found.instance_count) == (STUDY, 7)
        with client.stream_studies(ae_title, patient_id=PATIENT) as search:
            assert [one.study_uid for one in search] == [STUDY]
        assert not search.has_more


@pytest.mark.parametrize("name", ["store as datasets", "store as files"])
def test_images_are_stored(a_site: Site, name: str) -> None:
    number = 8 if name == "store as files" else 9
    images: list[Any] = []
    for path in a_site.study.files[:2]:
        dataset = dcmread(path)
        dataset.StudyInstanceUID, dataset.PatientID = f"{STUDY}.{number}", f"STORED-{number}"
        dataset.SOPInstanceUID = f"{dataset.SOPInstanceUID}.{number}"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        images.append(dataset if name == "store as datasets" else as_bytes(dataset))
    with a_site.client("ben") as client:
        result = client.store_images("TARGET_AE", images)
        assert len(result.ReferencedSOPSequence) == 2
        stored = {uid: data for uid, data in a_site.target.files().items() if uid.endswith(f".{number}")}
        assert len(stored) == 2
        if name == "store as files":
            originals = {b"".join(split_part10(image).parts) for image in images}
            assert {b"".join(split_part10(data).parts) for data in stored.values()} == originals
        with pytest.raises(errors.AnswerError):
            client.store_images("TARGET_AE", [b"no DICOM"])


def test_what_is_not_permitted_is_told(a_site: Site) -> None:
    with a_site.client("eve") as client:
        for call in (
            lambda: client.retrieve_study("PACS", STUDY),
            lambda: client.search_for_studies("PACS"),
            lambda: client.search_studies("PACS"),
        ):
            with pytest.raises(errors.Forbidden):
                call()
        for call in (
            lambda: client.retrieve_study("NOWHERE", STUDY, PSEUDONYM),
            lambda: client.retrieve_study("PACS", "1.2.3.9", PSEUDONYM),
        ):
            with pytest.raises(errors.NotFound):
                call()
        with pytest.raises(errors.InvalidRequest) as caught:
            client.retrieve_study("PACS", STUDY, "no*wildcards")
        assert "pseudonym" in caught.value.errors
    with a_site.client("ada") as owner:
        made = owner.add_token(datetime.now(UTC) + timedelta(days=1), operations=["read"])
        with AditClient(a_site.web.url, made.secret) as client:
            assert client.me().token.operations == ("read",)
            with pytest.raises(errors.Forbidden):
                client.search_studies()
            owner.revoke_token(made.token)
            with pytest.raises(errors.NotSignedIn):
                client.me()


def test_no_log_has_the_token_or_what_was_asked(a_site: Site, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), a_site.client("ben") as client:
        assert client.search_for_studies("PACS_WEB", {"PatientName": "Geheim^Gerda"}) == []
        client.retrieve_image("PACS_WEB", STUDY, SERIES, IMAGE, pseudonym="GEHEIM-1")
    assert any(record.name.startswith("httpcore") for record in caplog.records)
    for word in (a_site.tokens["ben"], "Geheim", "GEHEIM", "PatientName"):
        assert word not in caplog.text


def test_maintenance_is_waited_for(a_site: Site) -> None:
    db = a_site.installation.db
    project.update(db, TESTER, "", True, project.get(db).version)
    ends = threading.Timer(1, lambda: project.update(db, TESTER, "", False, project.get(db).version))
    with a_site.client("ada") as client:
        pauses: list[float] = []
        client._wire._sleep = lambda seconds: (pauses.append(seconds), threading.Event().wait(min(seconds, 1.5)))
        ends.start()
        try:
            assert client.me().username == "ada"
        finally:
            ends.join()
        assert pauses


# -- batch files -----------------------------------------------------------------------------------

PROJECT = {"project_name": "Lung study", "project_description": "Nodules over time."}
MOVED = {**PROJECT, "ethics_application_id": "S-1/2026"}


def rows_of(file: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(file.decode("utf-8-sig"))))


def test_a_batch_goes_from_a_list_of_patients_to_verdicts(a_site: Site, a_worker: None) -> None:
    asked = f"RowID,PatientID,Modality,Pseudonym\nR1,{PATIENT},CT,COHORT-1\nR2,NOBODY-0815,CT,COHORT-2\n".encode()
    with a_site.client("ben") as client:
        assert client.check_batch_file(asked, "query").is_good
        query = client.wait(client.batch_query(asked, "PACS", **PROJECT), timeout=120)
        assert [(one.row_id, one.study and one.study.study_uid) for one in client.batch_results(query)] == [
            ("R1", STUDY),
            ("R2", None),
        ]
        assert [row["QueryResult"] == "found" for row in rows_of(client.batch_results_file(query, "csv"))] == [
            True,
            False,
        ]
        found = client.batch_results_file(query, "xlsx")
        assert client.check_batch_file(found, "transfer").rows == 1
        job = client.batch_transfer(("found.xlsx", found), "TARGET_AE", "PACS", timeout=120, **MOVED)
        ended = client.wait(job, timeout=120)
        assert ended.state == "success", ended.message
        assert (client.items(job)[0].pseudonym, client.receipts(job)[0].is_complete) == ("COHORT-1", True)
        (sheet,) = load_workbook(BytesIO(client.verdict_file(job))).worksheets
        headings = [cell.value for cell in sheet[1]]
        verdicts = {
            row[headings.index("RowID")].value: row[headings.index("Verdict")].value for row in sheet.iter_rows(2)
        }
        assert str(verdicts["R1"]).startswith("Done.")
        assert not str(verdicts["R2"] or "").startswith("Done.")
    at_target = {dcmread(BytesIO(file), stop_before_pixels=True).PatientID for file in a_site.target.files().values()}
    assert "COHORT-1" in at_target
    assert PATIENT not in at_target


def test_a_batch_with_open_rows_waits_for_a_second_try(a_site: Site, a_worker: None) -> None:
    asked = f"PatientID,StudyInstanceUID,Pseudonym\n{PATIENT},{STUDY},COHORT-3\n{PATIENT},1.2.3.9,COHORT-3\n".encode()
    with a_site.client("ben") as client:
        with pytest.raises(errors.NotAllFound) as caught:
            client.batch_transfer(asked, "TARGET_AE", "PACS", timeout=120, **MOVED)
        assert caught.value.open_verdicts == ("not_found",)
        assert client.check_outcome(caught.value.check).transfer_id is None
        job = client.transfer_checked(caught.value.check, ["not_found"])
        assert client.transfer_checked(caught.value.check, ["not_found"]).id == job.id
        assert client.wait(job, timeout=120).state == "success"
        first, second = rows_of(client.verdict_file(job))
        assert first["Verdict"].startswith("Done.")
        assert second["Verdict"].startswith("Left out. Not found.")
        with pytest.raises(errors.BadBatchFile) as refused:
            client.batch_query(b"PatientID\nGEHEIM*\n", "PACS", **PROJECT)
        assert refused.value.problems
        assert "GEHEIM" not in str(refused.value)


# -- the one that awaits ---------------------------------------------------------------------------


def test_the_asynchronous_client_does_the_same(a_site: Site, a_worker: None) -> None:

    async def everything() -> None:
        async with AsyncAditClient(base_url=a_site.web.url, token=a_site.tokens["ben"]) as client:
            assert len(await client.search_for_studies("PACS_WEB", {"PatientID": PATIENT})) == 1
            for name in RETRIEVALS:
                found = getattr(client, name)("PACS_WEB", **arguments(name))
                if name.startswith("iter_"):
                    found = [one async for one in found]
                else:
                    found = await found
                data = as_bytes(found)
                assert data and not leaks(data, a_site.study)
            images = client.iter_study("PACS", STUDY, PSEUDONYM)
            async with images:
                await images.__anext__()
            assert len(await client.retrieve_study("PACS", STUDY, PSEUDONYM)) == 7
            async with client.stream_studies("PACS", patient_id=PATIENT) as search:
                assert [one.study_uid async for one in search] == [STUDY]
            job = await client.transfer_study(STUDY, "TARGET_AE", "PACS", pseudonym="AWAITED")
            ended = await client.wait(job, timeout=120)
            assert ended.state == "success", ended.message
            assert (await client.receipts(job))[0].is_complete
            result = await client.store_images("TARGET_AE", [await client.retrieve_image("PACS", STUDY, SERIES, IMAGE)])
            assert len(result.ReferencedSOPSequence) == 1
            searches = [0] * 3

            async def search_again(number: int) -> None:
                searches[number] = len(await client.search_studies("PACS", patient_id=PATIENT))

            async with anyio.create_task_group() as group:
                for number in range(3):
                    group.start_soon(search_again, number)
            assert searches == [1, 1, 1]

    anyio.run(everything)


def test_no_warning_of_an_unencrypted_connection_to_this_machine(a_site: Site) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        a_site.client("ada").close()


def test_nothing_is_left_in_the_spool(a_site: Site) -> None:
    jobs = JobStore(a_site.installation.db).list(JobFilter(), 1000, 0)
    assert {job.state for job in jobs} <= {*FINISHED, State.PENDING}
    assert a_site.installation.leftovers() == []
