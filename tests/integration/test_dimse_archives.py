"""C-FIND, C-GET, C-MOVE and C-STORE against Orthanc and DCMTK: everything is found, and arrives byte for byte."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, JPEGLosslessSV1

from deployments.demo import studies
from deployments.demo.studies import StudyFiles
from dicom.network.echo import echo
from dicom.network.find import DimseFinder
from dicom.network.get import GetRetriever
from dicom.network.inbox import Inbox
from dicom.network.move import MoveRetriever
from dicom.network.receiver import Receiver
from dicom.network.store import DimseSender
from dicom.part10 import split_part10
from models.domain.errors import AssociationRejected, BadRequest, PeerError, Unreachable, Unsupported
from models.domain.instances import EncodedInstance, Verdict
from models.domain.nodes import Server
from models.domain.refs import Level, PatientQuery, Selection, StudyQuery, StudyRef
from tests.peers import Peer, dcmqrscp, free_port, orthanc, storescp
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("bulk_engine")

US, RECEIVER = "ADIT_US", "ADIT_RECV"
HERE = Path("/tmp")


def server_of(peer: Peer, **fields: object) -> Server:
    capabilities = {
        "study_root_find_support": True,
        "study_root_get_support": True,
        "study_root_move_support": True,
        "store_scp_support": True,
    }
    return Server(peer.ae_title, peer.ae_title, "127.0.0.1", peer.port, **(capabilities | fields))  # type: ignore[arg-type]


def instances_of(study: StudyFiles) -> dict[str, EncodedInstance]:
    found = [split_part10(file.read_bytes()) for file in study.files]
    return {instance.sop_uid: instance for instance in found}


def joined(instance: EncodedInstance) -> bytes:
    return b"".join(instance.parts)


@dataclass
class Site:
    corpus: dict[str, StudyFiles]
    archive: Peer
    receiver_port: int

    def selection(self, kind: str, **fields: object) -> Selection:
        wanted = instances_of(self.corpus[kind])
        values = {
            "study": StudyRef(self.corpus[kind].study_uid),
            "level": Level.STUDY,
            "sop_uids": tuple(wanted),
            "sop_class_uids": frozenset(instance.sop_class_uid for instance in wanted.values()),
        }
        return Selection(**(values | fields))  # type: ignore[arg-type]

    def check(self, kind: str, arrived: list[EncodedInstance]) -> None:
        """Every instance arrived once, with the bytes and the syntax it has in its file."""
        wanted = instances_of(self.corpus[kind])
        assert sorted(instance.sop_uid for instance in arrived) == sorted(wanted)
        for instance in arrived:
            original = wanted[instance.sop_uid]
            assert instance.sop_class_uid == original.sop_class_uid
            assert instance.transfer_syntax_uid == original.transfer_syntax_uid
            assert joined(instance) == joined(original)


@pytest.fixture(scope="module")
def a_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("dimse")
    corpus = {
        "ct": studies.write_ct(root / "ct", patient=1, study=1, instances=(4, 3), rows=64, columns=64),
        "compressed": studies.write_compressed(root / "compressed", patient=2, study=2),
        "deflated": studies.write_deflated(root / "deflated", patient=3, study=3),
        "sr": studies.write_sr(root / "sr", patient=4, study=4),
    }
    port = free_port()
    with orthanc(root / "orthanc", "SOURCE_A", {RECEIVER: port}) as archive:
        archive.upload([file for study in corpus.values() for file in study.files])
        yield Site(corpus, archive, port)


@pytest.fixture(scope="module")
def a_dcmtk_archive(a_site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with dcmqrscp(tmp_path_factory.mktemp("qr"), "QR_ARCHIVE", {RECEIVER: a_site.receiver_port}) as archive:
        with DimseSender(server_of(archive), US) as sender:
            for instance in instances_of(a_site.corpus["ct"]).values():
                assert sender.send(instance).verdict is Verdict.STORED
        yield archive


@pytest.fixture
def an_inbox(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path / "inbox")


@pytest.fixture
def a_receiver(a_site: Site, an_inbox: Inbox) -> Iterator[Receiver]:
    receiver = Receiver("127.0.0.1", a_site.receiver_port, an_inbox, lambda: ["SOURCE_A", "QR_ARCHIVE"])
    receiver.start()
    yield receiver
    receiver.stop()


def test_an_archive_answers_an_echo(a_site: Site) -> None:
    echo(server_of(a_site.archive), US)


def test_all_levels_are_found(a_site: Site) -> None:
    ct = a_site.corpus["ct"]
    wanted = instances_of(ct)
    with DimseFinder(server_of(a_site.archive), US) as finder:
        (study,) = finder.find_studies(StudyQuery(study_uid=ct.study_uid))
        assert (study.patient_id, study.modalities) == (ct.patient_id, ("CT",))
        assert (study.series_count, study.instance_count) == (2, 7)
        series = list(finder.find_series(StudyRef(ct.study_uid)))
        assert sorted(found.instance_count or 0 for found in series) == [3, 4]
        found = [one for each in series for one in finder.find_instances(StudyRef(ct.study_uid), each.series_uid)]
    assert {one.sop_uid for one in found} == set(wanted)
    assert {one.sop_class_uid for one in found} == {one.sop_class_uid for one in wanted.values()}


@pytest.mark.parametrize("has_patient_root", [True, False])
def test_patients_are_found_once_with_either_model(a_site: Site, has_patient_root: bool) -> None:
    server = server_of(a_site.archive, patient_root_find_support=has_patient_root)
    with DimseFinder(server, US) as finder:
        found = list(finder.find_patients(PatientQuery(patient_id="PAT*")))
    assert sorted(one.patient_id for one in found) == sorted(study.patient_id for study in a_site.corpus.values())


def test_results_are_filtered_whatever_the_archive_does_with_the_keys(a_site: Site) -> None:
    ct, sr = a_site.corpus["ct"], a_site.corpus["sr"]
    with DimseFinder(server_of(a_site.archive), US) as finder:

        def uids(**keys: object) -> set[str]:
            return {study.study_uid for study in finder.find_studies(StudyQuery(**keys))}  # type: ignore[arg-type]

        assert uids(patient_name=ct.patient_name.lower()) == {ct.study_uid}
        assert uids(patient_id=ct.patient_id, birth_date="19000101") == set()
        both = {study.study_uid for study in a_site.corpus.values() if study.modality in ("CT", "SR")}
        assert uids(modalities=("CT", "SR")) == both > {sr.study_uid}
        assert uids(study_date="18990101-19000101") == set()


def test_a_search_inside_a_search_disturbs_neither(a_site: Site) -> None:
    with DimseFinder(server_of(a_site.archive), US) as finder:
        nested = {
            study.study_uid: sum(
                1
                for series in finder.find_series(StudyRef(study.study_uid))
                for _ in finder.find_instances(StudyRef(study.study_uid), series.series_uid)
            )
            for study in finder.find_studies(StudyQuery())
        }
    assert nested == {study.study_uid: len(study.files) for study in a_site.corpus.values()}


def test_an_iteration_that_is_left_early_leaves_no_thread_and_the_finder_usable(a_site: Site) -> None:
    before = set(threading.enumerate())
    with DimseFinder(server_of(a_site.archive), US) as finder:
        results = finder.find_studies(StudyQuery())
        assert len(list(islice(results, 1))) == 1
        results.close()  # type: ignore[attr-defined]
        assert len(list(finder.find_studies(StudyQuery()))) == len(a_site.corpus)
    wait_until(lambda: set(threading.enumerate()) <= before, "the end of its threads")


def test_the_patient_root_model_alone_works_when_the_patient_is_given(a_site: Site) -> None:
    ct = a_site.corpus["ct"]
    model = {"study_root_find_support": False, "patient_root_find_support": True}
    with DimseFinder(server_of(a_site.archive, **model), US) as finder:
        assert len(list(finder.find_series(StudyRef(ct.study_uid, ct.patient_id)))) == 2
        with pytest.raises(BadRequest, match="PatientID"):
            list(finder.find_series(StudyRef(ct.study_uid)))
    with (
        DimseFinder(server_of(a_site.archive, study_root_find_support=False), US) as finder,
        pytest.raises(Unsupported),
    ):
        list(finder.find_studies(StudyQuery()))


@pytest.mark.parametrize("kind", ["ct", "compressed", "deflated", "sr"])
@pytest.mark.parametrize("is_known", [True, False])
def test_c_get_brings_a_study_byte_for_byte(a_site: Site, kind: str, is_known: bool) -> None:
    """With the SOP classes known, and with nothing but the modality."""
    arrived: list[EncodedInstance] = []
    unknown = {"sop_uids": (), "sop_class_uids": frozenset[str]()}
    selection = a_site.selection(kind, **({} if is_known else unknown))
    modality = frozenset({a_site.corpus[kind].modality})
    with GetRetriever(server_of(a_site.archive), US, HERE) as retriever:
        retriever.retrieve(replace(selection, modalities=modality), arrived.append)
    a_site.check(kind, arrived)
    syntaxes = {instance.transfer_syntax_uid for instance in arrived}
    expected = {
        "compressed": {JPEG2000Lossless, JPEGLosslessSV1},
        "deflated": {DeflatedExplicitVRLittleEndian},
    }
    assert syntaxes == expected.get(kind, syntaxes)


def test_c_get_keeps_its_association_for_what_its_contexts_cover(a_site: Site) -> None:
    arrived: list[EncodedInstance] = []
    with GetRetriever(server_of(a_site.archive), US, HERE) as retriever:
        associations: set[int] = set()
        for kind in ("ct", "ct", "compressed", "ct"):
            retriever.retrieve(a_site.selection(kind), arrived.append)
            associations.add(id(retriever._association))
    assert len(associations) == 2
    assert len(arrived) == 3 * 7 + len(a_site.corpus["compressed"].files)


@pytest.mark.parametrize("which", ["orthanc", "dcmqrscp"])
def test_c_get_brings_series_and_single_instances(a_site: Site, a_dcmtk_archive: Peer, which: str) -> None:
    server = server_of(a_site.archive if which == "orthanc" else a_dcmtk_archive)
    study = StudyRef(a_site.corpus["ct"].study_uid)
    with DimseFinder(server, US) as finder:
        listed = {
            series.series_uid: [one.sop_uid for one in finder.find_instances(study, series.series_uid)]
            for series in list(finder.find_series(study))
        }
    series_uid, sop_uids = max(listed.items(), key=lambda item: len(item[1]))
    whole = a_site.selection("ct", level=Level.SERIES, series_uid=series_uid)
    two = a_site.selection("ct", level=Level.IMAGE, series_uid=series_uid, sop_uids=tuple(sop_uids[:2]))
    arrived: list[EncodedInstance] = []
    with GetRetriever(server, US, HERE) as retriever:
        retriever.retrieve(whole, arrived.append)
        assert sorted(one.sop_uid for one in arrived) == sorted(sop_uids)
        arrived.clear()
        retriever.retrieve(two, arrived.append)
        assert sorted(one.sop_uid for one in arrived) == sorted(sop_uids[:2])


def test_c_get_of_something_unknown_brings_nothing_or_says_so(a_site: Site, a_dcmtk_archive: Peer) -> None:
    nowhere = a_site.selection("ct", study=StudyRef("1.2.3.4.5"), sop_uids=())
    for peer in (a_site.archive, a_dcmtk_archive):
        arrived: list[EncodedInstance] = []
        with GetRetriever(server_of(peer), US, HERE) as retriever:
            try:
                retriever.retrieve(nowhere, arrived.append)
            except PeerError as error:
                assert "1.2.3.4.5" not in error.message
        assert arrived == []


@pytest.mark.parametrize("kind", ["ct", "compressed", "deflated", "sr"])
def test_c_move_brings_a_study_byte_for_byte_from_an_archive_with_an_underscore(
    a_site: Site, a_receiver: Receiver, an_inbox: Inbox, kind: str
) -> None:
    arrived: list[EncodedInstance] = []
    with MoveRetriever(server_of(a_site.archive), US, RECEIVER, an_inbox) as retriever:
        retriever.retrieve(a_site.selection(kind), arrived.append)
    a_site.check(kind, arrived)
    assert [path for path in an_inbox.root.rglob("*") if path.is_file()] == []


def test_c_move_works_from_dcmqrscp_and_a_second_call_uses_the_same_association(
    a_site: Site, a_dcmtk_archive: Peer, a_receiver: Receiver, an_inbox: Inbox
) -> None:
    with MoveRetriever(server_of(a_dcmtk_archive), US, RECEIVER, an_inbox) as retriever:
        associations: set[int] = set()
        for _ in range(2):
            arrived: list[EncodedInstance] = []
            retriever.retrieve(a_site.selection("ct"), arrived.append)
            associations.add(id(retriever._association))
            assert {one.sop_uid for one in arrived} == set(instances_of(a_site.corpus["ct"]))
    assert len(associations) == 1


def test_two_c_moves_of_the_same_study_at_once_both_get_everything(
    a_site: Site, a_receiver: Receiver, an_inbox: Inbox
) -> None:
    def fetch(_: int) -> set[str]:
        arrived: list[EncodedInstance] = []
        with MoveRetriever(server_of(a_site.archive), US, RECEIVER, an_inbox) as retriever:
            retriever.retrieve(a_site.selection("ct"), arrived.append)
        return {one.sop_uid for one in arrived}

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(fetch, range(2))
    assert first == second == set(instances_of(a_site.corpus["ct"]))


def test_c_move_without_a_list_of_instances_is_refused_with_the_reason(a_site: Site, an_inbox: Inbox) -> None:
    with (
        MoveRetriever(server_of(a_site.archive), US, RECEIVER, an_inbox) as retriever,
        pytest.raises(Unsupported, match="list of instances"),
    ):
        retriever.retrieve(a_site.selection("ct", sop_uids=()), lambda _: None)


def test_c_move_to_a_title_the_archive_does_not_know_says_what_to_enter(
    a_site: Site, a_dcmtk_archive: Peer, an_inbox: Inbox
) -> None:
    with (
        an_inbox.served(),
        MoveRetriever(server_of(a_dcmtk_archive), US, "NOBODY", an_inbox) as retriever,
        pytest.raises(Unsupported, match="enter our receiver"),
    ):
        retriever.retrieve(a_site.selection("ct"), lambda _: None)


def test_a_caller_that_is_not_listed_delivers_nothing(a_site: Site, an_inbox: Inbox) -> None:
    receiver = Receiver("127.0.0.1", a_site.receiver_port, an_inbox, lambda: ["SOMEBODY_ELSE"])
    receiver.start()
    arrived: list[EncodedInstance] = []
    try:
        with MoveRetriever(server_of(a_site.archive), US, RECEIVER, an_inbox) as retriever, pytest.raises(PeerError):
            retriever.retrieve(a_site.selection("ct"), arrived.append)
    finally:
        receiver.stop()
    assert arrived == []


@pytest.mark.parametrize("kind", ["ct", "compressed", "deflated", "sr"])
def test_c_store_delivers_a_study_byte_for_byte(a_site: Site, tmp_path: Path, kind: str) -> None:
    wanted = instances_of(a_site.corpus[kind])
    with storescp(tmp_path, "SINK", "+xa", "+B") as sink:  # all syntaxes, files as they come
        with DimseSender(server_of(sink), US) as sender:
            outcomes = [sender.send(_cut(instance)) for instance in wanted.values()]
        stored = [split_part10(file.read_bytes()) for file in (tmp_path / "db").iterdir()]
    assert {outcome.verdict for outcome in outcomes} == {Verdict.STORED}
    a_site.check(kind, stored)


def test_c_store_of_mixed_studies_is_complete_at_orthanc(a_site: Site, tmp_path: Path) -> None:
    wanted = {uid: one for kind in ("ct", "compressed", "sr") for uid, one in instances_of(a_site.corpus[kind]).items()}
    with orthanc(tmp_path / "target", "TARGET") as target:
        with DimseSender(server_of(target), US) as sender:
            outcomes = [sender.send(instance) for instance in wanted.values()]
        stored = {uid: split_part10(file) for uid, file in target.files().items()}
    assert {outcome.verdict for outcome in outcomes} == {Verdict.STORED}
    assert {uid: joined(one) for uid, one in stored.items()} == {uid: joined(one) for uid, one in wanted.items()}
    assert all(stored[uid].transfer_syntax_uid == one.transfer_syntax_uid for uid, one in wanted.items())


def test_what_a_server_does_not_accept_is_refused_and_the_rest_is_stored(a_site: Site, tmp_path: Path) -> None:
    ct, compressed = (list(instances_of(a_site.corpus[kind]).values()) for kind in ("ct", "compressed"))
    with storescp(tmp_path, "SINK") as sink, DimseSender(server_of(sink), US) as sender:  # no compressed syntaxes
        outcomes = [sender.send(one) for one in (compressed[0], ct[0], compressed[0], compressed[-1], ct[1])]
    assert [outcome.status for outcome in outcomes] == [0x0122, 0, 0x0122, 0x0122, 0]
    assert [outcome.verdict for outcome in outcomes].count(Verdict.REFUSED) == 3
    assert len(list((tmp_path / "db").iterdir())) == 2


def _cut(instance: EncodedInstance) -> EncodedInstance:
    """The same instance in parts that end anywhere."""
    data = joined(instance)
    return replace(instance, parts=(data[:301], memoryview(data)[301:1000], bytearray(data[1000:])))


def test_a_wrong_called_ae_title_is_reported_in_the_archives_words(a_site: Site) -> None:
    wrong = replace(server_of(a_site.archive), ae_title="WRONG")
    with pytest.raises(AssociationRejected, match="called AE title not recogni"):
        echo(wrong, US)


def test_a_port_where_nobody_listens_is_unreachable() -> None:
    with pytest.raises(Unreachable, match="host and port"):
        echo(Server("Nobody", "NOBODY", "127.0.0.1", free_port()), US)
    with pytest.raises(Unreachable, match="resolved"):
        echo(Server("Nobody", "NOBODY", "no-such-host.invalid", 104), US)


def test_our_receiver_answers_an_echo_of_a_known_caller_only(
    a_site: Site, a_receiver: Receiver, an_inbox: Inbox
) -> None:
    server = Server("Receiver", RECEIVER, "127.0.0.1", a_site.receiver_port)
    echo(server, "SOURCE_A")
    with pytest.raises(AssociationRejected, match="calling AE title not recogni"):
        echo(server, "STRANGER")
