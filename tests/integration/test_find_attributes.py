"""Any attribute can be searched for and asked for; C-FIND and QIDO-RS tell the same, in the same form."""

import io
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset

from dicom.attributes import path_of
from dicom.network import find
from dicom.network.dicom_json import Item, items, text, values
from dicom.network.direct import DirectAssociation
from dicom.network.find import DimseFinder
from dicom.network.ports import Finder
from dicom.network.qido import QidoFinder
from dicom.network.reactor import ReactorAssociation
from models.domain.errors import AditError, Unreachable
from models.domain.nodes import Server
from models.domain.refs import Level
from tests.peers import Peer, free_port, orthanc

CT = "1.2.840.10008.5.1.4.1.1.2"
NAME = "Müller^Jörg"
Ask = Callable[..., list[Item]]


def a_file(study: int, series: int, instance: int, **more: object) -> bytes:
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID, dataset.SOPInstanceUID = CT, f"1.2.826.{study}.{series}.{instance}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"1.2.826.{study}", f"1.2.826.{study}.{series}"
    dataset.PatientID, dataset.PatientName, dataset.PatientBirthDate = f"P{study}", f"{NAME}^{study}", "19700101"
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID = f"2024031{study}", "101500", f"S{study}"
    dataset.AccessionNumber, dataset.Modality = f"A{study}", "CT" if series == 1 else "MR"
    dataset.ReferringPhysicianName = "Arzt^Anna"
    dataset.SeriesNumber, dataset.SeriesDescription = series, f"series {series}"
    dataset.PerformedProcedureStepStartDate = "20240312"
    dataset.InstanceNumber, dataset.NumberOfFrames = instance, 1
    dataset.Rows, dataset.Columns, dataset.BitsAllocated = 8, 16, 8
    dataset.BitsStored, dataset.HighBit, dataset.SamplesPerPixel, dataset.PixelRepresentation = 8, 7, 1, 0
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.SliceLocation = "1.50"
    request = Dataset()
    request.ScheduledProcedureStepID, request.RequestedProcedureID = f"SPS{study}", f"RP{study}"
    dataset.RequestAttributesSequence = [request]
    for keyword, value in more.items():
        setattr(dataset, keyword, value)
    dataset.PixelData = bytes(128)
    dataset["PixelData"].VR = "OW"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    target = io.BytesIO()
    pydicom.dcmwrite(target, dataset, enforce_file_format=True)
    return target.getvalue()


@pytest.fixture(scope="module")
def an_orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with orthanc(tmp_path_factory.mktemp("orthanc"), "ARCHIVE") as peer:
        for study in (1, 2, 3):
            for series in (1, 2):
                for instance in (1, 2):
                    peer.rest("/instances", a_file(study, series, instance))
        yield peer


def server_of(peer: Peer) -> Server:
    server = Server("Archive", peer.ae_title, "127.0.0.1", peer.port, dicomweb_root_url=f"{peer.url}/dicom-web/")
    return replace(server, study_root_find_support=True)


KINDS = ["C-FIND", "C-FIND by pynetdicom", "QIDO-RS"]


def finder_of(kind: str, server: Server, monkeypatch: pytest.MonkeyPatch) -> Finder:
    engine = ReactorAssociation if "pynetdicom" in kind else DirectAssociation
    monkeypatch.setattr(find, "association_kind", lambda _: engine)
    return QidoFinder(server, page_size=2) if kind == "QIDO-RS" else DimseFinder(server, "ADIT_US")


@pytest.fixture(params=KINDS)
def ask(request: pytest.FixtureRequest, an_orthanc: Peer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ask]:
    """Search by names of attributes."""
    with finder_of(request.param, server_of(an_orthanc), monkeypatch) as finder:

        def asking(level: Level, returned: str | None = "", **matching: str) -> list[Item]:
            wanted = None if returned is None else [paths(name) for name in returned.split()]
            keys = {paths(name.replace("__", ".")): value for name, value in matching.items()}
            return list(finder.find_attributes(level, keys, wanted))

        yield asking


def paths(name: str) -> str:
    found = path_of(name)
    assert found is not None, name
    return found


def told(item: Item, *names: str) -> list[str]:
    return [text(item, paths(name)) for name in names]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("StudyInstanceUID", "1.2.826.2"),
        ("PatientID", "P2"),
        ("PatientName", f"{NAME}^2"),
        ("PatientName", "m*ller^*^2"),
        ("StudyDate", "20240312"),
        ("AccessionNumber", "*2"),
        ("StudyID", "S2"),
    ],
)
def test_a_study_is_found_by_any_of_its_attributes(ask: Ask, key: str, value: str) -> None:
    (found,) = ask(Level.STUDY, "StudyID PatientName ModalitiesInStudy NumberOfStudyRelatedInstances", **{key: value})
    assert told(found, "StudyInstanceUID", "StudyID", "PatientName") == ["1.2.826.2", "S2", f"{NAME}^2"]
    assert sorted(map(str, values(found, paths("ModalitiesInStudy")))) == ["CT", "MR"]
    assert values(found, paths("NumberOfStudyRelatedInstances")) == [4]


def test_the_form_is_that_of_the_standard(ask: Ask) -> None:
    (found,) = ask(Level.STUDY, "PatientName NumberOfStudyRelatedSeries PatientComments", StudyInstanceUID="1.2.826.1")
    assert found["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": f"{NAME}^1"}]}
    assert found["00201206"] == {"vr": "IS", "Value": [2]}
    assert found["0020000D"] == {"vr": "UI", "Value": ["1.2.826.1"]}
    assert found.get("00104000", {"vr": "LT"}) == {"vr": "LT"}
    assert set(found) <= {"00100010", "00201206", "0020000D", "00104000"}


def test_several_uids_and_modalities_find_each_study_once(ask: Ask) -> None:
    found = ask(Level.STUDY, StudyInstanceUID="1.2.826.1\\1.2.826.3", ModalitiesInStudy="CT\\MR\\PT")
    assert sorted(told(one, "StudyInstanceUID")[0] for one in found) == ["1.2.826.1", "1.2.826.3"]


def test_what_fits_nothing_finds_nothing(ask: Ask) -> None:
    assert ask(Level.STUDY, PatientID="P9") == []
    assert ask(Level.SERIES, StudyInstanceUID="1.2.9") == []
    assert ask(Level.SERIES, StudyInstanceUID="1.2.826.1", Modality="US") == []


def test_series_are_found_by_their_attributes_with_sequences_in_them(ask: Ask) -> None:
    (found,) = ask(
        Level.SERIES,
        "SeriesDescription NumberOfSeriesRelatedInstances RequestAttributesSequence PerformedProcedureStepStartDate",
        StudyInstanceUID="1.2.826.1",
        Modality="MR",
    )
    assert told(found, "SeriesInstanceUID", "SeriesDescription") == ["1.2.826.1.2", "series 2"]
    assert found["00201209"] == {"vr": "IS", "Value": [2]}
    assert found["00400244"] == {"vr": "DA", "Value": ["20240312"]}
    for request in items(found, "00400275"):  # not every archive keeps it
        assert told(request, "RequestedProcedureID") == ["RP1"]


def test_instances_tell_numbers_as_numbers(ask: Ask) -> None:
    (found,) = ask(
        Level.IMAGE,
        "SOPClassUID Rows Columns BitsAllocated SliceLocation",
        StudyInstanceUID="1.2.826.1",
        SeriesInstanceUID="1.2.826.1.1",
        InstanceNumber="2",
    )
    assert told(found, "SOPInstanceUID", "SOPClassUID") == ["1.2.826.1.1.2", CT]
    assert found["00200013"] == {"vr": "IS", "Value": [2]}
    assert found["00280010"] == {"vr": "US", "Value": [8]} and found["00280011"] == {"vr": "US", "Value": [16]}
    assert found["00201041"] == {"vr": "DS", "Value": [1.5]}


def test_a_number_is_a_key_like_any_other(ask: Ask) -> None:
    keys = {"StudyInstanceUID": "1.2.826.1", "SeriesInstanceUID": "1.2.826.1.1"}
    assert len(ask(Level.IMAGE, Rows="8", **keys)) == 2
    assert ask(Level.IMAGE, Rows="9", **keys) == []


@pytest.mark.parametrize("level", [Level.STUDY, Level.SERIES, Level.IMAGE])
def test_everything_is_more_than_was_named_and_nothing_of_where_the_peer_has_it(ask: Ask, level: Level) -> None:
    keys = {"StudyInstanceUID": "1.2.826.1"} | ({"SeriesInstanceUID": "1.2.826.1.1"} if level is Level.IMAGE else {})
    found = ask(level, None, **keys)[0]
    expected = {Level.STUDY: "StudyDate", Level.SERIES: "Modality", Level.IMAGE: "InstanceNumber"}[level]
    assert told(found, expected) != [""]
    assert not {"00080052", "00081190", "7FE00010"} & set(found)


def test_who_leaves_early_can_ask_again(an_orthanc: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in KINDS:
        with finder_of(kind, server_of(an_orthanc), monkeypatch) as finder:
            found = finder.find_attributes(Level.STUDY, {}, [])
            next(found)
            found.close()  # type: ignore[attr-defined]
            assert len(list(finder.find_attributes(Level.STUDY, {}, []))) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_no_key_stands_in_an_error_or_a_log(
    kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    nobody = Peer("NOBODY", free_port(), None, None, free_port())  # type: ignore[arg-type]
    with caplog.at_level(logging.DEBUG), finder_of(kind, server_of(nobody), monkeypatch) as finder:
        with pytest.raises(Unreachable) as raised:
            list(finder.find_attributes(Level.STUDY, {"00100010": "Geheim^Gerda"}, []))
        with suppress(AditError):
            list(finder.find_attributes(Level.IMAGE, {"00280010": "Geheim"}, []))
    assert "Geheim" not in str(raised.value) + caplog.text
