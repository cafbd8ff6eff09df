"""QIDO-RS, WADO-RS and STOW-RS against Orthanc: all is found, every data set arrives byte by byte as stored."""

import base64
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

from dicom.network.qido import QidoFinder
from dicom.network.stow import StowSender
from dicom.network.wado import WadoRetriever
from dicom.part10 import split_part10
from models.domain.errors import NotFound, PeerError, Stalled, Unsupported
from models.domain.instances import EncodedInstance, Verdict
from models.domain.nodes import Server
from models.domain.refs import (
    InstanceFound,
    Level,
    PatientFound,
    PatientQuery,
    Selection,
    SeriesFound,
    StudyQuery,
    StudyRef,
)
from tests.peers import Peer, orthanc

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT, IMPLICIT, DEFLATED = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99"
JPEG_LOSSLESS, JPEG_2000 = "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.90"
SYNTAXES = (EXPLICIT, IMPLICIT, JPEG_LOSSLESS, JPEG_2000, DEFLATED)
STUDY = StudyRef("1.2.826.1")
SERIES = ("1.2.826.1.1", "1.2.826.1.2")


def a_file(
    sop_uid: str, series_uid: str, syntax: str = EXPLICIT, pixels: bytes = bytes(range(256)) * 40, **more: str
) -> bytes:
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.SeriesInstanceUID = CT, sop_uid, series_uid
    dataset.StudyInstanceUID = series_uid.rpartition(".")[0]
    dataset.PatientID, dataset.PatientName, dataset.PatientBirthDate = "P 1/ä", "Müller^Jörg", "19700101"
    dataset.PatientSex, dataset.StudyDate, dataset.StudyTime = "F", "20240312", "101500"
    dataset.AccessionNumber, dataset.StudyDescription, dataset.Modality = "A&1", "Kopf + Hals", "CT"
    dataset.SeriesNumber, dataset.SeriesDescription = "3", "axial"
    for keyword, value in more.items():
        setattr(dataset, keyword, value)
    is_encapsulated = syntax in (JPEG_LOSSLESS, JPEG_2000)
    dataset.PixelData = encapsulate([pixels]) if is_encapsulated else pixels
    dataset["PixelData"].VR = "OB"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    target = io.BytesIO()
    pydicom.dcmwrite(target, dataset, enforce_file_format=True)
    return target.getvalue()


FILES = {
    f"{series}.{number}": a_file(f"{series}.{number}", series, syntax)
    for series in SERIES
    for number, syntax in enumerate(SYNTAXES, start=1)
}


def server_of(peer: Peer, **more: object) -> Server:
    server = Server("Archive", peer.ae_title, "127.0.0.1", peer.port, dicomweb_root_url=f"{peer.url}/dicom-web/")
    return replace(server, **more)


@pytest.fixture(scope="module")
def an_orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with orthanc(tmp_path_factory.mktemp("orthanc"), "WEBA") as peer:
        for file in FILES.values():
            peer.rest("/instances", file)
        for number in range(1, 4):
            uid = f"1.2.826.2{number}"
            name = f"Other^{number}"
            file = a_file(f"{uid}.1.1", f"{uid}.1", PatientID=f"Q{number}", PatientName=name, Modality="MR")
            peer.rest("/instances", file)
        yield peer


@pytest.fixture
def an_empty_orthanc(tmp_path: Path) -> Iterator[Peer]:
    with orthanc(tmp_path / "empty", "WEBB") as peer:
        yield peer


def retrieved(server: Server, selection: Selection, scratch: Path) -> dict[str, EncodedInstance]:
    found: dict[str, EncodedInstance] = {}
    with WadoRetriever(server, scratch) as retriever:
        retriever.retrieve(selection, lambda instance: found.update({instance.sop_uid: instance}))
    return found


def content(instance: EncodedInstance) -> tuple[str, str, bytes]:
    return instance.sop_class_uid, instance.transfer_syntax_uid, b"".join(instance.parts)


@pytest.mark.parametrize(
    "query",
    [
        StudyQuery(study_uid=STUDY.study_uid),
        StudyQuery(patient_id="P 1/ä"),
        StudyQuery(patient_name="Müller^J*"),
        StudyQuery(patient_name="müller*", study_date="20240101-20241231"),
        StudyQuery(accession_number="A&1", birth_date="19700101", patient_id="P*"),
        StudyQuery(study_description="Kopf + H?ls", modalities=("CT", "PT")),
    ],
)
def test_a_study_is_found_by_every_key(an_orthanc: Peer, query: StudyQuery) -> None:
    with QidoFinder(server_of(an_orthanc)) as finder:
        (found,) = finder.find_studies(query)
    assert (found.study_uid, found.patient_id, found.patient_name) == (STUDY.study_uid, "P 1/ä", "Müller^Jörg")
    assert (found.series_count, found.instance_count, found.modalities) == (2, 10, ("CT",))


def test_every_study_is_found_once_over_several_pages(an_orthanc: Peer) -> None:
    with QidoFinder(server_of(an_orthanc), page_size=1) as finder:
        uids = [found.study_uid for found in finder.find_studies(StudyQuery())]
        both = [found.study_uid for found in finder.find_studies(StudyQuery(modalities=("CT", "MR")))]
    assert sorted(uids) == sorted(both) == ["1.2.826.1", "1.2.826.21", "1.2.826.22", "1.2.826.23"]


def test_patients_are_studies_made_unique(an_orthanc: Peer) -> None:
    with QidoFinder(server_of(an_orthanc)) as finder:
        assert list(finder.find_patients(PatientQuery(patient_name="Müller*"))) == [
            PatientFound("P 1/ä", "Müller^Jörg", "19700101", "F")
        ]
        assert {found.patient_id for found in finder.find_patients(PatientQuery())} == {"P 1/ä", "Q1", "Q2", "Q3"}


def test_series_and_instances_are_listed_while_another_list_is_open(an_orthanc: Peer) -> None:
    with QidoFinder(server_of(an_orthanc)) as finder:
        listed = {series: list(finder.find_instances(STUDY, series.series_uid)) for series in finder.find_series(STUDY)}
    assert set(listed) == {SeriesFound(STUDY.study_uid, uid, "CT", "3", "axial", 5) for uid in SERIES}
    instances = {instance for found in listed.values() for instance in found}
    assert instances == {InstanceFound(uid.rpartition(".")[0], uid, CT) for uid in FILES}


def test_what_is_not_there_is_an_empty_list(an_orthanc: Peer) -> None:
    with QidoFinder(server_of(an_orthanc)) as finder:
        assert list(finder.find_studies(StudyQuery(patient_name="Nobody^ü"))) == []
        assert list(finder.find_series(StudyRef("9.9"))) == []


def test_a_whole_study_arrives_as_it_is_stored(an_orthanc: Peer, tmp_path: Path) -> None:
    found = retrieved(server_of(an_orthanc), Selection(STUDY, Level.STUDY), tmp_path)
    stored = an_orthanc.files()
    assert set(found) == set(FILES)
    assert {i.transfer_syntax_uid for i in found.values()} == set(SYNTAXES)
    for uid, instance in found.items():
        assert content(instance) == content(split_part10(stored[uid])) == content(split_part10(FILES[uid]))


def test_a_series_and_single_instances_arrive(an_orthanc: Peer, tmp_path: Path) -> None:
    server = server_of(an_orthanc)
    series = retrieved(server, Selection(STUDY, Level.SERIES, SERIES[0]), tmp_path)
    assert set(series) == {uid for uid in FILES if uid.startswith(SERIES[0])}
    wanted = tuple(sorted(series))[1:3]
    some = retrieved(server, Selection(STUDY, Level.IMAGE, SERIES[0], wanted), tmp_path)
    assert {uid: content(i) for uid, i in some.items()} == {uid: content(series[uid]) for uid in wanted}


def test_one_missing_instance_does_not_keep_the_others_back(an_orthanc: Peer, tmp_path: Path) -> None:
    wanted = ("9.9", f"{SERIES[0]}.1")
    some = retrieved(server_of(an_orthanc), Selection(STUDY, Level.IMAGE, SERIES[0], wanted), tmp_path)
    assert set(some) == {wanted[1]}


@pytest.mark.parametrize(
    "selection",
    [
        Selection(StudyRef("9.9"), Level.STUDY),
        Selection(STUDY, Level.SERIES, "9.9"),
        Selection(STUDY, Level.IMAGE, SERIES[0], ("9.9", "9.8")),
    ],
)
def test_nothing_of_a_selection_there_is_not_found(an_orthanc: Peer, tmp_path: Path, selection: Selection) -> None:
    with pytest.raises(NotFound):
        retrieved(server_of(an_orthanc), selection, tmp_path)


def test_what_the_sink_raises_comes_out_and_the_next_request_works(an_orthanc: Peer, tmp_path: Path) -> None:
    taken: list[str] = []
    trouble = Stalled("full")

    def stall(instance: EncodedInstance) -> None:
        taken.append(instance.sop_uid)
        raise trouble

    with WadoRetriever(server_of(an_orthanc), tmp_path) as retriever:
        with pytest.raises(Stalled) as caught:
            retriever.retrieve(Selection(STUDY, Level.STUDY), stall)
        assert caught.value is trouble
        assert len(taken) == 1
        retriever.retrieve(Selection(STUDY, Level.STUDY), lambda instance: taken.append(instance.sop_uid))
    assert len(taken) == 11


def test_what_is_stored_is_what_was_sent(an_empty_orthanc: Peer) -> None:
    with StowSender(server_of(an_empty_orthanc)) as sender:
        for uid, file in FILES.items():
            assert sender.send(split_part10(file)).verdict is Verdict.STORED, uid
    stored = an_empty_orthanc.files()
    assert {uid: content(split_part10(file)) for uid, file in stored.items()} == {
        uid: content(split_part10(file)) for uid, file in FILES.items()
    }


def test_a_large_instance_travels_through_a_file_without_a_name(an_empty_orthanc: Peer, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    large = split_part10(a_file("1.2.826.1.1.1", SERIES[0], pixels=bytes(range(256)) * 80_000))
    server = server_of(an_empty_orthanc)
    with StowSender(server) as sender:
        assert sender.send(large).verdict is Verdict.STORED
    found = retrieved(server, Selection(STUDY, Level.STUDY), scratch)
    assert content(found["1.2.826.1.1.1"]) == content(large)
    assert list(scratch.iterdir()) == []


def test_an_instance_that_the_server_cannot_read_is_refused(an_empty_orthanc: Peer) -> None:
    broken = EncodedInstance(CT, "1.2.826.1.1.1", EXPLICIT, (b"this is no data set",))
    with StowSender(server_of(an_empty_orthanc)) as sender:
        outcome = sender.send(broken)
        assert outcome.verdict is Verdict.REFUSED
        assert outcome.status
        assert sender.send(split_part10(FILES[f"{SERIES[0]}.1"])).verdict is Verdict.STORED


def test_a_protected_server_needs_the_authorization_header(tmp_path: Path) -> None:
    settings = {"AuthenticationEnabled": True, "RegisteredUsers": {"adit": "secret"}}
    with orthanc(tmp_path / "protected", "WEBC", settings=settings) as peer:
        header = "Basic " + base64.b64encode(b"adit:secret").decode()
        instance = split_part10(FILES[f"{SERIES[0]}.1"])
        allowed = server_of(peer, dicomweb_authorization_header=header)
        with StowSender(allowed) as sender:
            assert sender.send(instance).verdict is Verdict.STORED
        with QidoFinder(allowed) as finder:
            assert [found.study_uid for found in finder.find_studies(StudyQuery())] == [STUDY.study_uid]
        assert set(retrieved(allowed, Selection(STUDY, Level.STUDY), tmp_path)) == {instance.sop_uid}
        with StowSender(server_of(peer)) as sender, pytest.raises(Unsupported, match="authorization header"):
            sender.send(instance)
        with QidoFinder(server_of(peer)) as finder, pytest.raises(Unsupported, match="authorization header"):
            list(finder.find_studies(StudyQuery()))
        with pytest.raises(Unsupported, match="authorization header"):
            retrieved(server_of(peer), Selection(STUDY, Level.STUDY), tmp_path)


def test_a_wrong_root_url_is_named(an_orthanc: Peer) -> None:
    wrong = server_of(an_orthanc, dicomweb_root_url=f"{an_orthanc.url}/not-here")
    with QidoFinder(wrong) as finder, pytest.raises(Unsupported, match="root URL"):
        list(finder.find_studies(StudyQuery(patient_name="Müller*")))
    with StowSender(wrong) as sender, pytest.raises(Unsupported, match="root URL"):
        sender.send(split_part10(FILES[f"{SERIES[0]}.1"]))


def test_a_server_killed_in_mid_download_has_delivered_what_was_complete(tmp_path: Path) -> None:
    files = {f"1.2.826.1.1.{n}": a_file(f"1.2.826.1.1.{n}", SERIES[0], pixels=bytes(2 << 20)) for n in range(20)}
    with orthanc(tmp_path / "killed", "WEBD") as peer:
        for file in files.values():
            peer.rest("/instances", file)
        received: dict[str, EncodedInstance] = {}

        def kill(instance: EncodedInstance) -> None:
            received[instance.sop_uid] = instance
            peer.process.kill()
            peer.process.wait()

        with WadoRetriever(server_of(peer), tmp_path) as retriever, pytest.raises(PeerError) as caught:
            retriever.retrieve(Selection(STUDY, Level.STUDY), kill)
        assert caught.value.retry == "soon"
        assert 1 <= len(received) < len(files)
        for uid, instance in received.items():
            assert content(instance) == content(split_part10(files[uid]))
