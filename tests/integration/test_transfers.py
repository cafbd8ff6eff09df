"""Studies travel between real archives by every pair of protocols, and failures end as they should."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import count
from pathlib import Path

import pytest
from pydicom import FileDataset, dcmread

from deployments.demo import studies
from deployments.demo.studies import StudyFiles
from dicom.part10 import split_part10
from models.domain.jobs import Item, State
from models.domain.nodes import Node, Server
from models.domain.receipts import Completeness
from models.domain.requests import StudyWish
from tests.installation import DICOMWEB, DIMSE_GET, DIMSE_MOVE, Installation
from tests.peers import UNCHECKED, Peer, dcmqrscp, free_port, orthanc
from tests.planted import planted_in

NUMBERS = count(1)
SOURCES = {"wado": DICOMWEB, "c-get": DIMSE_GET, "c-move": DIMSE_MOVE}
DESTINATIONS = {"c-store": DIMSE_GET, "stow": DICOMWEB, "folder": {}}


@dataclass
class Site:
    """Two archives and the installation between them."""

    installation: Installation
    source: Peer
    destination: Peer
    corpus: dict[str, StudyFiles]

    def wish(self, kind: str, pseudonym: str = "SUBJ-01") -> StudyWish:
        study = self.corpus[kind]
        return StudyWish(study.study_uid, study.patient_id, pseudonym=pseudonym)


@pytest.fixture(scope="module")
def a_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("site")
    installation = Installation(root / "adit")
    receiver_ports = {installation.settings.receiver_ae_title: installation.settings.receiver_port}
    corpus = {
        "ct": studies.write_ct(root / "ct", patient=1, study=1, instances=(4, 3), rows=64, columns=64),
        "compressed": studies.write_compressed(root / "compressed", patient=2, study=2),
        "deflated": studies.write_deflated(root / "deflated", patient=3, study=3),
        "sr": studies.write_sr(root / "sr", patient=4, study=4),
    }
    with (
        orthanc(root / "a", "SOURCE_PACS", receiver_ports, UNCHECKED) as source,
        orthanc(root / "b", "RESEARCH", settings=UNCHECKED) as destination,
    ):
        source.upload([file for study in corpus.values() for file in study.files])
        yield Site(installation, source, destination, corpus)


@pytest.fixture
def an_empty_destination(a_site: Site) -> Peer:
    for study in a_site.destination.rest("/studies"):  # type: ignore[attr-defined]
        a_site.destination.rest(f"/studies/{study}", method="DELETE")
    return a_site.destination


def the_source(site: Site, protocol: str) -> Server:
    return site.installation.server(site.source, unique("source"), ae_title=unique("S"), **SOURCES[protocol])


def unique(name: str) -> str:
    """Names and AE titles of nodes are unique in an installation; the archives here do not check theirs."""
    return f"{name}_{next(NUMBERS)}"


def the_destination(site: Site, protocol: str, folder: Path) -> Node:
    if protocol == "folder":
        return site.installation.folder(folder, unique("folder"))
    return site.installation.server(
        site.destination, unique("destination"), ae_title=unique("D"), **DESTINATIONS[protocol]
    )


def arrived_at(site: Site, node: Node, folder: Path) -> dict[str, bytes]:
    """SOP Instance UID -> file as it lies at the destination."""
    if isinstance(node, Server):
        return site.destination.files()
    return {path.stem: path.read_bytes() for path in folder.rglob("*.dcm")}


def data_sets(files: dict[str, bytes]) -> dict[str, str]:
    """Digest of everything after the file meta information, which each archive writes anew."""
    return {
        uid: hashlib.sha256(b"".join(bytes(part) for part in split_part10(memoryview(file)).parts)).hexdigest()
        for uid, file in files.items()
    }


@pytest.mark.usefixtures("an_empty_destination")
@pytest.mark.parametrize("destination", DESTINATIONS)
@pytest.mark.parametrize("source", SOURCES)
def test_every_pair_of_protocols_moves_a_whole_study(
    a_site: Site, tmp_path: Path, source: str, destination: str
) -> None:
    site = a_site
    target = the_destination(site, destination, tmp_path)
    receiver = site.installation.receiver(site.source.ae_title)
    receiver.start()
    try:
        (item,) = site.installation.transfer(the_source(site, source), target, site.wish("ct"), trial="pairs")
    finally:
        receiver.stop()
    receipt = site.installation.receipt(item)
    assert (item.state, receipt.verdict) == (State.SUCCESS, Completeness.COMPLETE), item.message
    assert len(receipt.confirmed) == len(site.corpus["ct"].files)
    arrived = arrived_at(site, target, tmp_path)
    assert len(arrived) == len(site.corpus["ct"].files)
    assert {dcmread_header(file).PatientID for file in arrived.values()} == {"SUBJ-01"}
    assert not leaks(site, arrived)
    assert site.installation.leftovers() == []


@pytest.mark.usefixtures("an_empty_destination")
@pytest.mark.parametrize("destination", ["stow", "folder"])
def test_the_basic_profile_tells_neither_patient_nor_scanner_nor_day(
    a_site: Site, tmp_path: Path, destination: str
) -> None:
    site = a_site
    target = the_destination(site, destination, tmp_path)
    wishes = [site.wish("ct", ""), site.wish("sr", "")]
    items = site.installation.transfer(the_source(site, "c-get"), target, *wishes, profile="basic")
    assert {item.state for item in items} == {State.SUCCESS}, [item.message for item in items]
    arrived = arrived_at(site, target, tmp_path)
    assert leaks(site, arrived, with_devices=True) == set()
    assert {dcmread_header(file).PatientID for file in arrived.values()} == {item.pseudonym for item in items}
    assert not planted_in(arrived.values(), {studies.STUDY_DATE})
    assert not planted_in([str(path).encode() for path in tmp_path.rglob("*")], {studies.STUDY_DATE})


def dcmread_header(file: bytes) -> FileDataset:
    return dcmread(BytesIO(file), stop_before_pixels=True)


def leaks(site: Site, arrived: dict[str, bytes], with_devices: bool = False) -> set[str]:
    """Identifying values of the corpus that stand in a file at the destination."""
    values = studies.identifying_values(list(site.corpus.values()), with_devices)
    return planted_in(arrived.values(), values)


@pytest.mark.usefixtures("an_empty_destination")
@pytest.mark.parametrize("kind", ["compressed", "deflated", "sr"])
@pytest.mark.parametrize(("source", "destination"), [("wado", "stow"), ("c-get", "c-store"), ("c-move", "folder")])
def test_compressed_deflated_and_imageless_studies_arrive_in_their_own_syntax(
    a_site: Site, tmp_path: Path, kind: str, source: str, destination: str
) -> None:
    site = a_site
    target = the_destination(site, destination, tmp_path)
    receiver = site.installation.receiver(site.source.ae_title)
    receiver.start()
    try:
        (item,) = site.installation.transfer(the_source(site, source), target, site.wish(kind))
    finally:
        receiver.stop()
    assert item.state is State.SUCCESS, item.message
    arrived = arrived_at(site, target, tmp_path)
    assert len(arrived) == len(site.corpus[kind].files)
    sent = {dcmread(file, stop_before_pixels=True).file_meta.TransferSyntaxUID for file in site.corpus[kind].files}
    assert {dcmread_header(file).file_meta.TransferSyntaxUID for file in arrived.values()} == sent
    assert not leaks(site, arrived)


@pytest.mark.usefixtures("an_empty_destination")
def test_the_same_study_under_the_same_trial_has_the_same_bytes_every_time_and_everywhere(
    a_site: Site, tmp_path: Path
) -> None:
    site = a_site
    results: list[dict[str, str]] = []
    for n, (source, destination) in enumerate([("wado", "folder"), ("c-get", "c-store"), ("c-get", "folder")]):
        folder = tmp_path / str(n)
        folder.mkdir()
        target = the_destination(site, destination, folder)
        (item,) = site.installation.transfer(the_source(site, source), target, site.wish("ct"), trial="same")
        assert item.state is State.SUCCESS, item.message
        results.append(data_sets(arrived_at(site, target, folder)))
    assert results[0] == results[1] == results[2]


@pytest.mark.usefixtures("an_empty_destination")
def test_where_the_identity_is_kept_the_data_sets_arrive_byte_for_byte(a_site: Site, tmp_path: Path) -> None:
    site = a_site
    target = the_destination(site, "folder", tmp_path)
    wish = site.wish("compressed", pseudonym="")
    (item,) = site.installation.transfer(the_source(site, "c-get"), target, wish, keep_identity=True)
    assert item.state is State.SUCCESS, item.message
    originals = {str(dcmread(file).SOPInstanceUID): file.read_bytes() for file in site.corpus["compressed"].files}
    assert data_sets(arrived_at(site, target, tmp_path)) == data_sets(originals)


def test_only_the_chosen_series_is_moved(a_site: Site, tmp_path: Path) -> None:
    site = a_site
    target = the_destination(site, "folder", tmp_path)
    study = site.corpus["ct"]
    by_series: dict[str, int] = {}
    for file in study.files:
        uid = str(dcmread(file, stop_before_pixels=True).SeriesInstanceUID)
        by_series[uid] = by_series.get(uid, 0) + 1
    chosen = min(by_series, key=lambda uid: by_series[uid])
    wish = StudyWish(study.study_uid, series_uids=(chosen,), pseudonym="S")
    (item,) = site.installation.transfer(the_source(site, "c-get"), target, wish)
    assert item.state is State.SUCCESS, item.message
    assert len(arrived_at(site, target, tmp_path)) == by_series[chosen]


def test_one_failing_item_never_stops_the_others(a_site: Site, tmp_path: Path) -> None:
    site = a_site
    target = the_destination(site, "folder", tmp_path)
    items = site.installation.transfer(
        the_source(site, "c-get"),
        target,
        StudyWish("1.2.3.4.5.6.7", pseudonym="NOBODY"),
        site.wish("ct", "SUBJ-01"),
        site.wish("sr", "SUBJ-04"),
    )
    assert [item.state for item in items] == [State.FAILURE, State.SUCCESS, State.SUCCESS]
    assert (items[0].error_code, items[0].attempts) == ("NotFound", 1)


def test_two_patients_are_never_merged_under_one_pseudonym(a_site: Site, tmp_path: Path) -> None:
    site = a_site
    target = the_destination(site, "folder", tmp_path)
    wishes = [StudyWish(site.corpus[kind].study_uid, pseudonym="SAME") for kind in ("ct", "sr")]
    items = site.installation.transfer(the_source(site, "c-get"), target, *wishes)
    moved, refused = sorted(items, key=lambda item: item.state is State.FAILURE)  # whichever came first
    assert (moved.state, refused.state, refused.error_code) == (State.SUCCESS, State.FAILURE, "IdentityConflict")
    kind = "ct" if moved.study_uid == site.corpus["ct"].study_uid else "sr"
    assert len(arrived_at(site, target, tmp_path)) == len(site.corpus[kind].files)


def test_a_request_with_the_wrong_patient_moves_nothing(a_site: Site, tmp_path: Path) -> None:
    site = a_site
    target = the_destination(site, "folder", tmp_path)
    wish = StudyWish(site.corpus["ct"].study_uid, "SOMEBODY-ELSE", pseudonym="S")
    (item,) = site.installation.transfer(the_source(site, "c-get"), target, wish)
    assert (item.state, item.error_code, item.attempts) == (State.FAILURE, "IdentityConflict", 1)
    assert arrived_at(site, target, tmp_path) == {}


def ends(item: Item) -> tuple[State, str, int]:
    return item.state, item.error_code, item.attempts


def test_a_server_that_is_down_is_tried_again_and_then_reported(a_site: Site, tmp_path: Path) -> None:
    site = a_site
    down = site.installation.server(site.source, unique("down"), ae_title=unique("X"), port=free_port(), **DIMSE_GET)
    target = the_destination(site, "folder", tmp_path)
    (item,) = site.installation.transfer(down, target, site.wish("ct"))
    assert ends(item) == (State.FAILURE, "Unreachable", site.installation.settings.max_attempts)


def test_a_refused_association_names_what_to_check(a_site: Site, tmp_path: Path) -> None:
    site = a_site
    target = the_destination(site, "folder", tmp_path)
    with dcmqrscp(tmp_path / "qr", "RIGHT_AE") as archive:
        wrong = site.installation.server(archive, unique("wrong"), ae_title="WRONG_AE", **DIMSE_GET)
        (item,) = site.installation.transfer(wrong, target, site.wish("ct"))
    assert ends(item) == (State.FAILURE, "AssociationRejected", site.installation.settings.max_attempts)
    assert "called ae title not recogni" in item.message.lower()
