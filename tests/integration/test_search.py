"""Searches of people against a real archive, by C-FIND and QIDO-RS: what is found, and that nothing stays behind."""

import contextlib
import io
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset

from dicom.network import direct, reactor
from models.db.engine import Database
from models.db.nodes import NodeStore
from models.db.slots import SlotStore
from models.domain.audit import DONE
from models.domain.errors import AditError, AssociationRejected, PeerError, Unreachable, Unsupported
from models.domain.nodes import Folder, Server
from models.domain.people import operator
from models.domain.refs import StudyQuery, StudyRef
from models.domain.requests import StudyWish
from models.settings import Settings
from services import audit
from services.searching import search
from services.searching.search import StudySearch
from tests.databases import MASTER_KEY, put_tables
from tests.installation import PATIENT
from tests.peers import Peer, free_port, frozen, orthanc
from tests.samples import some_settings
from tests.waiting import wait_until

OPERATOR = operator("root")
COUNT = 120
"""Studies of other people, beside the one of John Doe."""
CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
DOE = "1.2.826.9"
DIMSE = {"study_root_find_support": True, "study_root_get_support": True}
WEB = {"dicomweb_qido_support": True, "dicomweb_wado_support": True}


def a_file(study_uid: str, series: int, instance: int, **more: str) -> bytes:
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID = MR if more.get("Modality") == "MR" else CT
    dataset.StudyInstanceUID = study_uid
    dataset.SeriesInstanceUID = f"{study_uid}.{series}"
    dataset.SOPInstanceUID = f"{study_uid}.{series}.{instance}"
    dataset.PatientBirthDate, dataset.PatientSex, dataset.StudyTime = "19700101", "O", "101500"
    dataset.SeriesNumber = str(series)
    for keyword, value in ({"Modality": "CT", "StudyDate": "20240312", "AccessionNumber": "A1"} | more).items():
        setattr(dataset, keyword, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    target = io.BytesIO()
    pydicom.dcmwrite(target, dataset, enforce_file_format=True)
    return target.getvalue()


@pytest.fixture(scope="module")
def an_orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with orthanc(tmp_path_factory.mktemp("orthanc"), "ARCHIVE") as peer:
        for number in range(1, COUNT + 1):
            name = {"PatientID": f"P{number}", "PatientName": f"Other^Number{number}"}
            peer.rest("/instances", a_file(f"1.2.826.1.{number}", 1, 1, **name))
        doe = {"PatientID": "DOE-1", "PatientName": "Doe^John^Paul", "StudyDescription": "Head and neck"}
        for instance in (1, 2, 3):
            peer.rest("/instances", a_file(DOE, 2, instance, **doe, StudyDate="20240501"))
        peer.rest("/instances", a_file(DOE, 1, 1, **doe, StudyDate="20240501", Modality="MR"))
        peer.rest("/instances", a_file(DOE, 10, 1, **doe, StudyDate="20240501", Modality="SR"))
        yield peer


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return some_settings(tmp_path, exclude_modalities=("SR",))


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    put_tables(settings.url)
    db = Database(settings.url, MASTER_KEY)
    yield db
    db.close()


@pytest.fixture(params=["direct", "pynetdicom", "qido"])
def a_source(request: pytest.FixtureRequest, database: Database, an_orthanc: Peer) -> Server:
    fields = WEB if request.param == "qido" else DIMSE | {"uses_pynetdicom": request.param == "pynetdicom"}
    return kept(database, an_orthanc, **fields)


@pytest.fixture(autouse=True)
def no_threads_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    wait_until(lambda: set(threading.enumerate()) <= before, "the end of all threads")


def kept(db: Database, peer: Peer, **fields: object) -> Server:
    values = {"ae_title": peer.ae_title, "port": peer.port, "dicomweb_root_url": f"{peer.url}/dicom-web"} | fields
    added = NodeStore(db).add(Server(**{"name": "Archive", "host": "127.0.0.1"} | values))  # type: ignore[arg-type]
    assert isinstance(added, Server)
    return added


def a_search(
    db: Database, settings: Settings, source: Server, limit: int = search.LIMIT, **keys: object
) -> StudySearch:
    return search.studies(db, settings, OPERATOR, source.id, StudyQuery(**keys), limit)  # type: ignore[arg-type]


def trail(db: Database) -> list[tuple[str, str]]:
    return [(entry.subject, entry.outcome) for entry in reversed(audit.entries(db, OPERATOR))]


@pytest.mark.parametrize(
    "keys",
    [
        {"patient_name": "Doe, John"},
        {"patient_name": "doe"},
        {"patient_id": "DOE*"},
        {"study_date": "20240401-20240601"},
        {"study_description": "Head*"},
        {"modalities": ("mr",)},
        {"modalities": ("MR", "SR")},
        {"study_uid": DOE},
    ],
)
def test_a_study_is_found_by_every_key_once(
    database: Database, settings: Settings, a_source: Server, keys: dict[str, object]
) -> None:
    (found,) = a_search(database, settings, a_source, **keys)
    assert (found.study_uid, found.patient_id, found.instance_count) == (DOE, "DOE-1", 5)
    assert set(found.modalities) == {"CT", "MR", "SR"}


def test_results_end_at_the_limit_and_the_archive_goes_on(
    database: Database, settings: Settings, a_source: Server
) -> None:
    found = a_search(database, settings, a_source, limit=20)
    assert len({study.study_uid for study in found}) == 20
    assert found.has_more
    everything = a_search(database, settings, a_source)
    assert len({study.study_uid for study in everything}) == COUNT + 1
    assert not everything.has_more
    assert [outcome for _, outcome in trail(database)] == [DONE, DONE]


def test_a_search_that_is_closed_in_the_middle_gives_everything_back_at_once(
    database: Database, settings: Settings, an_orthanc: Peer, a_source: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From an archive that does not say a word meanwhile: none is waited for, however patient we are."""
    for engine in (direct, reactor):
        monkeypatch.setattr(engine, "_RELEASE_PATIENCE_S", 3600.0)
    a_source = replace(a_source, timeouts=PATIENT)
    NodeStore(database).update(a_source)
    found = a_search(database, settings, a_source)
    for _ in range(5):
        next(found)
    assert SlotStore(database).taken(a_source.id) == 1
    with frozen(an_orthanc):
        found.close()
        assert SlotStore(database).taken(a_source.id) == 0
    assert list(found) == []
    assert trail(database) == [("server Archive: by nothing; 5 studies", "Canceled")]
    assert len(list(a_search(database, settings, a_source, patient_id="DOE-1"))) == 1
    assert connections_to(an_orthanc) == 0


def test_many_people_search_within_a_budget_of_two(database: Database, settings: Settings, an_orthanc: Peer) -> None:
    source = kept(database, an_orthanc, **DIMSE, association_budget=2)
    most, sizes = 0, list[int]()

    def ask() -> None:
        sizes.append(len(list(a_search(database, settings, source))))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        most = max(most, connections_to(an_orthanc))
        time.sleep(0.002)
    for thread in threads:
        thread.join()
    assert sizes == [COUNT + 1] * 6
    assert most <= 2


def test_series_and_their_instances_are_counted(database: Database, settings: Settings, a_source: Server) -> None:
    found = search.series(database, settings, OPERATOR, a_source.id, StudyRef(DOE, "DOE-1"))
    assert [(one.number, one.modality, one.instance_count) for one in found] == [
        *(("1", "MR", 1), ("2", "CT", 3), ("10", "SR", 1))
    ]


def test_a_preview_says_what_would_be_moved(
    database: Database, settings: Settings, a_source: Server, tmp_path: Path
) -> None:
    folder = NodeStore(database).add(Folder("research", tmp_path, quota_gb=1))
    wishes = (StudyWish(DOE, "DOE-1"), StudyWish("1.2.826.1.1"), StudyWish("1.2.826.404"))
    found = search.preview(database, settings, OPERATOR, a_source.id, folder.id, wishes)
    first, second, missing = found.studies
    assert (first.instance_count, second.instance_count) == (4, 1)
    assert [left.series.modality for left in first.left_out] == ["SR"]
    assert "has no study" in missing.problem
    assert found.size_bytes == 4 * 530_000 + 260_000
    assert found.has_room
    assert SlotStore(database).taken(a_source.id) == 0


def test_previews_may_run_at_the_same_time(
    database: Database, settings: Settings, a_source: Server, tmp_path: Path
) -> None:
    folder = NodeStore(database).add(Folder("research", tmp_path))
    wishes = tuple(StudyWish(f"1.2.826.1.{n}") for n in range(1, 21))
    counts: list[int | None] = []

    def look() -> None:
        found = search.preview(database, settings, OPERATOR, a_source.id, folder.id, wishes)
        counts.append(found.instance_count)

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [20, 20]


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        (DIMSE | {"ae_title": "WRONG"}, AssociationRejected),
        (DIMSE | {"port": free_port()}, Unreachable),
        (WEB | {"dicomweb_root_url": f"http://127.0.0.1:{free_port()}/dicom-web"}, Unreachable),
        (WEB | {"dicomweb_qido_prefix": "nowhere"}, Unsupported),
    ],
)
def test_an_archive_that_cannot_be_asked_is_an_error_and_is_written_down(
    database: Database, settings: Settings, an_orthanc: Peer, fields: dict[str, object], kind: type[AditError]
) -> None:
    source = kept(database, an_orthanc, **fields)
    with pytest.raises(kind):
        list(a_search(database, settings, source, patient_id="DOE-1"))
    assert trail(database) == [("server Archive: by patient_id; 0 studies", kind.__name__)]
    assert SlotStore(database).taken(source.id) == 0


def test_a_search_without_authorization_is_told_so(database: Database, settings: Settings, tmp_path: Path) -> None:
    users = {"RegisteredUsers": {"adit": "pw"}, "AuthenticationEnabled": True}
    with orthanc(tmp_path / "guarded", "GUARDED", settings=users) as peer:
        source = kept(database, peer, **WEB)
        with pytest.raises(Unsupported, match="HTTP status 401"):
            list(a_search(database, settings, source))


def test_what_a_dying_archive_gave_never_looks_like_all_of_it(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    """Its last answers may be on their way already when it dies, so all of them may arrive; else it is an error."""
    with orthanc(tmp_path / "dying", "DYING") as peer:
        for number in range(60):
            peer.rest("/instances", a_file(f"1.2.827.{number}", 1, 1, PatientID=f"P{number}", PatientName="X^Y"))
        source = kept(database, peer, **DIMSE)
        found = a_search(database, settings, source)
        uids = [next(found).study_uid]
        peer.process.kill()
        peer.process.wait()
        is_whole = False
        with contextlib.suppress(PeerError):
            uids.extend(study.study_uid for study in found)
            is_whole = True
    assert len(uids) == len(set(uids))
    assert is_whole is (len(uids) == 60)
    assert SlotStore(database).taken(source.id) == 0


def connections_to(peer: Peer) -> int:
    """Established TCP connections to the archive's DICOM port, as the kernel counts them on our side."""
    wanted = f":{peer.port:04X}"
    established = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, _, remote, state, *_ = line.split()
        established += remote.endswith(wanted) and state == "01"
    return established


def test_the_count_of_connections_is_true(an_orthanc: Peer) -> None:
    before = connections_to(an_orthanc)
    with socket.create_connection(("127.0.0.1", an_orthanc.port)):
        assert connections_to(an_orthanc) == before + 1
