"""What tests of more than one file use."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.demo.studies import StudyFiles
from dicom.network import echo, find, get, move, store
from dicom.network.direct import DirectAssociation
from dicom.network.move import DirectPolled
from dicom.network.reactor import ReactorAssociation
from tests.peers import UNCHECKED, Peer, orthanc


@pytest.fixture(params=[DirectAssociation, ReactorAssociation], ids=["direct", "pynetdicom"])
def bulk_engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> object:
    """Let each service go over each kind of association in turn: the same is true of both."""
    for module in (echo, find, get, store):
        monkeypatch.setattr(module, "association_kind", lambda _: request.param)
    polled = DirectPolled if request.param is DirectAssociation else ReactorAssociation
    monkeypatch.setattr(move, "polled_kind", lambda _: polled)
    return request.param


@pytest.fixture(scope="module")
def a_source(tmp_path_factory: pytest.TempPathFactory, a_corpus: list[StudyFiles]) -> Iterator[Peer]:
    """An archive with the studies of the module's ``a_corpus``."""
    with orthanc(tmp_path_factory.mktemp("source"), "SOURCE", settings=UNCHECKED) as archive:
        archive.upload([file for study in a_corpus for file in study.files])
        yield archive


@pytest.fixture
def a_destination(tmp_path: Path) -> Iterator[Peer]:
    with orthanc(tmp_path / "destination", "TARGET", settings=UNCHECKED) as archive:
        yield archive
