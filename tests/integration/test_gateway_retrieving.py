"""WADO-RS through the gateway from a real archive, over each protocol it may speak, for dicomweb-client and others."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from itertools import count
from pathlib import Path

import httpx
import pytest
from pydicom import Dataset, dcmread

from deployments.demo import studies
from deployments.demo.studies import StudyFiles
from dicom.network import multipart
from dicom.part10 import split_part10
from models.db.slots import SlotStore
from models.domain.jobs import State
from models.domain.nodes import Server
from models.domain.people import Permission
from models.domain.requests import StudyWish
from services import audit, nodes, trials
from services.converting import WITHOUT_VOLUMES
from services.gateway import retrieving
from services.streams import Stream
from tests.corpus.search import Haystack
from tests.installation import DICOMWEB, DIMSE_GET, DIMSE_MOVE, TESTER, Installation
from tests.peers import UNCHECKED, Peer, free_port, orthanc
from tests.served_api import ServedApi, served_api
from tests.waiting import wait_until

ENTRIES = {"GET_ONLY": DIMSE_GET, "WEB_ONLY": DICOMWEB, "MOVE_ONLY": DIMSE_MOVE}
"""AE titles of three entries for one archive, which is reached over one protocol by each."""
NUMBERS = count(1)


@dataclass
class Site:
    """An archive with studies of four kinds, and the gateway before it."""

    api: ServedApi
    archive: Peer
    corpus: dict[str, StudyFiles]
    identified: str
    """The token of somebody who may see whose studies these are."""
    pseudonymous: str
    """The token of somebody who may not."""

    def parts(self, answer: httpx.Response) -> list[bytes]:
        assert answer.status_code == 200, answer.text
        boundary = multipart.boundary_of(answer.headers["content-type"])
        scratch = self.api.installation.spool.scratch
        return [bytes(part) for part in multipart.parts(iter([answer.content]), boundary, scratch)]

    def files(self, path: str, token: str = "", **query: str) -> list[bytes]:
        """The files that a raw request gets."""
        return self.parts(self.api.client(token or self.pseudonymous).get(path, params=query))


@pytest.fixture(scope="module")
def a_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root, port = tmp_path_factory.mktemp("site"), free_port()
    installation = Installation(root / "adit", web_url=f"http://127.0.0.1:{port}", api_retrievals=8)
    receiver_ports = {installation.settings.receiver_ae_title: installation.settings.receiver_port}
    corpus = {
        "ct": studies.write_ct(root / "ct", patient=1, study=1, instances=(4, 3), rows=64, columns=64),
        "compressed": studies.write_compressed(root / "compressed", patient=2, study=2),
        "deflated": studies.write_deflated(root / "deflated", patient=3, study=3),
        "sr": studies.write_sr(root / "sr", patient=4, study=4),
        "large": studies.write_ct(root / "large", patient=5, study=5, instances=(16, 16), rows=512, columns=512),
    }
    with (
        orthanc(root / "archive", "ARCHIVE", receiver_ports, UNCHECKED) as archive,
        served_api(installation, port) as api,
    ):
        archive.upload([file for study in corpus.values() for file in study.files])
        entries = [installation.server(archive, name, ae_title=name, **fields) for name, fields in ENTRIES.items()]
        may = {Permission.WEB_RETRIEVE, Permission.SELECTIVE_UNPSEUDONYMIZED}
        identified = api.token(api.person("ida", may, sources=entries))
        pseudonymous = api.token(api.person("paul", {Permission.WEB_RETRIEVE}, sources=entries))
        receiver = installation.receiver(archive.ae_title)
        receiver.start()
        try:
            yield Site(api, archive, corpus, identified, pseudonymous)
        finally:
            receiver.stop()


@pytest.fixture(autouse=True)
def nothing_is_left_behind(a_site: Site) -> Iterator[None]:
    yield
    assert a_site.api.installation.leftovers() == []


def data_sets(files: list[bytes]) -> dict[str, bytes]:
    """SOP Instance UID -> what stands behind the file meta information, which every writer makes anew."""
    found = [split_part10(file) for file in files]
    return {instance.sop_uid: b"".join(bytes(part) for part in instance.parts) for instance in found}


def originals(study: StudyFiles) -> dict[str, bytes]:
    return data_sets([file.read_bytes() for file in study.files])


def leaks(study: StudyFiles, data: bytes, with_devices: bool = False) -> set[str]:
    haystack = Haystack(data)
    values = studies.identifying_values([study], with_devices)
    return {value for value in values | {study.study_uid} if haystack.holds(value)}


def written(data_set: Dataset) -> bytes:
    buffer = BytesIO()
    data_set.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["ct", "compressed", "deflated", "sr"])
@pytest.mark.parametrize("entry", ENTRIES)
def test_with_identity_data_sets_are_the_archives_own_byte_for_byte(a_site: Site, entry: str, kind: str) -> None:
    study = a_site.corpus[kind]
    files = a_site.files(f"{entry}/wadors/studies/{study.study_uid}", a_site.identified)
    assert data_sets(files) == originals(study)
    sent = {dcmread(BytesIO(file), stop_before_pixels=True).file_meta.TransferSyntaxUID for file in files}
    assert sent == {dcmread(file, stop_before_pixels=True).file_meta.TransferSyntaxUID for file in study.files}


@pytest.mark.parametrize("kind", ["ct", "compressed", "deflated", "sr"])
@pytest.mark.parametrize("entry", ENTRIES)
def test_with_a_pseudonym_no_identifier_is_left_in_any_byte_of_any_form(a_site: Site, entry: str, kind: str) -> None:
    study = a_site.corpus[kind]
    path = f"{entry}/wadors/studies/{study.study_uid}"
    files = a_site.files(path, pseudonym="SUBJ-01")
    assert len(files) == len(study.files)
    headers = [dcmread(BytesIO(file), stop_before_pixels=True) for file in files]
    assert {(one.PatientID, str(one.PatientName)) for one in headers} == {("SUBJ-01", "SUBJ-01")}
    assert not {one for file in files for one in leaks(study, file)}
    if kind == "deflated":
        assert not {one for header in headers for one in leaks(study, str(header).encode())}
    client = a_site.api.client(a_site.pseudonymous)
    metadata = client.get(f"{path}/metadata", params={"pseudonym": "SUBJ-01"})
    assert len(metadata.json()) == len(study.files)
    assert not leaks(study, metadata.content)
    assert not leaks(study, str(metadata.headers).encode())
    volumes = client.get(f"{path}/nifti", params={"pseudonym": "SUBJ-01"})
    assert volumes.status_code == (409 if kind == "sr" else 200), volumes.text
    assert not leaks(study, volumes.content)


@pytest.mark.parametrize("entry", ENTRIES)
def test_dicomweb_client_retrieves_everything_on_each_level(a_site: Site, entry: str) -> None:
    study = a_site.corpus["ct"]
    expected = {str(one.SOPInstanceUID): one for one in map(dcmread, study.files)}
    web = a_site.api.dicomweb(a_site.identified, entry)
    by_study = web.retrieve_study(study.study_uid)
    assert {str(one.SOPInstanceUID) for one in by_study} == set(expected)
    assert all(one.PixelData == expected[one.SOPInstanceUID].PixelData for one in by_study)
    assert {str(one.SOPInstanceUID) for one in web.iter_study(study.study_uid)} == set(expected)
    series_uid = str(by_study[0].SeriesInstanceUID)
    of_series = {uid for uid, one in expected.items() if one.SeriesInstanceUID == series_uid}
    assert {str(one.SOPInstanceUID) for one in web.retrieve_series(study.study_uid, series_uid)} == of_series
    assert {str(one.SOPInstanceUID) for one in web.iter_series(study.study_uid, series_uid)} == of_series
    uid = min(of_series)
    one = web.retrieve_instance(study.study_uid, series_uid, uid)
    assert (one.SOPInstanceUID, one.PixelData) == (uid, expected[uid].PixelData)
    for found, wanted in (
        (web.retrieve_study_metadata(study.study_uid), set(expected)),
        (web.retrieve_series_metadata(study.study_uid, series_uid), of_series),
        ([web.retrieve_instance_metadata(study.study_uid, series_uid, uid)], {uid}),
    ):
        described = [Dataset.from_json(item) for item in found]
        assert {str(item.SOPInstanceUID) for item in described} == wanted
        assert not any("PixelData" in item for item in described)
        for item in described:
            original = expected[item.SOPInstanceUID]
            assert (item.PatientName, item.Rows, item.SliceLocation) == (
                original.PatientName,
                original.Rows,
                original.SliceLocation,
            )


@pytest.mark.parametrize("level", ["study", "series", "instance"])
@pytest.mark.parametrize("entry", ENTRIES)
def test_volumes_of_each_level(a_site: Site, entry: str, level: str) -> None:
    study = a_site.corpus["ct"]
    first = dcmread(study.files[0], stop_before_pixels=True)
    path = f"{entry}/wadors/studies/{study.study_uid}"
    if level != "study":
        path += f"/series/{first.SeriesInstanceUID}"
    if level == "instance":
        path += f"/instances/{first.SOPInstanceUID}"
    found = a_site.files(f"{path}/nifti", pseudonym="SUBJ-01")
    assert len(found) == (4 if level == "study" else 2)
    assert found[0].startswith(b"{") and found[1].startswith(b"\x1f\x8b")


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_retrieval_for_a_trial_gives_the_files_that_a_transfer_for_it_gives(
    a_site: Site, tmp_path: Path, entry: str
) -> None:
    installation, study, trial = a_site.api.installation, a_site.corpus["ct"], f"NCT-{next(NUMBERS)}"
    names = {"trial_protocol_id": trial, "trial_protocol_name": "A trial"}
    folder = installation.folder(tmp_path / "out", f"folder {next(NUMBERS)}")
    (source,) = (one for one in the_entries(installation) if one.ae_title == entry)
    wish = StudyWish(study.study_uid, study.patient_id)
    (item,) = installation.transfer(source, folder, wish, trial=trial, trial_protocol_name="A trial")
    assert item.state is State.SUCCESS, item.message
    moved = {path.stem: path.read_bytes() for path in (tmp_path / "out").rglob("*.dcm")}
    path = f"{entry}/wadors/studies/{study.study_uid}"
    for token in (a_site.pseudonymous, a_site.identified):
        stranger = a_site.api.client(token).get(path, params=names)
        assert (stranger.status_code, list(stranger.json()["errors"])) == (403, ["trial_protocol_id"])
        assert item.pseudonym not in stranger.text
    trials.allow(installation.db, TESTER, trials.named(installation.db, TESTER, trial).id, "paul")
    files = a_site.files(path, **names)
    assert {dcmread(BytesIO(file)).PatientID for file in files} == {item.pseudonym}
    assert {split_part10(file).sop_uid: file for file in files} == moved
    again = a_site.files(f"{entry}/wadors/studies/{study.study_uid}", pseudonym=item.pseudonym, **names)
    assert sorted(again) == sorted(files)
    other = a_site.api.client(a_site.pseudonymous).get(
        f"{entry}/wadors/studies/{study.study_uid}", params={"pseudonym": "SOMEBODY", **names}
    )
    assert (other.status_code, other.json()["code"]) == (409, "IdentityConflict")


def the_entries(installation: Installation) -> list[Server]:
    return [node for node in nodes.list(installation.db) if isinstance(node, Server)]


def test_the_same_person_and_pseudonym_get_the_same_files_over_every_protocol_and_others_get_others(
    a_site: Site,
) -> None:
    study = a_site.corpus["ct"]
    mine = [sorted(a_site.files(f"{entry}/wadors/studies/{study.study_uid}", pseudonym="X-1")) for entry in ENTRIES]
    assert mine[0] == mine[1] == mine[2]
    path = f"GET_ONLY/wadors/studies/{study.study_uid}"
    theirs = a_site.files(path, a_site.identified, pseudonym="X-1")
    renamed = a_site.files(path, pseudonym="X-2")
    for others in (theirs, renamed):
        assert not data_sets(mine[0]).keys() & data_sets(others).keys()


@pytest.mark.parametrize("entry", ENTRIES)
def test_what_the_archive_does_not_have_is_not_found(a_site: Site, entry: str) -> None:
    client = a_site.api.client(a_site.identified)
    study = a_site.corpus["ct"].study_uid
    series = str(dcmread(a_site.corpus["ct"].files[0], stop_before_pixels=True).SeriesInstanceUID)
    for path in ("1.2.3", f"{study}/series/1.2.3", f"{study}/series/{series}/instances/1.2.3"):
        for form in ("", "/metadata", "/nifti"):
            answer = client.get(f"{entry}/wadors/studies/{path}{form}")
            assert (answer.status_code, answer.json()["code"]) == (404, "NotFound"), path


def test_an_archive_that_is_gone_is_a_bad_gateway(a_site: Site) -> None:
    nowhere = Peer("NOWHERE", free_port(), None, Path(), free_port())  # type: ignore[arg-type]
    installation = a_site.api.installation
    servers = [
        installation.server(nowhere, f"nowhere {name}", ae_title=f"NO_{name}", **fields)
        for name, fields in ENTRIES.items()
    ]
    client = a_site.api.client(a_site.api.token(a_site.api.person("nora", {Permission.WEB_RETRIEVE}, sources=servers)))
    for server in servers:
        answer = client.get(f"{server.ae_title}/wadors/studies/1.2.3?pseudonym=A")
        assert (answer.status_code, answer.json()["code"]) == (502, "Unreachable")


def test_series_without_volumes_are_not_fetched(a_site: Site) -> None:
    assert {"SR", "KO", "PR"} < WITHOUT_VOLUMES
    study = a_site.corpus["sr"].study_uid
    answer = a_site.api.client(a_site.identified).get(f"GET_ONLY/wadors/studies/{study}/nifti")
    assert answer.status_code == 409
    assert answer.json()["detail"] == "Nothing is left to send: Modality SR is excluded."


def test_several_retrievals_of_one_study_at_a_time_get_all_of_it_each(a_site: Site) -> None:
    study = a_site.corpus["ct"]
    entries = ["MOVE_ONLY", "MOVE_ONLY", "GET_ONLY", "WEB_ONLY"]
    with ThreadPoolExecutor() as pool:
        found = pool.map(
            lambda entry: a_site.files(f"{entry}/wadors/studies/{study.study_uid}", a_site.identified), entries
        )
        assert [data_sets(files) == originals(study) for files in found] == [True] * 4


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_reader_who_stops_for_a_while_gets_every_byte_although_the_connection_had_to_be_broken_off(
    a_site: Site, entry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, stalled = a_site.corpus["large"], threading.Event()
    monkeypatch.setattr(retrieving, "PATIENCE_S", 0.3)
    monkeypatch.setattr(retrieving, "_stream_bytes", lambda settings: 1_000_000)
    wait = Stream.wait_for_room

    def noting(stream: Stream) -> None:
        stalled.set()
        wait(stream)

    monkeypatch.setattr(Stream, "wait_for_room", noting)
    client = a_site.api.client(a_site.identified)
    with client.stream("GET", f"{entry}/wadors/studies/{study.study_uid}") as answer:
        pieces = answer.iter_raw()
        received = [next(pieces)]
        assert stalled.wait(60)
        received += pieces
    boundary = multipart.boundary_of(answer.headers["content-type"])
    found = multipart.parts(iter(received), boundary, a_site.api.installation.spool.scratch)
    assert data_sets([bytes(part) for part in found]) == originals(study)


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_caller_who_hangs_up_frees_the_connection_to_the_archive(a_site: Site, entry: str) -> None:
    installation, study = a_site.api.installation, a_site.corpus["large"]
    (server,) = (one for one in the_entries(installation) if one.ae_title == entry)
    client = a_site.api.client(a_site.identified)
    with client.stream("GET", f"{entry}/wadors/studies/{study.study_uid}") as answer:
        next(answer.iter_raw())
    wait_until(lambda: not SlotStore(installation.db).taken(server.id), "the end of the connection")
    wait_until(lambda: last_outcome(installation) == "Canceled", "the outcome in the trail")


def last_outcome(installation: Installation) -> str:
    return audit.entries(installation.db, TESTER, limit=1)[0].outcome
